// SPDX-License-Identifier: MIT
#include "weir/runtime/next_hops.h"

#include <algorithm>
#include <cerrno>

namespace weir::runtime {

std::optional<Route> NextHops::route_by_us(const IpAddress& source, const IpAddress& destination) {
  RouteQuery query{source, destination, interface_.vrf};
  if (destination.is_v6() && destination.is_link_local()) query.oif = interface_.ifindex;
  auto route = find_route(requests_, query);
  if (!route || !route->unicast || route->oif != interface_.ifindex) return std::nullopt;
  return *route;
}

void NextHops::serve(stack::Stack& stack, Instant now) {
  while (auto query = stack.poll_next_hop_query()) answer(*query, stack, now);
}

void NextHops::answer(const stack::NextHopQuery& query, stack::Stack& stack, Instant now) {
  auto route = route_by_us(query.source, query.destination);
  if (!route) {
    stack.on_no_next_hop(query.destination, tcp::Errc::network_unreachable, now);
    return;
  }
  std::uint16_t mtu = interface_.mtu;
  if (route->mtu != 0 && route->mtu < mtu) mtu = static_cast<std::uint16_t>(route->mtu);
  if (destinations_ >= kMaxDestinations) forget(stack);

  Known& known = neighbours_[route->next_hop];
  remember(known, {query.source, query.destination, mtu});
  Neighbour n = find_neighbour(requests_, interface_.ifindex, route->next_hop);
  known.state = n.state;
  if (n.state == Neighbour::State::usable || n.state == Neighbour::State::stale) {
    known.mac = n.mac;
    stack.on_next_hop(query.destination, {n.mac, mtu}, now);
    if (n.state == Neighbour::State::usable) return;
  }
  // A stale one is used at once, and confirmed as the kernel's own traffic would confirm it (RFC 4861 7.3.2: DELAY).
  int error = use_neighbour(requests_, interface_.ifindex, route->next_hop);
  if (error != 0 && n.state != Neighbour::State::stale) {
    stack.on_no_next_hop(query.destination, tcp::Errc::host_unreachable, now);
  }
}

void NextHops::forget(stack::Stack& stack) {
  neighbours_.clear();
  destinations_ = 0;
  stack.flush_next_hops();
}

void NextHops::remember(Known& known, const Destination& destination) {
  auto at = std::find_if(known.destinations.begin(), known.destinations.end(),
                         [&](const Destination& d) { return d.address == destination.address; });
  if (at != known.destinations.end()) {
    *at = destination;
    return;
  }
  known.destinations.push_back(destination);
  ++destinations_;
}

void NextHops::on_neighbour(const Neighbour& neighbour, stack::Stack& stack, Instant now) {
  auto at = neighbours_.find(neighbour.address);
  if (at == neighbours_.end()) return;
  Known& known = at->second;
  const Neighbour::State before = known.state;
  known.state = neighbour.state;
  switch (neighbour.state) {
    case Neighbour::State::stale:
      stale_seen_ = true;
      [[fallthrough]];
    case Neighbour::State::usable: {
      const bool known_before = before == Neighbour::State::usable || before == Neighbour::State::stale;
      if (known_before && known.mac == neighbour.mac) return;
      known.mac = neighbour.mac;
      for (const Destination& d : known.destinations) stack.on_next_hop(d.address, {known.mac, d.mtu}, now);
      return;
    }
    case Neighbour::State::failed:
      for (const Destination& d : known.destinations) {
        stack.on_no_next_hop(d.address, tcp::Errc::host_unreachable, now);
      }
      [[fallthrough]];
    case Neighbour::State::absent:
      // The kernel forgot it: what still goes there is asked for again.
      destinations_ -= known.destinations.size();
      neighbours_.erase(at);
      if (neighbour.state == Neighbour::State::absent) stack.flush_next_hops();
      return;
    case Neighbour::State::resolving:
      return;
  }
}

void NextHops::flush(stack::Stack& stack, Instant now) {
  // The stack asks again for what it had an answer to; an unanswered question it has asked already.
  std::vector<stack::NextHopQuery> unanswered;
  for (const auto& [address, known] : neighbours_) {
    if (known.state == Neighbour::State::usable || known.state == Neighbour::State::stale) continue;
    for (const Destination& d : known.destinations) unanswered.push_back({d.source, d.address});
  }
  forget(stack);
  for (const stack::NextHopQuery& q : unanswered) answer(q, stack, now);
}

void NextHops::on_tick(stack::Stack& stack, Instant now) {
  if (!stale_seen_ || now < stale_check_ + kStaleInterval) return;
  stale_seen_ = false;
  stale_check_ = now;
  stack.flush_next_hops();
}

}  // namespace weir::runtime
