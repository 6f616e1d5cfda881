// SPDX-License-Identifier: MIT
// The engine's listening ports: each in the kernel always, and in the stack while there is one.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <vector>

#include "weir/runtime/engine.h"
#include "weir/runtime/shadow_listener.h"
#include "weir/stack/stack.h"

namespace weir::runtime {

struct Listener {
  ShadowListener kernel;
  std::uint32_t backlog = 0;
  std::uint32_t fast_open = 0;
  // One for "any address, both families"; else one for each of the interface's addresses that it covers. Empty while
  // there is no stack, or where its address is not the interface's (127.0.0.1, another link's).
  std::vector<stack::ListenerId> in_stack;
};

class Listeners {
 public:
  xdp::Outcome<HybridListenerId> open(const Endpoint& local, const ListenOptions& options);
  // The stack may be null.
  void close(HybridListenerId id, stack::Stack* stack, Instant now);
  // The stack may be null. Errors are the kernel's.
  xdp::Outcome<void> set_fast_open(HybridListenerId id, int queue, stack::Stack* stack);
  const Listener* find(HybridListenerId id) const;
  std::optional<HybridListenerId> find(stack::ListenerId id) const;
  std::optional<stack::ConnectionId> accept(HybridListenerId id, stack::Stack& stack);

  // Makes the stack listen as the interface's addresses now are.
  void listen_in(stack::Stack& stack, const std::vector<IpAddress>& addresses, Instant now);
  // The stack is gone.
  void forget_stack();
  // On which the stack accepts.
  std::set<std::uint16_t> ports() const;
  // Those of them that leave out an address of the interface: somebody else may listen on the port there.
  std::set<std::uint16_t> partial_ports(const std::vector<IpAddress>& addresses) const;
  // Whether the stack accepts on each of these addresses.
  bool covers(std::uint16_t port, const std::vector<IpAddress>& addresses) const;
  // Of the kernel's sockets.
  std::set<std::uint64_t> inodes() const;

  const std::map<std::uint32_t, Listener>& all() const { return listeners_; }
  // In a fork's child.
  void abandon();

 private:
  static std::vector<Endpoint> wanted(const Listener& listener, const std::vector<IpAddress>& addresses);

  std::map<std::uint32_t, Listener> listeners_;
  std::map<std::uint32_t, std::vector<Endpoint>> listening_;  // what in_stack covers, in its order
  std::uint32_t next_ = 1;
};

}  // namespace weir::runtime
