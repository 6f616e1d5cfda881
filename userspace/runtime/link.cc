// SPDX-License-Identifier: MIT
#include "weir/runtime/link.h"

#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>

#include <cerrno>

namespace weir::runtime {

using control::attribute_as;
using control::find_attribute;
using control::NetlinkMessage;
using control::NetlinkRequest;

namespace {

std::string text_of(ConstBytes value) {
  std::string s(reinterpret_cast<const char*>(value.data()), value.size());
  return s.substr(0, s.find('\0'));
}

std::optional<IpAddress> parse_address(const NetlinkMessage& message, std::uint32_t ifindex) {
  auto head = message.fixed<ifaddrmsg>();
  if (message.type != RTM_NEWADDR || !head || head->ifa_index != ifindex) return std::nullopt;
  ConstBytes attributes = message.attributes(sizeof(ifaddrmsg));
  std::uint32_t flags = attribute_as<std::uint32_t>(find_attribute(attributes, IFA_FLAGS)).value_or(head->ifa_flags);
  if ((flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) != 0 && (flags & IFA_F_OPTIMISTIC) == 0) return std::nullopt;
  // On a point-to-point link IFA_ADDRESS is the peer's.
  ConstBytes value = find_attribute(attributes, IFA_LOCAL);
  if (value.empty()) value = find_attribute(attributes, IFA_ADDRESS);
  if (head->ifa_family == AF_INET && value.size() == 4) return IpAddress::v4(value.data());
  if (head->ifa_family == AF_INET6 && value.size() == 16) return IpAddress::v6(value.data());
  return std::nullopt;
}

}  // namespace

std::optional<Link> parse_link(const NetlinkMessage& message) {
  auto head = message.fixed<ifinfomsg>();
  if (!head) return std::nullopt;
  ConstBytes attributes = message.attributes(sizeof(ifinfomsg));
  Link link;
  link.ifindex = static_cast<std::uint32_t>(head->ifi_index);
  link.up = (head->ifi_flags & IFF_UP) != 0;
  link.name = text_of(find_attribute(attributes, IFLA_IFNAME));
  ConstBytes mac = find_attribute(attributes, IFLA_ADDRESS);
  if (mac.size() == 6) link.mac = MacAddress::load(mac.data());
  link.mtu = attribute_as<std::uint32_t>(find_attribute(attributes, IFLA_MTU)).value_or(0);
  ConstBytes xdp = find_attribute(attributes, IFLA_XDP);
  link.xdp = attribute_as<std::uint8_t>(find_attribute(xdp, IFLA_XDP_ATTACHED)).value_or(XDP_ATTACHED_NONE) !=
             XDP_ATTACHED_NONE;
  ConstBytes info = find_attribute(attributes, IFLA_LINKINFO);
  if (text_of(find_attribute(info, IFLA_INFO_SLAVE_KIND)) == "vrf") {
    link.vrf = attribute_as<std::uint32_t>(find_attribute(attributes, IFLA_MASTER)).value_or(0);
  }
  return link;
}

std::optional<Link> read_link(control::NetlinkSocket& requests, std::uint32_t ifindex) {
  ifinfomsg head{};
  head.ifi_family = AF_UNSPEC;
  head.ifi_index = static_cast<int>(ifindex);
  NetlinkRequest request(RTM_GETLINK, 0, head);
  std::optional<Link> link;
  int error = requests.request(request, [&](const NetlinkMessage& m) {
    if (m.type == RTM_NEWLINK) link = parse_link(m);
  });
  return error == 0 ? link : std::nullopt;
}

std::vector<IpAddress> read_addresses(control::NetlinkSocket& requests, std::uint32_t ifindex) {
  std::vector<IpAddress> addresses;
  // EINTR: the list changed under the dump.
  for (int attempt = 0; attempt < 5; ++attempt) {
    addresses.clear();
    ifaddrmsg head{};
    head.ifa_family = AF_UNSPEC;
    head.ifa_index = ifindex;
    NetlinkRequest request(RTM_GETADDR, NLM_F_DUMP, head);
    int error = requests.request(request, [&](const NetlinkMessage& m) {
      if (auto a = parse_address(m, ifindex)) addresses.push_back(*a);
    });
    if (error != EINTR) break;
  }
  return addresses;
}

}  // namespace weir::runtime
