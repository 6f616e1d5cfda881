// SPDX-License-Identifier: MIT
#include "weir/tcp/sender.h"

#include <algorithm>

namespace weir::tcp {

Sender::Acked Sender::on_ack(SeqNum ack) {
  Acked result;
  auto text_acked = std::min<std::uint32_t>(distance(text_begin(), ack), static_cast<std::uint32_t>(text.size()));
  result.fin = fin == Fin::queued && ack == end();
  text.consume(text_acked);
  syn_acked = true;
  una = ack;
  nxt = later_of(nxt, una);
  result.text = text_acked;
  if (result.fin) fin = Fin::acked;
  return result;
}

bool Sender::on_window(SeqNum seg_seq, SeqNum seg_ack, WindowSize window) {
  if (!wl1.before(seg_seq) && !(wl1 == seg_seq && wl2.at_or_before(seg_ack))) return false;
  bool changed = window != wnd;
  wnd = window;
  max_wnd = std::max(max_wnd, window);
  wl1 = seg_seq;
  wl2 = seg_ack;
  return changed;
}

}  // namespace weir::tcp
