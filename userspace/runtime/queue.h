// SPDX-License-Identifier: MIT
// One receive queue: its AF_XDP socket, between the rings and the stack.
#pragma once

#include <array>
#include <cstdint>

#include "weir/base/time.h"
#include "weir/runtime/taps.h"
#include "weir/stack/stack.h"
#include "weir/xdp/socket.h"

namespace weir::runtime {

class Queue {
 public:
  explicit Queue(xdp::Socket socket) : socket_(std::move(socket)) {}

  // Maps the rings, takes the queue and fills the fill ring. One attempt; code EBUSY where another socket has it.
  xdp::Outcome<void> open(xdp::BindMode mode);

  xdp::Socket& socket() { return socket_; }
  const xdp::Socket& socket() const { return socket_; }

  enum class Amount : std::uint8_t {
    budget,  // what one turn takes, so that the user and the other queues get theirs
    all,     // everything that is in the ring now
  };
  // Hands frames to the stack and their chunks back to the kernel. Returns how many.
  std::size_t receive(stack::Stack& stack, Amount amount, bool discard_syn, Instant now);

  struct Sent {
    std::size_t frames = 0;
    bool stalled = false;  // there is more, and no room for it: come again in a moment
    bool more = false;     // there is more, and a turn's share has been sent: come again at once
    bool gone = false;     // the interface no longer exists
  };
  // Sends what the stack has due, while there is room; with a copy to whoever listens at `taps`.
  Sent send(stack::Stack& stack, Taps& taps, Instant now);

  // Adds to the counters what XDP_STATISTICS has counted since the last call.
  void fold_statistics(weir_engine_counters& counters);

 private:
  static constexpr std::size_t kBatch = 64;
  static constexpr std::size_t kBudget = 4 * kBatch;
  static constexpr std::size_t kSendBatch = 32;    // what a copy-mode kick sends
  static constexpr std::size_t kSendBudget = 512;  // about a millisecond's work

  std::size_t receive_batch(stack::Stack& stack, bool discard_syn, Instant now);

  xdp::Socket socket_;
  xdp::SocketStatistics folded_;
  bool kick_again_ = false;
  std::array<xdp::RxFrame, kBatch> batch_;
};

}  // namespace weir::runtime
