// SPDX-License-Identifier: MIT
#include "weir/tcp/receiver.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace weir::tcp {

namespace {
constexpr std::uint32_t kLeastRoom = 16;  // of the buffer: the room from which a window is worth opening
constexpr std::size_t kLeastRing = 4096;  // worth having for a byte
constexpr std::size_t kEmptiness = 4;     // of a ring: its size to what is in it
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

// Whether a ring that reached to `end` would stay mostly empty with `bytes` more in it.
bool Receiver::is_stray(SeqNum end, std::uint32_t bytes) {
  std::size_t needed = text.size() + static_cast<std::size_t>(end - nxt);
  if (needed <= text.capacity() || needed <= kLeastRing) return false;
  if (const Strays* strays = gaps.strays(); strays != nullptr && strays->full()) return false;
  return needed > kEmptiness * (text.size() + gaps.bytes() + bytes);
}

// Makes the ring reach to `end`, and puts the strays into it that it reaches then.
bool Receiver::reach(SeqNum end) {
  if (!text.reserve(text.size() + static_cast<std::size_t>(end - nxt))) return false;
  Strays* strays = gaps.strays();
  if (strays == nullptr || strays->empty()) return true;
  strays->take_up_to(nxt + static_cast<std::uint32_t>(text.capacity() - text.size()),
                     [this](SeqNum begin, ConstBytes stray) {
                       text.place(text.size() + static_cast<std::size_t>(begin - nxt), stray);
                     });
  return true;
}

Receiver::Outcome Receiver::keep(SeqNum seq, ConstBytes segment_text) {
  if (seq != nxt) return keep_ahead(seq, segment_text);
  SeqNum joined = gaps.joined(nxt + static_cast<std::uint32_t>(segment_text.size()));
  if (!discarding) {
    if (!reach(joined)) return Outcome::no_memory;
    text.place(text.size(), segment_text);
    text.extend(static_cast<std::size_t>(joined - nxt));
  }
  nxt = gaps.take_in_order(joined);
  return Outcome::in_order;
}

Receiver::Outcome Receiver::keep_ahead(SeqNum seq, ConstBytes segment_text) {
  auto n = static_cast<std::uint32_t>(segment_text.size());
  bool stray = !discarding && is_stray(seq + n, n);
  std::unique_ptr<std::byte[]> copy;
  if (stray) copy = Strays::copy(segment_text);
  if (stray ? copy == nullptr : !discarding && !reach(seq + n)) return Outcome::no_memory;
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
  if (stray)
    gaps.strays()->add(seq, n, std::move(copy));
  else if (!discarding)
    text.place(text.size() + static_cast<std::size_t>(seq - nxt), segment_text);
  return Outcome::out_of_order;
}

}  // namespace weir::tcp
