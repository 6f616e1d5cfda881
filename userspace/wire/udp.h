// SPDX-License-Identifier: MIT
// UDP (RFC 768, RFC 8200 8.1).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/checksum.h"

namespace weir::wire {

inline constexpr std::size_t kUdpHeaderSize = 8;

// Refers to the datagram, which must outlive it. After parse() nothing can fail; the checksum is asked apart.
class UdpView {
 public:
  // `datagram` is all of IP's payload; UDP's own length may be less. Refuses: fewer than 8 bytes, a length under 8 or
  // over what is there (0, a jumbogram's, included).
  static std::optional<UdpView> parse(ConstBytes datagram) {
    if (datagram.size() < kUdpHeaderSize) return std::nullopt;
    std::size_t length = load_be<std::uint16_t>(datagram.data() + 4);
    if (length < kUdpHeaderSize || length > datagram.size()) return std::nullopt;
    return UdpView(datagram.first(length));
  }

  // Over IPv4 a checksum of 0 means that there is none, and is right; over IPv6 it is wrong.
  bool checksum_ok(const IpAddress& src, const IpAddress& dst, ChecksumPolicy policy) const;

  std::uint16_t src_port() const { return load_be<std::uint16_t>(bytes_.data()); }
  std::uint16_t dst_port() const { return load_be<std::uint16_t>(bytes_.data() + 2); }
  std::uint16_t length() const { return static_cast<std::uint16_t>(bytes_.size()); }
  ConstBytes payload() const { return bytes_.subspan(kUdpHeaderSize); }

 private:
  explicit UdpView(ConstBytes bytes) : bytes_(bytes) {}
  ConstBytes bytes_;
};

struct UdpHeader {
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;

  // Writes the header and behind it `payload`, at most 65,527 bytes, copied and summed in one pass; the checksum is
  // filled in. Returns the length of the datagram. `to` holds that many bytes and does not overlap `payload`.
  std::size_t write(Bytes to, const IpAddress& src, const IpAddress& dst, ConstBytes payload) const;
};

}  // namespace weir::wire
