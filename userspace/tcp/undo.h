// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// Whether a loss episode was none: what was sent again had arrived, or was on its way. By the timestamp that an ACK
// echoes (Eifel, RFC 3522), and by DSACKs for all that was sent again (RFC 3708 3). RFC 5682's F-RTO is frto.h's.
class Undo {
 public:
  // An episode begins with `una` as SND.UNA.
  void start(SeqNum una) {
    from_ = una;
    needless_ = resent_ = 0;
    open_ = true;
  }
  void stop() { open_ = false; }
  bool open() const { return open_; }

  // `tsval` of the segment that is sent again.
  void on_resent(std::uint32_t tsval) {
    if (!open_) return;
    if (resent_++ == 0) first_tsval_ = tsval;
  }
  bool nothing_resent() const { return resent_ == 0; }

  // RFC 3522 3.2: an ACK that moves SND.UNA, with the echo of a segment from before the first retransmission.
  bool echo_from_before(std::uint32_t tsecr) const {
    return open_ && resent_ != 0 && SeqNum(tsecr).before(SeqNum(first_tsval_));
  }
  // True: this DSACK is for the last of all that was sent again.
  bool on_dsack(SeqNum begin) {
    if (!open_ || begin.before(from_) || resent_ == 0) return false;
    return ++needless_ == resent_;
  }

 private:
  SeqNum from_;
  std::uint32_t first_tsval_ = 0;
  std::uint32_t resent_ = 0;    // segments
  std::uint32_t needless_ = 0;  // of them, by DSACK
  bool open_ = false;
};

}  // namespace weir::tcp
