// SPDX-License-Identifier: MIT
// An input read as a sequence of small numbers. One that has come to its end gives zeros.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "weir/base/bytes.h"

namespace weir::fuzz {

inline void require(bool condition, int line = __builtin_LINE()) {
  if (condition) return;
  std::fprintf(stderr, "required in line %d\n", line);
  std::abort();
}

class Script {
 public:
  explicit Script(ConstBytes bytes) : bytes_(bytes) {}
  bool done() const { return bytes_.empty(); }
  std::uint8_t u8() {
    if (bytes_.empty()) return 0;
    auto v = std::to_integer<std::uint8_t>(bytes_[0]);
    bytes_ = bytes_.subspan(1);
    return v;
  }
  std::uint16_t u16() {
    auto high = static_cast<std::uint16_t>(u8() << 8);
    return static_cast<std::uint16_t>(high | u8());
  }
  // A number of either sign, near zero.
  std::uint32_t near() { return static_cast<std::uint32_t>(static_cast<std::int16_t>(u16())); }
  bool flip() { return (u8() & 1) != 0; }
  ConstBytes take(std::size_t n) {
    ConstBytes t = bytes_.first(std::min(n, bytes_.size()));
    bytes_ = bytes_.subspan(t.size());
    return t;
  }

 private:
  ConstBytes bytes_;
};

}  // namespace weir::fuzz
