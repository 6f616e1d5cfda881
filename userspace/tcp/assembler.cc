// SPDX-License-Identifier: MIT
#include "weir/tcp/assembler.h"

#include <algorithm>
#include <new>

namespace weir::tcp {

void Assembler::erase(std::size_t first, std::size_t last) {
  auto begin = slots_->intervals.begin();
  std::copy(begin + static_cast<std::ptrdiff_t>(last), begin + static_cast<std::ptrdiff_t>(count_),
            begin + static_cast<std::ptrdiff_t>(first));
  count_ -= last - first;
}

Assembler::Outcome Assembler::add(SeqNum begin, SeqNum end) {
  if (!slots_) {
    slots_.reset(new (std::nothrow) Slots);
    if (!slots_) return Outcome::no_memory;
  }
  auto& s = slots_->intervals;
  // [first, last): those that touch [begin, end). Found from the back: new text mostly comes behind all other.
  std::size_t last = count_;
  while (last > 0 && s[last - 1].begin.after(end)) --last;
  std::size_t first = last;
  while (first > 0 && s[first - 1].end.at_or_after(begin)) --first;

  if (first == last) {
    if (count_ == kMost) return Outcome::full;
    std::copy_backward(s.begin() + static_cast<std::ptrdiff_t>(first), s.begin() + static_cast<std::ptrdiff_t>(count_),
                       s.begin() + static_cast<std::ptrdiff_t>(count_ + 1));
    s[first] = {begin, end};
    ++count_;
    note_arrival(begin);
    return Outcome::added;
  }
  Interval merged{earlier_of(begin, s[first].begin), later_of(end, s[last - 1].end)};
  note_arrival(begin);
  if (last - first == 1 && merged == s[first]) return Outcome::duplicate;
  s[first] = merged;
  erase(first + 1, last);
  return Outcome::added;
}

// Arrivals of one interval count once.
void Assembler::note_arrival(SeqNum begin) {
  auto& r = slots_->recent;
  std::size_t kept = 0;
  std::array<SeqNum, 4> others{};
  const Interval* its = around(begin);
  for (std::size_t i = 0; i < slots_->recent_count && kept < others.size() - 1; ++i) {
    if (its == nullptr || around(r[i]) != its) others[kept++] = r[i];
  }
  r[0] = begin;
  std::copy(others.begin(), others.begin() + static_cast<std::ptrdiff_t>(kept), r.begin() + 1);
  slots_->recent_count = kept + 1;
}

const Assembler::Interval* Assembler::around(SeqNum seq) const {
  auto all = intervals();
  auto it = std::partition_point(all.begin(), all.end(), [seq](const Interval& i) { return i.end.at_or_before(seq); });
  return it != all.end() && it->begin.at_or_before(seq) ? &*it : nullptr;
}

std::size_t Assembler::newest(std::span<Interval> to) const {
  std::size_t n = 0;
  auto append = [&](const Interval& i) {
    auto end = to.begin() + static_cast<std::ptrdiff_t>(n);
    if (n < to.size() && std::find(to.begin(), end, i) == end) to[n++] = i;
  };
  if (count_ == 0) return 0;
  for (std::size_t i = 0; i < slots_->recent_count; ++i) {
    if (const Interval* its = around(slots_->recent[i])) append(*its);
  }
  // Those that joined an earlier one leave room for what may never have been told.
  for (const Interval& i : intervals()) append(i);
  return n;
}

std::size_t Assembler::bytes() const {
  std::size_t sum = 0;
  for (const Interval& i : intervals()) sum += static_cast<std::size_t>(i.end - i.begin);
  return sum;
}

SeqNum Assembler::joined(SeqNum nxt) const {
  for (const Interval& i : intervals()) {
    if (i.begin.after(nxt)) break;
    nxt = later_of(nxt, i.end);
  }
  return nxt;
}

SeqNum Assembler::take_in_order(SeqNum nxt) {
  nxt = joined(nxt);
  std::size_t n = 0;
  while (n < count_ && slots_->intervals[n].begin.at_or_before(nxt)) ++n;
  if (n > 0) erase(0, n);
  return nxt;
}

}  // namespace weir::tcp
