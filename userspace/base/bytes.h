// SPDX-License-Identifier: MIT
// Big-endian loads and stores on unaligned bytes. Bounds are the caller's: views check once, when they parse.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace weir {

using Bytes = std::span<std::byte>;
using ConstBytes = std::span<const std::byte>;

namespace detail {
constexpr std::uint8_t swap_if_little(std::uint8_t v) { return v; }
constexpr std::uint16_t swap_if_little(std::uint16_t v) {
  return std::endian::native == std::endian::little ? __builtin_bswap16(v) : v;
}
constexpr std::uint32_t swap_if_little(std::uint32_t v) {
  return std::endian::native == std::endian::little ? __builtin_bswap32(v) : v;
}
constexpr std::uint64_t swap_if_little(std::uint64_t v) {
  return std::endian::native == std::endian::little ? __builtin_bswap64(v) : v;
}
}  // namespace detail

template <class T>
T load_be(const std::byte* from) {
  T v;
  std::memcpy(&v, from, sizeof v);
  return detail::swap_if_little(v);
}

template <class T>
void store_be(std::byte* to, T v) {
  v = detail::swap_if_little(v);
  std::memcpy(to, &v, sizeof v);
}

constexpr std::uint16_t to_be16(std::uint16_t v) { return detail::swap_if_little(v); }
constexpr std::uint16_t from_be16(std::uint16_t v) { return detail::swap_if_little(v); }

template <class T>
ConstBytes as_const_bytes(const T& text) {
  return std::as_bytes(std::span(text));
}

}  // namespace weir
