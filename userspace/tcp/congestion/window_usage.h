// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// How much of the congestion window the user has filled: the peak of what was in flight, over this round trip and the
// last.
class WindowUsage {
 public:
  void open(SeqNum nxt) { round_end_ = nxt; }
  void on_sent(std::uint32_t in_flight) { peak_ = std::max(peak_, in_flight); }
  // `una` and `max` after the ACK. True: a round trip is over, the next begins.
  bool on_ack(SeqNum una, SeqNum max) {
    if (una.before(round_end_)) return false;
    last_peak_ = peak_;
    peak_ = 0;
    round_end_ = max;
    return true;
  }
  std::uint32_t peak() const { return std::max(peak_, last_peak_); }

 private:
  SeqNum round_end_;
  std::uint32_t peak_ = 0;
  std::uint32_t last_peak_ = 0;
};

}  // namespace weir::tcp
