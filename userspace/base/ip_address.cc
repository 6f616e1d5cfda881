// SPDX-License-Identifier: MIT
#include "weir/base/ip_address.h"

#include <charconv>
#include <cstdio>

namespace weir {
namespace {

std::optional<IpAddress> parse_v4(std::string_view text) {
  std::array<std::uint8_t, 4> octets{};
  const char* p = text.data();
  const char* end = p + text.size();
  for (std::size_t i = 0; i < 4; ++i) {
    if (i > 0 && (p == end || *p++ != '.')) return std::nullopt;
    const char* start = p;
    auto [next, ec] = std::from_chars(p, end, octets[i]);
    if (ec != std::errc{}) return std::nullopt;
    // As inet_pton: a leading zero would be read as octal by others.
    if (next - start > 1 && *start == '0') return std::nullopt;
    p = next;
  }
  if (p != end) return std::nullopt;
  return IpAddress::v4(octets[0], octets[1], octets[2], octets[3]);
}

// RFC 4291 2.2: groups of hex, at most one "::", and dotted IPv4 as the last two groups.
std::optional<IpAddress> parse_v6(std::string_view text) {
  std::array<std::uint16_t, 8> head{};
  std::array<std::uint16_t, 8> tail{};
  std::size_t heads = 0;
  std::size_t tails = 0;
  bool compressed = false;
  if (text.starts_with("::")) {
    compressed = true;
    text.remove_prefix(2);
  }
  while (!text.empty()) {
    if (heads + tails >= 8) return std::nullopt;
    std::uint16_t group = 0;
    auto [next, ec] = std::from_chars(text.data(), text.data() + text.size(), group, 16);
    std::size_t used = static_cast<std::size_t>(next - text.data());
    if (ec != std::errc{} || used == 0 || used > 4) return std::nullopt;
    if (used < text.size() && text[used] == '.') {
      auto v4 = parse_v4(text);
      if (!v4 || heads + tails > 6) return std::nullopt;
      for (std::size_t i : {12u, 14u}) {
        std::uint16_t g = load_be<std::uint16_t>(v4->data() + i);
        (compressed ? tail[tails++] : head[heads++]) = g;
      }
      text = {};
      break;
    }
    (compressed ? tail[tails++] : head[heads++]) = group;
    text.remove_prefix(used);
    if (text.empty()) break;
    if (text.starts_with("::")) {
      if (compressed) return std::nullopt;
      compressed = true;
      text.remove_prefix(2);
    } else if (text.front() == ':' && text.size() > 1) {
      text.remove_prefix(1);
    } else {
      return std::nullopt;
    }
  }
  if (compressed ? heads + tails > 7 : heads != 8) return std::nullopt;
  std::array<std::byte, 16> bytes{};
  for (std::size_t i = 0; i < heads; ++i) store_be(&bytes[2 * i], head[i]);
  for (std::size_t i = 0; i < tails; ++i) store_be(&bytes[2 * (8 - tails + i)], tail[i]);
  return IpAddress::v6(bytes.data());
}

std::string v6_text(const IpAddress& a) {
  // RFC 5952: the longest run of two or more zero groups, the first of equals, becomes "::".
  std::array<std::uint16_t, 8> g{};
  for (std::size_t i = 0; i < 8; ++i) g[i] = load_be<std::uint16_t>(a.data() + 2 * i);
  std::size_t best = 8;
  std::size_t best_len = 1;
  for (std::size_t i = 0; i < 8;) {
    std::size_t j = i;
    while (j < 8 && g[j] == 0) ++j;
    if (j - i > best_len) {
      best = i;
      best_len = j - i;
    }
    i = j == i ? i + 1 : j;
  }
  std::string out;
  for (std::size_t i = 0; i < 8;) {
    if (i == best) {
      out += "::";
      i += best_len;
      continue;
    }
    if (!out.empty() && out.back() != ':') out += ':';
    char buf[8];
    std::snprintf(buf, sizeof buf, "%x", static_cast<unsigned>(g[i]));
    out += buf;
    ++i;
  }
  return out;
}

}  // namespace

std::optional<IpAddress> IpAddress::parse(std::string_view text) {
  return text.find(':') == std::string_view::npos ? parse_v4(text) : parse_v6(text);
}

bool IpAddress::is_unspecified() const { return *this == IpAddress{} || *this == v4(0, 0, 0, 0); }

bool IpAddress::is_loopback() const {
  if (is_v4()) return bytes_[12] == 127;
  IpAddress one;
  one.bytes_[15] = 1;
  return *this == one;
}

bool IpAddress::is_multicast() const { return is_v4() ? (bytes_[12] & 0xf0) == 0xe0 : bytes_[0] == 0xff; }

bool IpAddress::is_broadcast() const { return *this == v4(255, 255, 255, 255); }

bool IpAddress::is_link_local() const {
  return is_v4() ? bytes_[12] == 169 && bytes_[13] == 254 : bytes_[0] == 0xfe && (bytes_[1] & 0xc0) == 0x80;
}

std::string IpAddress::to_string() const {
  if (is_v6()) return v6_text(*this);
  char buf[16];
  std::snprintf(buf, sizeof buf, "%u.%u.%u.%u", static_cast<unsigned>(bytes_[12]), static_cast<unsigned>(bytes_[13]),
                static_cast<unsigned>(bytes_[14]), static_cast<unsigned>(bytes_[15]));
  return buf;
}

std::string Endpoint::to_string() const {
  std::string host = address.to_string();
  return (address.is_v4() ? host : "[" + host + "]") + ":" + std::to_string(port);
}

std::optional<MacAddress> MacAddress::parse(std::string_view text) {
  MacAddress m;
  if (text.size() != 17) return std::nullopt;
  for (std::size_t i = 0; i < 6; ++i) {
    const char* p = text.data() + 3 * i;
    auto [next, ec] = std::from_chars(p, p + 2, m.bytes[i], 16);
    if (ec != std::errc{} || next != p + 2 || (i < 5 && p[2] != ':')) return std::nullopt;
  }
  return m;
}

std::string MacAddress::to_string() const {
  char buf[18];
  std::snprintf(buf, sizeof buf, "%02x:%02x:%02x:%02x:%02x:%02x", static_cast<unsigned>(bytes[0]),
                static_cast<unsigned>(bytes[1]), static_cast<unsigned>(bytes[2]), static_cast<unsigned>(bytes[3]),
                static_cast<unsigned>(bytes[4]), static_cast<unsigned>(bytes[5]));
  return buf;
}

}  // namespace weir
