// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/time.h"

namespace weir::tcp {

// Why a connection wants to be woken. In the order in which deadlines of one instant are served.
enum class TimerKind : std::uint8_t {
  retransmit,       // RFC 6298: something sent is not acknowledged, or something may be sent and has not been
  pace,             // text may leave that the pacing rate held back
  persist,          // RFC 9293 3.8.6.1: something is to be sent and the window does not let it
  delayed_ack,      // RFC 9293 3.8.6.3
  wait,             // RFC 9293 3.6.1's 2 MSL of TIME-WAIT; in FIN-WAIT-2, a peer that keeps half open what nobody reads
  keepalive,        // RFC 1122 4.2.3.6: the peer has been silent
  user_timeout,     // RFC 9293 3.10.8: what is outstanding has been so for too long
  release_buffers,  // an idle connection gives its memory back
};
inline constexpr std::size_t kTimerKinds = 8;

// A connection's deadlines, at most one of a kind. This is data: next() and take_expired() read the same fields.
class Timers {
 public:
  Timers() { at_.fill(Instant::never()); }

  void arm(TimerKind kind, Instant at) { slot(kind) = at; }
  void clear(TimerKind kind) { slot(kind) = Instant::never(); }
  void clear_all() { at_.fill(Instant::never()); }
  Instant at(TimerKind kind) const { return at_[static_cast<std::size_t>(kind)]; }
  bool armed(TimerKind kind) const { return at(kind) != Instant::never(); }

  Instant next() const {
    Instant earliest = Instant::never();
    for (Instant at : at_)
      if (at < earliest) earliest = at;
    return earliest;
  }
  // A timer whose time has come, now disarmed; nothing when there is none left.
  std::optional<TimerKind> take_expired(Instant now) {
    for (std::size_t i = 0; i < kTimerKinds; ++i) {
      if (at_[i] > now || at_[i] == Instant::never()) continue;
      at_[i] = Instant::never();
      return static_cast<TimerKind>(i);
    }
    return std::nullopt;
  }

 private:
  Instant& slot(TimerKind kind) { return at_[static_cast<std::size_t>(kind)]; }
  std::array<Instant, kTimerKinds> at_;
};

}  // namespace weir::tcp
