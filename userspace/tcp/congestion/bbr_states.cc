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
              loss_events_in_round_ >= kStartupLossEvents && is_inflight_too_high(ack);
  if (loss_round_start_) loss_events_in_round_ = 0;
  if (!high) return;
  full_bw_reached_ = true;
  inflight_longterm_ = std::max(bdp_multiple(1), inflight_latest_);
}

void Bbr::check_startup_done() {
  if (state_ == State::startup && full_bw_reached_) state_ = State::drain;
}

// 5.3.2
void Bbr::check_drain(const AckEvent& ack) {
  if (state_ == State::drain && ack.in_flight <= bdp_multiple(1)) start_probe_bw_down(ack);
}

// --- ProbeBW ---

std::uint32_t Bbr::random() {
  // xorshift (Marsaglia, 2003)
  random_state_ ^= random_state_ << 13;
  random_state_ ^= random_state_ >> 17;
  random_state_ ^= random_state_ << 5;
  return random_state_;
}

// 5.3.3.5.3
void Bbr::pick_probe_wait() {
  rounds_since_bw_probe_ = random() & 1;
  bw_probe_wait_ = Duration::seconds(2) + Duration::milliseconds(random() % 1'000);
}

void Bbr::start_probe_bw_down(const AckEvent& ack) {
  reset_congestion_signals();
  probe_up_growth_ = 0;
  pick_probe_wait();
  cycle_stamp_ = ack.now;
  ack_phase_ = AckPhase::probe_stopping;
  start_round(ack);
  state_ = State::probe_bw_down;
}

void Bbr::start_probe_bw_refill(const AckEvent& ack) {
  reset_short_term_model();
  bw_probe_up_rounds_ = 0;
  probe_up_remainder_ = 0;
  ack_phase_ = AckPhase::refilling;
  start_round(ack);
  state_ = State::probe_bw_refill;
}

void Bbr::start_probe_bw_up(const AckEvent& ack) {
  ack_phase_ = AckPhase::probe_starting;
  start_round(ack);
  cycle_stamp_ = ack.now;
  reset_full_bw();
  full_bw_ = ack.rate.rate();
  state_ = State::probe_bw_up;
  raise_inflight_longterm_slope();
}

// 5.3.3.6
void Bbr::update_probe_bw_cycle_phase(const AckEvent& ack) {
  if (!full_bw_reached_) return;
  adapt_long_term_model(ack);
  switch (state_) {
    case State::probe_bw_down:
      if (is_time_to_probe_bw(ack)) {
        start_probe_bw_refill(ack);
      } else if (is_time_to_cruise(ack)) {
        state_ = State::probe_bw_cruise;
      }
      break;
    case State::probe_bw_cruise:
      if (is_time_to_probe_bw(ack)) start_probe_bw_refill(ack);
      break;
    case State::probe_bw_refill:
      // A round trip at the full rate, so that what follows meets a full pipe.
      if (round_start_) {
        bw_probe_samples_ = true;
        start_probe_bw_up(ack);
      }
      break;
    case State::probe_bw_up:
      if (is_time_to_go_down(ack)) start_probe_bw_down(ack);
      break;
    default:
      break;
  }
}

// 5.3.3.5: after two to three seconds, or when Reno would have grown by as much.
bool Bbr::is_time_to_probe_bw(const AckEvent& ack) const {
  if (ack.now > cycle_stamp_ + bw_probe_wait_) return true;
  std::uint64_t reno_rounds = target_inflight() / mss_;
  return rounds_since_bw_probe_ >= std::min<std::uint64_t>(reno_rounds, kMostRenoRounds);
}

bool Bbr::is_time_to_cruise(const AckEvent& ack) const {
  return ack.in_flight <= inflight_with_headroom() && ack.in_flight <= bdp_multiple(1);
}

bool Bbr::is_time_to_go_down(const AckEvent& ack) {
  if (is_cwnd_limited(ack) && cwnd_ >= inflight_longterm_) {
    reset_full_bw();
    full_bw_ = ack.rate.rate();
    return false;
  }
  return full_bw_now_;
}

// 5.3.3.7: a segment more in the first round trip of a probe, then twice as many in each.
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

// 5.3.3.7
void Bbr::adapt_long_term_model(const AckEvent& ack) {
  if (ack_phase_ == AckPhase::probe_starting && round_start_) ack_phase_ = AckPhase::probe_feedback;
  if (ack_phase_ == AckPhase::probe_stopping && round_start_) {
    // The ACKs of the probe are all in.
    bw_probe_samples_ = false;
    ack_phase_ = AckPhase::init;
    if (in_probe_bw() && !ack.rate.app_limited) advance_max_bw_filter();
  }
  if (is_inflight_too_high(ack)) {
    if (bw_probe_samples_) handle_inflight_too_high(ack);
    return;
  }
  if (inflight_longterm_ == kInfinite) return;
  inflight_longterm_ = std::max<std::uint64_t>(inflight_longterm_, ack.rate.tx_in_flight);
  if (state_ == State::probe_bw_up) probe_inflight_longterm_upward(ack);
}

// 5.5.10.1
void Bbr::handle_inflight_too_high(const AckEvent& ack) {
  bw_probe_samples_ = false;
  if (!ack.rate.app_limited) {
    auto least = static_cast<std::uint64_t>(static_cast<double>(target_inflight()) * kBeta);
    inflight_longterm_ = std::max<std::uint64_t>(ack.rate.tx_in_flight, least);
  }
  if (state_ == State::probe_bw_up) start_probe_bw_down(ack);
}

// --- ProbeRTT ---

// 5.3.4.3
void Bbr::check_probe_rtt(const AckEvent& ack) {
  if (state_ != State::probe_rtt && probe_rtt_expired_ && !idle_restart_) {
    save_cwnd();
    state_ = State::probe_rtt;
    probe_rtt_done_stamp_ = Instant::never();
    ack_phase_ = AckPhase::probe_stopping;
    start_round(ack);
  }
  if (state_ == State::probe_rtt) handle_probe_rtt(ack);
  if (ack.rate.delivered > 0) idle_restart_ = false;
}

void Bbr::handle_probe_rtt(const AckEvent& ack) {
  if (probe_rtt_done_stamp_ == Instant::never()) {
    if (ack.in_flight > std::max<std::uint64_t>(bdp_multiple(0.5), min_pipe_cwnd())) return;
    probe_rtt_done_stamp_ = ack.now + kProbeRttDuration;
    probe_rtt_round_done_ = false;
    start_round(ack);
    return;
  }
  if (round_start_) probe_rtt_round_done_ = true;
  if (!probe_rtt_round_done_ || ack.now <= probe_rtt_done_stamp_) return;
  probe_rtt_min_stamp_ = ack.now;
  cwnd_ = std::max(cwnd_, prior_cwnd_);
  exit_probe_rtt(ack);
}

// 5.3.4.4
void Bbr::exit_probe_rtt(const AckEvent& ack) {
  reset_short_term_model();
  if (full_bw_reached_) {
    start_probe_bw_down(ack);
    state_ = State::probe_bw_cruise;
  } else {
    state_ = State::startup;
  }
}

}  // namespace weir::tcp
