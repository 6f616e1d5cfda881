// SPDX-License-Identifier: MIT
#include "weir/control/firewall.h"

// The C library's definitions of addresses must come before the kernel's.
#include <netinet/in.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <string_view>
#include <vector>

#include "weir/control/firewall_handover.h"

namespace weir::control {
namespace {

std::string text_of(ConstBytes value) {
  std::string s(reinterpret_cast<const char*>(value.data()), value.size());
  return s.substr(0, s.find('\0'));
}

std::uint32_t u32_of(ConstBytes value) { return value.size() < 4 ? 0 : load_be<std::uint32_t>(value.data()); }

const char* family_name(std::uint8_t family) {
  switch (family) {
    case NFPROTO_INET:
      return "inet";
    case NFPROTO_IPV4:
      return "ip";
    case NFPROTO_IPV6:
      return "ip6";
    case NFPROTO_NETDEV:
      return "netdev";
    default:
      return "?";
  }
}

// True where a chain hooked there sees what comes in by `ifname` for this host.
bool on_the_way_in(std::uint8_t family, ConstBytes hook, const std::string& ifname) {
  std::uint32_t number = u32_of(find_attribute(hook, NFTA_HOOK_HOOKNUM));
  switch (family) {
    case NFPROTO_IPV4:
    case NFPROTO_IPV6:
      return number == NF_INET_PRE_ROUTING || number == NF_INET_LOCAL_IN;
    case NFPROTO_INET:
      if (number == NF_INET_PRE_ROUTING || number == NF_INET_LOCAL_IN) return true;
      if (number != NF_INET_INGRESS) return false;
      break;
    case NFPROTO_NETDEV:
      if (number != NF_NETDEV_INGRESS) return false;
      break;
    default:
      return false;
  }
  // Ingress hooks name their devices: one, or a list.
  bool ours = text_of(find_attribute(hook, NFTA_HOOK_DEV)) == ifname;
  for_each_attribute(find_attribute(hook, NFTA_HOOK_DEVS), [&](std::uint16_t type, ConstBytes value) {
    if (type == NFTA_DEVICE_NAME && text_of(value) == ifname) ours = true;
  });
  return ours;
}

// Reads one NFT_MSG_NEWCHAIN. A base chain counts by its use count, which for a base chain, that nothing can jump to,
// is the number of its rules.
void judge_chain(const NetlinkMessage& message, const std::string& ifname, FirewallReport& report) {
  auto generic = message.fixed<nfgenmsg>();
  if (!generic || report.state == FirewallReport::State::rules) return;
  ConstBytes attributes = message.attributes(sizeof(nfgenmsg));
  ConstBytes hook = find_attribute(attributes, NFTA_CHAIN_HOOK);
  if (hook.empty() || !on_the_way_in(generic->nfgen_family, hook, ifname)) return;
  ConstBytes policy = find_attribute(attributes, NFTA_CHAIN_POLICY);
  const bool drops = !policy.empty() && u32_of(policy) == NF_DROP;
  const std::uint32_t rules = u32_of(find_attribute(attributes, NFTA_CHAIN_USE));
  if (!drops && rules == 0) return;
  report.state = FirewallReport::State::rules;
  report.what = std::string("nftables: chain ") + family_name(generic->nfgen_family) + " " +
                text_of(find_attribute(attributes, NFTA_CHAIN_TABLE)) + " " +
                text_of(find_attribute(attributes, NFTA_CHAIN_NAME)) +
                (drops ? " (policy drop)" : " (" + std::to_string(rules) + (rules == 1 ? " rule)" : " rules)"));
}

FirewallReport inspect_nftables(const std::string& ifname) {
  FirewallReport report;
  NetlinkSocket socket;
  int error = socket.open(NETLINK_NETFILTER);
  // EINTR: somebody changed the rules while we read them.
  for (int attempt = 0; error == 0 && attempt < 5; ++attempt) {
    report = {};
    nfgenmsg generic{};
    generic.nfgen_family = NFPROTO_UNSPEC;
    generic.version = NFNETLINK_V0;
    NetlinkRequest request((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETCHAIN, NLM_F_DUMP, generic);
    int dumped = socket.request(request, [&](const NetlinkMessage& m) {
      if (m.type == ((NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_NEWCHAIN)) judge_chain(m, ifname, report);
    });
    if (dumped == EINTR) continue;
    error = dumped;
    break;
  }
  if (error == EPERM || error == EACCES) {
    return {FirewallReport::State::not_known, "reading the firewall's rules needs CAP_NET_ADMIN"};
  }
  // A kernel without nf_tables or nfnetlink has no rules in them (EINVAL: the subsystem is not there).
  const bool absent = error == EINVAL || error == EPROTONOSUPPORT || error == EOPNOTSUPP;
  if (error != 0 && !absent && report.state == FirewallReport::State::open) {
    return {FirewallReport::State::not_known, std::string("nftables: ") + std::strerror(error)};
  }
  return report;
}

// --- legacy iptables: the same for both families but for the types and the socket level ---

struct V4 {
  using Info = ipt_getinfo;
  using Entries = ipt_get_entries;
  using Entry = ipt_entry;
  static constexpr int domain = AF_INET;
  static constexpr int level = IPPROTO_IP;
  static constexpr int get_info = IPT_SO_GET_INFO;
  static constexpr int get_entries = IPT_SO_GET_ENTRIES;
  static constexpr const char* tables = "/proc/net/ip_tables_names";
  static constexpr const char* name = "iptables";
};
struct V6 {
  using Info = ip6t_getinfo;
  using Entries = ip6t_get_entries;
  using Entry = ip6t_entry;
  static constexpr int domain = AF_INET6;
  static constexpr int level = IPPROTO_IPV6;
  static constexpr int get_info = IP6T_SO_GET_INFO;
  static constexpr int get_entries = IP6T_SO_GET_ENTRIES;
  static constexpr const char* tables = "/proc/net/ip6_tables_names";
  static constexpr const char* name = "ip6tables";
};

// The verdict of the standard target at `offset` of a table's entries: a policy.
template <class F>
bool policy_drops(int fd, const typename F::Info& info, std::uint32_t offset) {
  std::vector<std::byte> buffer(sizeof(typename F::Entries) + info.size);
  // The request is the head of the answer. (No object of that type is made: it ends in an array of no size.)
  std::memcpy(buffer.data() + offsetof(typename F::Entries, name), info.name, sizeof info.name);
  std::memcpy(buffer.data() + offsetof(typename F::Entries, size), &info.size, sizeof info.size);
  socklen_t length = static_cast<socklen_t>(buffer.size());
  if (::getsockopt(fd, F::level, F::get_entries, buffer.data(), &length) != 0) return false;
  ConstBytes entries = ConstBytes(buffer).subspan(offsetof(typename F::Entries, entrytable));
  typename F::Entry entry;
  if (offset + sizeof entry > entries.size()) return false;
  std::memcpy(&entry, entries.data() + offset, sizeof entry);
  std::size_t verdict_at = offset + entry.target_offset + sizeof(xt_entry_target);
  std::int32_t verdict = 0;
  if (verdict_at + sizeof verdict > entries.size()) return false;
  std::memcpy(&verdict, entries.data() + verdict_at, sizeof verdict);
  return verdict == -NF_DROP - 1;
}

template <class F>
FirewallReport inspect_iptables() {
  std::ifstream names(F::tables);
  std::vector<std::string> tables;
  for (std::string name; std::getline(names, name);) tables.push_back(name);
  if (tables.empty()) {
    if (::access(F::tables, F_OK) == 0 && ::access(F::tables, R_OK) != 0) {
      return {FirewallReport::State::not_known, "reading the firewall's rules needs CAP_NET_ADMIN"};
    }
    return {};
  }
  xdp::Fd fd(::socket(F::domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  if (!fd) return {FirewallReport::State::not_known, "reading the firewall's rules needs CAP_NET_RAW"};
  FirewallReport report;
  for (const std::string& table : tables) {
    typename F::Info info{};
    std::memcpy(info.name, table.data(), std::min(table.size(), sizeof info.name - 1));
    socklen_t length = sizeof info;
    if (::getsockopt(fd.get(), F::level, F::get_info, &info, &length) != 0) {
      if (errno == EPERM) {
        report = {FirewallReport::State::not_known, "reading the firewall's rules needs CAP_NET_ADMIN"};
      }
      continue;
    }
    for (unsigned hook : {unsigned{NF_INET_PRE_ROUTING}, unsigned{NF_INET_LOCAL_IN}}) {
      if ((info.valid_hooks & (1u << hook)) == 0) continue;
      // A chain's entries run from hook_entry to its policy, at underflow.
      const bool rules = info.hook_entry[hook] != info.underflow[hook];
      const bool drops = policy_drops<F>(fd.get(), info, info.underflow[hook]);
      if (!rules && !drops) continue;
      report.state = FirewallReport::State::rules;
      report.what = std::string(F::name) + ": table " + table + ", chain " +
                    (hook == NF_INET_LOCAL_IN ? "INPUT" : "PREROUTING") + (drops ? " (policy DROP)" : "");
      break;
    }
    if (report.state == FirewallReport::State::rules) break;
  }
  return report;
}

}  // namespace

FirewallReport inspect_firewall(const std::string& ifname) {
  FirewallReport reports[] = {inspect_nftables(ifname), inspect_iptables<V4>(), inspect_iptables<V6>()};
  for (FirewallReport::State wanted : {FirewallReport::State::rules, FirewallReport::State::not_known}) {
    for (FirewallReport& r : reports) {
      if (r.state != wanted) continue;
      if (wanted == FirewallReport::State::not_known) {
        if (auto seen = inherited_firewall::verdict(ifname)) return std::move(*seen);
      }
      return std::move(r);
    }
  }
  return {};
}

int FirewallWatch::open() {
  const unsigned group = NFNLGRP_NFTABLES;
  const int error = socket_.open(NETLINK_NETFILTER, std::span(&group, 1));
  if (error == 0) return 0;
  xdp::Fd handed_over = inherited_firewall::take_watch();
  if (!handed_over) return error;
  socket_.adopt(std::move(handed_over));
  inherited_ = true;
  return 0;
}

void FirewallWatch::close() {
  // Nobody hears of changes from here on, so what was seen before them is worth nothing.
  if (inherited_ && socket_.is_open()) inherited_firewall::expire();
  socket_.close();
}

bool FirewallWatch::changed() {
  const bool some = socket_.drain([](const NetlinkMessage&) {}) != NetlinkSocket::Drained::nothing;
  if (some && inherited_) inherited_firewall::expire();
  return some;
}

}  // namespace weir::control
