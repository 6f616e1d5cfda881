// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/base/time.h"
#include "weir/tcp/congestion/ack_event.h"

namespace weir::tcp {

// HyStart++ (RFC 9406): leaves the first slow start when round trips grow, before the queue that makes them grow
// overflows. Names are the RFC's, section 4.2.
class HyStart {
 public:
  static constexpr std::uint32_t kMinRttThresh = 4'000;   // microseconds
  static constexpr std::uint32_t kMaxRttThresh = 16'000;  // microseconds
  static constexpr std::uint32_t kMinRttDivisor = 8;
  static constexpr std::uint32_t kRttSamples = 8;
  static constexpr std::uint32_t kCssGrowthDivisor = 4;
  static constexpr std::uint32_t kCssRounds = 5;

  enum class Phase : std::uint8_t { slow_start, conservative, done };
  Phase phase() const { return phase_; }

  // An ACK in the first slow start. Returns by how many bytes the window may grow; after it, phase() may be `done`:
  // congestion avoidance begins, with the slow start threshold at the window.
  std::uint32_t on_ack(const AckEvent& ack);

 private:
  void begin_round();
  bool enough_samples() const { return samples_ >= kRttSamples; }

  // Microseconds: every connection has one of these.
  static constexpr std::uint32_t kInfinite = 0xffffffff;

  std::uint32_t last_round_min_rtt_ = kInfinite;
  std::uint32_t current_round_min_rtt_ = kInfinite;
  std::uint32_t css_baseline_min_rtt_ = kInfinite;
  std::uint8_t samples_ = 0;  // kRttSamples: or more
  std::uint8_t css_rounds_ = 0;
  Phase phase_ = Phase::slow_start;
};

}  // namespace weir::tcp
