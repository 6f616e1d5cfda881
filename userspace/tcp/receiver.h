// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "weir/base/bytes.h"
#include "weir/tcp/assembler.h"
#include "weir/tcp/byte_ring.h"
#include "weir/tcp/seq_num.h"
#include "weir/tcp/window.h"

namespace weir::tcp {

// The receive sequence space (RFC 9293 3.3.1), the text that has come and the window that is offered.
//
//      unread       nxt   out of order       edge
//       |  `text`    |  ..[gaps]..[gaps]..   |
//
struct Receiver {
  SeqNum irs;
  SeqNum nxt;
  SeqNum edge;        // RCV.NXT + RCV.WND, the rightmost ever offered: it never moves left
  SeqNum last_ack;    // RFC 7323 4.3's Last.ACK.sent
  WindowScale scale;  // of our windows
  std::uint32_t limit = 0;
  SeqNum fin;  // the FIN's own number, once known
  bool fin_known = false;
  bool fin_taken = false;         // nxt lies behind it
  Assembler::Interval duplicate;  // of the segment that came last, what had come before; empty once told
  bool discarding = false;        // nobody reads: text is acknowledged and forgotten
  ByteRing text;                  // unread, in order; behind its end, what has come out of order, but for strays
  Assembler gaps;

  // `window` is what the first segment of ours offers.
  void open(SeqNum initial, std::uint32_t window) {
    irs = initial;
    nxt = last_ack = initial + 1;
    edge = nxt + window;
  }

  WindowSize wnd() const { return WindowSize(edge.after(nxt) ? static_cast<std::uint32_t>(edge - nxt) : 0); }
  // RFC 9293 3.4's test, and besides: a segment that begins at the very edge. Its text, if any, will be cut off, but
  // the ACK and FIN that it carries need no room; RFC 9293 3.10.7.4 asks for that where the window is closed, and a
  // peer that has filled an open one sends its ACKs from there.
  bool acceptable(SeqNum seq, std::uint32_t len) const {
    if (seq.after(later_of(edge, nxt))) return false;
    return len == 0 ? seq.at_or_after(nxt) : (seq + len).after(nxt);
  }

  void note_duplicate(SeqNum begin, SeqNum end) {
    end = gaps.around(begin) != nullptr ? end : earlier_of(end, nxt);
    if (begin.before(end)) duplicate = {begin, end};
  }
  bool has_duplicate() const { return duplicate.begin != duplicate.end; }
  // The SACK blocks of an ACK that leaves now: a DSACK (RFC 2883) first. Returns how many.
  std::size_t take_sack(std::span<Assembler::Interval> to);

  // Where the edge would be in a segment sent now (RFC 9293 3.8.6.2.2): it moves by no less than the
  // lesser of half the buffer and a segment, and only into a sixteenth of the buffer or more.
  SeqNum next_edge(std::uint32_t mss) const;

  enum class Outcome : std::uint8_t {
    nothing,       // no text and no FIN in it
    in_order,      // nxt has moved
    out_of_order,  // kept
    duplicate,     // all of it was there
    beyond,        // all of it lies behind the edge
    too_many,      // the assembler is full
    no_memory,
  };
  struct Received {
    Outcome outcome = Outcome::nothing;
    std::uint32_t bytes = 0;  // by which nxt has moved, without the FIN
    bool filled = false;      // text that had come out of order has joined
    bool fin = false;         // nxt has moved behind the FIN
  };
  // RFC 9293 3.10.7.4, seventh and eighth: for an acceptable segment. Copies the part of `segment_text` that is new and
  // in the window.
  Received on_text(SeqNum seq, ConstBytes segment_text, bool segment_fin);

 private:
  Outcome keep(SeqNum seq, ConstBytes segment_text);
  Outcome keep_ahead(SeqNum seq, ConstBytes segment_text);
  bool is_stray(SeqNum end, std::uint32_t bytes);
  bool reach(SeqNum end);
};

}  // namespace weir::tcp
