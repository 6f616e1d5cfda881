// SPDX-License-Identifier: MIT
// RSTs for segments that belong to no connection (RFC 9293 3.10.7.1), waiting to leave: a bounded ring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/stack/flow_key.h"
#include "weir/tcp/segment.h"

namespace weir::stack {

struct Reply {
  FlowKey flow;
  MacAddress mac;  // whence the segment came
  wire::TcpFlags flags;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
};

// The answer to a segment that no connection has. `segment` carries no RST: a RST is never answered.
inline Reply reset_for(const FlowKey& flow, const MacAddress& mac, const tcp::Segment& segment) {
  if (segment.flags.ack()) return {flow, mac, wire::kRst, segment.ack.raw(), 0};
  return {flow, mac, wire::kRst | wire::kAck, 0, (segment.seq + segment.len()).raw()};
}

class ReplyQueue {
 public:
  explicit ReplyQueue(std::size_t limit) : ring_(limit) {}

  bool empty() const { return count_ == 0; }
  // False where it is full.
  bool push(const Reply& reply) {
    if (count_ == ring_.size()) return false;
    ring_[(first_ + count_++) % ring_.size()] = reply;
    return true;
  }
  // It is not empty.
  Reply pop() {
    Reply reply = ring_[first_];
    first_ = (first_ + 1) % ring_.size();
    --count_;
    return reply;
  }

 private:
  std::vector<Reply> ring_;
  std::size_t first_ = 0;
  std::size_t count_ = 0;
};

}  // namespace weir::stack
