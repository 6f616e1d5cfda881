// SPDX-License-Identifier: MIT
// Addresses. One type for both families: 16 bytes, IPv4 as ::ffff:a.b.c.d, exactly as the map ABI has them.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include "weir/base/bytes.h"

namespace weir {

enum class Family : std::uint8_t { v4 = 4, v6 = 6 };

class IpAddress {
 public:
  // ::, which as an endpoint's address means "any".
  constexpr IpAddress() = default;

  // `network_order` holds 4 or 16 bytes.
  static IpAddress v4(const std::byte* network_order) {
    IpAddress a;
    a.bytes_[10] = a.bytes_[11] = 0xff;
    std::memcpy(&a.bytes_[12], network_order, 4);
    return a;
  }
  static IpAddress v6(const std::byte* network_order) {
    IpAddress a;
    std::memcpy(a.bytes_.data(), network_order, 16);
    return a;
  }
  static constexpr IpAddress v4(std::uint8_t a, std::uint8_t b, std::uint8_t c, std::uint8_t d) {
    IpAddress r;
    r.bytes_ = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d};
    return r;
  }
  // Text as inet_pton takes it; nothing where it is not an address.
  static std::optional<IpAddress> parse(std::string_view text);

  bool is_v4() const {
    return load_be<std::uint64_t>(data()) == 0 && load_be<std::uint32_t>(data() + 8) == 0x0000ffffu;
  }
  bool is_v6() const { return !is_v4(); }
  Family family() const { return is_v4() ? Family::v4 : Family::v6; }
  // 0.0.0.0 or ::
  bool is_unspecified() const;
  bool is_loopback() const;
  bool is_multicast() const;
  // 255.255.255.255
  bool is_broadcast() const;
  bool is_link_local() const;

  // 16 bytes, mapped form.
  const std::byte* data() const { return reinterpret_cast<const std::byte*>(bytes_.data()); }
  // The address as its own family's header carries it: 4 or 16 bytes. Lives as long as this object.
  ConstBytes wire() const { return is_v4() ? ConstBytes(data() + 12, 4) : ConstBytes(data(), 16); }
  const std::array<std::uint8_t, 16>& bytes() const { return bytes_; }

  std::string to_string() const;

  friend constexpr auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  std::array<std::uint8_t, 16> bytes_{};
};

// An address and a port (host order).
struct Endpoint {
  IpAddress address;
  std::uint16_t port = 0;

  // "192.0.2.1:80", "[2001:db8::1]:80"
  std::string to_string() const;
  friend constexpr auto operator<=>(const Endpoint&, const Endpoint&) = default;
};

struct MacAddress {
  std::array<std::uint8_t, 6> bytes{};

  static MacAddress load(const std::byte* from) {
    MacAddress m;
    std::memcpy(m.bytes.data(), from, 6);
    return m;
  }
  void store(std::byte* to) const { std::memcpy(to, bytes.data(), 6); }
  bool is_group() const { return (bytes[0] & 1) != 0; }
  bool is_zero() const { return *this == MacAddress{}; }
  static std::optional<MacAddress> parse(std::string_view text);
  std::string to_string() const;
  friend constexpr auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

}  // namespace weir
