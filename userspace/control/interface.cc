// SPDX-License-Identifier: MIT
#include "weir/control/interface.h"

// Before any linux/*.h: those stand back for it, not the other way round.
#include <net/if.h>

#include <ifaddrs.h>
#include <linux/ethtool.h>
#include <linux/if_arp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netlink/netlink.h>
#include <netlink/route/link.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>

namespace weir::control {
namespace {

struct NlDelete {
  void operator()(nl_sock* s) const { nl_socket_free(s); }
  void operator()(nl_cache* c) const { nl_cache_free(c); }
  void operator()(rtnl_link* l) const { rtnl_link_put(l); }
};
template <class T>
using Nl = std::unique_ptr<T, NlDelete>;

// All links of the namespace, as one dump.
Outcome<Nl<nl_cache>> read_links() {
  const Nl<nl_sock> socket(nl_socket_alloc());
  if (socket == nullptr) return xdp::fail("out of memory", ENOMEM);
  if (const int r = nl_connect(socket.get(), NETLINK_ROUTE); r < 0)
    return xdp::fail(std::string("opening a netlink socket: ") + nl_geterror(r));
  nl_cache* raw = nullptr;
  if (const int r = rtnl_link_alloc_cache(socket.get(), AF_UNSPEC, &raw); r < 0)
    return xdp::fail(std::string("listing the interfaces: ") + nl_geterror(r));
  return Nl<nl_cache>(raw);
}

std::string text(const char* s) { return s != nullptr ? s : ""; }

template <class F>
void for_each_link(nl_cache* cache, F&& f) {
  for (nl_object* o = nl_cache_get_first(cache); o != nullptr; o = nl_cache_get_next(o))
    f(reinterpret_cast<rtnl_link*>(o));
}

class Ethtool {
 public:
  explicit Ethtool(const std::string& name) : socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    std::strncpy(request_.ifr_name, name.c_str(), sizeof request_.ifr_name - 1);
  }
  // `command` begins with its number; false where the driver does not know it.
  template <class Command>
  bool call(Command& command) {
    request_.ifr_data = reinterpret_cast<char*>(&command);
    return socket_ && ioctl(socket_.get(), SIOCETHTOOL, &request_) == 0;
  }
  std::uint32_t value(std::uint32_t number) {
    ethtool_value v{};
    v.cmd = number;
    return call(v) ? v.data : 0;
  }

 private:
  xdp::Fd socket_;
  ifreq request_{};
};

void read_ethtool(Interface& i) {
  Ethtool ethtool(i.name);
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (ethtool.call(driver)) {
    i.driver = std::string(driver.driver, strnlen(driver.driver, sizeof driver.driver));
    i.driver_version = std::string(driver.version, strnlen(driver.version, sizeof driver.version));
    i.bus = std::string(driver.bus_info, strnlen(driver.bus_info, sizeof driver.bus_info));
  }
  ethtool_channels channels{};
  channels.cmd = ETHTOOL_GCHANNELS;
  if (ethtool.call(channels)) {
    i.rx_queues = std::max(1u, channels.rx_count + channels.combined_count);
    i.tx_queues = std::max(1u, channels.tx_count + channels.combined_count);
    i.max_rx_queues = std::max(i.rx_queues, channels.max_rx + channels.max_combined);
  }
  i.offloads.rx_checksum = ethtool.value(ETHTOOL_GRXCSUM) != 0;
  i.offloads.tx_checksum = ethtool.value(ETHTOOL_GTXCSUM) != 0;
  i.offloads.gro = ethtool.value(ETHTOOL_GGRO) != 0;
  i.offloads.tso = ethtool.value(ETHTOOL_GTSO) != 0;
  i.offloads.rx_vlan = (ethtool.value(ETHTOOL_GFLAGS) & ETH_FLAG_RXVLAN) != 0;
}

Interface describe(nl_cache* cache, rtnl_link* link) {
  Interface i;
  i.name = text(rtnl_link_get_name(link));
  i.ifindex = static_cast<std::uint32_t>(rtnl_link_get_ifindex(link));
  i.mtu = rtnl_link_get_mtu(link);
  const unsigned flags = rtnl_link_get_flags(link);
  i.up = (flags & IFF_UP) != 0;
  i.running = (flags & IFF_RUNNING) != 0;
  i.loopback = (flags & IFF_LOOPBACK) != 0;
  i.ethernet = rtnl_link_get_arptype(link) == ARPHRD_ETHER;
  i.kind = text(rtnl_link_get_type(link));
  if (nl_addr* a = rtnl_link_get_addr(link); a != nullptr && nl_addr_get_len(a) == 6)
    i.mac = MacAddress::load(static_cast<const std::byte*>(nl_addr_get_binary_addr(a)));
  i.rx_queues = i.max_rx_queues = std::max(1u, rtnl_link_get_num_rx_queues(link));
  i.tx_queues = std::max(1u, rtnl_link_get_num_tx_queues(link));
  i.peer_ifindex = static_cast<std::uint32_t>(std::max(0, rtnl_link_get_link(link)));
  const int master = rtnl_link_get_master(link);
  for_each_link(cache, [&](rtnl_link* other) {
    if (master > 0 && rtnl_link_get_ifindex(other) == master) {
      i.master = text(rtnl_link_get_name(other));
      i.master_kind = text(rtnl_link_get_type(other));
    }
    // IFLA_LINK counts in this namespace only where no IFLA_LINK_NETNSID says otherwise.
    std::int32_t foreign = 0;
    if (text(rtnl_link_get_type(other)) == "vlan" && rtnl_link_get_link(other) == rtnl_link_get_ifindex(link) &&
        rtnl_link_get_link_netnsid(other, &foreign) != 0)
      i.vlan_uppers.push_back(text(rtnl_link_get_name(other)));
  });
  read_ethtool(i);
  return i;
}

template <class Matches>
Outcome<Interface> find(Matches&& matches, const std::string& what) {
  auto cache = read_links();
  if (!cache) return Err(cache.error());
  rtnl_link* found = nullptr;
  for_each_link(cache->get(), [&](rtnl_link* l) {
    if (matches(l)) found = l;
  });
  if (found == nullptr)
    return xdp::fail("no interface " + what + " in this network namespace: `ip link` shows those there are", ENODEV);
  return describe(cache->get(), found);
}

}  // namespace

Outcome<Interface> read_interface(std::string_view name) {
  return find([&](rtnl_link* l) { return text(rtnl_link_get_name(l)) == name; }, "named " + std::string(name));
}

Outcome<Interface> read_interface(std::uint32_t ifindex) {
  return find([&](rtnl_link* l) { return rtnl_link_get_ifindex(l) == static_cast<int>(ifindex); },
              "of index " + std::to_string(ifindex));
}

Outcome<std::vector<std::string>> interface_names() {
  auto cache = read_links();
  if (!cache) return Err(cache.error());
  std::vector<std::pair<int, std::string>> found;
  for_each_link(cache->get(),
                [&](rtnl_link* l) { found.emplace_back(rtnl_link_get_ifindex(l), text(rtnl_link_get_name(l))); });
  std::sort(found.begin(), found.end());
  std::vector<std::string> out;
  out.reserve(found.size());
  for (auto& [index, name] : found) out.push_back(std::move(name));
  return out;
}

Outcome<std::vector<InterfaceAddress>> interface_addresses(std::uint32_t ifindex) {
  char name[IF_NAMESIZE];
  if (if_indextoname(ifindex, name) == nullptr)
    return xdp::fail("no interface of index " + std::to_string(ifindex) + " in this network namespace", ENODEV);
  ifaddrs* raw = nullptr;
  if (getifaddrs(&raw) != 0) return Err(xdp::system_error(errno, "listing the addresses"));
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> list(raw, freeifaddrs);
  auto length_of = [](const std::byte* mask, std::size_t size) {
    int bits = 0;
    for (std::size_t i = 0; i < size; ++i) bits += std::popcount(std::to_integer<unsigned>(mask[i]));
    return static_cast<std::uint8_t>(bits);
  };
  std::vector<InterfaceAddress> out;
  for (const ifaddrs* a = list.get(); a != nullptr; a = a->ifa_next) {
    if (a->ifa_addr == nullptr || a->ifa_netmask == nullptr) continue;
    // An IPv4 label ("eth0:1") is not the interface's name, but begins with it.
    const std::string_view label(a->ifa_name);
    if (label.substr(0, label.find(':')) != name) continue;
    if (a->ifa_addr->sa_family == AF_INET) {
      const auto* at = reinterpret_cast<const sockaddr_in*>(a->ifa_addr);
      const auto* mask = reinterpret_cast<const sockaddr_in*>(a->ifa_netmask);
      out.push_back({IpAddress::v4(reinterpret_cast<const std::byte*>(&at->sin_addr)),
                     length_of(reinterpret_cast<const std::byte*>(&mask->sin_addr), 4)});
    } else if (a->ifa_addr->sa_family == AF_INET6) {
      const auto* at = reinterpret_cast<const sockaddr_in6*>(a->ifa_addr);
      const auto* mask = reinterpret_cast<const sockaddr_in6*>(a->ifa_netmask);
      out.push_back({IpAddress::v6(reinterpret_cast<const std::byte*>(&at->sin6_addr)),
                     length_of(reinterpret_cast<const std::byte*>(&mask->sin6_addr), 16)});
    }
  }
  return out;
}

bool may_carry_partial_checksums(const Interface& interface) {
  return interface.kind == "veth" || interface.driver == "veth" || interface.driver == "virtio_net" ||
         interface.driver == "tun";
}

}  // namespace weir::control
