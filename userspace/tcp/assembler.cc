// SPDX-License-Identifier: MIT
#include "weir/tcp/assembler.h"

#include <algorithm>
#include <new>

namespace weir::tcp {

void Assembler::erase(std::size_t first, std::size_t last) {
  std::copy(slots_->begin() + static_cast<std::ptrdiff_t>(last), slots_->begin() + static_cast<std::ptrdiff_t>(count_),
            slots_->begin() + static_cast<std::ptrdiff_t>(first));
  count_ -= last - first;
}

Assembler::Outcome Assembler::add(SeqNum begin, SeqNum end) {
  if (!slots_) {
    slots_.reset(new (std::nothrow) Slots);
    if (!slots_) return Outcome::no_memory;
  }
  auto& s = *slots_;
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
    return Outcome::added;
  }
  Interval merged{earlier_of(begin, s[first].begin), later_of(end, s[last - 1].end)};
  if (last - first == 1 && merged == s[first]) return Outcome::duplicate;
  s[first] = merged;
  erase(first + 1, last);
  return Outcome::added;
}

SeqNum Assembler::take_in_order(SeqNum nxt) {
  std::size_t n = 0;
  while (n < count_ && (*slots_)[n].begin.at_or_before(nxt)) {
    nxt = later_of(nxt, (*slots_)[n].end);
    ++n;
  }
  if (n > 0) erase(0, n);
  return nxt;
}

}  // namespace weir::tcp
