// SPDX-License-Identifier: MIT
#include "weir/runtime/kernel_watch.h"

#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

namespace weir::runtime {

using control::NetlinkMessage;
using control::NetlinkSocket;

int KernelWatch::open(std::uint32_t ifindex) {
  ifindex_ = ifindex;
  constexpr unsigned groups[] = {RTNLGRP_LINK,      RTNLGRP_NEIGH,       RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV4_ROUTE,
                                 RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV6_ROUTE,  RTNLGRP_IPV6_RULE};
  return socket_.open(NETLINK_ROUTE, groups);
}

KernelChanges KernelWatch::drain() {
  KernelChanges changes;
  auto visit = [&](const NetlinkMessage& m) {
    switch (m.type) {
      case RTM_NEWLINK:
      case RTM_DELLINK:
        if (auto link = parse_link(m); link && link->ifindex == ifindex_) {
          // A bridge port that leaves its bridge is announced by a "deletion" of family AF_BRIDGE.
          auto head = m.fixed<ifinfomsg>();
          if (head->ifi_family != AF_UNSPEC) break;
          changes.gone = m.type == RTM_DELLINK;
          changes.link = std::move(link);
          changes.routes = true;
        }
        break;
      case RTM_NEWADDR:
      case RTM_DELADDR:
        if (auto head = m.fixed<ifaddrmsg>(); head && head->ifa_index == ifindex_) changes.addresses = true;
        changes.routes = true;
        break;
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
      case RTM_NEWRULE:
      case RTM_DELRULE:
        changes.routes = true;
        break;
      case RTM_NEWNEIGH:
      case RTM_DELNEIGH:
        if (auto n = parse_neighbour(m, ifindex_)) changes.neighbours.push_back(*n);
        break;
      default:
        break;
    }
  };
  changes.overrun = socket_.drain(visit) == NetlinkSocket::Drained::overrun;
  return changes;
}

}  // namespace weir::runtime
