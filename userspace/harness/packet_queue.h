// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/base/time.h"

namespace weir::harness {

// A bare IP packet, version 4 or 6, and the instant at which it is there: leaves its sender, or reaches its receiver.
struct Packet {
  Instant at;
  std::vector<std::byte> bytes;
};

// Packets on their way, the earliest in front; of one instant, in the order of push(). Holds copies. Not bounded: who
// fills it empties it. Not thread-safe.
class PacketQueue {
 public:
  void push(Instant at, ConstBytes packet) { push({at, {packet.begin(), packet.end()}}); }
  void push(Packet packet);
  // The packet in front, whatever its instant; nothing where the queue is empty.
  std::optional<Packet> pop();
  // The same, but only where it is there by `now`.
  std::optional<Packet> pop(Instant now);
  // Of the packet in front; Instant::never() where there is none.
  Instant next() const;

  bool empty() const { return packets_.empty(); }
  std::size_t size() const { return packets_.size(); }
  void clear() { packets_.clear(); }

 private:
  std::multimap<Instant, std::vector<std::byte>> packets_;
};

}  // namespace weir::harness
