// SPDX-License-Identifier: MIT
// Words to values and back.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "weir/control/filter.h"

namespace weir::control {
namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kIcmpv6 = 58;

std::string quoted(std::string_view text) { return "'" + std::string(text) + "'"; }

Err<Error> invalid(std::string message) { return xdp::fail(std::move(message), EINVAL); }

// Decimal digits and nothing else, of at most `max`.
std::optional<std::uint32_t> number(std::string_view text, std::uint32_t max) {
  std::uint32_t v = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size() || v > max) return {};
  return v;
}

std::array<std::uint8_t, 16> mask_bytes(unsigned bits) {
  std::array<std::uint8_t, 16> out{};
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned in_byte = bits >= 8 * (i + 1) ? 8 : bits > 8 * i ? bits - 8 * i : 0;
    out[i] = static_cast<std::uint8_t>(0xff00u >> in_byte);
  }
  return out;
}

// Length over the 16 bytes of the map's form.
unsigned mapped_length(const Prefix& p) { return p.any ? 0u : p.length + (p.address.is_v4() ? 96u : 0u); }

IpAddress masked(const IpAddress& address, unsigned mapped_bits) {
  const auto mask = mask_bytes(mapped_bits);
  auto bytes = address.bytes();
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] &= mask[i];
  return IpAddress::v6(reinterpret_cast<const std::byte*>(bytes.data()));
}

constexpr std::pair<std::uint8_t, const char*> kProtocols[] = {
    {0, "any"}, {kIcmp, "icmp"}, {kTcp, "tcp"}, {kUdp, "udp"}, {kIcmpv6, "icmpv6"}};

Prefix prefix_from(const weir_addr& address, const weir_addr& mask) {
  unsigned bits = 0;
  for (const weir_u8 b : mask.bytes) bits += static_cast<unsigned>(__builtin_popcount(b));
  Prefix p;
  if (bits == 0) return p;
  p.any = false;
  p.address = IpAddress::v6(reinterpret_cast<const std::byte*>(address.bytes));
  p.length = static_cast<std::uint8_t>(p.address.is_v4() && bits >= 96 ? bits - 96 : bits);
  return p;
}

}  // namespace

std::string Prefix::to_string() const { return any ? "any" : address.to_string() + "/" + std::to_string(length); }

std::string PortRange::to_string() const {
  if (any()) return "any";
  return min == max ? std::to_string(min) : std::to_string(min) + "-" + std::to_string(max);
}

const char* action_name(Action a) {
  switch (a) {
    case Action::accept:
      return "accept";
    case Action::drop:
      return "drop";
    case Action::pass:
      return "pass";
  }
  return "?";
}

std::string ip_protocol_name(std::uint8_t protocol) {
  for (const auto& [value, name] : kProtocols)
    if (value == protocol) return name;
  return std::to_string(protocol);
}

Outcome<Prefix> parse_prefix(std::string_view text) {
  if (text == "any") return Prefix{};
  const std::size_t slash = text.find('/');
  const std::string_view address_text = text.substr(0, slash);
  const auto address = IpAddress::parse(address_text);
  if (!address)
    return invalid(quoted(text) + " is not a prefix: write 192.0.2.0/24, 2001:db8::/32, one address, or any");
  if (address->is_v4() && address_text.find(':') != std::string_view::npos)
    return invalid(quoted(text) + " is an IPv4-mapped address: write it as IPv4");
  Prefix p;
  p.any = false;
  p.address = *address;
  const std::uint32_t whole = address->is_v4() ? 32 : 128;
  p.length = static_cast<std::uint8_t>(whole);
  if (slash != std::string_view::npos) {
    const auto length = number(text.substr(slash + 1), whole);
    if (!length)
      return invalid(quoted(text) + " has no valid prefix length: after the slash comes a number of 0 to " +
                     std::to_string(whole));
    p.length = static_cast<std::uint8_t>(*length);
  }
  const IpAddress network = masked(p.address, mapped_length(p));
  if (network != p.address) {
    p.address = network;
    return invalid(quoted(text) + " has bits set beyond its length: did you mean " + p.to_string() + "?");
  }
  // The map holds IPv4 as ::ffff:0:0/96, which such a prefix would cover.
  if (!p.address.is_v4() && masked(IpAddress::v4(0, 0, 0, 0), p.length) == p.address)
    return invalid(quoted(text) + " would cover IPv4 too: write any for both families, or 2000::/3 for global IPv6");
  return p;
}

Outcome<std::uint16_t> parse_port(std::string_view text) {
  const auto port = number(text, 65535);
  if (!port || *port == 0) return invalid(quoted(text) + " is not a port: give a number of 1 to 65535");
  return static_cast<std::uint16_t>(*port);
}

Outcome<PortRange> parse_port_range(std::string_view text) {
  if (text == "any") return PortRange{};
  const std::size_t dash = text.find('-');
  const auto min = parse_port(text.substr(0, dash));
  const auto max = dash == std::string_view::npos ? min : parse_port(text.substr(dash + 1));
  if (!min || !max) return invalid(quoted(text) + " is not a port range: write 80, 8000-8999, or any, of 1 to 65535");
  if (*min > *max)
    return invalid(quoted(text) + " is an empty range: did you mean " + std::to_string(*max) + "-" +
                   std::to_string(*min) + "?");
  return PortRange{*min, *max};
}

Outcome<std::uint8_t> parse_protocol(std::string_view text) {
  for (const auto& [value, name] : kProtocols)
    if (text == name) return value;
  const auto value = number(text, 255);
  if (!value || *value == 0)
    return invalid(quoted(text) + " is not a protocol: write tcp, udp, icmp, icmpv6, any, or a number of 1 to 255");
  return static_cast<std::uint8_t>(*value);
}

Outcome<Action> parse_action(std::string_view text) {
  for (const Action a : {Action::accept, Action::drop, Action::pass})
    if (text == action_name(a)) return a;
  return invalid(quoted(text) + " is not an action: write accept, drop or pass");
}

Outcome<void> check_rule(const Rule& rule) {
  const bool v4 =
      (!rule.source.any && rule.source.address.is_v4()) || (!rule.destination.any && rule.destination.address.is_v4());
  const bool v6 =
      (!rule.source.any && rule.source.address.is_v6()) || (!rule.destination.any && rule.destination.address.is_v6());
  if (v4 && v6) return invalid("source and destination are of different families: no packet can match both");
  if (!rule.port.any() && rule.protocol != kTcp && rule.protocol != kUdp)
    return invalid("a port needs proto tcp or proto udp beside it");
  if (rule.port.min > rule.port.max) return invalid("the port range is empty");
  if ((v6 && rule.protocol == kIcmp) || (v4 && rule.protocol == kIcmpv6))
    return invalid("icmp is of IPv4 and icmpv6 of IPv6: this rule's addresses are of the other family");
  return {};
}

std::string Rule::to_string() const {
  std::string out = action_name(action);
  if (!source.any) out += " src " + source.to_string();
  if (!destination.any) out += " dst " + destination.to_string();
  if (protocol != 0) out += " proto " + ip_protocol_name(protocol);
  if (!port.any()) out += " port " + port.to_string();
  return out;
}

weir_rule to_map(const Rule& rule) {
  weir_rule out{};
  auto put = [](const Prefix& p, weir_addr& address, weir_addr& mask) {
    const unsigned bits = mapped_length(p);
    const auto mask_as_bytes = mask_bytes(bits);
    const auto address_as_bytes = p.any ? std::array<std::uint8_t, 16>{} : masked(p.address, bits).bytes();
    std::copy(mask_as_bytes.begin(), mask_as_bytes.end(), mask.bytes);
    std::copy(address_as_bytes.begin(), address_as_bytes.end(), address.bytes);
  };
  put(rule.source, out.src, out.src_mask);
  put(rule.destination, out.dst, out.dst_mask);
  out.protocol = rule.protocol;
  out.action = static_cast<weir_u8>(rule.action);
  out.port_min = rule.port.min;
  out.port_max = rule.port.max;
  out.counter = static_cast<weir_u16>(rule.counter);
  out.id = rule.id;
  return out;
}

Rule from_map(const weir_rule& rule) {
  Rule out;
  out.action = static_cast<Action>(rule.action);
  out.source = prefix_from(rule.src, rule.src_mask);
  out.destination = prefix_from(rule.dst, rule.dst_mask);
  out.protocol = rule.protocol;
  out.port = {rule.port_min, rule.port_max};
  out.id = rule.id;
  out.counter = rule.counter;
  return out;
}

}  // namespace weir::control
