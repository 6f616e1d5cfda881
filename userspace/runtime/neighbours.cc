// SPDX-License-Identifier: MIT
#include "weir/runtime/neighbours.h"

#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include <cerrno>

#include "weir/runtime/socket_address.h"
#include "weir/xdp/fd.h"

namespace weir::runtime {

using control::find_attribute;
using control::NetlinkMessage;
using control::NetlinkRequest;

namespace {

constexpr std::uint16_t kDiscardPort = 9;  // RFC 863

ndmsg head_of(std::uint32_t ifindex, const IpAddress& address) {
  ndmsg head{};
  head.ndm_family = address.is_v4() ? AF_INET : AF_INET6;
  head.ndm_ifindex = static_cast<int>(ifindex);
  return head;
}

Neighbour::State state_of(std::uint16_t nud) {
  if ((nud & (NUD_REACHABLE | NUD_PERMANENT | NUD_NOARP | NUD_DELAY | NUD_PROBE)) != 0) return Neighbour::State::usable;
  if ((nud & NUD_STALE) != 0) return Neighbour::State::stale;
  if ((nud & NUD_FAILED) != 0) return Neighbour::State::failed;
  return Neighbour::State::resolving;
}

int send_empty_datagram(std::uint32_t ifindex, const IpAddress& address) {
  xdp::Fd fd(::socket(address.is_v4() ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return errno;
  if (address.is_v4()) {
    std::uint32_t index_be = detail::swap_if_little(ifindex);
    ::setsockopt(fd.get(), IPPROTO_IP, IP_UNICAST_IF, &index_be, sizeof index_be);
  } else {
    std::uint32_t index_be = detail::swap_if_little(ifindex);
    ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_UNICAST_IF, &index_be, sizeof index_be);
  }
  SocketAddress to = to_socket_address({address, kDiscardPort}, ifindex);
  return ::sendto(fd.get(), "", 0, MSG_DONTWAIT, to.get(), to.size) < 0 ? errno : 0;
}

}  // namespace

std::optional<Neighbour> parse_neighbour(const NetlinkMessage& message, std::uint32_t ifindex) {
  auto head = message.fixed<ndmsg>();
  if (!head || static_cast<std::uint32_t>(head->ndm_ifindex) != ifindex) return std::nullopt;
  ConstBytes attributes = message.attributes(sizeof(ndmsg));
  ConstBytes address = find_attribute(attributes, NDA_DST);
  Neighbour n;
  if (head->ndm_family == AF_INET && address.size() == 4) {
    n.address = IpAddress::v4(address.data());
  } else if (head->ndm_family == AF_INET6 && address.size() == 16) {
    n.address = IpAddress::v6(address.data());
  } else {
    return std::nullopt;
  }
  if (message.type == RTM_DELNEIGH) return n;
  n.state = state_of(head->ndm_state);
  if (n.state == Neighbour::State::usable || n.state == Neighbour::State::stale) {
    ConstBytes mac = find_attribute(attributes, NDA_LLADDR);
    if (mac.size() != 6) {
      n.state = Neighbour::State::resolving;
    } else {
      n.mac = MacAddress::load(mac.data());
    }
  }
  return n;
}

Neighbour find_neighbour(control::NetlinkSocket& requests, std::uint32_t ifindex, const IpAddress& address) {
  NetlinkRequest request(RTM_GETNEIGH, 0, head_of(ifindex, address));
  request.put(NDA_DST, address.wire());
  Neighbour found;
  found.address = address;
  requests.request(request, [&](const NetlinkMessage& m) {
    if (m.type != RTM_NEWNEIGH) return;
    if (auto n = parse_neighbour(m, ifindex)) found = *n;
  });
  return found;
}

int use_neighbour(control::NetlinkSocket& requests, std::uint32_t ifindex, const IpAddress& address) {
  ndmsg head = head_of(ifindex, address);
  head.ndm_flags = NTF_USE;
  NetlinkRequest request(RTM_NEWNEIGH, NLM_F_CREATE, head);
  request.put(NDA_DST, address.wire());
  int error = requests.request(request, [](const NetlinkMessage&) {});
  if (error != EPERM) return error;
  return send_empty_datagram(ifindex, address);
}

}  // namespace weir::runtime
