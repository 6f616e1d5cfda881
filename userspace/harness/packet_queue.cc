// SPDX-License-Identifier: MIT
#include "weir/harness/packet_queue.h"

namespace weir::harness {

void PacketQueue::push(Packet packet) {
  // Most often the last one; and among equals multimap keeps the order of insertion.
  packets_.emplace_hint(packets_.end(), packet.at, std::move(packet.bytes));
}

std::optional<Packet> PacketQueue::pop() {
  if (packets_.empty()) return std::nullopt;
  auto node = packets_.extract(packets_.begin());
  return Packet{node.key(), std::move(node.mapped())};
}

std::optional<Packet> PacketQueue::pop(Instant now) { return next() <= now ? pop() : std::nullopt; }

Instant PacketQueue::next() const { return packets_.empty() ? Instant::never() : packets_.begin()->first; }

}  // namespace weir::harness
