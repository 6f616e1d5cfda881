// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

#include "weir/tcp/congestion/controller.h"

namespace weir::tcp {

// BBR as draft-ietf-ccwg-bbr has it (version 3 of the algorithm): a model of the path's bandwidth and round trip, which
// probes for more in turns, and bounds that losses set. Names are the draft's, without the prefix; rates are bytes a
// second, volumes bytes.
//
// It is draft-ietf-ccwg-bbr-06's, in its order. An ECN echo is taken as a loss in that round trip, which the draft
// leaves open; and losses that one ACK tells of count as one range of them, as in Linux (5.3.1.3).
class Bbr final : public Controller {
 public:
  enum class State : std::uint8_t {
    startup,
    drain,
    probe_bw_down,
    probe_bw_cruise,
    probe_bw_refill,
    probe_bw_up,
    probe_rtt
  };

  std::string_view name() const override { return "bbr"; }
  void open(std::uint32_t window, const Moment& at) override;
  void take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment& at) override;
  void on_ack(const AckEvent& ack) override;
  void on_segment_lost(const SegmentLoss& loss) override;
  void on_loss(const Moment& at) override;
  void on_ecn(const Moment& at) override;
  void on_recovered(const Moment& at) override;
  void on_timeout(const Moment& at, bool again) override;
  void on_timeout_recovered(const Moment& at) override;
  void on_idle(const Moment& at) override;
  void undo() override;
  std::uint32_t cwnd() const override { return cwnd_; }
  // None while it starts up; then the path's volume, for a controller that takes over.
  std::uint32_t ssthresh() const override;
  std::uint64_t pacing_rate() const override { return pacing_rate_; }
  bool governs_recovery() const override { return true; }

  State state() const { return state_; }
  std::uint64_t max_bw() const { return max_bw_; }
  Duration min_rtt() const { return min_rtt_; }
  bool full_bw_reached() const { return full_bw_reached_; }
  std::uint64_t inflight_longterm() const { return inflight_longterm_; }

 private:
  static constexpr std::uint64_t kInfinite = std::numeric_limits<std::uint64_t>::max();

  // What the ACKs of the present probe tell about (draft 5.3.3.2).
  enum class AckPhase : std::uint8_t { init, probe_stopping, refilling, probe_starting, probe_feedback };

  // 5.2, the model
  void update_model_and_state(const AckEvent& ack);
  void update_round(const AckEvent& ack);
  void update_latest_delivery_signals(const AckEvent& ack);
  void update_congestion_signals(const AckEvent& ack);
  void update_max_bw(const AckEvent& ack);
  void advance_max_bw_filter();
  void update_ack_aggregation(const AckEvent& ack);
  void adapt_lower_bounds();
  void reset_short_term_model();
  void reset_congestion_signals();
  void start_round(std::uint64_t delivered) { next_round_delivered_ = delivered; }
  void note_loss(std::uint64_t delivered);
  // 5.3.1, 5.3.2
  void check_full_bw_reached(const AckEvent& ack);
  void check_startup_high_loss(const AckEvent& ack);
  void check_startup_done();
  void check_drain(const AckEvent& ack);
  void reset_full_bw();
  // 5.3.3
  void update_probe_bw_cycle_phase(const AckEvent& ack);
  bool adapt_long_term_model(const AckEvent& ack);
  void start_probe_bw_down(Instant now, std::uint64_t delivered);
  void start_probe_bw_refill(std::uint64_t delivered);
  void start_probe_bw_up(const AckEvent& ack);
  bool is_time_to_probe_bw(const AckEvent& ack) const;
  bool is_time_to_cruise(const AckEvent& ack) const;
  bool is_time_to_go_down(const AckEvent& ack);
  void raise_inflight_longterm_slope();
  void probe_inflight_longterm_upward(const AckEvent& ack);
  void handle_inflight_too_high(const SegmentLoss& loss);
  void pick_probe_wait();
  // 5.3.4
  void update_min_rtt(const AckEvent& ack);
  void check_probe_rtt(const AckEvent& ack);
  void handle_probe_rtt(const AckEvent& ack);
  void check_probe_rtt_done(Instant now, std::uint64_t delivered);
  // 5.6, what follows from it
  void set_pacing_rate(double gain);
  void set_cwnd(const AckEvent& ack);
  std::uint64_t bdp_multiple(double gain) const;
  std::uint64_t quantized(std::uint64_t inflight) const;
  std::uint64_t max_inflight() const;
  std::uint64_t inflight_with_headroom() const;
  std::uint64_t target_inflight() const;
  std::uint64_t bw() const;
  double pacing_gain() const;
  double cwnd_gain() const;
  std::uint32_t min_pipe_cwnd() const { return 4 * mss_; }
  bool in_probe_bw() const;
  bool is_probing_bw() const;
  bool is_cwnd_limited(const AckEvent& ack) const { return ack.peak_in_flight + ack.mss > cwnd_; }
  static bool is_inflight_too_high(std::uint64_t lost, std::uint64_t tx_in_flight, bool selective);
  static std::uint64_t inflight_at_loss(const SegmentLoss& loss);
  void save_cwnd();
  void save_state_upon_loss();
  std::uint32_t random();

  std::uint32_t cwnd_ = 0;
  std::uint32_t prior_cwnd_ = 0;
  std::uint32_t initial_cwnd_ = 0;
  std::uint32_t mss_ = 0;
  std::uint64_t pacing_rate_ = 0;

  std::uint64_t max_bw_ = 0;
  std::uint64_t bw_this_cycle_ = 0;  // MaxBwFilter, which has two cycles
  std::uint64_t bw_last_cycle_ = 0;
  std::uint64_t bw_latest_ = 0;
  std::uint64_t bw_shortterm_ = kInfinite;
  std::uint64_t inflight_latest_ = 0;
  std::uint64_t inflight_shortterm_ = kInfinite;
  std::uint64_t inflight_longterm_ = kInfinite;
  std::uint64_t undo_bw_shortterm_ = kInfinite;
  std::uint64_t undo_inflight_shortterm_ = kInfinite;
  std::uint64_t undo_inflight_longterm_ = kInfinite;

  std::uint64_t full_bw_ = 0;
  std::uint64_t next_round_delivered_ = 0;
  std::uint64_t loss_round_delivered_ = 0;
  std::uint64_t extra_acked_delivered_ = 0;
  std::uint64_t extra_acked_this_ = 0;  // the highest of these some rounds, and of those before
  std::uint64_t extra_acked_last_ = 0;
  double probe_up_growth_ = 0;  // bytes for each byte acknowledged
  double probe_up_remainder_ = 0;
  std::uint32_t random_state_ = 1;
  std::uint32_t round_count_ = 0;
  std::uint32_t rounds_since_bw_probe_ = 0;
  std::uint32_t bw_probe_up_rounds_ = 0;
  std::uint32_t drain_start_round_ = 0;

  std::uint64_t delivered_ = 0;             // as the last ACK told
  std::uint64_t limited_from_ = kInfinite;  // samples of what left from here
  std::uint64_t limited_until_ = 0;         // to there are of ProbeRTT's low rate
  Instant cycle_stamp_;
  Instant min_rtt_stamp_;
  Instant probe_rtt_min_stamp_;
  Instant probe_rtt_done_stamp_ = Instant::never();
  Instant extra_acked_since_;
  Duration min_rtt_ = Duration::max();
  Duration probe_rtt_min_delay_ = Duration::max();
  Duration bw_probe_wait_;

  State state_ = State::startup;
  AckPhase ack_phase_ = AckPhase::init;
  std::uint8_t full_bw_count_ = 0;
  std::uint8_t loss_events_in_round_ = 0;
  bool full_bw_now_ = false;
  bool full_bw_reached_ = false;
  bool round_start_ = false;
  bool loss_round_start_ = false;
  bool loss_in_round_ = false;
  bool bw_probe_samples_ = false;
  bool probe_rtt_expired_ = false;
  bool probe_rtt_round_done_ = false;
  bool idle_restart_ = false;
  bool prev_probe_too_high_ = false;
  bool prev_probe_precautionary_ = false;
  bool in_loss_recovery_ = false;
  enum class UndoState : std::uint8_t { none, startup, probe_bw_up } undo_state_ = UndoState::none;
};

}  // namespace weir::tcp
