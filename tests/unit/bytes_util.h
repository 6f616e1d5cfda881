// SPDX-License-Identifier: MIT
// What tests of byte formats share.
#pragma once

#include <cctype>
#include <cstdint>
#include <ostream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"

namespace weir {

// So that GoogleTest prints addresses as people read them.
inline void PrintTo(const IpAddress& a, std::ostream* os) { *os << a.to_string(); }
inline void PrintTo(const MacAddress& a, std::ostream* os) { *os << a.to_string(); }

}  // namespace weir

namespace weir::test {

using Buffer = std::vector<std::byte>;

// "45 00 00 1c": hex digits, spaces ignored.
inline Buffer hex(std::string_view text) {
  Buffer out;
  int high = -1;
  for (char c : text) {
    if (c == ' ') continue;
    int lower = std::tolower(static_cast<unsigned char>(c));
    int digit = lower >= 'a' ? lower - 'a' + 10 : lower - '0';
    if (high < 0) {
      high = digit;
    } else {
      out.push_back(static_cast<std::byte>(high * 16 + digit));
      high = -1;
    }
  }
  return out;
}

inline std::string to_hex(ConstBytes bytes) {
  std::string out;
  for (std::byte b : bytes) {
    if (!out.empty()) out += ' ';
    out += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    out += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return out;
}

inline Buffer text(std::string_view s) {
  Buffer out;
  for (char c : s) out.push_back(static_cast<std::byte>(c));
  return out;
}

inline Buffer random_bytes(std::mt19937& rng, std::size_t n) {
  Buffer out(n);
  for (std::byte& b : out) b = static_cast<std::byte>(rng() & 0xff);
  return out;
}

inline Buffer concat(ConstBytes a, ConstBytes b) {
  Buffer out(a.begin(), a.end());
  out.insert(out.end(), b.begin(), b.end());
  return out;
}

inline IpAddress ip(std::string_view s) { return IpAddress::parse(s).value(); }

// The first `n` bytes in memory of their own, so that AddressSanitizer sees a read past them.
inline Buffer cut(ConstBytes bytes, std::size_t n) {
  return Buffer(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n));
}

}  // namespace weir::test
