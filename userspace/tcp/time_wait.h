// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/common/reasons.h"
#include "weir/tcp/segment.h"
#include "weir/tcp/seq_num.h"
#include "weir/wire/tcp.h"

namespace weir::tcp {

// What is left of a connection in TIME-WAIT (RFC 9293 3.6.1): enough to acknowledge a FIN again, to know old segments
// from new ones, and to tell when a SYN begins a new connection (RFC 6191).
struct TimeWait {
  SeqNum snd_nxt;
  SeqNum rcv_nxt;
  std::uint32_t ts_recent = 0;
  std::uint16_t window = 0;  // as it stood in the last segment
  std::uint8_t scale = 0;    // of `window`
  bool timestamps = false;

  // RFC 6191 2: a later timestamp will do; else RFC 9293 3.6.1 wants a later sequence number.
  bool may_be_replaced_by(const Segment& syn) const {
    if (!syn.flags.syn() || syn.flags.ack() || syn.flags.rst()) return false;
    if (timestamps && syn.options.timestamps && syn.options.timestamps->tsval != ts_recent) {
      return SeqNum(syn.options.timestamps->tsval).after(SeqNum(ts_recent));
    }
    return syn.seq.after(rcv_nxt);
  }

  struct Verdict {
    weir_reason reason = WEIR_R_TAKEN_TCP;
    bool answer = false;   // with ack()
    bool restart = false;  // 2 MSL from now
    bool over = false;
  };
  // RFC 9293 3.10.7.4 for this state, in its order. What is not acceptable is answered, without text too: a keepalive
  // probe is such a segment. The answer is acceptable to its receiver, so two of these do not answer each other.
  Verdict on_segment(const Segment& seg) {
    if (timestamps && !seg.flags.rst()) {
      if (!seg.options.timestamps) return {WEIR_R_LOST_PAWS};
      if (SeqNum(seg.options.timestamps->tsval).before(SeqNum(ts_recent))) { return {WEIR_R_LOST_PAWS, true}; }
    }
    SeqNum edge = rcv_nxt + (std::uint32_t{window} << scale);
    bool inside =
        !seg.seq.after(edge) && (seg.len() == 0 ? seg.seq.at_or_after(rcv_nxt) : (seg.seq + seg.len()).after(rcv_nxt));
    if (!inside) {
      if (seg.flags.rst()) return {WEIR_R_LOST_OUT_OF_WINDOW};
      bool old = !seg.text.empty() && (seg.seq + seg.len()).at_or_before(rcv_nxt);
      return {old ? WEIR_R_LOST_DUPLICATE : WEIR_R_LOST_OUT_OF_WINDOW, true, seg.flags.fin()};
    }
    // RFC 5961 3.2, 4.2. RFC 1337 would have even an exact RST ignored; whoever sends one is done with the numbers.
    if (seg.flags.rst()) {
      if (seg.seq != rcv_nxt) return {WEIR_R_LOST_CHALLENGED, true};
      return {WEIR_R_TAKEN_TCP, false, false, true};
    }
    if (seg.flags.syn()) return {WEIR_R_LOST_CHALLENGED, true};
    if (!seg.flags.ack()) return {WEIR_R_LOST_BAD_FLAGS};
    if (seg.ack.after(snd_nxt)) return {WEIR_R_LOST_BAD_ACK, true};
    if (timestamps && seg.seq.at_or_before(rcv_nxt)) ts_recent = seg.options.timestamps->tsval;
    return {seg.text.empty() ? WEIR_R_TAKEN_TCP : WEIR_R_LOST_OUT_OF_WINDOW};
  }

  // `clock` is the connection's TS.Val now.
  wire::TcpHeader ack(std::uint32_t clock) const {
    wire::TcpHeader header;
    header.seq = snd_nxt.raw();
    header.ack = rcv_nxt.raw();
    header.flags = wire::kAck;
    header.window = wire::WireWindow(window);
    if (timestamps) header.options.timestamps = wire::TcpTimestamps{clock, ts_recent};
    return header;
  }
};

}  // namespace weir::tcp
