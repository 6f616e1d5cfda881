// SPDX-License-Identifier: MIT
// A hash table of indices: from a hash that is computed elsewhere (a flow's comes with the frame) to an element that
// lives elsewhere (in a slab), eight bytes an entry. Open addressing with linear probing; an erased entry's successors
// move up, so a search ends at the first empty place however many came and went.
//
// The hash must be keyed where strangers choose the elements.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weir::stack {

class IndexTable {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  IndexTable() : entries_(kSmallest) {}

  std::size_t size() const { return size_; }

  // The index of that hash for which matches(index) holds, or kNone.
  template <class Matches>
  std::uint32_t find(std::uint32_t hash, Matches&& matches) const {
    for (std::size_t at = home(hash); entries_[at].index != kNone; at = next(at)) {
      if (entries_[at].hash == hash && matches(entries_[at].index)) return entries_[at].index;
    }
    return kNone;
  }

  // The caller has made sure that no equal element is there. Allocates when the table doubles.
  void insert(std::uint32_t hash, std::uint32_t index) {
    assert(index != kNone);
    if ((size_ + 1) * 3 > entries_.size() * 2) grow();
    put({hash, index});
    ++size_;
  }

  // False where that index is not there under that hash.
  bool erase(std::uint32_t hash, std::uint32_t index) {
    std::size_t at = home(hash);
    while (entries_[at].index != index) {
      if (entries_[at].index == kNone) return false;
      at = next(at);
    }
    // Knuth 6.4, algorithm R: an entry behind the hole moves into it unless its home lies between the two.
    for (std::size_t from = next(at); entries_[from].index != kNone; from = next(from)) {
      if (distance(home(entries_[from].hash), from) >= distance(at, from)) {
        entries_[at] = entries_[from];
        at = from;
      }
    }
    entries_[at] = {};
    --size_;
    return true;
  }

 private:
  struct Entry {
    std::uint32_t hash = 0;
    std::uint32_t index = kNone;
  };
  static constexpr std::size_t kSmallest = 16;

  std::size_t home(std::uint32_t hash) const { return hash & (entries_.size() - 1); }
  std::size_t next(std::size_t at) const { return (at + 1) & (entries_.size() - 1); }
  std::size_t distance(std::size_t from, std::size_t to) const { return (to - from) & (entries_.size() - 1); }

  void put(Entry entry) {
    std::size_t at = home(entry.hash);
    while (entries_[at].index != kNone) at = next(at);
    entries_[at] = entry;
  }

  void grow() {
    std::vector<Entry> old(entries_.size() * 2);
    old.swap(entries_);
    for (const Entry& entry : old) {
      if (entry.index != kNone) put(entry);
    }
  }

  std::vector<Entry> entries_;
  std::size_t size_ = 0;
};

}  // namespace weir::stack
