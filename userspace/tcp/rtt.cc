// SPDX-License-Identifier: MIT
#include "weir/tcp/rtt.h"

#include <algorithm>

namespace weir::tcp {
namespace {

// RFC 6298 2's G: echoed timestamps are that coarse.
constexpr Duration kGranularity = Duration::milliseconds(1);

Duration absolute(Duration d) { return d < Duration{} ? -d : d; }

}  // namespace

void RttEstimator::on_sample(Duration r, const Config& config) {
  r = std::max(r, Duration::nanoseconds(1));  // a clock that has not moved still measured something
  if (!measured()) {
    // RFC 6298 2.2
    srtt_ = r;
    rttvar_ = r / 2;
    min_rtt_ = r;
  } else {
    // RFC 6298 2.3, beta = 1/4, alpha = 1/8; the variance first, from the old mean
    rttvar_ = (3 * rttvar_ + absolute(srtt_ - r)) / 4;
    srtt_ = (7 * srtt_ + r) / 8;
    min_rtt_ = std::min(min_rtt_, r);
  }
  // RFC 6298 2.4's least is of the part beyond the mean, as in Linux: on a path whose round trips hardly vary, 4 *
  // RTTVAR goes to nothing, and a time-out of less than two round trips would be over before a retransmission's loss is
  // told.
  Duration rto = std::min(srtt_ + std::max({kGranularity, 4 * rttvar_, config.min_rto}), config.max_rto);
  rto_ = Duration::microseconds(rto.count_us());
  shift_ = 0;
}

void RttEstimator::on_lost_syn(const Config& config) {
  if (measured()) return;
  rto_ = std::max(rto_, std::min(Duration::seconds(3), config.max_rto));
  shift_ = 0;
}

Duration RttEstimator::rto(const Config& config) const {
  // In 64 bits of nanoseconds 2^20 seconds still fit.
  return std::min(rto_ * (std::int64_t{1} << shift_), config.max_rto);
}

}  // namespace weir::tcp
