// SPDX-License-Identifier: MIT
#include "filter_reference.h"

#include <algorithm>

namespace weir::bpf_test {
namespace {

constexpr std::uint8_t kHopByHop = 0, kIcmp = 1, kTcp = 6, kUdp = 17, kRouting = 43, kFragment = 44,
                       kAuthentication = 51, kIcmpv6 = 58, kDestinationOptions = 60;

// Octets from the front, within what the frame has and within what an enclosing header says there is.
class Reader {
 public:
  explicit Reader(std::span<const std::uint8_t> octets) : octets_(octets) {}
  bool has(std::size_t n) const { return octets_.size() >= n; }
  std::size_t left() const { return octets_.size(); }
  std::uint8_t at(std::size_t i) const { return octets_[i]; }
  std::uint16_t at16(std::size_t i) const { return static_cast<std::uint16_t>(octets_[i] << 8 | octets_[i + 1]); }
  void skip(std::size_t n) { octets_ = octets_.subspan(n); }
  void keep(std::size_t n) { octets_ = octets_.first(n); }

 private:
  std::span<const std::uint8_t> octets_;
};

Reading dropped() { return {}; }
Reading unfiltered() { return {Reading::Kind::unfiltered, {}}; }

bool is_guarded(const FilterFacts& f) {
  if (f.fragment != WEIR_FRAGMENT_NONE) return false;
  if (f.icmp_type) {
    const unsigned t = *f.icmp_type;
    if (!f.v6) return t == 3 || t == 4 || t == 5 || t == 11 || t == 12;
    return t < 128 || (t >= 130 && t <= 137) || t == 143;
  }
  if (f.protocol != kUdp) return false;
  const unsigned port = *f.destination_port;
  return f.v6 ? port == 546 || port == 547 : port == 67 || port == 68;
}

bool read_transport(Reader r, FilterFacts& f) {
  if (f.fragment == WEIR_FRAGMENT_LATER) return true;
  if (f.protocol == kTcp) {
    if (!r.has(20)) return false;
    const std::size_t header = (r.at(12) >> 4) * 4u;
    if (header < 20 || header > r.left()) return false;
    f.tcp_flags = r.at(13);
  } else if (f.protocol == kUdp) {
    if (!r.has(8)) return false;
    const std::size_t length = r.at16(4);
    if (length < 8 || (f.fragment == WEIR_FRAGMENT_NONE && length > r.left())) return false;
  } else if (f.protocol == (f.v6 ? kIcmpv6 : kIcmp)) {
    if (!r.has(8)) return false;
    f.icmp_type = r.at(0);
    return true;
  } else {
    return true;
  }
  f.source_port = r.at16(0);
  f.destination_port = r.at16(2);
  return true;
}

Reading read_ipv4(Reader r, FilterFacts f) {
  if (!r.has(20) || r.at(0) >> 4 != 4) return dropped();
  const std::size_t header = (r.at(0) & 15) * 4u;
  const std::size_t total = r.at16(2);
  if (header < 20 || total < header || total > r.left()) return dropped();
  f.length = static_cast<std::uint16_t>(total);
  f.protocol = r.at(9);
  for (std::size_t i = 0; i < 4; ++i) {
    f.source[12 + i] = r.at(12 + i);
    f.destination[12 + i] = r.at(16 + i);
  }
  const unsigned offset = r.at16(6) & 0x1fff;
  if (offset == 1 && f.protocol == kTcp) return dropped();
  if (offset != 0)
    f.fragment = WEIR_FRAGMENT_LATER;
  else if ((r.at16(6) & 0x2000) != 0)
    f.fragment = WEIR_FRAGMENT_FIRST;
  r.keep(total);
  r.skip(header);
  if (!read_transport(r, f)) return dropped();
  return {Reading::Kind::filtered, f};
}

bool is_mapped(const std::array<std::uint8_t, 16>& a) {
  return std::all_of(a.begin(), a.begin() + 10, [](std::uint8_t b) { return b == 0; }) && a[10] == 0xff &&
         a[11] == 0xff;
}

Reading read_ipv6(Reader r, FilterFacts f) {
  f.v6 = true;
  if (!r.has(40) || r.at(0) >> 4 != 6) return dropped();
  const std::size_t payload = r.at16(4);
  if (payload > r.left() - 40) return dropped();
  f.length = static_cast<std::uint16_t>(std::min<std::size_t>(payload + 40, 65535));
  for (std::size_t i = 0; i < 16; ++i) {
    f.source[i] = r.at(8 + i);
    f.destination[i] = r.at(24 + i);
  }
  if (is_mapped(f.source) || is_mapped(f.destination)) return dropped();
  f.protocol = r.at(6);
  r.keep(40 + payload);
  r.skip(40);
  for (int headers = 0; f.fragment != WEIR_FRAGMENT_LATER; ++headers) {
    const std::uint8_t p = f.protocol;
    if (p != kHopByHop && p != kRouting && p != kFragment && p != kAuthentication && p != kDestinationOptions) break;
    if (headers == 8 || !r.has(8)) return dropped();
    std::size_t size = 8;
    if (p == kFragment) {
      if (f.fragment != WEIR_FRAGMENT_NONE) return dropped();
      if ((r.at16(2) & 0xfff8) != 0)
        f.fragment = WEIR_FRAGMENT_LATER;
      else if ((r.at16(2) & 1) != 0)
        f.fragment = WEIR_FRAGMENT_FIRST;
    } else {
      size = p == kAuthentication ? (r.at(1) + 2u) * 4 : (r.at(1) + 1u) * 8;
    }
    if (!r.has(size)) return dropped();
    f.protocol = r.at(0);
    r.skip(size);
  }
  if (!read_transport(r, f)) return dropped();
  return {Reading::Kind::filtered, f};
}

bool prefix_matches(const weir_prefix& p, bool v6, const std::array<std::uint8_t, 16>& address) {
  if (p.family == 0) return true;
  if ((p.family == 6) != v6) return false;
  const unsigned first = v6 ? 0 : 96;
  for (unsigned bit = first; bit < first + p.length; ++bit) {
    const auto of = [bit](const auto& octets) { return octets[bit / 8] >> (7 - bit % 8) & 1; };
    if (of(p.address.bytes) != of(address)) return false;
  }
  return true;
}

template <class T, class U>
bool in_range(const T (&range)[2], const std::optional<U>& value) {
  return value && *value >= range[0] && *value <= range[1];
}

}  // namespace

Reading read_frame(std::span<const std::uint8_t> frame) {
  Reader r(frame);
  if (!r.has(14)) return dropped();
  FilterFacts f;
  std::uint16_t type = r.at16(12);
  r.skip(14);
  for (int tags = 0; type == 0x8100 || type == 0x88a8; ++tags) {
    if (tags == 2 || !r.has(4)) return dropped();
    if (tags == 0) f.vlan = static_cast<std::uint16_t>((r.at16(0) & 0xfff) + 1);
    type = r.at16(2);
    r.skip(4);
  }
  if (type != 0x0800 && type != 0x86dd) return unfiltered();
  const Reading reading = type == 0x0800 ? read_ipv4(r, f) : read_ipv6(r, f);
  return reading.kind == Reading::Kind::filtered && is_guarded(reading.facts) ? unfiltered() : reading;
}

void find_sets(std::span<const SetFact> entries, std::uint32_t now, FilterFacts& f) {
  f.source_sets = f.destination_sets = 0;
  for (const SetFact& e : entries) {
    if (e.end != 0 && now >= e.end) continue;
    if (prefix_matches(e.prefix, f.v6, f.source)) f.source_sets |= 1u << e.set;
    if (prefix_matches(e.prefix, f.v6, f.destination)) f.destination_sets |= 1u << e.set;
  }
}

bool rule_matches(const weir_rule& rule, const FilterFacts& f) {
  const auto asks = [&](weir_field field) { return (rule.fields >> field & 1u) != 0; };
  using U16 = std::optional<std::uint16_t>;
  using U8 = std::optional<std::uint8_t>;
  if (asks(WEIR_FIELD_SOURCE) && !prefix_matches(rule.source, f.v6, f.source)) return false;
  if (asks(WEIR_FIELD_DESTINATION) && !prefix_matches(rule.destination, f.v6, f.destination)) return false;
  if (asks(WEIR_FIELD_SOURCE_PORT) && !in_range(rule.source_port, f.source_port)) return false;
  if (asks(WEIR_FIELD_DESTINATION_PORT) && !in_range(rule.destination_port, f.destination_port)) return false;
  if (asks(WEIR_FIELD_PROTOCOL) && rule.protocol != f.protocol) return false;
  if (asks(WEIR_FIELD_TCP_FLAGS) && (!f.tcp_flags || (*f.tcp_flags & rule.tcp_mask) != rule.tcp_flags)) return false;
  if (asks(WEIR_FIELD_ICMP_TYPE) && !in_range(rule.icmp_type, f.icmp_type)) return false;
  if (asks(WEIR_FIELD_VLAN) && !in_range(rule.vlan, U16(f.vlan))) return false;
  if (asks(WEIR_FIELD_FRAGMENT) && !in_range(rule.fragment, U8(f.fragment))) return false;
  if (asks(WEIR_FIELD_SOURCE_SETS) && (f.source_sets & rule.source_sets) != rule.source_sets) return false;
  if (asks(WEIR_FIELD_DESTINATION_SETS) && (f.destination_sets & rule.destination_sets) != rule.destination_sets)
    return false;
  if (asks(WEIR_FIELD_LENGTH) && !in_range(rule.length, U16(f.length))) return false;
  return true;
}

std::optional<std::size_t> first_match(std::span<const weir_rule> rules, const FilterFacts& facts) {
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (rule_matches(rules[i], facts)) return i;
  return {};
}

}  // namespace weir::bpf_test
