// SPDX-License-Identifier: MIT
// The engine's marks in the steering entries: where it listens, how many flows it has, and when the kernel no longer
// has any. (common/abi.h, struct weir_steer: who writes which field.)
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "weir/base/time.h"
#include "weir/control/steer_selector.h"
#include "weir/runtime/sock_diag.h"
#include "weir/stack/stack.h"
#include "weir/xdp/maps.h"

namespace weir::runtime {

class Steering {
 public:
  // `queues` are ours, as bits of weir_steer.listeners; `app` is the engine's name. `maps` must outlive this.
  Steering(const xdp::Maps& maps, std::uint64_t queues, std::string app)
      : maps_(maps), queues_(queues), app_(std::move(app)) {}

  // What a dead predecessor left on these queues.
  void clear_marks();

  struct Scan {
    bool drained = false;  // an entry that drains, or reserved one that is not ours, has no flow left: it may be reaped
    bool listening = false;  // at least one entry carries our mark
  };
  // Whether the stack accepts, and may, on the port of an entry that has one and no more.
  using Accepts = std::function<bool(const control::Selector&)>;
  // Compares every entry with what is so. `ports`: those on which the stack accepts on whatever address. Connections
  // whose entry was taken away are reset.
  Scan scan(const std::set<std::uint16_t>& ports, const Accepts& accepts, stack::Stack& stack, Instant now);

  // Stores the numbers of flows that changed since the last call or scan.
  void update_flows(const stack::Stack& stack);

  // Where SYNs have fallen to the kernel: asks whether it still has connections there, and says so to XDP where not. To
  // be called once a second: a count is judged once it has stood still from one call to the next, for XDP counts a SYN
  // before the kernel has made its connection of it.
  void clear_kernel(SockDiag& diag);
  // That port has just been reserved by a socket of ours: the kernel has no connection on it.
  void clear_kernel(std::uint32_t index);

 private:
  // An entry as it was at the last scan.
  struct Entry {
    std::uint32_t index = 0;
    control::Selector selector;
    bool draining = false;
    // The stack counts the flows of a port by itself. Those of an entry that shares its port with others, or is for
    // some of its flows, are a class of their own.
    std::uint16_t flow_class = kWholePort;
    friend bool operator==(const Entry&, const Entry&) = default;
  };
  static constexpr std::uint16_t kWholePort = WEIR_MAX_STEER;

  std::span<weir_steer, WEIR_MAX_STEER> entries() const { return maps_.steer(); }
  std::vector<Entry> read_entries() const;
  // In the order in which XDP asks them.
  static void divide_into_classes(std::vector<Entry>& found);
  std::uint16_t classify(const Endpoint& local, const Endpoint& remote) const;
  std::uint32_t flows_of(const Entry& e, const stack::Stack& stack) const;
  bool mark(const Entry& e, const std::set<std::uint16_t>& ports, const Accepts& accepts);
  void mark_ports(const std::set<std::uint16_t>& ports);
  // Those that are no longer there, with all that was theirs.
  void reset_flows(const std::vector<Entry>& gone, stack::Stack& stack, Instant now);

  const xdp::Maps& maps_;
  std::uint64_t queues_;
  std::string app_;
  std::vector<Entry> tcp_;                         // those of TCP at the last scan, by index
  std::vector<Entry> classes_;                     // those of them that are classes, in the order of XDP
  std::vector<bool> whole_ports_;                  // ports of one entry, which has all of their flows
  std::map<std::uint32_t, std::uint32_t> counts_;  // of SYNs at the last clear_kernel(), by entry, where unequal
};

}  // namespace weir::runtime
