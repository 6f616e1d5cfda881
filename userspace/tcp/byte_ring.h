// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "weir/base/bytes.h"

namespace weir::tcp {

// A queue of bytes in a ring whose size is a power of two: no memory until bytes come, doubled as more come, given back
// by release(). Its owner keeps the limit. Bytes may be placed behind the end before the bytes between have come.
class ByteRing {
 public:
  ByteRing() = default;
  ByteRing(ByteRing&& o) noexcept;
  ByteRing& operator=(ByteRing&& o) noexcept;

  std::size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  std::size_t capacity() const { return capacity_; }

  // Makes room for `bytes` from the first byte on; false where there is no memory, and then nothing has changed.
  bool reserve(std::size_t bytes);
  // Writes `text` so that it begins `offset` bytes behind the first byte. What lies beyond size() counts only once
  // extend() says so. Room for it has been reserved.
  void place(std::size_t offset, ConstBytes text);
  // The next `bytes` behind the end have been placed.
  void extend(std::size_t bytes) { size_ += static_cast<std::uint32_t>(bytes); }
  void append(ConstBytes text) {
    place(size_, text);
    extend(text.size());
  }
  // `bytes` from `offset` on, in two pieces where the ring wraps. Both are within size().
  std::array<ConstBytes, 2> view(std::size_t offset, std::size_t bytes) const;
  // Drops the first `bytes`, at most size().
  void consume(std::size_t bytes);
  // Moves up to to.size() bytes out, and returns how many.
  std::size_t read(Bytes to);
  // Gives the memory back, with whatever is in it.
  void release();

 private:
  std::size_t index(std::size_t offset) const { return (head_ + offset) & (capacity_ - 1); }

  std::unique_ptr<std::byte[]> bytes_;
  std::uint32_t capacity_ = 0;  // 0 or a power of two
  std::uint32_t head_ = 0;      // index of the first byte
  std::uint32_t size_ = 0;
};

}  // namespace weir::tcp
