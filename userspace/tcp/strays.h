// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "weir/base/bytes.h"
#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// Segments that came so far ahead of all other text that a ring which reached to them would be mostly empty: each has
// memory of its own size until the ring reaches its place. So a byte at the edge of the window costs about a byte.
class Strays {
 public:
  // A peer that makes more of them gets the ring, which the window bounds.
  static constexpr std::size_t kMost = 64;

  bool empty() const { return count_ == 0; }
  bool full() const { return count_ == kMost; }
  std::size_t memory() const { return memory_; }

  // A copy of `text`, or null where there is no memory.
  static std::unique_ptr<std::byte[]> copy(ConstBytes text);
  // Takes the copy of `size` bytes whose first is `begin`; not called while full().
  void add(SeqNum begin, std::size_t size, std::unique_ptr<std::byte[]> text);
  // Hands each one that ends at or before `end` to place(begin, text), and forgets it.
  template <typename Place>
  void take_up_to(SeqNum end, Place&& place) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      Stray& s = all_[i];
      if ((s.begin + s.size).after(end)) {
        if (kept != i) all_[kept] = std::move(s);
        ++kept;
        continue;
      }
      place(s.begin, ConstBytes(s.text.get(), s.size));
      memory_ -= s.size;
      s.text.reset();
    }
    count_ = kept;
  }

 private:
  struct Stray {
    SeqNum begin;
    std::uint32_t size = 0;
    std::unique_ptr<std::byte[]> text;
  };

  std::array<Stray, kMost> all_;
  std::size_t count_ = 0;
  std::size_t memory_ = 0;
};

}  // namespace weir::tcp
