// SPDX-License-Identifier: MIT
// BBR's model of the path and what follows from it. Section numbers are draft-ietf-ccwg-bbr's.
#include "weir/tcp/congestion/bbr.h"

#include <algorithm>

namespace weir::tcp {
namespace {

// 2.5 and following
constexpr double kStartupPacingGain = 2.77;
constexpr double kDrainPacingGain = 0.5;
constexpr double kDefaultCwndGain = 2;
constexpr double kPacingMargin = 0.99;
constexpr double kLossThresh = 0.02;
constexpr double kBeta = 0.7;
constexpr double kHeadroom = 0.15;
constexpr std::uint32_t kExtraAckedRounds = 5;  // of each half of the filter of ten
constexpr Duration kMinRttFilterLen = Duration::seconds(10);

}  // namespace

// 5.2.1
void Bbr::open(std::uint32_t window, const Moment& at) {
  cwnd_ = initial_cwnd_ = window;
  mss_ = at.mss;
  random_state_ = static_cast<std::uint32_t>(at.now.ns() ^ (at.now.ns() >> 32)) | 1;
  min_rtt_stamp_ = probe_rtt_min_stamp_ = extra_acked_since_ = at.now;
  if (at.srtt.count_ns() > 0) min_rtt_ = probe_rtt_min_delay_ = at.srtt;
  // 5.6.2: without a round trip measured, of a millisecond.
  double rtt = at.srtt.count_ns() > 0 ? static_cast<double>(at.srtt.count_ns()) : 1e6;
  pacing_rate_ = static_cast<std::uint64_t>(kStartupPacingGain * window * 1e9 / rtt);
}

// What the other has found out is no model; Startup makes one within a few round trips.
void Bbr::take_over(std::uint32_t cwnd, std::uint32_t, const Moment& at) { open(cwnd, at); }

std::uint32_t Bbr::ssthresh() const {
  if (!full_bw_reached_) return kNoThreshold;
  return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(bdp_multiple(1), 2 * mss_, kMostWindow));
}

void Bbr::on_ack(const AckEvent& told) {
  AckEvent ack = told;
  mss_ = ack.mss;
  delivered_ = ack.delivered;
  if (ack.rate.prior_delivered >= limited_from_ && ack.rate.prior_delivered < limited_until_) {
    ack.rate.app_limited = true;
  }
  update_model_and_state(ack);
  set_pacing_rate(pacing_gain());
  set_cwnd(ack);
}

void Bbr::update_model_and_state(const AckEvent& ack) {
  update_latest_delivery_signals(ack);
  update_congestion_signals(ack);
  update_ack_aggregation(ack);
  check_full_bw_reached(ack);
  check_startup_high_loss(ack);
  check_startup_done();
  check_drain(ack);
  update_probe_bw_cycle_phase(ack);
  update_min_rtt(ack);
  check_probe_rtt(ack);
  if (loss_round_start_) {
    bw_latest_ = ack.rate.rate();
    inflight_latest_ = ack.rate.delivered;
  }
}

// --- rounds and signals ---

// 5.5.1
void Bbr::update_round(const AckEvent& ack) {
  round_start_ = ack.rate.delivered > 0 && ack.rate.prior_delivered >= next_round_delivered_;
  if (!round_start_) return;
  start_round(ack.delivered);
  ++round_count_;
  ++rounds_since_bw_probe_;
  if (round_count_ % kExtraAckedRounds == 0) {
    extra_acked_last_ = extra_acked_this_;
    extra_acked_this_ = 0;
  }
}

// 5.5.10.2
void Bbr::update_latest_delivery_signals(const AckEvent& ack) {
  loss_round_start_ = false;
  if (ack.rate.delivered == 0) return;
  bw_latest_ = std::max(bw_latest_, ack.rate.rate());
  inflight_latest_ = std::max(inflight_latest_, ack.rate.delivered);
  if (ack.rate.prior_delivered < loss_round_delivered_) return;
  loss_round_delivered_ = ack.delivered;
  loss_round_start_ = true;
}

void Bbr::update_congestion_signals(const AckEvent& ack) {
  update_round(ack);
  update_max_bw(ack);
  if (ack.newly_lost > 0 && loss_events_in_round_ < 255) ++loss_events_in_round_;
  if (!loss_round_start_) return;
  adapt_lower_bounds();
  loss_in_round_ = false;
}

// 5.5.5
void Bbr::update_max_bw(const AckEvent& ack) {
  std::uint64_t rate = ack.rate.rate();
  if (rate == 0 || (rate < max_bw_ && ack.rate.app_limited)) return;
  bw_this_cycle_ = std::max(bw_this_cycle_, rate);
  max_bw_ = std::max(bw_this_cycle_, bw_last_cycle_);
}

void Bbr::advance_max_bw_filter() {
  if (bw_this_cycle_ == 0) return;
  bw_last_cycle_ = bw_this_cycle_;
  bw_this_cycle_ = 0;
  max_bw_ = bw_last_cycle_;
}

// 5.5.9
void Bbr::update_ack_aggregation(const AckEvent& ack) {
  double expected = static_cast<double>(bw()) * static_cast<double>((ack.now - extra_acked_since_).count_ns()) * 1e-9;
  if (static_cast<double>(extra_acked_delivered_) <= expected) {
    extra_acked_delivered_ = 0;
    extra_acked_since_ = ack.now;
    expected = 0;
  }
  extra_acked_delivered_ += ack.acked;
  double extra = std::min(static_cast<double>(extra_acked_delivered_) - expected, static_cast<double>(cwnd_));
  extra_acked_this_ = std::max(extra_acked_this_, static_cast<std::uint64_t>(std::max(extra, 0.0)));
  if (!full_bw_reached_) extra_acked_last_ = 0;
}

// 5.5.10.3: while it does not probe, a round trip with a loss lowers what it believes for the while.
void Bbr::adapt_lower_bounds() {
  if (is_probing_bw() || !loss_in_round_) return;
  if (bw_shortterm_ == kInfinite) bw_shortterm_ = max_bw_;
  if (inflight_shortterm_ == kInfinite) inflight_shortterm_ = cwnd_;
  auto beta = [](std::uint64_t v) { return static_cast<std::uint64_t>(static_cast<double>(v) * kBeta); };
  bw_shortterm_ = std::max(bw_latest_, beta(bw_shortterm_));
  inflight_shortterm_ = std::max(inflight_latest_, beta(inflight_shortterm_));
}

void Bbr::reset_short_term_model() { bw_shortterm_ = inflight_shortterm_ = kInfinite; }

void Bbr::reset_congestion_signals() {
  loss_in_round_ = false;
  bw_latest_ = inflight_latest_ = 0;
}

// --- events besides ACKs ---

// 5.6.4.4
void Bbr::save_cwnd() {
  bool recovering = in_loss_recovery_ || state_ == State::probe_rtt;
  prior_cwnd_ = recovering ? std::max(prior_cwnd_, cwnd_) : cwnd_;
}

// 5.5.11.1
void Bbr::save_state_upon_loss() {
  save_cwnd();
  undo_state_ = UndoState::none;
  undo_bw_shortterm_ = bw_shortterm_;
  undo_inflight_shortterm_ = inflight_shortterm_;
  undo_inflight_longterm_ = inflight_longterm_;
}

// 5.5.10.2
void Bbr::note_loss(std::uint64_t delivered) {
  if (!loss_in_round_) {
    loss_round_delivered_ = delivered;
    save_state_upon_loss();
  }
  loss_in_round_ = true;
}

void Bbr::on_segment_lost(const SegmentLoss& loss) {
  note_loss(loss.delivered);
  if (!bw_probe_samples_) return;
  if (is_inflight_too_high(loss.lost, loss.tx_in_flight, loss.selective)) handle_inflight_too_high(loss);
}

// 5.6.4.4: fast recovery answers by the model.
void Bbr::on_loss(const Moment&) {
  save_cwnd();  // the rest has been, of the first segment that was lost, before that was heeded
  in_loss_recovery_ = true;
}

void Bbr::on_ecn(const Moment&) { note_loss(delivered_); }

void Bbr::on_recovered(const Moment&) {
  in_loss_recovery_ = false;
  cwnd_ = std::max(cwnd_, prior_cwnd_);
}

void Bbr::on_timeout(const Moment& at, bool again) {
  if (!again) save_cwnd();
  in_loss_recovery_ = true;
  cwnd_ = at.pipe + at.mss;
}

void Bbr::on_timeout_recovered(const Moment& at) { on_recovered(at); }

// 5.4.1
void Bbr::on_idle(const Moment& at) {
  idle_restart_ = true;
  extra_acked_since_ = at.now;
  if (in_probe_bw()) set_pacing_rate(1);
  if (state_ == State::probe_rtt) check_probe_rtt_done(at.now, delivered_);
}

// 5.5.11.2
void Bbr::undo() {
  cwnd_ = std::max(cwnd_, prior_cwnd_);
  in_loss_recovery_ = false;
  loss_in_round_ = false;
  reset_full_bw();
  bw_shortterm_ = std::max(bw_shortterm_, undo_bw_shortterm_);
  inflight_shortterm_ = std::max(inflight_shortterm_, undo_inflight_shortterm_);
  inflight_longterm_ = std::max(inflight_longterm_, undo_inflight_longterm_);
  if (undo_state_ == UndoState::startup && state_ != State::startup) {
    full_bw_reached_ = false;
    if (state_ != State::probe_rtt) state_ = State::startup;
  } else if (undo_state_ == UndoState::probe_bw_up && state_ != State::probe_bw_up) {
    if (state_ != State::probe_rtt) start_probe_bw_refill(delivered_);
  }
  undo_state_ = UndoState::none;
}

// --- control parameters ---

std::uint64_t Bbr::bw() const { return std::min(max_bw_, bw_shortterm_); }

double Bbr::pacing_gain() const {
  switch (state_) {
    case State::startup:
      return kStartupPacingGain;
    case State::drain:
      return kDrainPacingGain;
    case State::probe_bw_down:
      return 0.9;
    case State::probe_bw_up:
      return 1.25;
    default:
      return 1;
  }
}

double Bbr::cwnd_gain() const {
  if (state_ == State::probe_bw_up) return 2.25;
  return state_ == State::probe_rtt ? 0.5 : kDefaultCwndGain;
}

// 5.6.2
void Bbr::set_pacing_rate(double gain) {
  if (bw() == 0) return;
  auto rate = static_cast<std::uint64_t>(gain * static_cast<double>(bw()) * kPacingMargin);
  if (full_bw_reached_ || rate > pacing_rate_) pacing_rate_ = std::max<std::uint64_t>(rate, 1);
}

// 5.6.4.2
std::uint64_t Bbr::bdp_multiple(double gain) const {
  if (min_rtt_ == Duration::max() || bw() == 0) return initial_cwnd_;
  double bdp = static_cast<double>(bw()) * static_cast<double>(min_rtt_.count_ns()) * 1e-9;
  return static_cast<std::uint64_t>(gain * bdp);
}

std::uint64_t Bbr::max_inflight() const {
  std::uint64_t extra = full_bw_reached_ ? std::max(extra_acked_this_, extra_acked_last_) : extra_acked_this_;
  return quantized(bdp_multiple(cwnd_gain()) + extra);
}

std::uint64_t Bbr::quantized(std::uint64_t inflight) const {
  // QuantizationBudget: room for three bursts of a millisecond.
  std::uint64_t burst = std::max<std::uint64_t>(2 * mss_, std::min<std::uint64_t>(pacing_rate_ / 1'000, 64 * 1024));
  inflight = std::max({inflight, 3 * burst, static_cast<std::uint64_t>(min_pipe_cwnd())});
  return state_ == State::probe_bw_up ? inflight + 2 * mss_ : inflight;
}

std::uint64_t Bbr::inflight_with_headroom() const {
  if (inflight_longterm_ == kInfinite) return kInfinite;
  auto headroom =
      std::max<std::uint64_t>(mss_, static_cast<std::uint64_t>(static_cast<double>(inflight_longterm_) * kHeadroom));
  return std::max<std::uint64_t>(inflight_longterm_ - std::min(inflight_longterm_, headroom), min_pipe_cwnd());
}

std::uint64_t Bbr::target_inflight() const { return std::min<std::uint64_t>(bdp_multiple(1), cwnd_); }

// 5.6.4.6
void Bbr::set_cwnd(const AckEvent& ack) {
  std::uint64_t most = max_inflight();
  std::uint64_t cwnd = cwnd_;
  if (full_bw_reached_) {
    cwnd = std::min(cwnd + ack.acked, most);
  } else if (cwnd < most || ack.delivered < initial_cwnd_) {
    cwnd += ack.acked;
  }
  cwnd = std::max<std::uint64_t>(cwnd, min_pipe_cwnd());
  // 5.6.4.5
  if (state_ == State::probe_rtt) cwnd = std::min(cwnd, std::max<std::uint64_t>(bdp_multiple(0.5), min_pipe_cwnd()));
  // 5.6.4.7
  std::uint64_t cap = kInfinite;
  if (in_probe_bw() && state_ != State::probe_bw_cruise) {
    cap = inflight_longterm_;
  } else if (state_ == State::probe_rtt || state_ == State::probe_bw_cruise) {
    cap = inflight_with_headroom();
  }
  cap = std::max<std::uint64_t>(std::min(cap, inflight_shortterm_), min_pipe_cwnd());
  cwnd_ = static_cast<std::uint32_t>(std::min({cwnd, cap, static_cast<std::uint64_t>(kMostWindow)}));
}

// 5.5.3, 5.5.4
void Bbr::update_min_rtt(const AckEvent& ack) {
  constexpr Duration kProbeRttInterval = Duration::seconds(5);
  probe_rtt_expired_ = ack.now > probe_rtt_min_stamp_ + kProbeRttInterval;
  if (ack.rtt.count_ns() > 0 && (ack.rtt < probe_rtt_min_delay_ || probe_rtt_expired_)) {
    probe_rtt_min_delay_ = ack.rtt;
    probe_rtt_min_stamp_ = ack.now;
  }
  bool min_rtt_expired = ack.now > min_rtt_stamp_ + kMinRttFilterLen;
  if (probe_rtt_min_delay_ < min_rtt_ || min_rtt_expired) {
    min_rtt_ = probe_rtt_min_delay_;
    min_rtt_stamp_ = probe_rtt_min_stamp_;
  }
}

// 5.5.10.2
bool Bbr::is_inflight_too_high(std::uint64_t lost, std::uint64_t tx_in_flight, bool selective) {
  if (lost > 0 && !selective) return true;
  return static_cast<double>(lost) > static_cast<double>(tx_in_flight) * kLossThresh;
}

// How much was in flight when the share of it that is lost met the threshold.
std::uint64_t Bbr::inflight_at_loss(const SegmentLoss& loss) {
  double before = loss.tx_in_flight > loss.bytes ? loss.tx_in_flight - loss.bytes : 0;
  double lost_before = loss.lost > loss.bytes ? loss.lost - loss.bytes : 0;
  double prefix = (kLossThresh * before - lost_before) / (1 - kLossThresh);
  return static_cast<std::uint64_t>(std::max(before + prefix, 0.0));
}

}  // namespace weir::tcp
