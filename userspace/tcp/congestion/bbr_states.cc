// SPDX-License-Identifier: MIT
// BBR's states, and when it goes from one to the next. Section numbers are draft-ietf-ccwg-bbr's.
#include <algorithm>

#include "weir/tcp/congestion/bbr.h"

namespace weir::tcp {
namespace {

constexpr double kFullBwThresh = 1.25;
constexpr std::uint8_t kFullBwRounds = 3;
constexpr std::uint8_t kStartupLossEvents = 6;
constexpr double kBeta = 0.7;
constexpr std::uint32_t kMostRenoRounds = 63;
constexpr Duration kProbeRttDuration = Duration::milliseconds(200);

}  // namespace

bool Bbr::in_probe_bw() const { return state_ >= State::probe_bw_down && state_ <= State::probe_bw_up; }

bool Bbr::is_probing_bw() const {
  return state_ == State::startup || state_ == State::probe_bw_refill || state_ == State::probe_bw_up;
}

// --- Startup and Drain ---

void Bbr::reset_full_bw() {
  full_bw_ = 0;
  full_bw_count_ = 0;
  full_bw_now_ = false;
}

// 5.3.1.2: three round trips in which the bandwidth has not grown by a quarter.
void Bbr::check_full_bw_reached(const AckEvent& ack) {
  if (full_bw_now_ || !round_start_ || ack.rate.app_limited) return;
  std::uint64_t rate = ack.rate.rate();
  if (static_cast<double>(rate) >= static_cast<double>(full_bw_) * kFullBwThresh) {
    reset_full_bw();
    full_bw_ = rate;
    return;
  }
  ++full_bw_count_;
  full_bw_now_ = full_bw_count_ >= kFullBwRounds;
  if (full_bw_now_) full_bw_reached_ = true;
}

// 5.3.1.3
void Bbr::check_startup_high_loss(const AckEvent& ack) {
  bool high = state_ == State::startup && loss_round_start_ && in_loss_recovery_ &&
              (loss_events_in_round_ >= kStartupLossEvents || !ack.selective) &&
              is_inflight_too_high(ack.rate.lost, ack.rate.tx_in_flight, ack.selective);
  if (loss_round_start_) loss_events_in_round_ = 0;
  if (!high) return;
  undo_state_ = UndoState::startup;
  full_bw_reached_ = true;
  inflight_longterm_ = std::max(bdp_multiple(1), inflight_latest_);
}

void Bbr::check_startup_done() {
  if (state_ != State::startup || !full_bw_reached_) return;
  state_ = State::drain;
  drain_start_round_ = round_count_;
}

// 5.3.2
void Bbr::check_drain(const AckEvent& ack) {
  constexpr std::uint32_t kMostRounds = 3;
  if (state_ != State::drain) return;
  if (ack.in_flight <= quantized(bdp_multiple(1)) || round_count_ > drain_start_round_ + kMostRounds) {
    start_probe_bw_down(ack.now, ack.delivered);
  }
}

// --- ProbeBW ---

std::uint32_t Bbr::random() {
  // xorshift (Marsaglia, 2003)
  random_state_ ^= random_state_ << 13;
  random_state_ ^= random_state_ >> 17;
  random_state_ ^= random_state_ << 5;
  return random_state_;
}

// 5.3.3.8.3
void Bbr::pick_probe_wait() {
  rounds_since_bw_probe_ = random() & 1;
  bw_probe_wait_ = Duration::seconds(2) + Duration::milliseconds(random() % 1'000);
}

// 5.3.3.9
void Bbr::start_probe_bw_down(Instant now, std::uint64_t delivered) {
  reset_congestion_signals();
  probe_up_growth_ = 0;
  pick_probe_wait();
  cycle_stamp_ = now;
  ack_phase_ = AckPhase::probe_stopping;
  start_round(delivered);
  state_ = State::probe_bw_down;
}

void Bbr::start_probe_bw_refill(std::uint64_t delivered) {
  reset_short_term_model();
  bw_probe_up_rounds_ = 0;
  probe_up_remainder_ = 0;
  prev_probe_precautionary_ = false;
  ack_phase_ = AckPhase::refilling;
  start_round(delivered);
  state_ = State::probe_bw_refill;
}

void Bbr::start_probe_bw_up(const AckEvent& ack) {
  ack_phase_ = AckPhase::probe_starting;
  start_round(ack.delivered);
  reset_full_bw();
  full_bw_ = ack.rate.rate();
  state_ = State::probe_bw_up;
  raise_inflight_longterm_slope();
}

void Bbr::update_probe_bw_cycle_phase(const AckEvent& ack) {
  if (!full_bw_reached_ || adapt_long_term_model(ack)) return;
  switch (state_) {
    case State::probe_bw_down:
      if (is_time_to_probe_bw(ack)) {
        start_probe_bw_refill(ack.delivered);
      } else if (is_time_to_cruise(ack)) {
        state_ = State::probe_bw_cruise;
      }
      break;
    case State::probe_bw_cruise:
      if (is_time_to_probe_bw(ack)) start_probe_bw_refill(ack.delivered);
      break;
    case State::probe_bw_refill:
      // A round trip at the full rate, so that what follows meets a full pipe.
      if (round_start_) {
        bw_probe_samples_ = true;
        start_probe_bw_up(ack);
      }
      break;
    case State::probe_bw_up:
      if (is_time_to_go_down(ack)) {
        prev_probe_too_high_ = false;  // not yet
        start_probe_bw_down(ack.now, ack.delivered);
      }
      break;
    default:
      break;
  }
}

// 5.3.3.8: after two to three seconds, or when Reno would have grown by as much.
bool Bbr::is_time_to_probe_bw(const AckEvent& ack) const {
  if (ack.now > cycle_stamp_ + bw_probe_wait_) return true;
  std::uint64_t reno_rounds = target_inflight() / mss_;
  return rounds_since_bw_probe_ >= std::min<std::uint64_t>(reno_rounds, kMostRenoRounds);
}

bool Bbr::is_time_to_cruise(const AckEvent& ack) const {
  return ack.in_flight <= inflight_with_headroom() && ack.in_flight <= quantized(bdp_multiple(1));
}

bool Bbr::is_time_to_go_down(const AckEvent& ack) {
  // 5.3.3.6: what was too much the last time is gone to with care, and not held. It is reached where another segment
  // would not fit; what this ACK tells of was in flight before it.
  if (prev_probe_too_high_ && std::uint64_t{ack.in_flight} + ack.acked + ack.mss > inflight_longterm_) {
    prev_probe_precautionary_ = true;
    return true;
  }
  if (is_cwnd_limited(ack) && cwnd_ >= inflight_longterm_) {
    reset_full_bw();
    full_bw_ = ack.rate.rate();
    return false;
  }
  return full_bw_now_;
}

// 5.3.3.5: a segment more in the first round trip of a probe, then twice as many in each.
void Bbr::raise_inflight_longterm_slope() {
  double growth = static_cast<double>(mss_) * static_cast<double>(std::uint64_t{1} << bw_probe_up_rounds_);
  bw_probe_up_rounds_ = std::min(bw_probe_up_rounds_ + 1, 30u);
  probe_up_growth_ = std::min(growth / std::max(cwnd_, 1u), 1.0);
}

void Bbr::probe_inflight_longterm_upward(const AckEvent& ack) {
  if (!is_cwnd_limited(ack) || cwnd_ < inflight_longterm_) return;
  probe_up_remainder_ += probe_up_growth_ * ack.acked;
  auto whole = static_cast<std::uint64_t>(probe_up_remainder_);
  probe_up_remainder_ -= static_cast<double>(whole);
  inflight_longterm_ += whole;
  if (round_start_) raise_inflight_longterm_slope();
}

// True: it has gone to another state.
bool Bbr::adapt_long_term_model(const AckEvent& ack) {
  if (ack_phase_ == AckPhase::probe_starting && round_start_) ack_phase_ = AckPhase::probe_feedback;
  if (ack_phase_ == AckPhase::probe_stopping && round_start_) {
    // The ACKs of the probe are all in.
    bw_probe_samples_ = false;
    ack_phase_ = AckPhase::init;
    if (in_probe_bw() && !ack.rate.app_limited) advance_max_bw_filter();
    // 5.3.3.6: a careful probe has met no loss.
    if (in_probe_bw() && prev_probe_precautionary_ && !prev_probe_too_high_) {
      start_probe_bw_refill(ack.delivered);
      return true;
    }
  }
  if (is_inflight_too_high(ack.rate.lost, ack.rate.tx_in_flight, ack.selective)) return false;
  if (inflight_longterm_ == kInfinite) return false;
  inflight_longterm_ = std::max<std::uint64_t>(inflight_longterm_, ack.rate.tx_in_flight);
  if (state_ == State::probe_bw_up) probe_inflight_longterm_upward(ack);
  return false;
}

// 5.5.10.2
void Bbr::handle_inflight_too_high(const SegmentLoss& loss) {
  prev_probe_too_high_ = true;
  bw_probe_samples_ = false;  // one answer to a probe
  if (!loss.app_limited) {
    auto least = static_cast<std::uint64_t>(static_cast<double>(target_inflight()) * kBeta);
    inflight_longterm_ = std::max(inflight_at_loss(loss), least);
  }
  if (state_ != State::probe_bw_up) return;
  undo_state_ = UndoState::probe_bw_up;
  start_probe_bw_down(loss.now, loss.delivered);
}

// --- ProbeRTT ---

// 5.3.4.3
void Bbr::check_probe_rtt(const AckEvent& ack) {
  if (state_ != State::probe_rtt && probe_rtt_expired_ && !idle_restart_) {
    save_cwnd();
    state_ = State::probe_rtt;
    probe_rtt_done_stamp_ = Instant::never();
    ack_phase_ = AckPhase::probe_stopping;
    start_round(ack.delivered);
    limited_from_ = ack.delivered;
  }
  if (state_ == State::probe_rtt) handle_probe_rtt(ack);
  if (ack.rate.delivered > 0) idle_restart_ = false;
}

void Bbr::handle_probe_rtt(const AckEvent& ack) {
  // Its low rates say nothing of the path.
  limited_until_ = ack.delivered + std::max(ack.in_flight, 1u);
  if (probe_rtt_done_stamp_ == Instant::never()) {
    if (ack.in_flight > std::max<std::uint64_t>(bdp_multiple(0.5), min_pipe_cwnd())) return;
    probe_rtt_done_stamp_ = ack.now + kProbeRttDuration;
    probe_rtt_round_done_ = false;
    start_round(ack.delivered);
    return;
  }
  if (round_start_) probe_rtt_round_done_ = true;
  if (probe_rtt_round_done_) check_probe_rtt_done(ack.now, ack.delivered);
}

void Bbr::check_probe_rtt_done(Instant now, std::uint64_t delivered) {
  if (probe_rtt_done_stamp_ == Instant::never() || now <= probe_rtt_done_stamp_) return;
  probe_rtt_min_stamp_ = now;
  cwnd_ = std::max(cwnd_, prior_cwnd_);
  // 5.3.4.4
  reset_short_term_model();
  if (full_bw_reached_) {
    start_probe_bw_down(now, delivered);
    state_ = State::probe_bw_cruise;
  } else {
    state_ = State::startup;
  }
}

}  // namespace weir::tcp
