// SPDX-License-Identifier: MIT
// Segments of no connection, waiting to leave: RSTs for what belongs to none (RFC 9293 3.10.7.1), SYN-ACKs with a
// cookie. A bounded ring.
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
  MacAddress mac;          // whence the segment came
  wire::TcpHeader header;  // ports are left 0
};

// The answer to a segment that no connection has. `segment` carries no RST: a RST is never answered.
inline Reply reset_for(const FlowKey& flow, const MacAddress& mac, const tcp::Segment& segment) {
  wire::TcpHeader header;
  header.flags = wire::kRst;
  if (segment.flags.ack()) {
    header.seq = segment.ack.raw();
  } else {
    header.flags |= wire::kAck;
    header.ack = (segment.seq + segment.len()).raw();
  }
  return {flow, mac, header};
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
