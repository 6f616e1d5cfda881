// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/base/time.h"
#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// The tail loss probe (RFC 8985 7): where ACKs stop to come, one segment more, so that what it brings back tells of a
// loss that only the retransmission timer would have found.
class TailProbe {
 public:
  // TLP_calc_PTO(), before it is cut off at the retransmission timer's end. `srtt` zero: not measured.
  static Duration timeout(Duration srtt, bool one_segment, Duration delayed_ack) {
    if (srtt == Duration{}) return Duration::seconds(1);
    Duration pto = 2 * srtt;
    if (one_segment) pto += delayed_ack;
    return std::max(pto, kLeast);
  }

  void arm(Instant at) { at_ = at; }
  void disarm() { at_ = Instant::never(); }
  Instant at() const { return at_; }
  // The timer has expired, and nobody has taken the segment yet.
  bool owed() const { return owed_; }
  void owe() { owed_ = true; }

  bool in_flight() const { return out_; }
  void on_sent(SeqNum end, bool retransmission) {
    owed_ = false;
    out_ = true;
    end_ = end;
    retransmission_ = retransmission;
  }
  // Nothing is in flight any more. One that has been sent may still tell of a loss.
  void withdraw() {
    disarm();
    owed_ = false;
  }
  void cancel() {
    withdraw();
    out_ = false;
  }

  // TLP_process_ack(): `una` after the ACK; `dsack` of the probe's end, where the ACK has one; `plain`: it neither
  // moved SND.UNA nor brought SACK blocks nor text. True: the probe has mended a loss, to which the controller is to
  // react.
  bool on_ack(SeqNum una, bool dsack_of_probe, bool plain) {
    if (!out_ || una.before(end_)) return false;
    if (!retransmission_ || dsack_of_probe) {
      out_ = false;  // new text, or both copies have arrived
      return false;
    }
    if (una.after(end_)) {
      out_ = false;  // the peer says more, and nothing of a second copy
      return true;
    }
    if (plain) out_ = false;  // what a peer without DSACK says to a second copy
    return false;
  }
  SeqNum end() const { return end_; }

 private:
  // Below it the granularity of timers and a peer's delay in its ACKs decide, not the path.
  static constexpr Duration kLeast = Duration::milliseconds(10);

  Instant at_ = Instant::never();
  SeqNum end_;  // TLP.end_seq, while out_
  bool out_ = false;
  bool retransmission_ = false;  // TLP.is_retrans
  bool owed_ = false;
};

}  // namespace weir::tcp
