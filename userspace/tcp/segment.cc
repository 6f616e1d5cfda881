// SPDX-License-Identifier: MIT
#include "weir/tcp/segment.h"

namespace weir::tcp {

Segment Segment::from(const wire::TcpView& view) {
  Segment seg;
  seg.seq = SeqNum(view.seq());
  seg.ack = SeqNum(view.ack());
  seg.flags = view.flags();
  seg.window = view.window();
  seg.urgent = view.urgent();
  seg.options = view.options();
  seg.text = view.text();
  return seg;
}

}  // namespace weir::tcp
