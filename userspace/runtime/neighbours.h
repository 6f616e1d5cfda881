// SPDX-License-Identifier: MIT
// The kernel's neighbour table (ARP and ND stay with the kernel): looking up, asking it to resolve, reading its
// notices.
#pragma once

#include <cstdint>
#include <optional>

#include "weir/base/ip_address.h"
#include "weir/control/netlink.h"

namespace weir::runtime {

struct Neighbour {
  enum class State : std::uint8_t {
    usable,     // has a MAC: reachable, permanent, or being confirmed
    stale,      // has one that nobody has confirmed of late
    resolving,  // asked for
    failed,     // asked for, and nobody answered
    absent,     // not in the table
  };
  IpAddress address;
  MacAddress mac;  // of usable and stale ones
  State state = State::absent;
};

// From RTM_NEWNEIGH or RTM_DELNEIGH of that interface; nothing for any other.
std::optional<Neighbour> parse_neighbour(const control::NetlinkMessage& message, std::uint32_t ifindex);

Neighbour find_neighbour(control::NetlinkSocket& requests, std::uint32_t ifindex, const IpAddress& address);

// Makes the kernel resolve, or confirm, that neighbour: by NTF_USE, or, without CAP_NET_ADMIN, by one empty datagram to
// its discard port. A notice follows. Errors are errno values, 0 for success.
int use_neighbour(control::NetlinkSocket& requests, std::uint32_t ifindex, const IpAddress& address);

}  // namespace weir::runtime
