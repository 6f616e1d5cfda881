// SPDX-License-Identifier: MIT
// Randomness, handed to the core that has none of its own.
#pragma once

#include <sys/random.h>

#include <cstdint>
#include <type_traits>

namespace weir::runtime {

// From getrandom(2), which gives requests of up to 256 bytes whole and does not fail once the system has booted.
template <class T>
T random_value() {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 256);
  T value{};
  while (::getrandom(&value, sizeof value, 0) != static_cast<ssize_t>(sizeof value)) {}
  return value;
}

}  // namespace weir::runtime
