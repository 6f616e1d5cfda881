// SPDX-License-Identifier: MIT
#include "weir/wire/icmp.h"

#include <cassert>

#include "weir/wire/ipv4.h"
#include "weir/wire/ipv6.h"

namespace weir::wire {
namespace {

enum V4Type : std::uint8_t {
  kV4EchoReply = 0,
  kV4Unreachable = 3,
  kV4Echo = 8,
  kV4TimeExceeded = 11,
  kV4ParameterProblem = 12
};
enum V6Type : std::uint8_t {
  kV6Unreachable = 1,
  kV6PacketTooBig = 2,
  kV6TimeExceeded = 3,
  kV6ParameterProblem = 4,
  kV6Echo = 128,
  kV6EchoReply = 129,
};
constexpr std::uint8_t kV4FragmentationNeeded = 4;  // a code of kV4Unreachable

// The first bytes of the quoted packet's own payload.
std::optional<QuotedPacket> with_ports(QuotedPacket q, ConstBytes l4) {
  if (q.protocol != IpProtocol::tcp && q.protocol != IpProtocol::udp) return q;
  if (l4.size() < 8) return std::nullopt;
  q.src_port = load_be<std::uint16_t>(l4.data());
  q.dst_port = load_be<std::uint16_t>(l4.data() + 2);
  if (q.protocol == IpProtocol::tcp) q.tcp_seq = load_be<std::uint32_t>(l4.data() + 4);
  return q;
}

// Not Ipv4View: a quotation is cut off, and its total length says so.
std::optional<QuotedPacket> quoted_v4(ConstBytes inner) {
  if (inner.size() < kIpv4HeaderSize) return std::nullopt;
  unsigned first = std::to_integer<unsigned>(inner[0]);
  std::size_t header = std::size_t{first & 0x0f} * 4;
  if (first >> 4 != 4 || header < kIpv4HeaderSize || header > inner.size()) return std::nullopt;
  if ((load_be<std::uint16_t>(inner.data() + 6) & 0x1fff) != 0) return std::nullopt;
  QuotedPacket q;
  q.src = IpAddress::v4(inner.data() + 12);
  q.dst = IpAddress::v4(inner.data() + 16);
  q.protocol = static_cast<IpProtocol>(std::to_integer<std::uint8_t>(inner[9]));
  return with_ports(q, inner.subspan(header));
}

std::optional<QuotedPacket> quoted_v6(ConstBytes inner) {
  if (inner.size() < kIpv6HeaderSize || std::to_integer<unsigned>(inner[0]) >> 4 != 6) return std::nullopt;
  QuotedPacket q;
  q.src = IpAddress::v6(inner.data() + 8);
  q.dst = IpAddress::v6(inner.data() + 24);
  if (q.src.is_v4() || q.dst.is_v4()) return std::nullopt;
  // The walk judges the headers by the bytes that are quoted, so a first fragment's length may displease it; where the
  // ports stand is right all the same.
  auto walk = walk_ipv6_extensions(static_cast<IpProtocol>(std::to_integer<std::uint8_t>(inner[6])),
                                   inner.subspan(kIpv6HeaderSize), q.dst.is_multicast());
  if (!walk || (walk->fragment && walk->fragment->offset != 0)) return std::nullopt;
  q.protocol = walk->protocol;
  return with_ports(q, inner.subspan(kIpv6HeaderSize + walk->payload_offset));
}

}  // namespace

bool IcmpView::checksum_ok(const IpAddress& src, const IpAddress& dst, ChecksumPolicy policy) const {
  if (family_ == Family::v4) return wire::checksum_ok(bytes_, 2, Checksum(), ChecksumPolicy::verify);
  auto pseudo = pseudo_header(src, dst, IpProtocol::icmpv6, static_cast<std::uint32_t>(bytes_.size()));
  return wire::checksum_ok(bytes_, 2, pseudo, policy);
}

IcmpKind IcmpView::kind() const {
  if (family_ == Family::v4) {
    switch (type()) {
      case kV4EchoReply:
        return IcmpKind::echo_reply;
      case kV4Unreachable:
        return code() == kV4FragmentationNeeded ? IcmpKind::packet_too_big : IcmpKind::unreachable;
      case kV4Echo:
        return IcmpKind::echo_request;
      case kV4TimeExceeded:
        return IcmpKind::time_exceeded;
      case kV4ParameterProblem:
        return IcmpKind::parameter_problem;
      default:
        return IcmpKind::other;
    }
  }
  switch (type()) {
    case kV6Unreachable:
      return IcmpKind::unreachable;
    case kV6PacketTooBig:
      return IcmpKind::packet_too_big;
    case kV6TimeExceeded:
      return IcmpKind::time_exceeded;
    case kV6ParameterProblem:
      return IcmpKind::parameter_problem;
    case kV6Echo:
      return IcmpKind::echo_request;
    case kV6EchoReply:
      return IcmpKind::echo_reply;
    default:
      return IcmpKind::other;
  }
}

bool IcmpView::is_error() const {
  switch (kind()) {
    case IcmpKind::unreachable:
    case IcmpKind::packet_too_big:
    case IcmpKind::time_exceeded:
    case IcmpKind::parameter_problem:
      return true;
    case IcmpKind::echo_request:
    case IcmpKind::echo_reply:
    case IcmpKind::other:
      return false;
  }
  return false;
}

std::uint32_t IcmpView::mtu() const {
  if (kind() != IcmpKind::packet_too_big) return 0;
  // RFC 1191 4: the low half of the word; RFC 4443 3.2: all of it.
  return family_ == Family::v4 ? rest() & 0xffff : rest();
}

std::optional<QuotedPacket> IcmpView::quoted() const {
  if (!is_error()) return std::nullopt;
  return family_ == Family::v4 ? quoted_v4(body()) : quoted_v6(body());
}

std::size_t IcmpHeader::write(Bytes to, const IpAddress& src, const IpAddress& dst, ConstBytes body) const {
  const std::size_t total = kIcmpHeaderSize + body.size();
  assert(to.size() >= total);
  std::byte* p = to.data();
  p[0] = static_cast<std::byte>(type);
  p[1] = static_cast<std::byte>(code);
  store_be(p + 2, std::uint16_t{0});
  store_be(p + 4, rest);
  Checksum sum;
  if (src.is_v6()) sum = pseudo_header(src, dst, IpProtocol::icmpv6, static_cast<std::uint32_t>(total));
  sum.add(to.first(kIcmpHeaderSize));
  sum.copy_and_add(to.subspan(kIcmpHeaderSize), body);
  store_be(p + 2, sum.fold());
  return total;
}

}  // namespace weir::wire
