// SPDX-License-Identifier: MIT
// Words to values and back.
#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <limits>

#include "weir/control/filter_rule.h"

namespace weir::control {
namespace {

constexpr std::uint8_t kIcmp = 1;
constexpr std::uint8_t kTcp = 6;
constexpr std::uint8_t kUdp = 17;
constexpr std::uint8_t kIcmpv6 = 58;

// An Ethernet frame of the usual MTU.
constexpr std::uint64_t kLeastByteBurst = 1514;

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

}  // namespace

std::string Prefix::to_string() const { return any ? "any" : address.to_string() + "/" + std::to_string(length); }

bool Prefix::contains(const IpAddress& a) const {
  if (any) return true;
  if (address.is_v4() != a.is_v4()) return false;
  const ConstBytes ours = address.wire();
  const ConstBytes other = a.wire();
  for (unsigned bit = 0; bit < length; ++bit) {
    const auto differ = std::to_integer<unsigned>(ours[bit / 8] ^ other[bit / 8]);
    if ((differ & (0x80u >> (bit % 8))) != 0) return false;
  }
  return true;
}

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

std::string quoted(std::string_view text) {
  constexpr std::size_t kMost = 60;
  if (text.size() <= kMost) return "'" + std::string(text) + "'";
  return "'" + std::string(text.substr(0, kMost)) + "...'";
}

Outcome<Prefix> parse_prefix(std::string_view text) {
  if (text == "any") return Prefix{};
  const std::size_t slash = text.find('/');
  const std::string_view address_text = text.substr(0, slash);
  const auto address = IpAddress::parse(address_text);
  if (!address) return invalid(quoted(text) + " is not a prefix: write 192.0.2.0/24, 2001:db8::/32, or one address");
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

Outcome<std::string> parse_rule_name(std::string_view text) {
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  for (const std::string_view word : {"dev", "help", "ttl"})
    if (text == word) return invalid(quoted(text) + " is a word of the commands that take a name: choose another name");
  if (text.empty() || text.size() >= WEIR_RULE_NAME || text[0] == '-' || !std::all_of(text.begin(), text.end(), good))
    return invalid(quoted(text) + " is not a name: 1 to 31 letters, digits, '_', '-' and '.', no '-' first");
  return std::string(text);
}

namespace {

// "A" or "A-B" within the bounds.
std::optional<Range> range(std::string_view text, std::uint32_t least, std::uint32_t most) {
  const std::size_t dash = text.find('-');
  const auto min = number(text.substr(0, dash), most);
  const auto max = dash == std::string_view::npos ? min : number(text.substr(dash + 1), most);
  if (!min || !max || *min < least || *min > *max) return {};
  return Range{static_cast<std::uint16_t>(*min), static_cast<std::uint16_t>(*max)};
}

constexpr std::string_view kFlagLetters = "FSRPAUEC";

std::optional<std::uint8_t> flag_letters(std::string_view text) {
  if (text == "-") return std::uint8_t{0};
  std::uint8_t out = 0;
  for (const char c : text) {
    const std::size_t bit = kFlagLetters.find(c);
    if (bit == std::string_view::npos) return {};
    out = static_cast<std::uint8_t>(out | (1u << bit));
  }
  if (text.empty()) return {};
  return out;
}

std::string letters(std::uint8_t flags) {
  std::string out;
  for (std::size_t i = 0; i < kFlagLetters.size(); ++i)
    if ((flags & (1u << i)) != 0) out += kFlagLetters[i];
  return out.empty() ? "-" : out;
}

std::string flags_text(const TcpFlags& f) {
  return f.value == f.mask ? letters(f.mask) : letters(f.value) + "/" + letters(f.mask);
}

Outcome<TcpFlags> parse_flags(std::string_view text) {
  const std::size_t slash = text.find('/');
  const auto value = flag_letters(text.substr(0, slash));
  const auto mask = slash == std::string_view::npos ? value : flag_letters(text.substr(slash + 1));
  if (!value || !mask || *mask == 0)
    return invalid(quoted(text) +
                   " are not TCP flags: write those that are set, of FSRPAUEC, and after a slash those that are looked "
                   "at: S/SA, -/FSRPAU, R");
  if ((*value & ~*mask) != 0)
    return invalid(quoted(text) + " can match nothing: a flag before the slash is not among those after it");
  return TcpFlags{*value, *mask};
}

std::string range_text(const Range& r, std::uint16_t less = 0) {
  const std::string min = std::to_string(r.min - less);
  return r.min == r.max ? min : min + "-" + std::to_string(r.max - less);
}

constexpr Range kUntagged{0, 0};
constexpr Range kTagged{1, WEIR_VLAN_VALUES - 1};

Outcome<Range> parse_vlan(std::string_view text) {
  if (text == "none") return kUntagged;
  if (text == "any") return kTagged;
  const auto ids = range(text, 0, 4095);
  if (!ids)
    return invalid(quoted(text) +
                   " is not a VLAN: write none, any, an identifier of 0 to 4095, or a range such as 100-199");
  return Range{static_cast<std::uint16_t>(ids->min + 1), static_cast<std::uint16_t>(ids->max + 1)};
}

std::string vlan_text(const Range& r) { return r == kUntagged ? "none" : r == kTagged ? "any" : range_text(r, 1); }

constexpr std::pair<const char*, Range> kFragments[] = {{"no", {WEIR_FRAGMENT_NONE, WEIR_FRAGMENT_NONE}},
                                                        {"yes", {WEIR_FRAGMENT_FIRST, WEIR_FRAGMENT_LATER}},
                                                        {"first", {WEIR_FRAGMENT_FIRST, WEIR_FRAGMENT_FIRST}},
                                                        {"later", {WEIR_FRAGMENT_LATER, WEIR_FRAGMENT_LATER}}};

Outcome<Range> parse_fragment(std::string_view text) {
  for (const auto& [name, values] : kFragments)
    if (text == name) return values;
  return invalid(quoted(text) + " is not a kind of fragment: write no, yes, first or later");
}

std::string fragment_text(const Range& r) {
  for (const auto& [name, values] : kFragments)
    if (r == values) return name;
  return "?";
}

// "20", "20k", "64kB": a count, and whether it is of octets.
struct Amount {
  std::uint64_t count = 0;
  Limit::Unit unit = Limit::Unit::packets;
};
std::optional<Amount> amount(std::string_view text) {
  Amount out;
  if (!text.empty() && text.back() == 'B') {
    out.unit = Limit::Unit::bytes;
    text.remove_suffix(1);
  }
  std::uint64_t scale = 1;
  constexpr std::pair<char, std::uint64_t> kScales[] = {{'k', 1000}, {'M', 1000000}, {'G', 1000000000}};
  for (const auto& [letter, by] : kScales)
    if (!text.empty() && text.back() == letter) {
      scale = by;
      text.remove_suffix(1);
      break;
    }
  const auto count = number(text, std::numeric_limits<std::uint32_t>::max());
  if (!count || *count == 0) return {};
  out.count = *count * scale;
  return out;
}

std::string amount_text(std::uint64_t count, Limit::Unit unit) {
  constexpr std::pair<std::uint64_t, const char*> kScales[] = {{1000000000, "G"}, {1000000, "M"}, {1000, "k"}};
  std::string out;
  for (const auto& [by, letter] : kScales)
    if (count % by == 0) {
      out = std::to_string(count / by) + letter;
      break;
    }
  if (out.empty()) out = std::to_string(count);
  return unit == Limit::Unit::bytes ? out + "B" : out;
}

Outcome<Limit> parse_limit(std::string_view text) {
  constexpr std::string_view kPerSecond = "/s";
  const auto wrong = [&] {
    return invalid(quoted(text) + " is not a rate: write 100/s or 10k/s for packets, 500kB/s or 10MB/s for octets");
  };
  if (text.size() <= kPerSecond.size() || text.substr(text.size() - kPerSecond.size()) != kPerSecond) return wrong();
  const auto rate = amount(text.substr(0, text.size() - kPerSecond.size()));
  if (!rate) return wrong();
  Limit out;
  out.unit = rate->unit;
  out.rate = rate->count;
  // A second's worth, and at least a frame's: an idle bucket must let one through.
  out.burst = out.unit == Limit::Unit::bytes ? std::max<std::uint64_t>(out.rate, kLeastByteBurst) : out.rate;
  return out;
}

Outcome<void> set_burst(Rule& rule, std::string_view text) {
  if (!rule.limit) return invalid("burst belongs to a limit: write limit RATE before it");
  const auto burst = amount(text);
  const bool bytes = rule.limit->unit == Limit::Unit::bytes;
  if (!burst || burst->unit != rule.limit->unit)
    return invalid(quoted(text) + " is not a burst of this limit: write " +
                   (bytes ? "octets, as 64kB" : "packets, as 20"));
  rule.limit->burst = burst->count;
  return {};
}

template <class T, class U>
Outcome<void> put(U& to, Outcome<T> parsed) {
  if (!parsed) return Err(parsed.error());
  to = *parsed;
  return {};
}

// "@NAME", or as parse_prefix() has it.
Outcome<void> set_addresses(Prefix& prefix, SetName& set, std::string_view v) {
  if (v.empty() || v[0] != '@') return put(prefix, parse_prefix(v));
  auto name = parse_rule_name(v.substr(1));
  if (!name) return invalid(quoted(v) + " names no set: after the @ come 1 to 31 letters, digits, '_', '-' and '.'");
  set = {std::move(*name), 0};
  return {};
}

Outcome<void> set_icmp_type(Rule& rule, std::string_view v) {
  const auto types = range(v, 0, 255);
  if (!types) return invalid(quoted(v) + " is not an ICMP type: write a number of 0 to 255, or a range such as 8-9");
  rule.icmp_type = *types;
  return {};
}

Outcome<void> set_length(Rule& rule, std::string_view v) {
  const auto octets = range(v, 0, 65535);
  if (!octets)
    return invalid(quoted(v) +
                   " is not a length: write the octets of the IP packet, 0 to 65535, or a range such as 0-127");
  rule.length = *octets;
  return {};
}

Outcome<void> set_per(Rule& rule, std::string_view v) {
  if (!rule.limit) return invalid("per belongs to a limit: write limit RATE before it");
  if (v != "source" && v != "rule") return invalid(quoted(v) + " has no bucket: write per source, or per rule");
  rule.limit->per_source = v == "source";
  return {};
}

Outcome<void> set_sample(Rule& rule, std::string_view v) {
  const auto n = number(v, WEIR_MAX_SAMPLE);
  if (!n || *n == 0)
    return invalid(quoted(v) + " is not a share: write N for one frame in N, 1 to " + std::to_string(WEIR_MAX_SAMPLE));
  rule.sample = *n;
  return {};
}

struct Word {
  std::string_view name;
  Outcome<void> (*set)(Rule&, std::string_view);
};
constexpr Word kWords[] = {
    {"proto", [](Rule& r, std::string_view v) { return put(r.protocol, parse_protocol(v)); }},
    {"from", [](Rule& r, std::string_view v) { return set_addresses(r.source, r.source_set, v); }},
    {"to", [](Rule& r, std::string_view v) { return set_addresses(r.destination, r.destination_set, v); }},
    {"sport", [](Rule& r, std::string_view v) { return put(r.source_port, parse_port_range(v)); }},
    {"port", [](Rule& r, std::string_view v) { return put(r.port, parse_port_range(v)); }},
    {"flags", [](Rule& r, std::string_view v) { return put(r.flags, parse_flags(v)); }},
    {"icmp-type", set_icmp_type},
    {"vlan", [](Rule& r, std::string_view v) { return put(r.vlan, parse_vlan(v)); }},
    {"fragment", [](Rule& r, std::string_view v) { return put(r.fragment, parse_fragment(v)); }},
    {"length", set_length},
    {"limit", [](Rule& r, std::string_view v) { return put(r.limit, parse_limit(v)); }},
    {"burst", set_burst},
    {"per", set_per},
    {"sample", set_sample},
};

}  // namespace

Outcome<void> set_word(Rule& rule, std::string_view word, std::string_view value) {
  for (const Word& w : kWords)
    if (w.name == word) return w.set(rule, value);
  return xdp::fail(quoted(word) + " is not a word of a rule", ENOENT);
}

const std::vector<std::string_view>& rule_words() {
  static const std::vector<std::string_view> words = [] {
    std::vector<std::string_view> out;
    for (const Word& w : kWords) out.push_back(w.name);
    return out;
  }();
  return words;
}

std::string source_text(const Rule& rule) {
  return rule.source_set.name.empty() ? rule.source.to_string() : "@" + rule.source_set.name;
}

std::string destination_text(const Rule& rule) {
  return rule.destination_set.name.empty() ? rule.destination.to_string() : "@" + rule.destination_set.name;
}

std::string Rule::to_string() const {
  std::string out = action_name(action);
  const auto add = [&](const char* word, const std::string& value) {
    out.append(" ").append(word).append(" ").append(value);
  };
  if (protocol != 0) add("proto", ip_protocol_name(protocol));
  if (const auto from = source_text(*this); from != "any") add("from", from);
  if (const auto to = destination_text(*this); to != "any") add("to", to);
  if (!source_port.any()) add("sport", source_port.to_string());
  if (!port.any()) add("port", port.to_string());
  if (flags) add("flags", flags_text(*flags));
  if (icmp_type) add("icmp-type", range_text(*icmp_type));
  if (vlan) add("vlan", vlan_text(*vlan));
  if (fragment) add("fragment", fragment_text(*fragment));
  if (length) add("length", range_text(*length));
  if (limit) {
    add("limit", amount_text(limit->rate, limit->unit) + "/s");
    add("burst", amount_text(limit->burst, limit->unit));
    if (limit->per_source) add("per", "source");
  }
  if (sample != 0) add("sample", std::to_string(sample));
  return out;
}

}  // namespace weir::control
