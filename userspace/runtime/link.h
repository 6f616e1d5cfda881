// SPDX-License-Identifier: MIT
// The interface as rtnetlink describes it: what of it can change under a running engine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/control/netlink.h"

namespace weir::runtime {

struct Link {
  std::uint32_t ifindex = 0;
  std::string name;
  MacAddress mac;
  std::uint32_t mtu = 0;
  bool up = false;
  bool xdp = false;       // an XDP program is attached, ours or another
  std::uint32_t vrf = 0;  // interface index of the VRF it belongs to; 0: none
};

// From an RTM_NEWLINK message; nothing where it is too short.
std::optional<Link> parse_link(const control::NetlinkMessage& message);

// Nothing where the interface does not exist.
std::optional<Link> read_link(control::NetlinkSocket& requests, std::uint32_t ifindex);

// The addresses that frames may be addressed to: IPv6 ones only once duplicate address detection has passed them (RFC
// 4862 5.4: a tentative address is not assigned).
std::vector<IpAddress> read_addresses(control::NetlinkSocket& requests, std::uint32_t ifindex);

}  // namespace weir::runtime
