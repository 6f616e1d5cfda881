// SPDX-License-Identifier: MIT
#include "weir/control/frame_text.h"

#include <cstdint>

#include "weir/base/ip_address.h"
#include "weir/control/filter_rule.h"

namespace weir::control {
namespace {

constexpr std::uint8_t kHopByHop = 0, kIcmp = 1, kTcp = 6, kUdp = 17, kRouting = 43, kFragment = 44,
                       kAuthentication = 51, kIcmpv6 = 58, kDestinationOptions = 60;
constexpr const char* kCut = " (cut short)";

// From the front. Reading past the end gives zeros: who reads asks has() before.
class Octets {
 public:
  explicit Octets(std::span<const std::byte> octets) : octets_(octets) {}
  bool has(std::size_t n) const { return octets_.size() >= n; }
  std::uint8_t u8(std::size_t i) const { return i < octets_.size() ? std::to_integer<std::uint8_t>(octets_[i]) : 0; }
  std::uint16_t u16(std::size_t i) const { return static_cast<std::uint16_t>(u8(i) << 8 | u8(i + 1)); }
  const std::byte* at(std::size_t i) const { return octets_.data() + i; }
  // False where there are not so many.
  bool skip(std::size_t n) {
    if (!has(n)) return false;
    octets_ = octets_.subspan(n);
    return true;
  }

 private:
  std::span<const std::byte> octets_;
};

struct Ends {
  IpAddress from, to;
};

std::string with_port(const IpAddress& address, std::uint16_t port) {
  const std::string text = address.to_string();
  return (address.is_v6() ? "[" + text + "]" : text) + ":" + std::to_string(port);
}

std::string flags_of(std::uint8_t flags) {
  constexpr const char* kLetters = "FSRPAUEC";
  std::string out;
  for (unsigned i = 0; i < 8; ++i)
    if ((flags >> i & 1u) != 0) out += kLetters[i];
  return out.empty() ? "-" : out;
}

std::string without_ports(const Ends& e, const std::string& what) {
  return e.from.to_string() + " > " + e.to.to_string() + " " + what;
}

std::string transport(Octets o, const Ends& e, std::uint8_t protocol, bool later_fragment) {
  const std::string name = ip_protocol_name(protocol);
  if (later_fragment) return without_ports(e, name + " fragment");
  if (protocol == kTcp || protocol == kUdp) {
    if (!o.has(4)) return without_ports(e, name + kCut);
    std::string out = with_port(e.from, o.u16(0)) + " > " + with_port(e.to, o.u16(2)) + " " + name;
    if (protocol == kTcp) out += o.has(14) ? " " + flags_of(o.u8(13)) : kCut;
    return out;
  }
  if (protocol == kIcmp || protocol == kIcmpv6) {
    if (!o.has(2)) return without_ports(e, name + kCut);
    std::string what = name + " type " + std::to_string(o.u8(0));
    if (o.u8(1) != 0) what += " code " + std::to_string(o.u8(1));
    return without_ports(e, what);
  }
  return without_ports(e, protocol == 0 ? "protocol 0" : "protocol " + name);
}

std::string ipv4(Octets o) {
  if (!o.has(20)) return std::string("ip") + kCut;
  const Ends e{IpAddress::v4(o.at(12)), IpAddress::v4(o.at(16))};
  const std::size_t header = (o.u8(0) & 15u) * 4u;
  const std::uint8_t protocol = o.u8(9);
  if (header < 20) return without_ports(e, "(bad header length)");
  const bool later = (o.u16(6) & 0x1fff) != 0;
  if (!o.skip(header)) return without_ports(e, ip_protocol_name(protocol) + kCut);
  return transport(o, e, protocol, later);
}

std::string ipv6(Octets o) {
  if (!o.has(40)) return std::string("ip6") + kCut;
  const Ends e{IpAddress::v6(o.at(8)), IpAddress::v6(o.at(24))};
  std::uint8_t protocol = o.u8(6);
  o.skip(40);
  for (int headers = 0; headers < 8; ++headers) {
    if (protocol != kHopByHop && protocol != kRouting && protocol != kFragment && protocol != kAuthentication &&
        protocol != kDestinationOptions)
      return transport(o, e, protocol, false);
    if (!o.has(8)) return without_ports(e, std::string("extension header") + kCut);
    const std::uint8_t next = o.u8(0);
    if (protocol == kFragment && (o.u16(2) & 0xfff8) != 0) return transport(o, e, next, true);
    const std::size_t size = protocol == kFragment         ? 8
                             : protocol == kAuthentication ? (o.u8(1) + 2u) * 4
                                                           : (o.u8(1) + 1u) * 8;
    if (!o.skip(size)) return without_ports(e, std::string("extension header") + kCut);
    protocol = next;
  }
  return without_ports(e, "more extension headers");
}

std::string arp(Octets o) {
  if (!o.has(28) || o.u16(2) != 0x0800) return "arp";
  const std::string sender = IpAddress::v4(o.at(14)).to_string();
  const std::string target = IpAddress::v4(o.at(24)).to_string();
  if (o.u16(6) == 1) return "arp who has " + target + ", tell " + sender;
  return o.u16(6) == 2 ? "arp " + sender + " is here" : "arp";
}

}  // namespace

std::string frame_text(std::span<const std::byte> octets) {
  Octets o(octets);
  if (!o.has(14)) return "no Ethernet header";
  std::uint16_t type = o.u16(12);
  o.skip(14);
  std::string tags;
  for (int i = 0; i < 3 && (type == 0x8100 || type == 0x88a8) && o.has(4); ++i) {
    tags += "vlan " + std::to_string(o.u16(0) & 0xfff) + " ";
    type = o.u16(2);
    o.skip(4);
  }
  switch (type) {
    case 0x0800:
      return tags + ipv4(o);
    case 0x86dd:
      return tags + ipv6(o);
    case 0x0806:
      return tags + arp(o);
    default: {
      constexpr const char* kDigits = "0123456789abcdef";
      std::string hex;
      for (int shift = 12; shift >= 0; shift -= 4) hex += kDigits[type >> shift & 15];
      return tags + "ethertype 0x" + hex;
    }
  }
}

}  // namespace weir::control
