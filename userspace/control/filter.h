// SPDX-License-Identifier: MIT
// The filter: an ordered table of rules, first match wins, no match accepts.
//
// A change builds the whole new table in the slot that is not current and makes it current by one write of
// config.filter_selector, so no frame is judged by half of each. Before the slot is written an RCU grace period passes,
// for a program run that began before the last change may still be reading it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/control/netns.h"
#include "weir/xdp/maps.h"

namespace weir::control {

// An address range; host bits are zero. Length 0 is any address of the family; a default-made one any address at all.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  // of the family: 0..32, 0..128
  bool any = true;
  std::string to_string() const;  // "any", "192.0.2.0/24"
  friend bool operator==(const Prefix&, const Prefix&) = default;
};

struct PortRange {
  std::uint16_t min = 0;
  std::uint16_t max = 65535;
  bool any() const { return min == 0 && max == 65535; }
  std::string to_string() const;  // "any", "80", "1000-2000"
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

// accept: no further rule is asked, steering decides. pass: to the kernel, unsteered.
enum class Action : std::uint8_t { accept = WEIR_ACTION_ACCEPT, drop = WEIR_ACTION_DROP, pass = WEIR_ACTION_PASS };
const char* action_name(Action a);

struct Rule {
  Action action = Action::accept;
  Prefix source;
  Prefix destination;
  std::uint8_t protocol = 0;  // IANA number; 0: any
  PortRange port;             // destination; needs TCP or UDP
  // Set by the table:
  std::uint32_t id = 0;       // stable for the rule's life
  std::uint32_t counter = 0;  // index, likewise
  weir_counter hits{};

  // In the grammar of `weir filter add`: "drop src 192.0.2.0/24 proto tcp port 80".
  std::string to_string() const;
};

// "any", an address, or address/length. Errors say what is wrong and show a right one; host bits that are set are an
// error that names the prefix that was probably meant.
Outcome<Prefix> parse_prefix(std::string_view text);
// "any", "80" or "80-90".
Outcome<PortRange> parse_port_range(std::string_view text);
// 1..65535.
Outcome<std::uint16_t> parse_port(std::string_view text);
// "any" (0), "tcp", "udp", "icmp", "icmpv6", or a number 1..255.
Outcome<std::uint8_t> parse_protocol(std::string_view text);
std::string ip_protocol_name(std::uint8_t protocol);
Outcome<Action> parse_action(std::string_view text);

// EINVAL where the rule contradicts itself (two families, a port without TCP or UDP).
Outcome<void> check_rule(const Rule& rule);

// Pure: between the two representations.
weir_rule to_map(const Rule& rule);
Rule from_map(const weir_rule& rule);

// The rules in order, with their counters. Reads only.
Outcome<std::vector<Rule>> filter_list(const xdp::Maps& maps);

// The caller holds the Lock for all that follow.

// Before the rule that is at `position` now (0: first); at the end without one. Returns its id. ENOSPC: the table is
// full.
Outcome<std::uint32_t> filter_add(const xdp::Maps& maps, Rule rule,
                                  std::optional<std::uint32_t> position = std::nullopt);
// ENOENT: no rule of that id.
Outcome<Rule> filter_del(const xdp::Maps& maps, std::uint32_t id);
// Returns how many there were.
Outcome<std::uint32_t> filter_flush(const xdp::Maps& maps);

}  // namespace weir::control
