// SPDX-License-Identifier: MIT
// Sequence numbers (RFC 9293 3.4): modular, so there is no "<". Comparisons hold for numbers less than 2^31 apart.
#pragma once

#include <cstdint>

namespace weir::tcp {

class SeqNum {
 public:
  constexpr SeqNum() = default;
  explicit constexpr SeqNum(std::uint32_t v) : v_(v) {}

  constexpr std::uint32_t raw() const { return v_; }
  constexpr bool before(SeqNum o) const { return static_cast<std::int32_t>(v_ - o.v_) < 0; }
  constexpr bool after(SeqNum o) const { return o.before(*this); }
  constexpr bool at_or_before(SeqNum o) const { return !after(o); }
  constexpr bool at_or_after(SeqNum o) const { return !before(o); }

  friend constexpr bool operator==(SeqNum, SeqNum) = default;
  friend constexpr SeqNum operator+(SeqNum s, std::uint32_t n) { return SeqNum(s.v_ + n); }
  friend constexpr SeqNum operator-(SeqNum s, std::uint32_t n) { return SeqNum(s.v_ - n); }
  // How far a lies after b, as a signed distance.
  friend constexpr std::int32_t operator-(SeqNum a, SeqNum b) { return static_cast<std::int32_t>(a.v_ - b.v_); }
  constexpr SeqNum& operator+=(std::uint32_t n) {
    v_ += n;
    return *this;
  }

 private:
  std::uint32_t v_ = 0;
};

constexpr SeqNum later_of(SeqNum a, SeqNum b) { return a.after(b) ? a : b; }
constexpr SeqNum earlier_of(SeqNum a, SeqNum b) { return a.before(b) ? a : b; }

}  // namespace weir::tcp
