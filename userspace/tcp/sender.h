// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "weir/base/bytes.h"
#include "weir/tcp/byte_ring.h"
#include "weir/tcp/seq_num.h"
#include "weir/tcp/window.h"

namespace weir::tcp {

// The send sequence space (RFC 9293 3.3.1) and the text in it. The ring is the retransmission queue too: what is to be
// sent again is found by its sequence number, so a segment in flight costs no memory beyond its text.
//
//      iss   una        nxt        max            text_end   end
//       |SYN| in flight  | again    | never sent   |   FIN   |
//
struct Sender {
  SeqNum iss;
  SeqNum una;
  SeqNum nxt;  // goes back to una when a time-out says that what followed is lost
  SeqNum max;  // the highest nxt has been: what may be acknowledged
  SeqNum wl1;
  SeqNum wl2;
  WindowSize wnd;
  WindowSize max_wnd;  // the widest that the peer has offered
  WindowScale scale;   // of the peer's windows
  bool syn_acked = false;
  enum class Fin : std::uint8_t { none, queued, acked } fin = Fin::none;
  ByteRing text;  // from text_begin() on

  void open(SeqNum initial) {
    iss = una = nxt = max = initial;
    wl2 = initial;
  }

  SeqNum text_begin() const { return syn_acked ? una : una + 1; }
  SeqNum text_end() const { return text_begin() + static_cast<std::uint32_t>(text.size()); }
  // Behind all that the user has asked to be sent.
  SeqNum end() const { return fin == Fin::queued ? text_end() + 1 : text_end(); }
  // RFC 5681's FlightSize, as far as it is known without SACK.
  std::uint32_t in_flight() const { return distance(una, nxt); }
  // Text from nxt on.
  std::uint32_t unsent() const { return distance(nxt, text_end()); }
  // Text, SYN or FIN that is not acknowledged, or has not been sent.
  bool outstanding() const { return una != end() || max != una; }
  // How much of the peer's window lies at or behind `seq`; 0 where it has shrunk to before it.
  std::uint32_t window_from(SeqNum seq) const { return distance(seq, una + wnd.bytes()); }
  std::array<ConstBytes, 2> text_at(SeqNum seq, std::uint32_t bytes) const {
    return text.view(distance(text_begin(), seq), bytes);
  }

  struct Acked {
    std::uint32_t text = 0;
    bool fin = false;
  };
  // una < ack <= max: drops what is acknowledged.
  Acked on_ack(SeqNum ack);
  // RFC 9293 3.10.7.4, fifth: takes the window unless the segment is older than the one that last changed it. Returns
  // whether the window is another now.
  bool on_window(SeqNum seg_seq, SeqNum seg_ack, WindowSize window);
  void on_sent(SeqNum behind) {
    nxt = behind;
    max = later_of(max, behind);
  }
  void go_back() { nxt = una; }
  // The same, but for a SYN that is not acknowledged.
  void go_back_to_text() { nxt = earlier_of(nxt, text_begin()); }

 private:
  static std::uint32_t distance(SeqNum from, SeqNum to) {
    return to.after(from) ? static_cast<std::uint32_t>(to - from) : 0;
  }
};

}  // namespace weir::tcp
