// SPDX-License-Identifier: MIT
// What the kernel knows of an interface, by netlink and ethtool, in the calling thread's network namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/control/netns.h"

namespace weir::control {

struct Offloads {
  bool rx_checksum = false;
  bool tx_checksum = false;
  bool gro = false;
  bool tso = false;
  bool rx_vlan = false;  // tags are taken off before XDP sees the frame
};

struct Interface {
  std::string name;
  std::uint32_t ifindex = 0;
  MacAddress mac;
  std::uint32_t mtu = 0;
  bool up = false;       // administratively
  bool running = false;  // with a carrier
  bool loopback = false;
  bool ethernet = false;  // ARPHRD_ETHER
  std::string kind;       // of a virtual link: "veth", "bond", "vlan", ...; empty for hardware
  std::string driver;     // as ethtool -i names it; empty where there is none
  std::string driver_version;
  std::string bus;              // ethtool -i's bus-info
  std::string master;           // the bond, bridge, team or VRF it belongs to; empty for none
  std::string master_kind;      // "bond", "bridge", "team", "vrf", ...
  std::uint32_t rx_queues = 1;  // in use now
  std::uint32_t tx_queues = 1;
  std::uint32_t max_rx_queues = 1;       // that the device could use
  std::uint32_t peer_ifindex = 0;        // veth, vlan, macvlan: the link's other end or lower device, where it is known
  std::vector<std::string> vlan_uppers;  // VLAN devices on top of it
  Offloads offloads;
};

// Errors with code ENODEV: "no interface named X in this network namespace".
Outcome<Interface> read_interface(std::string_view name);
Outcome<Interface> read_interface(std::uint32_t ifindex);
// The names, in the order of the index, loopback included.
Outcome<std::vector<std::string>> interface_names();

struct InterfaceAddress {
  IpAddress address;
  std::uint8_t prefix_length = 0;
};
// Link-local ones included.
Outcome<std::vector<InterfaceAddress>> interface_addresses(std::uint32_t ifindex);

// The link delivers frames whose TCP or UDP checksum may hold the pseudo-header's sum alone (veth, virtio_net, tun).
bool may_carry_partial_checksums(const Interface& interface);

}  // namespace weir::control
