// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/base/time.h"

namespace weir::tcp {

// Spreads segments over time. They leave in bursts of some two segments or a millisecond of the rate, whichever is
// more, so that a wake-up is worth its cost; between them a rate's worth of time goes by.
class Pacer {
 public:
  static constexpr Duration kBurst = Duration::milliseconds(1);
  static constexpr std::uint32_t kMostBurst = 64 * 1024;  // bytes

  // Bytes of a burst at `rate` bytes a second.
  static std::uint32_t burst(std::uint64_t rate, std::uint32_t mss) {
    std::uint64_t in_time = rate / 1'000 * static_cast<std::uint64_t>(kBurst.count_ms());
    std::uint32_t least = 2 * mss;
    return std::max(least, static_cast<std::uint32_t>(std::min<std::uint64_t>(in_time, kMostBurst)));
  }

  // A segment may leave: of the burst that has begun, or the first of the next.
  bool may_leave(Instant now) const { return left_ > 0 || now >= next_; }
  // When one may, where none may now.
  Instant next() const { return next_; }

  // A segment of `bytes` leaves. `rate` above 0.
  void on_sent(std::uint32_t bytes, std::uint64_t rate, std::uint32_t mss, Instant now) {
    if (left_ <= 0) {
      std::uint32_t size = burst(rate, mss);
      double ns = size * 1e9 / static_cast<double>(rate);
      Duration takes = Duration::nanoseconds(static_cast<std::int64_t>(std::min(ns, kMostWait)));
      // A timer that was late, or a burst that overran, is made good in the next; an idle time is not.
      Instant begins = std::clamp(next_, now - std::min(takes, kMostLateness), now);
      next_ = begins + takes + Duration::nanoseconds(static_cast<std::int64_t>(overrun_ns(rate)));
      left_ = static_cast<std::int32_t>(size);
    }
    left_ -= static_cast<std::int32_t>(bytes);
  }

 private:
  static constexpr Duration kMostLateness = Duration::milliseconds(1);
  static constexpr double kMostWait = 1e9;

  // What the last burst took beyond its share.
  double overrun_ns(std::uint64_t rate) const { return std::min(-left_ * 1e9 / static_cast<double>(rate), kMostWait); }

  Instant next_;
  std::int32_t left_ = 0;  // bytes of the present burst
};

}  // namespace weir::tcp
