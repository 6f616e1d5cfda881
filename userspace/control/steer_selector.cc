// SPDX-License-Identifier: MIT
#include "weir/control/steer_selector.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "weir/base/bytes.h"
#include "weir/xdp/maps.h"

namespace weir::control {
namespace {

std::uint8_t family_of(const Prefix& p) { return p.any ? 0 : p.address.is_v4() ? 4 : 6; }

// Of the sixteen octets that stand for either family's address.
unsigned bits_of(const Prefix& p) { return p.any ? 0u : p.length + (p.address.is_v4() ? 96u : 0u); }

std::array<std::uint8_t, 16> mask_of(unsigned bits) {
  std::array<std::uint8_t, 16> mask{};
  for (unsigned bit = 0; bit < bits; ++bit)
    mask[bit / 8] = static_cast<std::uint8_t>(mask[bit / 8] | (0x80u >> (bit % 8)));
  return mask;
}

// One address stands for itself.
std::string text_of(const Prefix& p) {
  return p.length == (p.address.is_v4() ? 32 : 128) ? p.address.to_string() : p.to_string();
}

bool intersect(const Prefix& a, const Prefix& b) {
  if (a.any || b.any) return true;
  return a.length <= b.length ? a.contains(b.address) : b.contains(a.address);
}

weir_addr to_map(const std::array<std::uint8_t, 16>& octets) {
  weir_addr out{};
  std::copy(octets.begin(), octets.end(), out.bytes);
  return out;
}

// A selector of one family has both prefixes in the map; one that was not given holds all of the family.
Prefix prefix_of(const weir_addr& address, std::uint8_t length) {
  Prefix p;
  p.any = false;
  p.length = length;
  p.address = IpAddress::v6(reinterpret_cast<const std::byte*>(address.bytes));
  return p;
}

}  // namespace

const char* protocol_name(Protocol p) { return p == Protocol::tcp ? "tcp" : "udp"; }

std::string Port::to_string() const { return std::string(protocol_name(protocol)) + " " + std::to_string(number); }

std::uint8_t Selector::family() const { return !to.any ? family_of(to) : family_of(from); }

std::string Selector::to_string() const {
  std::string out = port().to_string();
  if (is_range()) out += "-" + std::to_string(last);
  if (!to.any) out += " to " + text_of(to);
  if (!from.any) out += " from " + text_of(from);
  return out;
}

bool Selector::matches(const IpAddress& local, std::uint16_t port, const IpAddress& remote) const {
  return port >= first && port <= last && to.contains(local) && from.contains(remote);
}

bool Selector::overlaps(const Selector& other) const {
  if (protocol != other.protocol || first > other.last || other.first > last) return false;
  if (family() != 0 && other.family() != 0 && family() != other.family()) return false;
  return intersect(to, other.to) && intersect(from, other.from);
}

bool Selector::before(const Selector& other) const {
  const auto rank = [](const Selector& s) {
    // By descending length: what is negative comes first.
    return std::tuple(s.last - s.first, s.family() != 0 ? 0 : 1, s.to.any ? 1 : -s.to.length,
                      s.from.any ? 1 : -s.from.length);
  };
  return rank(*this) < rank(other);
}

Outcome<void> check_selector(const Selector& selector) {
  if (selector.first == 0) return xdp::fail("port 0 cannot be steered: give one of 1 to 65535", EINVAL);
  if (selector.first > selector.last) return xdp::fail("the range of ports ends before it begins", EINVAL);
  if (!selector.to.any && !selector.from.any && family_of(selector.to) != family_of(selector.from))
    return xdp::fail("'to " + text_of(selector.to) + "' and 'from " + text_of(selector.from) +
                         "' are of two families: no packet has both",
                     EINVAL);
  return {};
}

Outcome<std::string> parse_app_name(std::string_view text) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' ||
           c == '.';
  };
  if (text.empty() || text.size() >= WEIR_APP_NAME || text.front() == '-' ||
      !std::all_of(text.begin(), text.end(), allowed))
    return xdp::fail("'" + std::string(text) +
                         "' is no name of an application: 1 to 15 letters, digits, '_', '-' or '.', no '-' first",
                     EINVAL);
  return std::string(text);
}

void to_map(const Selector& selector, weir_steer& entry) {
  const auto put = [](const Prefix& p, std::uint8_t family, weir_addr& address, weir_addr& mask, weir_u8& length) {
    // All of IPv4 where the other prefix is of that family: the mapped form's first 96 bits.
    const unsigned bits = p.any && family == 4 ? 96 : bits_of(p);
    const IpAddress all = family == 4 ? IpAddress::v4(0, 0, 0, 0) : IpAddress();
    address = to_map(p.any ? all.bytes() : p.address.bytes());
    mask = to_map(mask_of(bits));
    length = p.any ? weir_u8{WEIR_NO_PREFIX} : p.length;
  };
  entry.family = selector.family();
  entry.port_last_be = selector.is_range() ? to_be16(selector.last) : weir_u16{0};
  put(selector.to, entry.family, entry.destination, entry.destination_mask, entry.destination_length);
  put(selector.from, entry.family, entry.source, entry.source_mask, entry.source_length);
  entry.port_be = to_be16(selector.first);
}

Selector selector_of(const weir_steer& entry) {
  Selector s;
  s.protocol = static_cast<Protocol>(xdp::load(entry.protocol));
  s.first = s.last = from_be16(xdp::load(entry.port_be));
  const weir_u16 last = xdp::load(entry.port_last_be);
  if (last != 0) s.last = from_be16(last);
  if (entry.family == 0) return s;
  if (entry.destination_length != WEIR_NO_PREFIX) s.to = prefix_of(entry.destination, entry.destination_length);
  if (entry.source_length != WEIR_NO_PREFIX) s.from = prefix_of(entry.source, entry.source_length);
  return s;
}

}  // namespace weir::control
