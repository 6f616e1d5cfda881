// SPDX-License-Identifier: MIT
// The bytes that /bytes/N sends: anyone can compute them, and text that is lost, repeated or out of order shows.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace weir::examples {

// The text in blocks of 64 KiB. Block k is k in eight bytes, big-endian, and then the bytes j mod 251 for j from 8 on;
// the last block is cut where N ends.
class BytePattern {
 public:
  static constexpr std::size_t kBlock = 64 * 1024;

  explicit BytePattern(std::uint64_t size) : left_(size) {
    for (std::size_t j = 0; j < kBlock; ++j) block_[j] = static_cast<std::uint8_t>(j % 251);
  }

  bool done() const { return left_ == 0; }
  // The next block; valid until the next call.
  std::span<const std::uint8_t> next() {
    for (std::size_t i = 0; i < 8; ++i) block_[i] = static_cast<std::uint8_t>(number_ >> (56 - 8 * i));
    ++number_;
    const auto size = left_ < kBlock ? static_cast<std::size_t>(left_) : kBlock;
    left_ -= size;
    return std::span(block_).first(size);
  }

 private:
  std::array<std::uint8_t, kBlock> block_;
  std::uint64_t left_;
  std::uint64_t number_ = 0;
};

}  // namespace weir::examples
