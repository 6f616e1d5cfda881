// SPDX-License-Identifier: MIT
#include "weir/tcp/receiver.h"

#include <algorithm>

namespace weir::tcp {

namespace {
constexpr std::uint32_t kLeastRoom = 16;  // of the buffer: the room from which a window is worth opening
}  // namespace

SeqNum Receiver::next_edge(std::uint32_t mss) const {
  auto unread = static_cast<std::uint32_t>(text.size());
  std::uint32_t room = limit > unread ? limit - unread : 0;
  // A full buffer that is read in small pieces would else be filled in small pieces, each with an ACK of its own.
  if (room < limit / kLeastRoom) return edge;
  SeqNum candidate = nxt + std::min(room, 0xffffu << scale.shift());
  std::int32_t step = static_cast<std::int32_t>(std::min(limit / 2, mss));
  return candidate - edge >= step ? candidate : edge;
}

std::size_t Receiver::take_sack(std::span<Assembler::Interval> to) {
  if (!has_duplicate()) return gaps.newest(to);
  to[0] = duplicate;
  // RFC 2883 4.1.2: within what has come out of order, that follows.
  std::size_t n = 1;
  duplicate = {};
  n += gaps.newest(to.subspan(1));
  return n;
}

Receiver::Received Receiver::on_text(SeqNum seq, ConstBytes segment_text, bool segment_fin) {
  Received result;
  if (segment_text.empty() && !segment_fin) return result;

  // RFC 9293 3.10.7.4: cut what lies outside the window, SYN and FIN included.
  if (seq.before(nxt)) {
    auto old = static_cast<std::size_t>(nxt - seq);
    note_duplicate(seq, seq + static_cast<std::uint32_t>(segment_text.size()));
    if (old > segment_text.size()) return result;  // a FIN that nxt has passed
    segment_text = segment_text.subspan(old);
    seq = nxt;
  }
  std::size_t room = edge.after(seq) ? static_cast<std::size_t>(edge - seq) : 0;
  if (segment_text.size() > room) {
    segment_text = segment_text.first(room);
    segment_fin = false;
    if (room == 0) {
      result.outcome = Outcome::beyond;
      return result;
    }
  }
  SeqNum behind = seq + static_cast<std::uint32_t>(segment_text.size());

  // The first FIN stands. Text behind it, and a FIN in front of text that has come, are a peer's error.
  if (fin_known && behind.after(fin)) {
    result.outcome = Outcome::duplicate;
    return result;
  }
  if (segment_fin && !fin_known && (gaps.empty() || gaps.intervals().back().end.at_or_before(behind))) {
    fin = behind;
    fin_known = true;
  }

  if (!segment_text.empty()) {
    SeqNum before = nxt;
    result.outcome = keep(seq, segment_text);
    if (result.outcome == Outcome::in_order) {
      result.filled = nxt != behind;
      result.bytes = static_cast<std::uint32_t>(nxt - before);
    }
  } else {
    result.outcome = seq == nxt ? Outcome::in_order : Outcome::out_of_order;
  }
  if (fin_known && !fin_taken && nxt == fin) {
    nxt += 1;
    edge = later_of(edge, nxt);
    fin_taken = true;
    result.fin = true;
  }
  return result;
}

Receiver::Outcome Receiver::keep(SeqNum seq, ConstBytes segment_text) {
  auto offset = static_cast<std::uint32_t>(seq - nxt);
  auto n = static_cast<std::uint32_t>(segment_text.size());
  if (!discarding && !text.reserve(text.size() + offset + n)) return Outcome::no_memory;

  if (offset != 0) {
    switch (gaps.add(seq, seq + n)) {
      case Assembler::Outcome::added:
        break;
      case Assembler::Outcome::duplicate:
        note_duplicate(seq, seq + n);
        return Outcome::duplicate;
      case Assembler::Outcome::full:
        return Outcome::too_many;
      case Assembler::Outcome::no_memory:
        return Outcome::no_memory;
    }
    if (!discarding) text.place(text.size() + offset, segment_text);
    return Outcome::out_of_order;
  }
  if (!discarding) text.place(text.size(), segment_text);
  SeqNum joined = nxt + n;
  if (!gaps.empty()) joined = gaps.take_in_order(joined);
  if (!discarding) text.extend(static_cast<std::size_t>(joined - nxt));
  nxt = joined;
  return Outcome::in_order;
}

}  // namespace weir::tcp
