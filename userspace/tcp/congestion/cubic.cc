// SPDX-License-Identifier: MIT
#include "weir/tcp/congestion/cubic.h"

#include <algorithm>
#include <cmath>

namespace weir::tcp {
namespace {

double seconds(Duration d) { return static_cast<double>(d.count_ns()) * 1e-9; }

std::uint32_t bytes(double window) {
  return static_cast<std::uint32_t>(std::clamp(window, 0.0, static_cast<double>(kMostWindow)));
}

}  // namespace

void Cubic::open(std::uint32_t window, const Moment&) {
  cwnd_ = window;
  plateau_at_start_ = true;
}

void Cubic::take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment&) {
  cwnd_ = cwnd;
  ssthresh_ = ssthresh;
  // What the window was before its last reduction, this one has not seen.
  plateau_at_start_ = true;
  remember();  // an episode of the other's is not to be undone
}

void Cubic::on_ack(const AckEvent& ack) {
  if (ack.in_recovery) return;
  if (cwnd_ < ssthresh_) {
    slow_start(ack);
  } else {
    avoid_congestion(ack);
  }
}

void Cubic::slow_start(const AckEvent& ack) {
  // RFC 9406 4.3: only the first, whose threshold nothing is known of.
  bool first = ssthresh_ == kNoThreshold;
  std::uint32_t growth = first ? hystart_.on_ack(ack) : slow_start_growth(ack, after_timeout_);
  if (cwnd_ < 2 * ack.peak_in_flight) cwnd_ = std::min(cwnd_ + growth, std::min(ssthresh_, kMostWindow));
  if (first && hystart_.phase() == HyStart::Phase::done) ssthresh_ = cwnd_;
}

double Cubic::w_cubic(Duration t, std::uint32_t mss) const {
  double x = seconds(t) - k_;
  return kC * mss * x * x * x + w_max_;
}

// RFC 9438 4.2
void Cubic::begin_epoch(const AckEvent& ack) {
  epoch_running_ = true;
  after_timeout_ = false;
  epoch_start_ = last_ack_ = ack.now;
  growth_ = 0;
  w_est_ = cwnd_;
  if (plateau_at_start_ || w_max_ <= cwnd_) {
    plateau_at_start_ = false;
    w_max_ = cwnd_;
    k_ = 0;
    return;
  }
  k_ = static_cast<float>(std::cbrt((w_max_ - cwnd_) / (kC * ack.mss)));
}

void Cubic::avoid_congestion(const AckEvent& ack) {
  if (!epoch_running_) begin_epoch(ack);
  if (cwnd_ > ack.peak_in_flight + ack.mss) {
    // RFC 9438 5.8: time in which the window was not filled does not count.
    epoch_start_ += ack.now - last_ack_;
    last_ack_ = ack.now;
    return;
  }
  last_ack_ = ack.now;
  double cwnd = cwnd_;
  // RFC 9438 4.3: an increase of one segment a round trip once the window is what it was before the reduction.
  double alpha = w_est_ >= cwnd_prior_ ? 1 : kAlpha;
  w_est_ += alpha * ack.mss * ack.acked / cwnd;

  Duration t = ack.now - epoch_start_;
  if (w_cubic(t, ack.mss) < w_est_) {
    cwnd_ = std::max(cwnd_, bytes(w_est_));
    return;
  }
  // 4.4, 4.5
  double target = std::clamp(w_cubic(t + ack.srtt, ack.mss), cwnd, 1.5 * cwnd);
  double growth = growth_ + (target - cwnd) / cwnd * ack.acked;
  auto whole = static_cast<std::uint32_t>(growth);
  growth_ = static_cast<float>(growth - whole);
  cwnd_ = std::min(cwnd_ + whole, kMostWindow);
}

// RFC 9438 4.6, 4.7
void Cubic::reduce(const Moment& at, std::uint32_t least_segments) {
  remember();
  // Fast convergence: a window that falls before it was back where it fell last gives room to others.
  w_max_ = cwnd_ < w_max_ ? bytes(cwnd_ * (1 + kBeta) / 2) : cwnd_;
  cwnd_prior_ = cwnd_;
  std::uint32_t reduced = bytes(at.in_flight * kBeta);
  ssthresh_ = std::max(reduced, 2 * at.mss);
  cwnd_ = std::max(reduced, least_segments * at.mss);
  epoch_running_ = false;
  plateau_at_start_ = false;
  after_timeout_ = false;
}

void Cubic::on_loss(const Moment& at) { reduce(at, 2); }

// RFC 9438 4.6, RFC 3168 6.1.2: one segment is the least here.
void Cubic::on_ecn(const Moment& at) { reduce(at, 1); }

void Cubic::on_recovered(const Moment& at) {
  // RFC 6582 3.2, 3, full acknowledgment (1): no burst of what the ACKs did not clock out.
  cwnd_ = std::min(ssthresh_, std::max(at.in_flight, at.mss) + at.mss);
}

// RFC 9438 4.8
void Cubic::on_timeout(const Moment& at, bool again) {
  if (!again) reduce(at, 1);
  plateau_at_start_ = true;
  cwnd_ = at.mss;
  epoch_running_ = false;
  after_timeout_ = true;
}

void Cubic::on_idle(const Moment& at) {
  cwnd_ = std::min(cwnd_, initial_window(at.mss));
  epoch_running_ = false;
  plateau_at_start_ = true;
}

void Cubic::undo() {
  cwnd_ = std::max(cwnd_, prior_.cwnd);
  ssthresh_ = prior_.ssthresh;
  w_max_ = prior_.w_max;
  w_est_ = prior_.w_est;
  k_ = prior_.k;
  epoch_start_ = prior_.start;
  epoch_running_ = prior_.running;
  plateau_at_start_ = !prior_.running;
  after_timeout_ = false;
}

void Cubic::remember() { prior_ = {cwnd_, ssthresh_, w_max_, bytes(w_est_), epoch_start_, k_, epoch_running_}; }

}  // namespace weir::tcp
