// SPDX-License-Identifier: MIT
#include "weir/tcp/congestion/new_reno.h"

#include <algorithm>

namespace weir::tcp {
namespace {

// RFC 5681 (4)
std::uint32_t halved(const Moment& at) { return std::max(at.in_flight / 2, 2 * at.mss); }

}  // namespace

void NewReno::open(std::uint32_t window, const Moment&) { cwnd_ = window; }

void NewReno::take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment&) {
  cwnd_ = cwnd;
  ssthresh_ = ssthresh;
  remember();  // an episode of the other's is not to be undone
}

void NewReno::on_ack(const AckEvent& ack) {
  if (ack.in_recovery) return;
  if (cwnd_ < ssthresh_) {
    if (cwnd_ >= 2 * ack.peak_in_flight) return;
    cwnd_ = std::min({cwnd_ + slow_start_growth(ack, after_timeout_), ssthresh_, kMostWindow});
    return;
  }
  after_timeout_ = false;
  if (cwnd_ > ack.peak_in_flight + ack.mss) return;
  // RFC 3465 2.1: a segment for each window of bytes acknowledged. What a halving leaves beyond whole segments never is
  // in flight, and would make a small window wait for a segment more.
  std::uint32_t used = cwnd_ - cwnd_ % ack.mss;
  counted_ += ack.acked;
  if (counted_ < used) return;
  counted_ -= used;
  cwnd_ = std::min(cwnd_ + ack.mss, kMostWindow);
}

void NewReno::on_loss(const Moment& at) { reduce_to(halved(at)); }

void NewReno::reduce_to(std::uint32_t window) {
  remember();
  ssthresh_ = window;
  cwnd_ = window;
  counted_ = 0;
  after_timeout_ = false;
}

void NewReno::on_recovered(const Moment& at) {
  // RFC 6582 3.2, 3, full acknowledgment (1): no burst of what the ACKs did not clock out.
  cwnd_ = std::min(ssthresh_, std::max(at.in_flight, at.mss) + at.mss);
}

void NewReno::on_timeout(const Moment& at, bool again) {
  // RFC 5681 3.1: ssthresh stands while the same segment keeps timing out.
  if (!again) {
    remember();
    ssthresh_ = halved(at);
  }
  cwnd_ = at.mss;
  counted_ = 0;
  after_timeout_ = true;
}

void NewReno::on_idle(const Moment& at) {
  cwnd_ = std::min(cwnd_, initial_window(at.mss));
  counted_ = 0;
}

void NewReno::undo() {
  // RFC 4015 3.2: back to what it was; what has come since may have been more.
  cwnd_ = std::max(cwnd_, prior_cwnd_);
  ssthresh_ = prior_ssthresh_;
  after_timeout_ = false;
}

void NewReno::remember() {
  prior_cwnd_ = cwnd_;
  prior_ssthresh_ = ssthresh_;
}

}  // namespace weir::tcp
