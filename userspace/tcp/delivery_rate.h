// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/base/time.h"
#include "weir/tcp/congestion/ack_event.h"
#include "weir/tcp/transmissions.h"

namespace weir::tcp {

// draft-ietf-ccwg-bbr 4.1: how fast text is delivered, measured between a segment's departure and its acknowledgment.
// C is the connection, P the segment sampled, RS the sample.
class DeliveryRate {
 public:
  // A segment leaves: what it is to remember. `pipe` without it; `delivered` and `lost` are the connection's totals.
  void stamp(Transmission& p, Instant now, std::uint32_t bytes, std::uint32_t pipe, std::uint64_t delivered,
             std::uint64_t lost) {
    Tick tick(now);
    if (pipe == 0) first_sent_ = delivered_at_ = tick;
    p.sent = tick;
    p.first_sent = first_sent_;
    p.delivered_at = delivered_at_;
    p.delivered = static_cast<std::uint32_t>(delivered);
    p.lost = static_cast<std::uint32_t>(lost);
    p.tx_in_flight = pipe + bytes;
    p.app_limited = app_limited_;
  }

  // The user has written after there was room in the window and nothing to fill it (4.1.2.4). What is sent until
  // `pipe` has been delivered says little about the path.
  void on_starved(std::uint64_t delivered, std::uint32_t pipe) {
    app_limited_ = true;
    limited_until_ = delivered + std::max(pipe, 1u);
  }

  // Something was delivered that is not sampled.
  void on_delivered(Instant now) { delivered_at_ = Tick(now); }

  // An ACK has brought `delivered` to what it is now; `p` is of the segments that it acknowledged the one that was sent
  // the latest.
  RateSample sample(const Transmission& p, Instant now, std::uint64_t delivered, std::uint64_t lost, Duration min_rtt) {
    Tick tick(now);
    delivered_at_ = tick;
    first_sent_ = p.sent;
    if (app_limited_ && delivered > limited_until_) app_limited_ = false;
    RateSample rs;
    rs.delivered = static_cast<std::uint32_t>(delivered) - p.delivered;
    rs.prior_delivered = delivered - rs.delivered;
    rs.tx_in_flight = p.tx_in_flight;
    rs.lost = static_cast<std::uint32_t>(lost) - p.lost;
    rs.app_limited = p.app_limited;
    // The slower of the two: ACKs that come in a heap would show a rate that no link had.
    rs.interval = std::max(p.sent - p.first_sent, tick - p.delivered_at);
    if (rs.interval < min_rtt) rs.interval = Duration{};
    return rs;
  }

 private:
  Tick first_sent_;    // C.first_sent_time
  Tick delivered_at_;  // C.delivered_time
  std::uint64_t limited_until_ = 0;
  bool app_limited_ = false;
};

}  // namespace weir::tcp
