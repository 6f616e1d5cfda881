// SPDX-License-Identifier: MIT
// Frames from words and words from frames, for `weir filter test`. Pure: no map, no system call.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/control/filter_rule.h"

namespace weir::control {

// What the words leave open.
struct PacketDefaults {
  MacAddress to;                     // the interface's own
  std::vector<IpAddress> addresses;  // the interface's own: `to` is one of them where it is not said
};

// The frame that a rule's words describe, where each of them says one value: an address and not a network, a port and
// not a range. Its action and its name are not looked at. Without words: TCP, a SYN (or an echo request) of the least
// length, untagged, no fragment, from port 40000. What is neither header nor said is zero, checksums too: the program
// reads none. EINVAL says which word is missing or says too much.
Outcome<std::vector<std::byte>> frame_of(const Rule& words, const PacketDefaults& defaults);

// Hexadecimal octets, with or without blanks, colons and dashes between them. EINVAL says what is wrong.
Outcome<std::vector<std::byte>> parse_hex(std::string_view text);

// One line: "tcp 192.0.2.1:40000 -> 198.51.100.7:443 S, 54 octets". Of any octets; what cannot be read is left out.
std::string frame_text(std::span<const std::byte> frame);
// Those of its IP header, behind up to two VLAN tags; nothing where it has none.
struct FrameAddresses {
  IpAddress source;
  IpAddress destination;
};
std::optional<FrameAddresses> frame_addresses(std::span<const std::byte> frame);
// Of a frame of that length, of which `beginning` is at hand.
std::string frame_text(std::span<const std::byte> beginning, std::size_t length);

}  // namespace weir::control
