// SPDX-License-Identifier: MIT
// Windows. What stands on the wire (wire::WireWindow) and what it means in bytes (WindowSize) are two types, and
// WindowScale is the only way from one to the other: RFC 7323 2.2's shift cannot be forgotten or applied twice.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>

#include "weir/wire/tcp.h"

namespace weir::tcp {

// Bytes of sequence space.
class WindowSize {
 public:
  constexpr WindowSize() = default;
  explicit constexpr WindowSize(std::uint32_t bytes) : bytes_(bytes) {}
  constexpr std::uint32_t bytes() const { return bytes_; }
  constexpr bool closed() const { return bytes_ == 0; }
  friend constexpr auto operator<=>(WindowSize, WindowSize) = default;

 private:
  std::uint32_t bytes_ = 0;
};

class WindowScale {
 public:
  // No scaling: what a SYN's window is read and written with, and every window of a connection without the option.
  constexpr WindowScale() = default;
  // RFC 7323 2.3: a shift over 14 counts as 14.
  explicit constexpr WindowScale(std::uint8_t shift) : shift_(std::min(shift, wire::kTcpMaxWindowScale)) {}
  // The least shift with which a window of `bytes` can be told.
  static constexpr WindowScale for_window(std::uint32_t bytes) {
    std::uint8_t shift = 0;
    while (shift < wire::kTcpMaxWindowScale && (bytes >> shift) > 0xffffu) ++shift;
    return WindowScale(shift);
  }

  constexpr std::uint8_t shift() const { return shift_; }
  constexpr WindowSize expand(wire::WireWindow w) const {
    return WindowSize(static_cast<std::uint32_t>(w.raw()) << shift_);
  }
  // Rounds down: what is not there is not offered. RFC 7323 2.4 covers the edge that seems to retract for it.
  constexpr wire::WireWindow compress(WindowSize w) const {
    return wire::WireWindow(static_cast<std::uint16_t>(std::min<std::uint32_t>(w.bytes() >> shift_, 0xffffu)));
  }
  friend constexpr bool operator==(WindowScale, WindowScale) = default;

 private:
  std::uint8_t shift_ = 0;
};

}  // namespace weir::tcp
