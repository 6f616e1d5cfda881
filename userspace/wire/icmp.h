// SPDX-License-Identifier: MIT
// ICMP (RFC 792, RFC 1191) and ICMPv6 (RFC 4443): enough to hear errors about our own packets and to send both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/checksum.h"

namespace weir::wire {

inline constexpr std::size_t kIcmpHeaderSize = 8;

// What a message means, whichever family says it.
enum class IcmpKind : std::uint8_t {
  echo_request,
  echo_reply,
  unreachable,        // v4 type 3 but for code 4; v6 type 1
  packet_too_big,     // v4 type 3 code 4; v6 type 2
  time_exceeded,      // v4 type 11; v6 type 3
  parameter_problem,  // v4 type 12; v6 type 4
  other,
};

// The start of the packet that an error is about: one that we are said to have sent.
struct QuotedPacket {
  IpAddress src{};
  IpAddress dst{};
  IpProtocol protocol = IpProtocol::none;
  // TCP and UDP alone; RFC 792 and RFC 4443 promise the first 8 bytes, which hold these.
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::uint32_t tcp_seq = 0;  // TCP alone
};

// Refers to the message, which must outlive it. After parse() nothing can fail; the checksum is asked apart.
class IcmpView {
 public:
  // `message` is all of IP's payload, of protocol 1 for v4 and 58 for v6. Refuses: fewer than 8 bytes.
  static std::optional<IcmpView> parse(ConstBytes message, Family family) {
    if (message.size() < kIcmpHeaderSize) return std::nullopt;
    return IcmpView(message, family);
  }

  // The addresses count for ICMPv6 alone. A partial checksum occurs in ICMPv6 alone.
  bool checksum_ok(const IpAddress& src, const IpAddress& dst, ChecksumPolicy policy) const;

  Family family() const { return family_; }
  std::uint8_t type() const { return std::to_integer<std::uint8_t>(bytes_[0]); }
  std::uint8_t code() const { return std::to_integer<std::uint8_t>(bytes_[1]); }
  IcmpKind kind() const;
  // About another packet: RFC 792's errors (source quench and redirect not included), RFC 4443's types 1 to 4.
  bool is_error() const;
  // The second word, in host order: MTU, pointer, or identifier and number, by type.
  std::uint32_t rest() const { return load_be<std::uint32_t>(bytes_.data() + 4); }
  // Where kind() is packet_too_big: the MTU of the next link in bytes, 0 where an old router does not say (RFC 1191 5).
  // Else 0.
  std::uint32_t mtu() const;
  // Behind the first 8 bytes: in an error, the quoted packet.
  ConstBytes body() const { return bytes_.subspan(kIcmpHeaderSize); }
  // Nothing where this is no error; or the quotation is of the other family, ends before its ports, is a fragment other
  // than the first, or names a mapped address. Its lengths may say more than is quoted, and no checksum is verified: a
  // quotation is a claim, which TCP checks against its sequence numbers (RFC 5927 4.1).
  std::optional<QuotedPacket> quoted() const;

 private:
  IcmpView(ConstBytes bytes, Family family) : bytes_(bytes), family_(family) {}
  ConstBytes bytes_;
  Family family_;
};

struct IcmpHeader {
  std::uint8_t type = 0;
  std::uint8_t code = 0;
  std::uint32_t rest = 0;

  // Writes the header and behind it `body`; the checksum is filled in, by the family of `src` and `dst`. Returns the
  // length of the message. `to` holds that many bytes and does not overlap `body`.
  std::size_t write(Bytes to, const IpAddress& src, const IpAddress& dst, ConstBytes body) const;
};

}  // namespace weir::wire
