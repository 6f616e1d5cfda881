// SPDX-License-Identifier: MIT
// One rule of the filter: what it asks of a frame, and what becomes of the frame. Words to values, values to words, and
// between the tools' form and the map's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/common/abi.h"
#include "weir/control/netns.h"

namespace weir::control {

// An address range; host bits are zero. Length 0 is any address of the family; a default-made one any address at all.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;  // of the family: 0..32, 0..128
  bool any = true;
  std::string to_string() const;  // "any", "192.0.2.0/24"
  bool contains(const IpAddress& a) const;
  friend bool operator==(const Prefix&, const Prefix&) = default;
};

struct PortRange {
  std::uint16_t min = 0;
  std::uint16_t max = 65535;
  bool any() const { return min == 0 && max == 65535; }
  std::string to_string() const;  // "any", "80", "1000-2000"
  friend bool operator==(const PortRange&, const PortRange&) = default;
};

// Inclusive, of whatever the field counts.
struct Range {
  std::uint16_t min = 0;
  std::uint16_t max = 0;
  friend bool operator==(const Range&, const Range&) = default;
};

// Of the octet of a TCP header: FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32, ECE 64, CWR 128.
struct TcpFlags {
  std::uint8_t value = 0;
  std::uint8_t mask = 0;
  friend bool operator==(const TcpFlags&, const TcpFlags&) = default;
};

// Frames beyond it are dropped. A token bucket: `burst` is what an idle one holds.
struct Limit {
  enum class Unit : std::uint8_t { packets, bytes };  // bytes: from the Ethernet header on
  Unit unit = Unit::packets;
  bool per_source = false;  // a bucket for each source address (IPv6: for its /64)
  std::uint64_t rate = 0;   // a second
  std::uint64_t burst = 0;
  friend bool operator==(const Limit&, const Limit&) = default;
};

// A named set of addresses (sets.h) as a rule asks for it: "@blocklist".
struct SetName {
  std::string name;         // empty: none
  std::uint8_t number = 0;  // of the generation's table; set by it
  friend bool operator==(const SetName& a, const SetName& b) { return a.name == b.name; }
};

// accept: no further rule is asked, steering decides. pass: to the kernel, unsteered.
enum class Action : std::uint8_t { accept = WEIR_ACTION_ACCEPT, drop = WEIR_ACTION_DROP, pass = WEIR_ACTION_PASS };
const char* action_name(Action a);

struct Rule {
  std::string name;  // unique, stable: the counters follow it. Empty: filter_add finds one
  Action action = Action::accept;
  Prefix source;
  Prefix destination;
  SetName source_set;  // beside no prefix
  SetName destination_set;
  std::uint8_t protocol = 0;  // IANA number; 0: any
  PortRange port;             // destination; needs TCP or UDP, as source_port does
  PortRange source_port;
  std::optional<TcpFlags> flags;   // needs TCP
  std::optional<Range> icmp_type;  // 0..255; needs ICMP or ICMPv6
  std::optional<Range> vlan;       // values of WEIR_FIELD_VLAN
  std::optional<Range> fragment;   // values of enum weir_fragment
  std::optional<Range> length;     // of the IP packet, octets
  std::optional<Limit> limit;
  std::uint32_t sample = 0;  // one frame in so many is copied to who asks for samples; 0: none
  // Set by the table:
  std::uint32_t counter = 0;
  weir_counter hits{};

  // In the grammar of `weir filter add`, without the name: "drop proto tcp from 192.0.2.0/24 port 80".
  std::string to_string() const;
  // Whether both say the same, whatever has been counted.
  bool same_rule(const Rule& other) const;
};

// "any", an address, or address/length. Errors say what is wrong and show a right one; host bits that are set are an
// error that names the prefix that was probably meant.
Outcome<Prefix> parse_prefix(std::string_view text);
// For an error: between quotation marks, and cut where it is long.
std::string quoted(std::string_view text);
// "any", "80" or "80-90".
Outcome<PortRange> parse_port_range(std::string_view text);
// 1..65535.
Outcome<std::uint16_t> parse_port(std::string_view text);
// "any" (0), "tcp", "udp", "icmp", "icmpv6", or a number 1..255.
Outcome<std::uint8_t> parse_protocol(std::string_view text);
std::string ip_protocol_name(std::uint8_t protocol);
Outcome<Action> parse_action(std::string_view text);
// 1 to 31 letters, digits, '_', '-' or '.', no '-' first.
Outcome<std::string> parse_rule_name(std::string_view text);

// A word of a rule that takes a value: from, to, proto, port, sport, flags, icmp-type, vlan, fragment, length, limit,
// burst, per, sample. `burst` and `per` come after `limit`. EINVAL says what is wrong with the value; ENOENT: no such
// word.
Outcome<void> set_word(Rule& rule, std::string_view word, std::string_view value);
// In the order of the manual.
const std::vector<std::string_view>& rule_words();

// EINVAL where the rule contradicts itself (two families, a port without TCP or UDP, a limit on a drop).
Outcome<void> check_rule(const Rule& rule);

// The value of `from` and `to`: the prefix's, the set's with its '@', or "any".
std::string source_text(const Rule& rule);
std::string destination_text(const Rule& rule);

// Pure: between the two representations. The map's has the numbers of sets, not their names: from_map() leaves a name
// "#N", which no set can have, for the table to replace.
weir_rule to_map(const Rule& rule);
Rule from_map(const weir_rule& rule);

}  // namespace weir::control
