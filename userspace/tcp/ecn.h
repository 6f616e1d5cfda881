// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// RFC 3168 6.1.1: whether a connection may mark its packets ECN-capable, and heed the marks that routers set.
enum class EcnMode : std::uint8_t {
  off,
  accept,   // where the peer asks for it, or where a connection's own controller cannot do without (RFC 8257)
  request,  // in our own SYNs too; a SYN that has to be sent again goes without
};

// A connection's ECN, of both halves: which marks have come and how they are echoed; which echoes have come, and
// whether the peer knows that we have heard.
struct Ecn {
  // A point where RFC 8257's DCTCP.CE changed before the ACK of what lay in front of it had left.
  struct Earlier {
    SeqNum ack;
    bool echo = false;
  };

  bool on = false;         // both SYNs said so
  bool requested = false;  // a SYN of ours did
  // --- the receiver ---
  bool echo = false;  // ECE is in every ACK: until CWR comes (RFC 3168 6.1.3), or while DCTCP.CE holds (RFC 8257 3.2)
  // ACKs that are still owed, the oldest first, and what each echoes: a bit of earlier_echoes.
  std::uint8_t earlier_count = 0;
  std::uint8_t earlier_echoes = 0;
  std::array<SeqNum, 3> earlier;
  // --- the sender ---
  bool echoed = false;    // the ACK that is being looked at has ECE
  bool cwr_owed = false;  // with the next new text (RFC 3168 6.1.2)
  SeqNum reacted;         // all up to here was sent before the window was last reduced
  // --- what has been seen ---
  std::uint32_t marks = 0;   // segments with CE
  std::uint32_t echoes = 0;  // ACKs with ECE

  // Text that is acceptable; `unacknowledged`: an ACK of `nxt` is still owed for what came before it.
  // RFC 8257 3.2: false where the ACKs that are owed are too many to remember: the newest then speaks for two.
  void on_accurate(bool ce, SeqNum nxt, bool unacknowledged) {
    if (ce == echo) return;
    if (unacknowledged) {
      if (earlier_count == earlier.size()) --earlier_count;
      auto bit = static_cast<std::uint8_t>(1u << earlier_count);
      earlier_echoes = static_cast<std::uint8_t>(echo ? earlier_echoes | bit : earlier_echoes & ~bit);
      earlier[earlier_count++] = nxt;
    }
    echo = ce;
  }
  // RFC 3168 6.1.3
  void on_classic(bool ce, bool cwr) {
    if (cwr) echo = false;
    if (ce) echo = true;
  }
  Earlier take_earlier() {
    Earlier first{earlier[0], (earlier_echoes & 1) != 0};
    earlier_echoes = static_cast<std::uint8_t>(earlier_echoes >> 1);
    for (std::uint8_t i = 1; i < earlier_count; ++i) earlier[i - 1u] = earlier[i];
    --earlier_count;
    return first;
  }
  // The window was reduced, for whatever reason: marks on what was sent before `max` ask for no more.
  void on_reduced(SeqNum max) {
    reacted = max;
    cwr_owed = on;
  }
};

}  // namespace weir::tcp
