// SPDX-License-Identifier: MIT
// Timers by the million (Varghese and Lauck, 1987): eight wheels of 64 slots, each slot of a wheel as wide as the whole
// wheel below it. Scheduling and cancelling are O(1); a timer moves down at most once a wheel on its way to its tick.
//
// A deadline is rounded up to the tick of 65.5 us: no timer runs early, and next_deadline() says when it will run.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "weir/base/time.h"
#include "weir/stack/link_list.h"

namespace weir::stack {

struct TimerTag {};

// Derive from it what has one deadline. Cancel it before it is destroyed: the wheel also keeps which slots are in use.
class Timer : public Link<TimerTag> {
 public:
  bool scheduled() const { return linked(); }

 private:
  friend class TimingWheel;
  std::uint64_t tick_ = 0;
  std::uint8_t level_ = 0;
  std::uint8_t slot_ = 0;
};

class TimingWheel {
 public:
  TimingWheel() = default;
  TimingWheel(const TimingWheel&) = delete;
  TimingWheel& operator=(const TimingWheel&) = delete;

  // Replaces an earlier deadline of the same timer; Instant::never() cancels.
  void schedule(Timer& timer, Instant deadline);
  void cancel(Timer& timer);

  // A timer that is due, no longer scheduled, or null. Those of one tick come in no particular order. Call until null;
  // `now` never runs backwards.
  Timer* pop_due(Instant now);

  // When pop_due() has something to return, or earlier; Instant::never() where nothing is scheduled. It is early only
  // where the first timer of a wide slot has been cancelled.
  Instant next_deadline() const;

 private:
  static constexpr unsigned kTickShift = 16;
  static constexpr unsigned kSlotBits = 6;
  static constexpr unsigned kSlots = 1u << kSlotBits;
  static constexpr unsigned kLevels = 8;  // 48 bits of ticks: every Instant

  struct Slot {
    LinkList<Timer, TimerTag> timers;
    std::uint64_t first_tick = 0;  // not after that of any timer in it
  };

  void place(Timer& timer);
  // The lowest wheel in use; kLevels where none is.
  unsigned lowest_level() const;

  std::uint64_t tick_ = 0;  // all before it has been popped
  std::array<std::uint64_t, kLevels> used_{};
  std::array<std::array<Slot, kSlots>, kLevels> slots_;
};

}  // namespace weir::stack
