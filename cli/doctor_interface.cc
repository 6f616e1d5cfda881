// SPDX-License-Identifier: MIT
// One interface: is it there, what can its driver do, what stands in the way.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>

#include "doctor.h"
#include "output.h"
#include "weir/common/abi.h"
#include "weir/control/firewall.h"
#include "weir/control/instance.h"
#include "weir/control/status.h"
#include "weir/xdp/dispatcher.h"
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
  if (features.native && features.redirect) {
    const char* later = link.driver == "virtio_net" ? "; Linux 6.18 has zero-copy for it" : "";
    return {Health::ok, "driver", fmt::format("{}: native XDP, sockets in copy mode, {}{}", driver, source, later), ""};
  }
  return {Health::warn, "driver",
          fmt::format("{}: generic XDP only, {}: every frame costs a socket buffer first", driver, source),
          fmt::format("weir attach {} --mode generic   (auto does so too)", link.name)};
}

// What is attached there: by weir, or by whom.
struct Attachment {
  std::optional<control::Status> status;
  std::optional<control::Error> error;  // why there is no status, where it is not simply "not attached"
};

Attachment read_attachment(const Interface& link) {
  const auto instance = control::Instance::open(link.name);
  if (!instance) {
    if (instance.error().code == ENOENT) return {};
    return {std::nullopt, instance.error()};
  }
  auto status = control::read_status(*instance, control::monotonic_now());
  if (!status) return {std::nullopt, status.error()};
  return {std::move(*status), std::nullopt};
}

Check check_tso(const Interface& link, const Attachment& attachment) {
  if (attachment.status && attachment.status->mode == WEIR_XDP_GENERIC)
    return {Health::ok, "tso", "generic mode leaves the veth peer its TSO", ""};
  return {Health::warn, "tso",
          "native XDP on one end of a veth pair switches off the other end's TSO: the kernel's own bulk traffic slows "
          "down several times; GRO on both ends wins some of it back, generic mode keeps most",
          link.offloads.gro
              ? fmt::format("weir attach {} --mode generic, if that traffic matters most", link.name)
              : fmt::format("ethtool -K {0} gro on, on both ends; or weir attach {0} --mode generic", link.name)};
}

// What XDP answers leaves by XDP_TX, which a veth takes only for a peer with an XDP program. The peer may be out of our
// sight.
Check check_syn_guard(const Interface& link, const Attachment& attachment) {
  const bool loses = attachment.status && attachment.status->mode == WEIR_XDP_NATIVE &&
                     attachment.status->syn_guard.mode != control::SynGuardMode::off;
  if (!loses) return {Health::ok, "syn-guard", "off, or in generic mode: nothing is sent by native XDP", ""};
  return {Health::warn, "syn-guard",
          "the answers of the SYN guard are lost where no XDP program is at the other end of a veth pair",
          fmt::format("weir attach {} --mode generic, or an XDP program at the other end", link.name)};
}

Check check_checksums(const Interface& link, const Attachment& attachment) {
  const std::string peer = link.kind.empty() ? link.driver : link.kind;
  const bool may = control::may_carry_partial_checksums(link);
  const bool accepts = attachment.status ? attachment.status->partial_checksums : may;
  if (!may && accepts)
    return {Health::warn, "checksums",
            "partial ones are accepted, and this device does not deliver any: damage goes unnoticed",
            fmt::format("weir attach {} --replace --checksum verify", link.name)};
  if (!may) return {Health::ok, "checksums", "verified on receive, computed on transmit", ""};
  if (!accepts)
    return {
        Health::warn, "checksums",
        fmt::format("verified, and a {} peer sends partial ones unless its tx offload is off: such frames would be "
                    "counted as bad_checksum",
                    peer),
        fmt::format("on the peer: ethtool -K DEV tx off; or weir attach {} --replace --checksum partial", link.name)};
  return {
      Health::warn, "checksums",
      fmt::format("a {} peer sends partial ones (the pseudo-header's sum): they are accepted, so damage between the "
                  "two ends would go unnoticed",
                  peer),
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
            fmt::format(
                "weir filter add drop ... for what it would refuse; or detach, and attach {} without --bypass-firewall",
                link.name)};
  return {Health::warn, "firewall",
          fmt::format("{}: steered frames would not be seen by it, so acceptors stay on kernel sockets", report.what),
          fmt::format("weir attach {} --bypass-firewall, if that is meant", link.name)};
}

Check check_weir(const Interface& link, const Attachment& attachment) {
  if (attachment.error && attachment.error->code == EPROTO)
    return {Health::fail, "weir", attachment.error->message,
            fmt::format("weir detach --force {0}; weir attach {0}", link.name)};
  if (attachment.error)
    return {Health::warn, "weir", attachment.error->message, fmt::format("sudo weir doctor {}", link.name)};
  if (!attachment.status) return {Health::ok, "weir", "not attached", ""};
  if (!attachment.status->attached)
    return {Health::fail, "weir", "its maps are there, its program is gone",
            fmt::format("weir detach --force {0}; weir attach {0}", link.name)};
  return {Health::ok, "weir",
          fmt::format("attached, {} mode, ABI {}", mode_name(attachment.status->mode), attachment.status->abi), ""};
}

Check check_programs(const Interface& link, const Attachment& attachment) {
  const auto running = xdp::attached_program(link.ifindex);
  if (!running) return {Health::warn, "other xdp", running.error().message, ""};
  const std::uint32_t ours = attachment.status && attachment.status->attached ? attachment.status->program_id : 0;
  if (!*running || (*running)->id == ours) return {Health::ok, "other xdp", "none", ""};
  if (const auto dispatched = xdp::dispatched_programs(link.ifindex); !dispatched.empty()) {
    std::vector<std::string> others;
    for (const xdp::DispatchedProgram& p : dispatched)
      if (p.id != ours) others.push_back(fmt::format("'{}' (id {})", p.name, p.id));
    if (ours != 0)
      return {Health::ok, "other xdp",
              others.empty() ? "none in libxdp's dispatcher" : "by libxdp's dispatcher: " + join(others), ""};
    return {Health::warn, "other xdp", "libxdp's dispatcher runs " + join(others),
            fmt::format("weir attach --shared {}, beside them", link.name)};
  }
  const std::string program = (*running)->name.empty()
                                  ? fmt::format("program id {}", (*running)->id)
                                  : fmt::format("the program '{}' (id {})", (*running)->name, (*running)->id);
  if (attachment.error)
    return {Health::warn, "other xdp", program + " is attached; whose it is cannot be told",
            fmt::format("sudo weir doctor {}", link.name)};
  return {Health::fail, "other xdp", program + " is attached already, and an interface has one",
          fmt::format("ip link set dev {} {} off, or the tool that attached it", link.name,
                      (*running)->native ? "xdp" : "xdpgeneric")};
}

}  // namespace

std::vector<Check> check_interface(const std::string& name) {
  const auto found = control::read_interface(name);
  if (!found) return {{Health::fail, "link", found.error().message, "ip link shows what there is"}};
  const Interface& link = *found;
  std::vector<Check> out = {check_link(link), check_kind(link), check_addresses(link), check_driver(link)};
  const Attachment attachment = read_attachment(link);
  if (link.kind == "veth") out.push_back(check_tso(link, attachment));
  if (link.kind == "veth") out.push_back(check_syn_guard(link, attachment));
  out.push_back(check_checksums(link, attachment));
  out.push_back(check_mtu(link));
  out.push_back(check_queues(link));
  out.push_back(check_offloads(link));
  out.push_back(check_vlan(link));
  out.push_back(check_weir(link, attachment));
  out.push_back(check_programs(link, attachment));
  out.push_back(check_firewall(link, attachment.status && attachment.status->bypass_firewall));
  return out;
}

}  // namespace weir::cli
