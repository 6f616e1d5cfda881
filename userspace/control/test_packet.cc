// SPDX-License-Identifier: MIT
#include "weir/control/test_packet.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>

#include "weir/base/bytes.h"

namespace weir::control {
namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kFragmentHeader = 44;
constexpr std::uint8_t kIcmpv6 = 58;
constexpr std::uint16_t kIpv4Type = 0x0800;
constexpr std::uint16_t kIpv6Type = 0x86dd;
constexpr std::uint16_t kArpType = 0x0806;
constexpr std::uint16_t kVlanType = 0x8100;
constexpr std::uint16_t kVlanServiceType = 0x88a8;
constexpr std::uint16_t kClientPort = 40000;
constexpr std::uint8_t kSyn = 2;
// Where a later fragment lies, in units of eight octets: what an MTU of 1500 makes.
constexpr std::uint16_t kLaterOffset = 185;
constexpr std::uint32_t kFragmentId = 1;

Err<Error> invalid(std::string message) { return xdp::fail(std::move(message), EINVAL); }

using Octets = std::vector<std::byte>;

void put8(Octets& to, unsigned v) { to.push_back(static_cast<std::byte>(v & 0xff)); }
void put16(Octets& to, unsigned v) {
  put8(to, v >> 8);
  put8(to, v);
}
void put(Octets& to, ConstBytes from) { to.insert(to.end(), from.begin(), from.end()); }

Outcome<std::optional<IpAddress>> one_address(const Prefix& p, const char* word) {
  if (p.any) return std::optional<IpAddress>{};
  if (p.length != (p.address.is_v4() ? 32 : 128))
    return invalid(std::string(word) + " " + p.to_string() + " is a network: a packet has one address");
  return std::optional(p.address);
}

Outcome<std::optional<std::uint16_t>> one_port(const PortRange& r, const char* word) {
  if (r.any()) return std::optional<std::uint16_t>{};
  if (r.min != r.max) return invalid(std::string(word) + " " + r.to_string() + " is a range: a packet has one port");
  return std::optional(r.min);
}

Outcome<std::uint16_t> one_value(const std::optional<Range>& r, const char* word, std::uint16_t otherwise) {
  if (!r) return otherwise;
  if (r->min != r->max) return invalid(std::string(word) + " says more than one value: a packet has one");
  return r->min;
}

struct Ends {
  IpAddress from;
  IpAddress to;
};

Outcome<Ends> ends(const Rule& words, const PacketDefaults& defaults) {
  const auto from = one_address(words.source, "from");
  if (!from) return Err(from.error());
  const auto to = one_address(words.destination, "to");
  if (!to) return Err(to.error());
  if (!*from) return invalid("'from' is missing: give the packet's source address");
  if (*to) return Ends{**from, **to};
  for (const IpAddress& own : defaults.addresses)
    if (own.family() == (*from)->family() && !own.is_link_local()) return Ends{**from, own};
  return invalid("'to' is missing, and the interface has no address of that family");
}

Octets transport(const Rule& words, std::uint8_t protocol, std::uint16_t sport, std::uint16_t port,
                 std::uint16_t icmp_type) {
  Octets out;
  if (protocol == kTcp) {
    put16(out, sport);
    put16(out, port);
    out.resize(12);
    put8(out, 5 << 4);
    put8(out, words.flags ? words.flags->value : kSyn);
    put16(out, 65535);
    out.resize(20);
  } else if (protocol == kUdp) {
    put16(out, sport);
    put16(out, port);
    put16(out, 8);  // the header's own: what follows is nobody's
    put16(out, 0);
  } else if (protocol == kIcmp || protocol == kIcmpv6) {
    put8(out, icmp_type);
    out.resize(8);
  }
  return out;
}

struct Headers {
  std::uint8_t protocol = 0;
  std::uint16_t fragment = WEIR_FRAGMENT_NONE;
  std::size_t length = 0;  // of the IP packet
};

void put_ipv4(Octets& to, const Ends& e, const Headers& h) {
  put16(to, 0x4500);
  put16(to, static_cast<unsigned>(h.length));
  put16(to, kFragmentId);
  put16(to, h.fragment == WEIR_FRAGMENT_FIRST ? 0x2000u : h.fragment == WEIR_FRAGMENT_LATER ? kLaterOffset : 0u);
  put8(to, 64);
  put8(to, h.protocol);
  put16(to, 0);
  put(to, e.from.wire());
  put(to, e.to.wire());
}

void put_ipv6(Octets& to, const Ends& e, const Headers& h) {
  put16(to, 0x6000);
  put16(to, 0);
  put16(to, static_cast<unsigned>(h.length - 40));
  put8(to, h.fragment == WEIR_FRAGMENT_NONE ? h.protocol : kFragmentHeader);
  put8(to, 64);
  put(to, e.from.wire());
  put(to, e.to.wire());
  if (h.fragment == WEIR_FRAGMENT_NONE) return;
  put8(to, h.protocol);
  put8(to, 0);
  put16(to, h.fragment == WEIR_FRAGMENT_FIRST ? 1u : kLaterOffset << 3);
  put16(to, kFragmentId >> 16);
  put16(to, kFragmentId & 0xffff);
}

}  // namespace

Outcome<std::vector<std::byte>> frame_of(const Rule& words, const PacketDefaults& defaults) {
  const auto e = ends(words, defaults);
  if (!e) return Err(e.error());
  const bool v4 = e->from.is_v4();
  if (v4 != e->to.is_v4()) return invalid("'from' and 'to' are of two families: a packet has one");
  Rule rule = words;
  if (rule.protocol == 0) rule.protocol = rule.icmp_type ? (v4 ? kIcmp : kIcmpv6) : kTcp;
  if (auto sound = check_rule(rule); !sound) return Err(sound.error());
  const auto sport = one_port(rule.source_port, "sport");
  if (!sport) return Err(sport.error());
  const auto port = one_port(rule.port, "port");
  if (!port) return Err(port.error());
  const auto icmp_type = one_value(rule.icmp_type, "icmp-type", v4 ? 8 : 128);
  if (!icmp_type) return Err(icmp_type.error());
  const auto vlan = one_value(rule.vlan, "vlan", 0);
  if (!vlan) return Err(vlan.error());
  const auto fragment = one_value(rule.fragment, "fragment", WEIR_FRAGMENT_NONE);
  if (!fragment) return Err(fragment.error());
  const bool later = *fragment == WEIR_FRAGMENT_LATER;
  const bool has_ports = rule.protocol == kTcp || rule.protocol == kUdp;
  if (has_ports && !later && !*port) return invalid("'port' is missing: give the packet's destination port");
  if (later && (*port || *sport || rule.flags || rule.icmp_type))
    return invalid("a later fragment has no ports, no flags and no ICMP type");

  const Octets payload =
      later ? Octets(8) : transport(rule, rule.protocol, sport->value_or(kClientPort), port->value_or(0), *icmp_type);
  const std::size_t header = v4 ? 20 : *fragment == WEIR_FRAGMENT_NONE ? 40 : 48;
  const std::size_t least = header + payload.size();
  const auto length = one_value(rule.length, "length", static_cast<std::uint16_t>(least));
  if (!length) return Err(length.error());
  if (*length < least)
    return invalid("length " + std::to_string(*length) + " is less than the headers take: " + std::to_string(least) +
                   " is the least");

  Octets out;
  put(out, ConstBytes(reinterpret_cast<const std::byte*>(defaults.to.bytes.data()), 6));
  for (const unsigned octet : {2u, 0u, 0u, 0u, 0u, 1u}) put8(out, octet);
  if (*vlan != 0) {
    put16(out, kVlanType);
    put16(out, *vlan - 1u);
  }
  put16(out, v4 ? kIpv4Type : kIpv6Type);
  const Headers h{rule.protocol, *fragment, *length};
  v4 ? put_ipv4(out, *e, h) : put_ipv6(out, *e, h);
  put(out, payload);
  out.resize(out.size() + *length - least);
  return out;
}

Outcome<std::vector<std::byte>> parse_hex(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr std::size_t kMost = 65536;
  Octets out;
  std::optional<unsigned> high;
  for (const char c : text) {
    if (!high && std::string_view(" \t\n:-").find(c) != std::string_view::npos) continue;
    const std::size_t digit = kDigits.find(c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c);
    if (digit == std::string_view::npos)
      return invalid("the octets are not hexadecimal: write two digits for each, as ffffffffffff0200...");
    if (!high) {
      high = static_cast<unsigned>(digit);
      continue;
    }
    put8(out, *high << 4 | static_cast<unsigned>(digit));
    high.reset();
    if (out.size() > kMost) return invalid("a frame has at most 65536 octets");
  }
  if (high) return invalid("the last octet has one digit only: write two for each");
  return out;
}

namespace {

// Reads from the front; what is not there is nothing.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : left_(bytes) {}
  std::optional<std::span<const std::byte>> take(std::size_t n) {
    if (left_.size() < n) return {};
    const auto out = left_.first(n);
    left_ = left_.subspan(n);
    return out;
  }

 private:
  std::span<const std::byte> left_;
};

unsigned at8(std::span<const std::byte> b, std::size_t i) { return std::to_integer<unsigned>(b[i]); }
unsigned at16(std::span<const std::byte> b, std::size_t i) { return at8(b, i) << 8 | at8(b, i + 1); }

struct Summary {
  std::string tag;
  std::string what;
};

std::string flag_letters(unsigned flags) {
  std::string out;
  for (std::size_t i = 0; i < 8; ++i)
    if ((flags >> i & 1u) != 0) out += "FSRPAUEC"[i];
  return out.empty() ? "-" : out;
}

std::string ip_text(Reader& r, std::uint8_t protocol, const IpAddress& from, const IpAddress& to, bool later) {
  const std::string name = ip_protocol_name(protocol);
  const std::string plain = name + " " + from.to_string() + " -> " + to.to_string();
  if (later) return plain + ", later fragment";
  if (protocol == kTcp || protocol == kUdp) {
    const auto ports = r.take(4);
    if (!ports) return plain;
    const auto end = [](const IpAddress& a, unsigned port) {
      return Endpoint{a, static_cast<std::uint16_t>(port)}.to_string();
    };
    std::string out = name + " " + end(from, at16(*ports, 0)) + " -> " + end(to, at16(*ports, 2));
    if (protocol == kUdp) return out;
    const auto rest = r.take(10);
    return rest ? out + " " + flag_letters(at8(*rest, 9)) : out;
  }
  if (protocol == kIcmp || protocol == kIcmpv6)
    if (const auto type = r.take(1)) return plain + " type " + std::to_string(at8(*type, 0));
  return plain;
}

std::string ipv4_text(Reader& r) {
  const auto h = r.take(20);
  if (!h) return "IPv4, cut short";
  const unsigned words = at8(*h, 0) & 15;
  if (words > 5) static_cast<void>(r.take((words - 5) * 4u));
  const unsigned fragment = at16(*h, 6);
  const std::string text = ip_text(r, static_cast<std::uint8_t>(at8(*h, 9)), IpAddress::v4(&(*h)[12]),
                                   IpAddress::v4(&(*h)[16]), (fragment & 0x1fff) != 0);
  return (fragment & 0x2000) != 0 && (fragment & 0x1fff) == 0 ? text + ", first fragment" : text;
}

std::string ipv6_text(Reader& r) {
  const auto h = r.take(40);
  if (!h) return "IPv6, cut short";
  auto next = static_cast<std::uint8_t>(at8(*h, 6));
  bool later = false;
  bool first = false;
  for (int i = 0; i < 8 && !later; ++i) {
    if (next != 0 && next != 43 && next != 60 && next != kFragmentHeader) break;
    const auto ext = r.take(8);
    if (!ext) break;
    if (next == kFragmentHeader) {
      later = (at16(*ext, 2) & 0xfff8) != 0;
      first = !later && (at16(*ext, 2) & 1) != 0;
    } else if (!r.take(at8(*ext, 1) * 8u)) {
      break;
    }
    next = static_cast<std::uint8_t>(at8(*ext, 0));
  }
  const std::string text = ip_text(r, next, IpAddress::v6(&(*h)[8]), IpAddress::v6(&(*h)[24]), later);
  return first ? text + ", first fragment" : text;
}

std::string body_text(Reader& r, unsigned type) {
  if (type == kIpv4Type) return ipv4_text(r);
  if (type == kIpv6Type) return ipv6_text(r);
  if (type == kArpType) return "ARP";
  char hex[16];
  std::snprintf(hex, sizeof hex, "0x%04x", type);
  return std::string("Ethernet type ") + hex;
}

}  // namespace

std::optional<FrameAddresses> frame_addresses(std::span<const std::byte> frame) {
  Reader r(frame);
  const auto ethernet = r.take(14);
  if (!ethernet) return {};
  unsigned type = at16(*ethernet, 12);
  for (int i = 0; i < 2 && (type == kVlanType || type == kVlanServiceType); ++i) {
    const auto t = r.take(4);
    if (!t) return {};
    type = at16(*t, 2);
  }
  if (type == kIpv4Type)
    if (const auto h = r.take(20)) return FrameAddresses{IpAddress::v4(&(*h)[12]), IpAddress::v4(&(*h)[16])};
  if (type == kIpv6Type)
    if (const auto h = r.take(40)) return FrameAddresses{IpAddress::v6(&(*h)[8]), IpAddress::v6(&(*h)[24])};
  return {};
}

std::string frame_text(std::span<const std::byte> frame) { return frame_text(frame, frame.size()); }

std::string frame_text(std::span<const std::byte> beginning, std::size_t length) {
  Reader r(beginning);
  const std::string size = ", " + std::to_string(length) + " octets";
  const auto ethernet = r.take(14);
  if (!ethernet) return "less than an Ethernet header" + size;
  unsigned type = at16(*ethernet, 12);
  std::string tag;
  for (int i = 0; i < 2 && (type == kVlanType || type == kVlanServiceType); ++i) {
    const auto t = r.take(4);
    if (!t) return "a VLAN tag, cut short" + size;
    tag += "vlan " + std::to_string(at16(*t, 0) & 0xfff) + ", ";
    type = at16(*t, 2);
  }
  return tag + body_text(r, type) + size;
}

}  // namespace weir::control
