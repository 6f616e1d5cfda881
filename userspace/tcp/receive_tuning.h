// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/base/time.h"

namespace weir::tcp {

// Dynamic right-sizing (Fisk and Feng, 2001): a reader that takes a window's worth in a round trip is held back by the
// window, so the buffer becomes twice what was read in one.
class ReceiveTuning {
 public:
  // `bytes` were read. The buffer that the reader deserves, or 0 where there is no news.
  std::uint32_t on_read(std::size_t bytes, Duration rtt, Instant now) {
    read_ += static_cast<std::uint32_t>(std::min<std::size_t>(bytes, kMost));
    rtt = std::max(rtt, Duration::milliseconds(1));
    Duration elapsed = now - since_;
    if (elapsed < rtt && read_ < kMost) return 0;
    // Reads that are rarer than round trips were of more than one.
    double in_one = static_cast<double>(read_);
    if (elapsed > 2 * rtt) in_one *= static_cast<double>(rtt.count_ns()) / static_cast<double>(elapsed.count_ns());
    read_ = 0;
    since_ = now;
    return static_cast<std::uint32_t>(std::min(2 * in_one, 1.0 * kMost));
  }

 private:
  static constexpr std::uint32_t kMost = 1u << 30;
  Instant since_;
  std::uint32_t read_ = 0;
};

}  // namespace weir::tcp
