// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "weir/base/time.h"

namespace weir::tcp {

// How long a sender has had something to do, and what held it back for a part of that (RFC 4898's SndLimTime,
// tcp_info's busy, rwnd_limited and sndbuf_limited). In whole ticks of a millisecond, 49 days at most: a stay shorter
// than a tick counts for a whole one or for none, in proportion to its length, as the clock's ticks fall.
class BusyTime {
 public:
  enum class State : std::uint8_t {
    idle,            // nothing is outstanding: the application's turn
    busy,            // the path, or the congestion window
    receive_window,  // the peer's window does not let the next segment out
    send_buffer,     // all of a full send buffer is on its way
  };

  void enter(State state, Instant now) {
    if (state == state_) return;
    if (state_ != State::idle) spent_[index(state_)] += ticks(now) - since_;
    state_ = state;
    since_ = ticks(now);
  }

  struct Times {
    Duration busy;  // in all; the two others are parts of it
    Duration receive_window;
    Duration send_buffer;
  };
  Times times(Instant now) const {
    auto of = [&](State state) { return spent_[index(state)] + (state == state_ ? ticks(now) - since_ : 0); };
    const std::uint32_t window = of(State::receive_window);
    const std::uint32_t buffer = of(State::send_buffer);
    return {Duration::milliseconds(std::int64_t{of(State::busy)} + window + buffer), Duration::milliseconds(window),
            Duration::milliseconds(buffer)};
  }

 private:
  static std::size_t index(State state) { return static_cast<std::size_t>(state) - 1; }
  static std::uint32_t ticks(Instant now) { return static_cast<std::uint32_t>(now.ns() / 1'000'000); }

  std::array<std::uint32_t, 3> spent_{};  // ms, by State; nobody asks for that of `idle`
  std::uint32_t since_ = 0;               // a tick
  State state_ = State::idle;
};

}  // namespace weir::tcp
