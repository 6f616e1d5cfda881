// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/base/time.h"
#include "weir/tcp/delivery_rate.h"
#include "weir/tcp/seq_num.h"
#include "weir/tcp/transmissions.h"

namespace weir::tcp {

// The delivery rate where nothing is kept of single segments (without SACK): of one at a time, so one sample a round
// trip. What has been sent again tells nothing (Karn).
class RateProbe {
 public:
  // A segment that ends before `behind` leaves, for the first time. The rest as in DeliveryRate::stamp().
  void on_sent(SeqNum behind, Instant now, std::uint32_t bytes, std::uint32_t pipe, std::uint64_t delivered,
               std::uint64_t lost) {
    if (running_) return;
    delivery_.stamp(sampled_, now, bytes, pipe, delivered, lost);
    sampled_.end = behind;
    running_ = true;
  }
  // Something is sent again.
  void cancel() { running_ = false; }
  void on_starved(std::uint64_t delivered, std::uint32_t pipe) { delivery_.on_starved(delivered, pipe); }
  // SND.UNA has moved to `una`. No sample while it is not behind the segment.
  RateSample on_ack(SeqNum una, Instant now, std::uint64_t delivered, std::uint64_t lost, Duration min_rtt) {
    if (!running_ || una.before(sampled_.end)) {
      delivery_.on_delivered(now);
      return {};
    }
    running_ = false;
    return delivery_.sample(sampled_, now, delivered, lost, min_rtt);
  }

 private:
  DeliveryRate delivery_;
  Transmission sampled_;
  bool running_ = false;
};

}  // namespace weir::tcp
