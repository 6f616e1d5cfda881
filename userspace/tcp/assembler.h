// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "weir/tcp/seq_num.h"
#include "weir/tcp/strays.h"

namespace weir::tcp {

// Which text has come out of order: sorted intervals that neither touch nor overlap. The text lies in the receive ring
// already, all but the strays. All numbers are within a window of each other. No memory until the first segment comes
// out of order; then one block.
class Assembler {
 public:
  struct Interval {
    SeqNum begin;
    SeqNum end;
    friend bool operator==(const Interval&, const Interval&) = default;
  };
  // A window of 256 KiB in which every third segment is missing has some sixty, one of 4 MiB with a loss of 8 % some
  // two hundred and thirty. A sender that makes more loses the newest text to LOST_OOO_LIMIT, and sends it again.
  static constexpr std::size_t kMost = 256;
  struct Slots {
    std::array<Interval, kMost> intervals;
    std::array<SeqNum, 4> recent;  // where the latest arrivals begin, the newest first
    std::size_t recent_count = 0;
    Strays strays;  // within the intervals
  };

  bool empty() const { return count_ == 0; }
  std::span<const Interval> intervals() const { return {slots_ ? slots_->intervals.data() : nullptr, count_}; }
  std::size_t bytes() const;
  // Null until something has come out of order.
  Strays* strays() { return slots_ ? &slots_->strays : nullptr; }

  enum class Outcome : std::uint8_t { added, duplicate, full, no_memory };
  // [begin, end), not empty. `duplicate`: all of it was there. `full`, `no_memory`: nothing has changed.
  Outcome add(SeqNum begin, SeqNum end);
  // As many intervals as fit, those first to which the latest arrivals went (RFC 2018 4). Returns how many.
  std::size_t newest(std::span<Interval> to) const;
  // The interval around `seq`, or nothing.
  const Interval* around(SeqNum seq) const;
  // Where the text in order would end if it reached `nxt`: at the end of the interval that then joins it, or there.
  SeqNum joined(SeqNum nxt) const;
  // The text up to `nxt` is in order: drops the intervals that it reaches, and returns joined().
  SeqNum take_in_order(SeqNum nxt);
  // Forgets all, and gives the memory back.
  void release() {
    slots_.reset();
    count_ = 0;
  }
  bool holds_memory() const { return slots_ != nullptr; }
  std::size_t memory() const { return slots_ ? sizeof(Slots) + slots_->strays.memory() : 0; }

 private:
  void note_arrival(SeqNum begin);
  void erase(std::size_t first, std::size_t last);

  std::unique_ptr<Slots> slots_;
  std::size_t count_ = 0;
};

}  // namespace weir::tcp
