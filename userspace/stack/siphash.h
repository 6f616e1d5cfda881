// SPDX-License-Identifier: MIT
// SipHash-2-4 (Aumasson and Bernstein, 2012): a keyed function whose values tell nothing of the key. RFC 6528 asks for
// one behind initial sequence numbers.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "weir/base/bytes.h"

namespace weir::stack {

class SipHash {
 public:
  explicit SipHash(const std::array<std::uint8_t, 16>& key) {
    std::uint64_t k0 = load_le(reinterpret_cast<const std::byte*>(key.data()));
    std::uint64_t k1 = load_le(reinterpret_cast<const std::byte*>(key.data()) + 8);
    v_ = {k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d, k0 ^ 0x6c7967656e657261, k1 ^ 0x7465646279746573};
  }

  // The message is whatever one call is given.
  std::uint64_t operator()(ConstBytes message) const {
    SipHash state = *this;
    std::size_t whole = message.size() / 8 * 8;
    for (std::size_t i = 0; i < whole; i += 8) state.take(load_le(message.data() + i));
    std::uint64_t last = static_cast<std::uint64_t>(message.size()) << 56;
    for (std::size_t i = whole; i < message.size(); ++i) {
      last |= std::to_integer<std::uint64_t>(message[i]) << (8 * (i - whole));
    }
    state.take(last);
    state.v_[2] ^= 0xff;
    for (int i = 0; i < 4; ++i) state.round();
    return state.v_[0] ^ state.v_[1] ^ state.v_[2] ^ state.v_[3];
  }

 private:
  static std::uint64_t load_le(const std::byte* from) {
    std::uint64_t v;
    std::memcpy(&v, from, sizeof v);
    return std::endian::native == std::endian::little ? v : __builtin_bswap64(v);
  }
  void take(std::uint64_t word) {
    v_[3] ^= word;
    round();
    round();
    v_[0] ^= word;
  }
  void round() {
    auto& [a, b, c, d] = v_;
    a += b;
    c += d;
    b = std::rotl(b, 13) ^ a;
    d = std::rotl(d, 16) ^ c;
    a = std::rotl(a, 32);
    c += b;
    a += d;
    b = std::rotl(b, 17) ^ c;
    d = std::rotl(d, 21) ^ a;
    c = std::rotl(c, 32);
  }

  std::array<std::uint64_t, 4> v_{};
};

}  // namespace weir::stack
