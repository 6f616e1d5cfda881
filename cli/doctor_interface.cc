// SPDX-License-Identifier: MIT
// One interface: is it there, what can its driver do, what stands in the way.
#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "doctor.h"
#include "output.h"
#include "weir/common/abi.h"
#include "weir/control/firewall.h"
#include "weir/control/instance.h"
#include "weir/control/status.h"
#include "weir/xdp/program.h"
#include "weir/xdp/umem.h"
#include "words.h"

namespace weir::cli {
namespace {

using control::Interface;

Check check_link(const Interface& link) {
  if (!link.up) return {Health::warn, "link", "down", fmt::format("ip link set {} up", link.name)};
  if (!link.running) return {Health::warn, "link", "up, without a carrier: is the other end up?", ""};
  return {Health::ok, "link", "up", ""};
}

Check check_addresses(const Interface& link) {
  const auto addresses = control::interface_addresses(link.ifindex);
  if (!addresses) return {Health::warn, "addresses", addresses.error().message, ""};
  if (addresses->empty())
    return {Health::warn, "addresses", "none: only frames to the interface's own addresses are steered",
            fmt::format("ip addr add ADDRESS dev {}", link.name)};
  std::vector<std::string> texts;
  for (const auto& one : *addresses) texts.push_back(one.address.to_string());
  return {Health::ok, "addresses", join(texts), ""};
}

Check check_kind(const Interface& link) {
  if (link.loopback)
    return {Health::fail, "kind", "loopback is never steered", "name the interface that faces the network"};
  if (!link.ethernet) return {Health::fail, "kind", "not an Ethernet device", "name an Ethernet device"};
  if (link.kind == "bond" || link.kind == "bridge" || link.kind == "team" || link.kind == "vlan")
    return {Health::warn, "kind", fmt::format("a {} device: weir is tested on plain devices only", link.kind),
            "name the plain Ethernet device below it"};
  if (link.master_kind == "bond" || link.master_kind == "bridge" || link.master_kind == "team")
    return {Health::fail, "kind",
            fmt::format("a port of the {} {}: its frames are not the host's alone", link.master_kind, link.master),
            fmt::format("ip link set {} nomaster", link.name)};
  return {Health::ok, "kind", link.kind.empty() ? "hardware, or a paravirtual device" : link.kind, ""};
}

// For kernels older than 6.3, which do not say what a driver can do.
enum class Known : std::uint8_t { native, zero_copy };
struct KnownDriver {
  std::string_view name;
  Known known;
};
constexpr std::array kKnownDrivers = {
    KnownDriver{"veth", Known::native},      KnownDriver{"virtio_net", Known::native},
    KnownDriver{"tun", Known::native},       KnownDriver{"ena", Known::native},
    KnownDriver{"bnxt_en", Known::native},   KnownDriver{"mlx4_en", Known::native},
    KnownDriver{"hv_netvsc", Known::native}, KnownDriver{"sfc", Known::native},
    KnownDriver{"qede", Known::native},      KnownDriver{"i40e", Known::zero_copy},
    KnownDriver{"ice", Known::zero_copy},    KnownDriver{"ixgbe", Known::zero_copy},
    KnownDriver{"igc", Known::zero_copy},    KnownDriver{"mlx5_core", Known::zero_copy},
    KnownDriver{"stmmac", Known::zero_copy}, KnownDriver{"nfp", Known::zero_copy},
};

Check check_driver(const Interface& link) {
  const std::string driver = link.driver.empty() ? "driver unknown" : link.driver;
  DriverFeatures features = read_driver_features(link.ifindex);
  std::string source = "the kernel says";
  if (!features.known) {
    source = "as far as known";
    for (const KnownDriver& one : kKnownDrivers) {
      if (one.name != link.driver) continue;
      features.native = features.redirect = true;
      features.zero_copy = one.known == Known::zero_copy;
    }
  }
  if (features.zero_copy)
    return {Health::ok, "driver",
            fmt::format("{}: native XDP and zero-copy, {}; a bind may reset a queue for a moment", driver, source), ""};
  if (features.native && features.redirect)
    return {Health::ok, "driver", fmt::format("{}: native XDP, sockets in copy mode, {}", driver, source), ""};
  return {Health::warn, "driver",
          fmt::format("{}: generic XDP only, {}: every frame costs a socket buffer first", driver, source),
          fmt::format("weir attach {} --mode generic   (auto does so too)", link.name)};
}

Check check_veth(const Interface& link) {
  return {
      Health::warn, "tso",
      "native XDP on one end of a veth pair switches off the other end's TSO: the kernel's own bulk traffic slows down "
      "several times; GRO on both ends wins some of it back, generic mode keeps most",
      fmt::format("ethtool -K {0} gro on on both ends, or weir attach {0} --mode generic", link.name)};
}

Check check_checksums(const Interface& link) {
  if (!control::may_carry_partial_checksums(link))
    return {Health::ok, "checksums", "verified on receive, computed on transmit", ""};
  return {Health::warn, "checksums",
          fmt::format(
              "a {} peer sends partial ones (the pseudo-header's sum): attach accepts them, so damage between the two "
              "ends would go unnoticed",
              link.kind.empty() ? link.driver : link.kind),
          fmt::format("on the peer: ethtool -K DEV tx off; then weir attach {} --checksum verify", link.name)};
}

Check check_mtu(const Interface& link) {
  const std::uint32_t chunk = xdp::chunk_size_for_mtu(link.mtu);
  if (chunk != 0) return {Health::ok, "mtu", fmt::format("{}: fits a chunk of {}", link.mtu, chunk), ""};
  return {Health::warn, "mtu",
          fmt::format("{}: frames larger than 3822 to steered ports are dropped and counted (rx_dropped)", link.mtu),
          fmt::format("ip link set {} mtu 3822, or less", link.name)};
}

Check check_queues(const Interface& link) {
  const std::string count =
      fmt::format("{} in use of {}", count_text(link.rx_queues, "receive queue", "receive queues"),
                  std::max(link.rx_queues, link.max_rx_queues));
  if (link.rx_queues > WEIR_MAX_QUEUES)
    return {Health::fail, "queues", fmt::format("{}: weir serves at most {}", count, WEIR_MAX_QUEUES),
            fmt::format("ethtool -L {} combined {}", link.name, WEIR_MAX_QUEUES)};
  return {Health::ok, "queues", fmt::format("{}; frames of a queue without an engine go to the kernel", count), ""};
}

Check check_vlan(const Interface& link) {
  if (link.vlan_uppers.empty()) return {Health::ok, "vlan", "no VLAN device on top of it", ""};
  const std::string uppers = join(link.vlan_uppers);
  if (link.offloads.rx_vlan)
    return {
        Health::fail, "vlan",
        fmt::format("{} on top, and rxvlan takes the tags off before XDP sees them: their frames would look untagged",
                    uppers),
        fmt::format("ethtool -K {} rxvlan off", link.name)};
  return {Health::ok, "vlan", fmt::format("{} on top: tagged frames go to the kernel", uppers), ""};
}

std::string on_off(bool on) { return on ? "on" : "off"; }

Check check_offloads(const Interface& link) {
  const control::Offloads& o = link.offloads;
  return {Health::ok, "offloads",
          fmt::format("rx checksum {}, tx checksum {}, gro {}, tso {}, rxvlan {}", on_off(o.rx_checksum),
                      on_off(o.tx_checksum), on_off(o.gro), on_off(o.tso), on_off(o.rx_vlan)),
          ""};
}

Check check_firewall(const Interface& link, bool bypassed) {
  const control::FirewallReport report = control::inspect_firewall(link.name);
  using State = control::FirewallReport::State;
  if (report.state == State::open) return {Health::ok, "firewall", "no rules on the way in", ""};
  if (report.state == State::not_known)
    return {Health::warn, "firewall", report.what, fmt::format("sudo weir doctor {}", link.name)};
  if (bypassed)
    return {Health::warn, "firewall", fmt::format("{}: bypassed, steered frames are not seen by it", report.what),
            fmt::format("weir filter add drop ... for what it would have refused, or weir attach {} --replace without "
                        "it after a detach",
                        link.name)};
  return {Health::warn, "firewall",
          fmt::format("{}: steered frames would not be seen by it, so acceptors stay on kernel sockets", report.what),
          fmt::format("weir attach {} --bypass-firewall, if that is meant", link.name)};
}

// Whose XDP program runs there, and what weir's own attachment is worth.
void check_programs(const Interface& link, std::vector<Check>& out) {
  std::uint32_t ours = 0;
  bool bypassed = false;
  if (const auto instance = control::Instance::open(link.name); instance) {
    if (const auto status = control::read_status(*instance, control::monotonic_now()); status) {
      ours = status->attached ? status->program_id : 0;
      bypassed = status->bypass_firewall;
      if (status->attached)
        out.push_back(
            {Health::ok, "weir", fmt::format("attached, {} mode, ABI {}", mode_name(status->mode), status->abi), ""});
      else
        out.push_back({Health::fail, "weir", "its maps are there, its program is gone",
                       fmt::format("weir detach {0} --force; weir attach {0}", link.name)});
    }
  } else if (instance.error().code == EPROTO) {
    out.push_back(
        {Health::fail, "weir", instance.error().message,
         fmt::format("weir detach {0} with that version, or ip link set dev {0} xdp off; then weir attach {0}",
                     link.name)});
  } else {
    out.push_back({Health::ok, "weir", "not attached", ""});
  }
  const auto running = xdp::attached_program(link.ifindex);
  if (!running) {
    out.push_back({Health::warn, "other xdp", running.error().message, ""});
  } else if (*running && (*running)->id != ours) {
    out.push_back({Health::fail, "other xdp",
                   fmt::format("the program '{}' (id {}) is attached already, and an interface has one",
                               (*running)->name, (*running)->id),
                   fmt::format("ip link set dev {} xdp off, or the tool that attached it", link.name)});
  } else {
    out.push_back({Health::ok, "other xdp", "none", ""});
  }
  out.push_back(check_firewall(link, bypassed));
}

}  // namespace

std::vector<Check> check_interface(const std::string& name) {
  const auto found = control::read_interface(name);
  if (!found) return {{Health::fail, "link", found.error().message, "ip link shows what there is"}};
  const Interface& link = *found;
  std::vector<Check> out = {check_link(link), check_kind(link), check_addresses(link), check_driver(link)};
  if (link.kind == "veth") out.push_back(check_veth(link));
  out.push_back(check_checksums(link));
  out.push_back(check_mtu(link));
  out.push_back(check_queues(link));
  out.push_back(check_offloads(link));
  out.push_back(check_vlan(link));
  check_programs(link, out);
  return out;
}

}  // namespace weir::cli
