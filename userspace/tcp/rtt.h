// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/base/time.h"
#include "weir/tcp/config.h"

namespace weir::tcp {

// RFC 6298: the smoothed round trip and the time-out that follows from it.
class RttEstimator {
 public:
  explicit RttEstimator(const Config& config) : rto_(config.initial_rto) {}

  // A round trip measured on a segment that was sent once (Karn), or told by an echoed timestamp (RFC 7323 4.1).
  // Takes back every back_off().
  void on_sample(Duration r, const Config& config);
  // RFC 6298 5.5: the timer expired. The factor stays until the next sample.
  void back_off() {
    if (shift_ < 20) ++shift_;
  }
  // RFC 6298 5.7: the SYN was lost and nothing could be measured.
  void on_lost_syn(const Config& config);

  // With back-off, at most config.max_rto.
  Duration rto(const Config& config) const;
  bool measured() const { return srtt_ != Duration{}; }
  Duration srtt() const { return srtt_; }
  Duration rttvar() const { return rttvar_; }
  Duration min_rtt() const { return min_rtt_; }

 private:
  Duration srtt_;  // zero: no sample yet
  Duration rttvar_;
  Duration min_rtt_;
  Duration rto_;  // without back-off
  std::uint8_t shift_ = 0;
};

}  // namespace weir::tcp
