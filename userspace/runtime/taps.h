// SPDX-License-Identifier: MIT
// Copies of the frames that the engine sends, for who asks (control/engine_tap.h). Nothing here waits; memory is
// bounded; while nobody asks, a frame pays for one branch.
#pragma once

#include <cstdint>
#include <list>
#include <span>
#include <string>

#include "weir/stack/stack.h"
#include "weir/xdp/fd.h"

namespace weir::runtime {

class Taps {
 public:
  Taps() = default;
  Taps(const Taps&) = delete;
  Taps& operator=(const Taps&) = delete;
  ~Taps() { end(); }

  bool listening() const { return !taps_.empty(); }
  // Copies go to `socket`, a stream, until its other end is shut down. False where there are as many as can be: then
  // the socket stays the caller's.
  bool add(xdp::Fd& socket, std::uint32_t snaplen);
  void copy(std::span<const stack::TxFrame> frames);
  // Writes what had no room, and lets those go that want no more. Call it every turn.
  void look();
  // Says to all that there is no more.
  void end();
  // In a fork's child: closes, and says nothing.
  void abandon() { taps_.clear(); }

 private:
  struct Tap {
    xdp::Fd socket;
    std::uint32_t snaplen = 0;
    std::string out;  // not written yet; whole records, but for the beginning of the first
    std::uint64_t lost = 0;
    bool ending = false;  // it has enough, and gets what is left
  };
  static void append(Tap& tap, const stack::TxFrame& frame, std::uint64_t time_ns);
  static void append_end(Tap& tap);
  // False where the other end is gone.
  static bool flush(Tap& tap);
  static bool wants_more(Tap& tap);

  static constexpr std::size_t kMostTaps = 4;
  static constexpr std::size_t kMostPending = std::size_t{256} << 10;
  std::list<Tap> taps_;
};

}  // namespace weir::runtime
