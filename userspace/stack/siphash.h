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
#include "weir/common/siphash.h"

namespace weir::stack {

inline std::uint64_t load_le(const std::byte* from) {
  std::uint64_t v;
  std::memcpy(&v, from, sizeof v);
  return std::endian::native == std::endian::little ? v : __builtin_bswap64(v);
}

inline std::array<std::uint64_t, 2> siphash_key(const std::array<std::uint8_t, 16>& key) {
  const auto* octets = reinterpret_cast<const std::byte*>(key.data());
  return {load_le(octets), load_le(octets + 8)};
}

// By octets; common/siphash.h has the rounds.
class SipHash {
 public:
  explicit SipHash(const std::array<std::uint8_t, 16>& key) { weir_siphash_begin(&start_, siphash_key(key).data()); }

  // The message is whatever one call is given.
  std::uint64_t operator()(ConstBytes message) const {
    weir_siphash state = start_;
    std::size_t whole = message.size() / 8 * 8;
    for (std::size_t i = 0; i < whole; i += 8) weir_siphash_take(&state, load_le(message.data() + i));
    std::uint64_t last = static_cast<std::uint64_t>(message.size()) << 56;
    for (std::size_t i = whole; i < message.size(); ++i) {
      last |= std::to_integer<std::uint64_t>(message[i]) << (8 * (i - whole));
    }
    return weir_siphash_end(&state, last);
  }

 private:
  weir_siphash start_{};
};

}  // namespace weir::stack
