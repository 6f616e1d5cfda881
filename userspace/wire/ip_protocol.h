// SPDX-License-Identifier: MIT
// What IPv4's protocol field and IPv6's next-header field say (one IANA registry), and the two parts of the former TOS.
#pragma once

#include <cstdint>

namespace weir::wire {

// Values that are not listed occur and may be cast: the underlying type is fixed.
enum class IpProtocol : std::uint8_t {
  hop_by_hop = 0,
  icmp = 1,
  tcp = 6,
  udp = 17,
  routing = 43,
  fragment = 44,
  esp = 50,
  ah = 51,
  icmpv6 = 58,
  none = 59,
  destination_options = 60,
};

// RFC 3168 5: the low two bits of the traffic class.
enum class Ecn : std::uint8_t { not_ect = 0, ect1 = 1, ect0 = 2, ce = 3 };

// The byte that both stand in: IPv4's former TOS, IPv6's traffic class. `dscp` is 0..63.
constexpr std::uint8_t traffic_class(std::uint8_t dscp, Ecn ecn) {
  return static_cast<std::uint8_t>((unsigned{dscp} << 2) | static_cast<unsigned>(ecn));
}

// A packet's place in the datagram that it is a part of.
struct FragmentInfo {
  std::uint32_t id = 0;      // 16 bits in IPv4, 32 in IPv6
  std::uint16_t offset = 0;  // bytes, a multiple of 8
  bool more = false;

  bool first() const { return offset == 0; }
  friend constexpr bool operator==(const FragmentInfo&, const FragmentInfo&) = default;
};

}  // namespace weir::wire
