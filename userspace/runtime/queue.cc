// SPDX-License-Identifier: MIT
#include "weir/runtime/queue.h"

#include <algorithm>

namespace weir::runtime {

xdp::Outcome<void> Queue::open(xdp::BindMode mode) {
  if (auto mapped = socket_.map_rings(); !mapped) return mapped;
  if (auto bound = socket_.try_bind(mode); !bound) return bound;
  socket_.refill();
  return {};
}

std::size_t Queue::receive(stack::Stack& stack, Amount amount, bool discard_syn, Instant now) {
  std::size_t total = 0;
  // What can have been queued while we were away is at most a full ring, and what still comes is new.
  const std::size_t most = amount == Amount::budget ? kBudget : xdp::RingSizes{}.rx;
  while (total < most) {
    std::size_t n = receive_batch(stack, discard_syn, now);
    total += n;
    if (n < kBatch) break;
  }
  // A caller that spins does not pass by epoll, which would do it.
  if (socket_.rx_needs_wakeup()) socket_.wake_rx();
  return total;
}

std::size_t Queue::receive_batch(stack::Stack& stack, bool discard_syn, Instant now) {
  const std::size_t n = socket_.receive(batch_);
  for (std::size_t i = 0; i < n; ++i) {
    xdp::RxFrame& frame = batch_[i];
    stack::RxInfo info;
    if (frame.meta) info.flow_hash = frame.meta->flow_hash;
    info.discard_syn = discard_syn;
    stack.on_frame(frame.bytes, info, now);
    frame.frame.reset();
  }
  socket_.refill();
  return n;
}

Queue::Sent Queue::send(stack::Stack& stack, Taps& taps, Instant now) {
  Sent sent;
  if (!kick_again_ && !stack.wants_transmit(now)) return sent;
  socket_.complete();
  std::array<xdp::TxRequest, kSendBatch> requests;
  std::array<stack::TxFrame, kSendBatch> frames;
  while (stack.wants_transmit(now)) {
    if (sent.frames >= kSendBudget) {
      sent.more = true;
      break;
    }
    const std::size_t room = std::min<std::size_t>(kSendBatch, socket_.tx_room());
    std::size_t n = 0;
    for (; n < room; ++n) {
      requests[n].frame = socket_.umem().allocate();
      if (!requests[n].frame) break;
      frames[n] = {requests[n].frame.bytes(), 0};
    }
    if (n == 0) {
      sent.stalled = true;
      break;
    }
    const std::size_t filled = stack.poll_transmit(std::span(frames).first(n), now);
    if (taps.listening()) [[unlikely]]
      taps.copy(std::span(frames).first(filled));
    for (std::size_t i = 0; i < filled; ++i) requests[i].length = frames[i].length;
    socket_.transmit(std::span(requests).first(filled));
    for (std::size_t i = filled; i < n; ++i) requests[i].frame.reset();
    sent.frames += filled;
    if (filled < n) break;
  }
  if (sent.frames == 0 && !kick_again_ && !sent.stalled) return sent;
  switch (socket_.kick_tx()) {
    case xdp::KickResult::done:
      kick_again_ = false;
      break;
    case xdp::KickResult::again:
      kick_again_ = true;
      break;
    case xdp::KickResult::link_down:
      // They leave when the link is up again; TCP's timers see to the rest.
      kick_again_ = true;
      break;
    case xdp::KickResult::device_gone:
      sent.gone = true;
      break;
  }
  socket_.complete();
  sent.stalled = sent.stalled || kick_again_;
  return sent;
}

void Queue::fold_statistics(weir_engine_counters& counters) {
  const xdp::SocketStatistics s = socket_.statistics();
  auto add = [&](weir_reason reason, std::uint64_t now, std::uint64_t& before) {
    counters.by_reason[reason] += now - before;
    before = now;
  };
  add(WEIR_R_RING_RX_DROPPED, s.rx_dropped, folded_.rx_dropped);
  add(WEIR_R_RING_RX_FULL, s.rx_ring_full, folded_.rx_ring_full);
  add(WEIR_R_RING_RX_NO_FILL, s.rx_fill_ring_empty, folded_.rx_fill_ring_empty);
  add(WEIR_R_RING_TX_INVALID, s.tx_invalid, folded_.tx_invalid);
  add(WEIR_R_RING_TX_FAILED, s.tx_failed, folded_.tx_failed);
}

}  // namespace weir::runtime
