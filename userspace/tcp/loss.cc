// SPDX-License-Identifier: MIT
#include "weir/tcp/loss.h"

#include <algorithm>

namespace weir::tcp {

LossDetector::DuplicateAck LossDetector::on_duplicate_ack(SeqNum una, std::uint32_t mss) {
  ++dup_acks_;
  if (in_recovery_) {
    // RFC 5681 3.2, 4: each tells of a segment that has left the network.
    window_ += mss;
    return DuplicateAck::counted;
  }
  // RFC 6582 3.2, 2: what a time-out has sent again needlessly comes back as duplicate ACKs too.
  if (dup_acks_ == 3 && una.after(recover_)) return DuplicateAck::lost;
  return DuplicateAck::counted;
}

void LossDetector::enter(SeqNum max, std::uint32_t ssthresh, std::uint32_t mss) {
  // RFC 5681 3.2, 3: three segments have left the network.
  window_ = ssthresh + 3 * mss;
  recover_ = max;
  in_recovery_ = true;
  timed_out_ = false;
  partial_seen_ = false;
}

LossDetector::NewAck LossDetector::on_new_ack(SeqNum una, std::uint32_t acked, std::uint32_t mss) {
  dup_acks_ = 0;
  if (!in_recovery_) {
    bool mended = timed_out_ && una.at_or_after(recover_);
    if (mended) timed_out_ = false;
    // It stays within reach of modular comparison over a long stretch without loss.
    if (una.after(recover_)) recover_ = una - 1;
    return mended ? NewAck::after_timeout : NewAck::normal;
  }
  if (una.at_or_after(recover_)) {
    in_recovery_ = false;
    // All of the episode is acknowledged, so duplicates at this very number tell of a new loss: the case that RFC 6582
    // 3.2 leaves to the timer, and its section 4 to heuristics.
    recover_ = una - 1;
    return NewAck::full;
  }
  // RFC 6582 3.2, 3, partial acknowledgment: deflate by what left, inflate by the segment that is sent again.
  window_ -= std::min(window_, acked);
  if (acked >= mss) window_ += mss;
  window_ = std::max(window_, mss);
  bool first = !partial_seen_;
  partial_seen_ = true;
  return first ? NewAck::first_partial : NewAck::partial;
}

void LossDetector::on_timeout(SeqNum max) {
  // RFC 6582 3.2, 4
  recover_ = max;
  timed_out_ = true;
  in_recovery_ = false;
  dup_acks_ = 0;
}

}  // namespace weir::tcp
