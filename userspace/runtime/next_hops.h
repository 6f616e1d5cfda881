// SPDX-License-Identifier: MIT
// Answers the stack's next-hop queries from the kernel's routes and neighbours, and keeps the answers true.
//
// The stack caches by destination; this remembers which destinations go by which neighbour, so that a neighbour's
// notice reaches them. When that memory is full, it is dropped and the stack asks again.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "weir/base/time.h"
#include "weir/runtime/neighbours.h"
#include "weir/runtime/routes.h"
#include "weir/stack/stack.h"

namespace weir::runtime {

class NextHops {
 public:
  // `requests` must outlive this.
  explicit NextHops(control::NetlinkSocket& requests) : requests_(requests) {}

  struct Interface {
    std::uint32_t ifindex = 0;
    std::uint32_t vrf = 0;  // interface index of its VRF; 0: none
    std::uint16_t mtu = 0;  // of the link
  };
  void set_interface(const Interface& interface) { interface_ = interface; }

  // Polls queries until there is none.
  void serve(stack::Stack& stack, Instant now);
  void on_neighbour(const Neighbour& neighbour, stack::Stack& stack, Instant now);
  // Routes, rules, addresses or the link changed, or notices were lost.
  void flush(stack::Stack& stack, Instant now);
  // Now and then: neighbours that went stale are confirmed where the stack still uses them.
  void on_tick(stack::Stack& stack, Instant now);

  // The route to `destination` if it leaves by our interface for somebody else; nothing otherwise.
  std::optional<Route> route_by_us(const IpAddress& source, const IpAddress& destination);

 private:
  struct Destination {
    IpAddress source;
    IpAddress address;
    std::uint16_t mtu = 0;
  };
  struct Known {
    Neighbour::State state = Neighbour::State::absent;
    MacAddress mac;
    std::vector<Destination> destinations;
  };

  void answer(const stack::NextHopQuery& query, stack::Stack& stack, Instant now);
  void forget(stack::Stack& stack);
  void remember(Known& known, const Destination& destination);

  static constexpr std::size_t kMaxDestinations = 16'384;
  static constexpr Duration kStaleInterval = Duration::seconds(5);

  control::NetlinkSocket& requests_;
  Interface interface_;
  std::map<IpAddress, Known> neighbours_;
  std::size_t destinations_ = 0;
  bool stale_seen_ = false;
  Instant stale_check_;
};

}  // namespace weir::runtime
