// SPDX-License-Identifier: MIT
#include "weir/tcp/congestion/hystart.h"

#include <algorithm>

namespace weir::tcp {

void HyStart::begin_round() {
  last_round_min_rtt_ = current_round_min_rtt_;
  current_round_min_rtt_ = kInfinite;
  samples_ = 0;
  if (phase_ == Phase::conservative && ++css_rounds_ >= kCssRounds) phase_ = Phase::done;
}

std::uint32_t HyStart::on_ack(const AckEvent& ack) {
  if (ack.round_start) begin_round();
  if (ack.rtt.count_ns() > 0) {
    auto rtt = static_cast<std::uint32_t>(std::min<std::int64_t>(ack.rtt.count_us(), kInfinite / 2));
    current_round_min_rtt_ = std::min(current_round_min_rtt_, rtt);
    if (samples_ < kRttSamples) ++samples_;
  }
  std::uint32_t growth = slow_start_growth(ack, false);
  if (phase_ == Phase::conservative) {
    growth /= kCssGrowthDivisor;
    // The growth of the round trip was a passing one: back to slow start.
    if (enough_samples() && current_round_min_rtt_ < css_baseline_min_rtt_) {
      css_baseline_min_rtt_ = kInfinite;
      phase_ = Phase::slow_start;
    }
  } else if (phase_ == Phase::slow_start && enough_samples() && last_round_min_rtt_ != kInfinite) {
    std::uint32_t threshold = std::clamp(last_round_min_rtt_ / kMinRttDivisor, kMinRttThresh, kMaxRttThresh);
    if (current_round_min_rtt_ >= last_round_min_rtt_ + threshold) {
      css_baseline_min_rtt_ = current_round_min_rtt_;
      css_rounds_ = 0;
      phase_ = Phase::conservative;
    }
  }
  return growth;
}

}  // namespace weir::tcp
