// SPDX-License-Identifier: MIT
// What the kernel's routing says of a destination: RTM_GETROUTE, so policy rules, VRFs and multipath choices included.
#pragma once

#include <cstdint>

#include "weir/base/ip_address.h"
#include "weir/base/result.h"
#include "weir/control/netlink.h"

namespace weir::runtime {

struct RouteQuery {
  IpAddress source;  // unspecified: the kernel's choice
  IpAddress destination;
  std::uint32_t oif = 0;  // a VRF's, or the interface of a link-local destination; 0: any
};

struct Route {
  bool unicast = false;  // by a link to somebody else: neither to this host itself, nor refused
  std::uint32_t oif = 0;
  IpAddress next_hop;     // the gateway, of either family (RFC 8950), or the destination where it is on the link
  IpAddress source;       // unspecified where the kernel names none
  std::uint32_t mtu = 0;  // the route's own; 0: the link's
};

// Errors are errno values: ENETUNREACH, EHOSTUNREACH, EACCES (prohibited), EINVAL (a source that is not ours).
Result<Route, int> find_route(control::NetlinkSocket& requests, const RouteQuery& query);

}  // namespace weir::runtime
