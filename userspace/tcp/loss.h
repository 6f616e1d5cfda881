// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// Which segments are lost, as told by duplicate ACKs alone (RFC 5681 3.2), and NewReno's fast recovery (RFC 6582). It
// decides; the connection acts. While in_recovery(), window() takes the place of the congestion window.
class LossDetector {
 public:
  void open(SeqNum iss) { recover_ = iss; }

  bool in_recovery() const { return in_recovery_; }
  std::uint32_t window() const { return window_; }
  // RFC 3042, limited transmit: what the first two duplicate ACKs let out beyond the congestion window.
  std::uint32_t allowance(std::uint32_t mss) const { return in_recovery_ || dup_acks_ > 2 ? 0 : dup_acks_ * mss; }

  enum class DuplicateAck : std::uint8_t {
    counted,
    lost,  // the third: the segment at SND.UNA is to be sent again; enter() follows
  };
  DuplicateAck on_duplicate_ack(SeqNum una, std::uint32_t mss);
  // Recovery begins: `max` is SND.MAX, `ssthresh` the controller's new one.
  void enter(SeqNum max, std::uint32_t ssthresh, std::uint32_t mss);

  enum class NewAck : std::uint8_t {
    normal,
    first_partial,  // in recovery, and the next segment is lost too: send it again, restart the timer
    partial,        // as above, but let the timer run
    full,           // recovery is over
    after_timeout,  // all that was in flight when the timer expired is acknowledged
  };
  // `una` after the ACK, which has acknowledged `acked` bytes.
  NewAck on_new_ack(SeqNum una, std::uint32_t acked, std::uint32_t mss);
  // The retransmission timer expired.
  void on_timeout(SeqNum max);

 private:
  SeqNum recover_;  // duplicate ACKs must lie behind it to mean a new loss
  std::uint32_t window_ = 0;
  std::uint32_t dup_acks_ = 0;
  bool in_recovery_ = false;
  bool partial_seen_ = false;
  bool timed_out_ = false;  // and recover_ has not been reached since
};

}  // namespace weir::tcp
