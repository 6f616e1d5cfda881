// SPDX-License-Identifier: MIT
// Which flows a steering entry is for: a port or a range of ports, and prefixes of our address and the peer's.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/base/ip_address.h"
#include "weir/common/abi.h"
#include "weir/control/filter_rule.h"

namespace weir::control {

enum class Protocol : std::uint8_t { tcp = 6, udp = 17 };
const char* protocol_name(Protocol p);

struct Port {
  Protocol protocol = Protocol::tcp;
  std::uint16_t number = 0;       // host order
  std::string to_string() const;  // "tcp 8080"
  friend bool operator==(const Port&, const Port&) = default;
};

struct Selector {
  Selector() = default;
  Selector(Port port) : protocol(port.protocol), first(port.number), last(port.number) {}
  Selector(Protocol p, std::uint16_t port) : Selector(Port{p, port}) {}

  Protocol protocol = Protocol::tcp;
  std::uint16_t first = 0;  // host order, inclusive
  std::uint16_t last = 0;
  Prefix to;    // our address
  Prefix from;  // the peer's

  bool is_range() const { return first != last; }
  // One port and nothing else.
  bool is_plain() const { return !is_range() && family() == 0; }
  // 0 where any address of either family will do.
  std::uint8_t family() const;
  Port port() const { return {protocol, first}; }

  // "tcp 8000-8099 to 192.0.2.1 from 198.51.100.0/24", as it is typed.
  std::string to_string() const;

  bool matches(const IpAddress& local, std::uint16_t port, const IpAddress& remote) const;
  // Some flow is matched by both.
  bool overlaps(const Selector& other) const;
  // This one is asked first: the narrower range, then an address rather than none, then the longer destination prefix,
  // then the longer source prefix. Where neither is before the other they may not overlap.
  bool before(const Selector& other) const;

  friend bool operator==(const Selector&, const Selector&) = default;
};

// EINVAL says what is wrong: port 0, a range from its end to its beginning, two families.
Outcome<void> check_selector(const Selector& selector);

// 1 to 15 letters, digits, '_', '-' or '.', no '-' first.
Outcome<std::string> parse_app_name(std::string_view text);

// Pure: between the two representations. to_map() leaves all but the selector's fields alone.
void to_map(const Selector& selector, weir_steer& entry);
Selector selector_of(const weir_steer& entry);

}  // namespace weir::control
