// SPDX-License-Identifier: MIT
#include "weir/tcp/congestion/new_reno.h"

#include <algorithm>

namespace weir::tcp {
namespace {

constexpr std::uint32_t kMostWindow = 1u << 30;  // RFC 7323 2.3

// RFC 5681 (4)
std::uint32_t halved(std::uint32_t in_flight, std::uint32_t mss) { return std::max(in_flight / 2, 2 * mss); }

}  // namespace

void NewReno::on_ack(const AckEvent& ack) {
  if (cwnd_ < ssthresh_) {
    if (cwnd_ >= 2 * ack.peak_in_flight) return;
    // RFC 3465 2.2, 2.3: L = 2, and 1 after a time-out, when ACKs may cover what the peer had kept from before.
    std::uint32_t most = after_timeout_ ? ack.mss : 2 * ack.mss;
    cwnd_ = std::min(cwnd_ + std::min(ack.acked, most), kMostWindow);
    return;
  }
  after_timeout_ = false;
  if (cwnd_ > ack.peak_in_flight + ack.mss) return;
  // RFC 3465 2.1: a segment for each window of bytes acknowledged.
  counted_ += ack.acked;
  if (counted_ < cwnd_) return;
  counted_ -= cwnd_;
  cwnd_ = std::min(cwnd_ + ack.mss, kMostWindow);
}

void NewReno::on_loss(std::uint32_t in_flight, std::uint32_t mss) {
  ssthresh_ = halved(in_flight, mss);
  cwnd_ = ssthresh_;
  counted_ = 0;
  after_timeout_ = false;
}

void NewReno::on_recovered(std::uint32_t in_flight, std::uint32_t mss) {
  // RFC 6582 3.2, 3, full acknowledgment (1): no burst of what the ACKs did not clock out.
  cwnd_ = std::min(ssthresh_, std::max(in_flight, mss) + mss);
}

void NewReno::on_timeout(std::uint32_t in_flight, std::uint32_t mss, bool again) {
  // RFC 5681 3.1: ssthresh stands while the same segment keeps timing out.
  if (!again) ssthresh_ = halved(in_flight, mss);
  cwnd_ = mss;
  counted_ = 0;
  after_timeout_ = true;
}

void NewReno::on_idle(std::uint32_t restart_window) {
  cwnd_ = std::min(cwnd_, restart_window);
  counted_ = 0;
}

}  // namespace weir::tcp
