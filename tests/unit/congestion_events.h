// SPDX-License-Identifier: MIT
// ACKs and moments as a controller's tests make them up.
#pragma once

#include <cstdint>

#include "weir/tcp/congestion/ack_event.h"

namespace weir::tcp::test {

inline constexpr std::uint32_t kMss = 1'000;

inline Instant at_ms(std::int64_t ms) { return Instant::from_ns(ms * 1'000'000); }

// `acked` bytes at `now`, of a window that is in full use.
inline AckEvent ack_of(std::uint32_t acked, Instant now, Duration rtt = Duration::milliseconds(100)) {
  AckEvent a;
  a.now = now;
  a.acked = acked;
  a.mss = kMss;
  a.peak_in_flight = 1u << 30;
  a.rtt = a.srtt = a.min_rtt = rtt;
  return a;
}

inline Moment moment_at(Instant now, std::uint32_t in_flight) {
  return {now, kMss, in_flight, Duration::milliseconds(100)};
}

}  // namespace weir::tcp::test
