// SPDX-License-Identifier: MIT
// The engine's marks in the steering entries: where it listens, how many flows it has, and when the kernel no longer
// has any. (common/abi.h, struct weir_steer: who writes which field.)
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "weir/base/time.h"
#include "weir/runtime/sock_diag.h"
#include "weir/stack/stack.h"
#include "weir/xdp/maps.h"

namespace weir::runtime {

class Steering {
 public:
  // `queues` are ours, as bits of weir_steer.listeners. `maps` must outlive this.
  Steering(const xdp::Maps& maps, std::uint64_t queues) : maps_(maps), queues_(queues) {}

  // What a dead predecessor left on these queues.
  void clear_marks();

  struct Scan {
    bool drained = false;  // an entry that drains, or reserved one that is not ours, has no flow left: it may be reaped
    bool listening = false;  // at least one entry carries our mark
  };
  // Compares every entry with what is so. `ports`: those on which the stack accepts, and may. Connections of a port
  // whose entry was taken away are reset.
  Scan scan(const std::set<std::uint16_t>& ports, stack::Stack& stack, Instant now);

  // Stores the numbers of flows that changed since the last call or scan.
  void update_flows(const stack::Stack& stack);

  // Where SYNs have fallen to the kernel: asks whether it still has connections there, and says so to XDP where not. To
  // be called once a second: a count is judged once it has stood still from one call to the next, for XDP counts a SYN
  // before the kernel has made its connection of it.
  void clear_kernel(SockDiag& diag);
  // That port has just been reserved by a socket of ours: the kernel has no connection on it.
  void clear_kernel(std::uint32_t index);

 private:
  struct Entry {
    std::uint32_t index = 0;
    std::uint16_t port = 0;
  };
  std::span<weir_steer, WEIR_MAX_STEER> entries() const { return maps_.steer(); }

  const xdp::Maps& maps_;
  std::uint64_t queues_;
  std::vector<Entry> tcp_;                             // those of TCP at the last scan
  std::array<std::uint16_t, WEIR_MAX_STEER> ports_{};  // of each entry at the last scan; 0: none
  std::map<std::uint32_t, std::uint32_t> counts_;      // of SYNs at the last clear_kernel(), by entry, where unequal
};

}  // namespace weir::runtime
