// SPDX-License-Identifier: MIT
#include "weir/runtime/routes.h"

#include <linux/rtnetlink.h>
#include <netinet/in.h>

#include <cerrno>

namespace weir::runtime {

using control::attribute_as;
using control::find_attribute;
using control::NetlinkMessage;
using control::NetlinkRequest;

namespace {

IpAddress address_of(ConstBytes value) {
  if (value.size() == 4) return IpAddress::v4(value.data());
  if (value.size() == 16) return IpAddress::v6(value.data());
  return {};
}

void read_route(const NetlinkMessage& message, Route& route) {
  auto head = message.fixed<rtmsg>();
  if (!head) return;
  ConstBytes attributes = message.attributes(sizeof(rtmsg));
  route.unicast = head->rtm_type == RTN_UNICAST;
  route.oif = attribute_as<std::uint32_t>(find_attribute(attributes, RTA_OIF)).value_or(0);
  route.source = address_of(find_attribute(attributes, RTA_PREFSRC));
  if (ConstBytes gateway = find_attribute(attributes, RTA_GATEWAY); !gateway.empty()) {
    route.next_hop = address_of(gateway);
  } else if (ConstBytes via = find_attribute(attributes, RTA_VIA); via.size() > sizeof(rtvia)) {
    route.next_hop = address_of(via.subspan(sizeof(rtvia)));
  }
  ConstBytes metrics = find_attribute(attributes, RTA_METRICS);
  route.mtu = attribute_as<std::uint32_t>(find_attribute(metrics, RTAX_MTU)).value_or(0);
}

}  // namespace

Result<Route, int> find_route(control::NetlinkSocket& requests, const RouteQuery& query) {
  ConstBytes destination = query.destination.wire();
  rtmsg head{};
  head.rtm_family = query.destination.is_v4() ? AF_INET : AF_INET6;
  head.rtm_dst_len = static_cast<unsigned char>(destination.size() * 8);
  const bool with_source = !query.source.is_unspecified() && query.source.family() == query.destination.family();
  if (with_source) head.rtm_src_len = head.rtm_dst_len;
  NetlinkRequest request(RTM_GETROUTE, 0, head);
  request.put(RTA_DST, destination);
  if (with_source) request.put(RTA_SRC, query.source.wire());
  if (query.oif != 0) request.put_u32(RTA_OIF, query.oif);
  std::uint8_t protocol = IPPROTO_TCP;
  request.put(RTA_IP_PROTO, &protocol, sizeof protocol);

  Route route;
  route.next_hop = query.destination;
  bool answered = false;
  int error = requests.request(request, [&](const NetlinkMessage& m) {
    if (m.type != RTM_NEWROUTE) return;
    answered = true;
    read_route(m, route);
  });
  if (error != 0) return Err(error);
  if (!answered) return Err(ENETUNREACH);
  return route;
}

}  // namespace weir::runtime
