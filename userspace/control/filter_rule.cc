// SPDX-License-Identifier: MIT
#include "weir/control/filter_rule.h"

#include <bit>
#include <cerrno>
#include <cstring>

namespace weir::control {
namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kIcmpv6 = 58;
// Longer bursts would not fit the bucket's word beside the clock.
constexpr std::uint64_t kLongestBurstSeconds = 86400;

Err<Error> invalid(std::string message) { return xdp::fail(std::move(message), EINVAL); }

constexpr weir_u32 bit(weir_field f) { return 1u << f; }

weir_prefix to_map(const Prefix& p) {
  weir_prefix out{};
  if (p.any) return out;
  std::memcpy(out.address.bytes, p.address.data(), sizeof out.address.bytes);
  out.family = p.address.is_v4() ? 4 : 6;
  out.length = p.length;
  return out;
}

Prefix from_map(const weir_prefix& raw) {
  Prefix p;
  if (raw.family == 0) return p;
  p.any = false;
  p.address = IpAddress::v6(reinterpret_cast<const std::byte*>(raw.address.bytes));
  p.length = raw.length;
  return p;
}

template <class T>
void put(T (&to)[2], std::uint16_t min, std::uint16_t max) {
  to[0] = static_cast<T>(min);
  to[1] = static_cast<T>(max);
}

template <class T>
Range range(const T (&from)[2]) {
  return {from[0], from[1]};
}

SetName set_name(weir_u32 bits) {
  const auto number = static_cast<std::uint8_t>(std::countr_zero(bits | 1u << (WEIR_MAX_SETS - 1)));
  return {"#" + std::to_string(number), number};
}

Outcome<void> check_limit(const Rule& rule) {
  if (!rule.limit) return {};
  if (rule.action == Action::drop)
    return invalid("a drop has no limit: write accept or pass, and what is beyond the limit is dropped");
  if (rule.limit->rate == 0 || rule.limit->burst == 0) return invalid("a limit has a rate and a burst of at least 1");
  if (rule.limit->burst / rule.limit->rate > kLongestBurstSeconds)
    return invalid("the burst is more than a day of the rate: make it smaller");
  if (rule.limit->unit == Limit::Unit::bytes && rule.limit->burst < 1514)
    return invalid("the burst is smaller than a frame, so that none would pass: make it 1514B or more");
  return {};
}

}  // namespace

bool Rule::same_rule(const Rule& o) const {
  return name == o.name && action == o.action && source == o.source && destination == o.destination &&
         source_set == o.source_set && destination_set == o.destination_set && protocol == o.protocol &&
         port == o.port && source_port == o.source_port && flags == o.flags && icmp_type == o.icmp_type &&
         vlan == o.vlan && fragment == o.fragment && length == o.length && limit == o.limit && sample == o.sample;
}

Outcome<void> check_rule(const Rule& rule) {
  const bool v4 =
      (!rule.source.any && rule.source.address.is_v4()) || (!rule.destination.any && rule.destination.address.is_v4());
  const bool v6 =
      (!rule.source.any && rule.source.address.is_v6()) || (!rule.destination.any && rule.destination.address.is_v6());
  if ((!rule.source.any && !rule.source_set.name.empty()) ||
      (!rule.destination.any && !rule.destination_set.name.empty()))
    return invalid("an address is of a prefix or of a set, not of both: write a rule for each");
  if (v4 && v6) return invalid("source and destination are of different families: no packet can match both");
  if ((!rule.port.any() || !rule.source_port.any()) && rule.protocol != kTcp && rule.protocol != kUdp)
    return invalid("a port needs proto tcp or proto udp beside it");
  if (rule.port.min > rule.port.max || rule.source_port.min > rule.source_port.max)
    return invalid("the port range is empty");
  if ((v6 && rule.protocol == kIcmp) || (v4 && rule.protocol == kIcmpv6))
    return invalid("icmp is of IPv4 and icmpv6 of IPv6: this rule's addresses are of the other family");
  if (rule.flags && rule.protocol != kTcp) return invalid("flags need proto tcp beside them");
  if (rule.icmp_type && rule.protocol != kIcmp && rule.protocol != kIcmpv6)
    return invalid("an icmp-type needs proto icmp or proto icmpv6 beside it");
  if (rule.fragment && rule.fragment->min == WEIR_FRAGMENT_LATER &&
      (!rule.port.any() || !rule.source_port.any() || rule.flags || rule.icmp_type))
    return invalid("a later fragment has no ports, flags or ICMP type: no packet can match both");
  return check_limit(rule);
}

weir_rule to_map(const Rule& rule) {
  weir_rule out{};
  std::memcpy(out.name, rule.name.data(), std::min(rule.name.size(), sizeof out.name - 1));
  out.counter = static_cast<weir_u16>(rule.counter);
  out.action = static_cast<weir_u8>(rule.action);
  const auto ask = [&](bool asked, weir_field f) {
    if (asked) out.fields |= bit(f);
    return asked;
  };
  if (ask(!rule.source.any, WEIR_FIELD_SOURCE)) out.source = to_map(rule.source);
  if (ask(!rule.destination.any, WEIR_FIELD_DESTINATION)) out.destination = to_map(rule.destination);
  if (ask(!rule.source_set.name.empty(), WEIR_FIELD_SOURCE_SETS)) out.source_sets = 1u << rule.source_set.number;
  if (ask(!rule.destination_set.name.empty(), WEIR_FIELD_DESTINATION_SETS))
    out.destination_sets = 1u << rule.destination_set.number;
  if (ask(!rule.source_port.any(), WEIR_FIELD_SOURCE_PORT))
    put(out.source_port, rule.source_port.min, rule.source_port.max);
  if (ask(!rule.port.any(), WEIR_FIELD_DESTINATION_PORT)) put(out.destination_port, rule.port.min, rule.port.max);
  if (ask(rule.protocol != 0, WEIR_FIELD_PROTOCOL)) out.protocol = rule.protocol;
  if (ask(rule.flags.has_value(), WEIR_FIELD_TCP_FLAGS)) {
    out.tcp_flags = rule.flags->value;
    out.tcp_mask = rule.flags->mask;
  }
  if (ask(rule.icmp_type.has_value(), WEIR_FIELD_ICMP_TYPE))
    put(out.icmp_type, rule.icmp_type->min, rule.icmp_type->max);
  if (ask(rule.vlan.has_value(), WEIR_FIELD_VLAN)) put(out.vlan, rule.vlan->min, rule.vlan->max);
  if (ask(rule.fragment.has_value(), WEIR_FIELD_FRAGMENT)) put(out.fragment, rule.fragment->min, rule.fragment->max);
  if (ask(rule.length.has_value(), WEIR_FIELD_LENGTH)) put(out.length, rule.length->min, rule.length->max);
  if (rule.limit) {
    out.limit = static_cast<weir_u8>((rule.limit->unit == Limit::Unit::bytes ? WEIR_LIMIT_BYTES : WEIR_LIMIT_PACKETS) |
                                     (rule.limit->per_source ? WEIR_LIMIT_PER_SOURCE : 0));
    out.rate = rule.limit->rate;
    out.burst = rule.limit->burst;
  }
  out.sample = rule.sample;
  return out;
}

Rule from_map(const weir_rule& raw) {
  Rule out;
  out.name.assign(raw.name, strnlen(raw.name, sizeof raw.name));
  out.counter = raw.counter;
  out.action = static_cast<Action>(raw.action);
  const auto asked = [&](weir_field f) { return (raw.fields & bit(f)) != 0; };
  if (asked(WEIR_FIELD_SOURCE)) out.source = from_map(raw.source);
  if (asked(WEIR_FIELD_DESTINATION)) out.destination = from_map(raw.destination);
  if (asked(WEIR_FIELD_SOURCE_SETS)) out.source_set = set_name(raw.source_sets);
  if (asked(WEIR_FIELD_DESTINATION_SETS)) out.destination_set = set_name(raw.destination_sets);
  if (asked(WEIR_FIELD_SOURCE_PORT)) out.source_port = {raw.source_port[0], raw.source_port[1]};
  if (asked(WEIR_FIELD_DESTINATION_PORT)) out.port = {raw.destination_port[0], raw.destination_port[1]};
  if (asked(WEIR_FIELD_PROTOCOL)) out.protocol = raw.protocol;
  if (asked(WEIR_FIELD_TCP_FLAGS)) out.flags = TcpFlags{raw.tcp_flags, raw.tcp_mask};
  if (asked(WEIR_FIELD_ICMP_TYPE)) out.icmp_type = range(raw.icmp_type);
  if (asked(WEIR_FIELD_VLAN)) out.vlan = range(raw.vlan);
  if (asked(WEIR_FIELD_FRAGMENT)) out.fragment = range(raw.fragment);
  if (asked(WEIR_FIELD_LENGTH)) out.length = range(raw.length);
  if (raw.limit != 0) {
    Limit limit;
    limit.unit = (raw.limit & WEIR_LIMIT_BYTES) != 0 ? Limit::Unit::bytes : Limit::Unit::packets;
    limit.per_source = (raw.limit & WEIR_LIMIT_PER_SOURCE) != 0;
    limit.rate = raw.rate;
    limit.burst = raw.burst;
    out.limit = limit;
  }
  out.sample = raw.sample;
  return out;
}

}  // namespace weir::control
