// SPDX-License-Identifier: MIT
#include "weir/stack/timing_wheel.h"

#include <algorithm>
#include <bit>
#include <cassert>

namespace weir::stack {

void TimingWheel::schedule(Timer& timer, Instant deadline) {
  if (deadline == Instant::never()) {
    cancel(timer);
    return;
  }
  auto ns = static_cast<std::uint64_t>(std::max<std::int64_t>(deadline.ns(), 0));
  // The last tick is that which Instant can still name.
  constexpr std::uint64_t kLast = (std::uint64_t{1} << (63 - kTickShift)) - 1;
  std::uint64_t tick = std::min((ns + (1u << kTickShift) - 1) >> kTickShift, kLast);
  tick = std::max(tick, tick_);
  if (timer.scheduled()) {
    // A connection's deadline is looked at after every segment and most often has not moved.
    if (timer.tick_ == tick) return;
    cancel(timer);
  }
  timer.tick_ = tick;
  place(timer);
}

void TimingWheel::cancel(Timer& timer) {
  if (!timer.scheduled()) return;
  timer.unlink();
  if (slots_[timer.level_][timer.slot_].timers.empty()) used_[timer.level_] &= ~(1ULL << timer.slot_);
}

void TimingWheel::place(Timer& timer) {
  // The wheel is that of the highest digit in which the timer's tick differs from the present one. So every timer on a
  // wheel lies ahead of the present slot of it, and shares all higher digits with the present.
  std::uint64_t differs = timer.tick_ ^ tick_;
  unsigned level = differs == 0 ? 0 : static_cast<unsigned>(std::bit_width(differs) - 1) / kSlotBits;
  auto slot = static_cast<unsigned>((timer.tick_ >> (level * kSlotBits)) & (kSlots - 1));
  timer.level_ = static_cast<std::uint8_t>(level);
  timer.slot_ = static_cast<std::uint8_t>(slot);
  Slot& s = slots_[level][slot];
  s.first_tick = s.timers.empty() ? timer.tick_ : std::min(s.first_tick, timer.tick_);
  s.timers.push_back(timer);
  used_[level] |= 1ULL << slot;
}

unsigned TimingWheel::lowest_level() const {
  unsigned level = 0;
  while (level < kLevels && used_[level] == 0) ++level;
  return level;
}

Timer* TimingWheel::pop_due(Instant now) {
  std::uint64_t target = static_cast<std::uint64_t>(std::max<std::int64_t>(now.ns(), 0)) >> kTickShift;
  for (;;) {
    unsigned level = lowest_level();
    if (level == kLevels) break;
    auto slot = static_cast<unsigned>(std::countr_zero(used_[level]));
    unsigned shift = level * kSlotBits;
    std::uint64_t above = (tick_ >> (shift + kSlotBits)) << (shift + kSlotBits);
    std::uint64_t start = above | (std::uint64_t{slot} << shift);
    if (start > target) break;
    Slot& s = slots_[level][slot];
    if (level == 0) {
      tick_ = start;
      Timer* timer = s.timers.pop_front();
      assert(timer != nullptr);
      if (s.timers.empty()) used_[0] &= ~(1ULL << slot);
      return timer;
    }
    // The present enters this slot: what is in it goes to the wheels below.
    tick_ = start;
    used_[level] &= ~(1ULL << slot);
    while (Timer* timer = s.timers.pop_front()) place(*timer);
  }
  tick_ = std::max(tick_, target);
  return nullptr;
}

Instant TimingWheel::next_deadline() const {
  unsigned level = lowest_level();
  if (level == kLevels) return Instant::never();
  const Slot& s = slots_[level][static_cast<unsigned>(std::countr_zero(used_[level]))];
  return Instant::from_ns(static_cast<std::int64_t>(s.first_tick << kTickShift));
}

}  // namespace weir::stack
