// SPDX-License-Identifier: MIT
#include "weir/tcp/transmissions.h"

#include <new>
#include <utility>

namespace weir::tcp {

bool Transmissions::open(SeqNum una, Id first) {
  if (!slots_) {
    slots_.reset(new (std::nothrow) Transmission[kLeast]);
    if (!slots_) return false;
    mask_ = kLeast - 1;
  }
  count_ = 0;
  first_ = first;
  oldest_ = newest_ = kNone;
  begin_ = una;
  sacked_ = lost_ = sacked_segments_ = 0;
  return true;
}

void Transmissions::push(const Transmission& t) {
  if (count_ > mask_ && !grow()) {
    Id last = behind() - 1;
    auto bytes = static_cast<std::uint32_t>(t.end - at(last).end);
    if (at(last).where == Where::lost) lost_ += bytes;
    if (at(last).where == Where::peer) {
      // What is new in it is not there.
      sacked_ -= length(last);
      --sacked_segments_;
      at(last).where = Where::network;
      link_newest(last);
    }
    at(last).end = t.end;
    at(last).resent = true;
    return;
  }
  if (first_ > kNone / 2) renumber();
  Id id = first_ + count_++;
  at(id) = t;
  at(id).where = Where::network;
  link_newest(id);
}

void Transmissions::resend(Id id, const Transmission& stamp) {
  Transmission& t = at(id);
  if (t.where == Where::lost) {
    lost_ -= length(id);
    t.where = Where::network;
    if (first_lost_ == id) find_first_lost(id + 1);
  } else {
    unlink(id);
  }
  SeqNum end = t.end;
  t = stamp;
  t.end = end;
  t.resent = true;
  t.where = Where::network;
  link_newest(id);
}

void Transmissions::mark_lost(Id id) {
  Transmission& t = at(id);
  if (t.where != Where::network) return;
  unlink(id);
  t.where = Where::lost;
  if (lost_ == 0 || id - first_ < first_lost_ - first_) first_lost_ = id;
  lost_ += length(id);
}

bool Transmissions::split(Id id, SeqNum at_seq) {
  if (count_ > mask_ && !grow()) return false;
  for (Id i = behind(); i != id; --i) at(i) = at(i - 1);
  at(id).end = at_seq;
  ++count_;
  auto moved = [&](Id other) { return other != kNone && other - first_ > id - first_ ? other + 1 : other; };
  for (Id i = first_; i != behind(); ++i) {
    at(i).next = moved(at(i).next);
    at(i).prev = moved(at(i).prev);
  }
  oldest_ = moved(oldest_);
  newest_ = moved(newest_);
  first_lost_ = moved(first_lost_);
  return true;
}

void Transmissions::clear_lost() {
  // What was taken for lost had been sent before what was not.
  for (Id id = behind(); lost_ != 0 && id-- != first_;) {
    if (at(id).where != Where::lost) continue;
    lost_ -= length(id);
    at(id).where = Where::network;
    link_oldest(id);
  }
}

void Transmissions::forget_sacked() {
  for (Id id = first_; sacked_segments_ != 0 && id != behind(); ++id) {
    if (at(id).where != Where::peer) continue;
    sacked_ -= length(id);
    --sacked_segments_;
    at(id).where = Where::lost;
    if (lost_ == 0 || id - first_ < first_lost_ - first_) first_lost_ = id;
    lost_ += length(id);
  }
}

Transmissions::Id Transmissions::find(SeqNum seq) const {
  if (seq.at_or_before(begin_)) return first_;
  std::uint32_t low = 0;
  std::uint32_t high = count_;
  while (low < high) {
    std::uint32_t middle = (low + high) / 2;
    if (begin_of(first_ + middle).before(seq)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return first_ + low;
}

// The first behind `id` that is not at the peer. Halves the way for the next time.
Transmissions::Id Transmissions::skip(Id id) {
  while (id != behind() && at(id).where == Where::peer) {
    Id next = at(id).next;
    if (next != behind() && at(next).where == Where::peer) at(id).next = at(next).next;
    id = next;
  }
  return id;
}

void Transmissions::find_first_lost(Id from) {
  if (lost_ == 0) return;
  while (at(from).where != Where::lost) ++from;
  first_lost_ = from;
}

void Transmissions::drop_first() {
  Transmission& t = at(first_);
  bool was_first_lost = t.where == Where::lost && first_lost_ == first_;
  if (t.where == Where::network) unlink(first_);
  if (t.where == Where::peer) --sacked_segments_;
  ++first_;
  --count_;
  if (was_first_lost) find_first_lost(first_);
  if (count_ == 0) first_ = 0;
}

void Transmissions::link_newest(Id id) {
  at(id).next = kNone;
  at(id).prev = newest_;
  if (newest_ != kNone) {
    at(newest_).next = id;
  } else {
    oldest_ = id;
  }
  newest_ = id;
}

void Transmissions::link_oldest(Id id) {
  at(id).prev = kNone;
  at(id).next = oldest_;
  if (oldest_ != kNone) {
    at(oldest_).prev = id;
  } else {
    newest_ = id;
  }
  oldest_ = id;
}

void Transmissions::unlink(Id id) {
  Transmission& t = at(id);
  (t.prev == kNone ? oldest_ : at(t.prev).next) = t.next;
  (t.next == kNone ? newest_ : at(t.next).prev) = t.prev;
}

// Ids begin again near zero, every slot where it is.
void Transmissions::renumber() {
  Id by = first_ & ~mask_;
  for (Id id = first_; id != behind(); ++id) {
    Transmission& t = at(id);
    if (t.next != kNone) t.next -= by;
    if (t.prev != kNone) t.prev -= by;
  }
  if (oldest_ != kNone) oldest_ -= by;
  if (newest_ != kNone) newest_ -= by;
  first_lost_ -= by;
  first_ -= by;
}

bool Transmissions::grow() {
  std::uint32_t capacity = (mask_ + 1) * 2;
  std::unique_ptr<Transmission[]> grown(new (std::nothrow) Transmission[capacity]);
  if (!grown) return false;
  for (Id id = first_; id != behind(); ++id) grown[id & (capacity - 1)] = at(id);
  slots_ = std::move(grown);
  mask_ = capacity - 1;
  return true;
}

}  // namespace weir::tcp
