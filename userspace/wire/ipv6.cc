// SPDX-License-Identifier: MIT
#include "weir/wire/ipv6.h"

#include <cassert>

namespace weir::wire {
namespace {

using Action = Ipv6Disposition::Action;

std::uint8_t u8(ConstBytes bytes, std::size_t i) { return std::to_integer<std::uint8_t>(bytes[i]); }

// RFC 8200 4.2: what the top two bits of an unknown option's type ask for. Jumbo payload (RFC 2675) and home address
// (RFC 6275) are unknown here, and say by these bits what is to be done.
Ipv6Disposition unknown_option(std::uint8_t type, bool multicast_destination, std::uint32_t pointer) {
  switch (type >> 6) {
    case 0:
      return {};
    case 1:
      return {.action = Action::discard};
    case 3:
      if (multicast_destination) return {.action = Action::discard};
      [[fallthrough]];
    default:
      return {.action = Action::parameter_problem, .code = 2, .pointer = pointer};
  }
}

// The options of one hop-by-hop or destination options header. Nothing: an option overruns the header.
std::optional<Ipv6Disposition> read_options(ConstBytes header, bool multicast_destination, std::uint32_t base) {
  constexpr std::uint8_t kPad1 = 0;
  for (std::size_t i = 2; i < header.size();) {
    std::uint8_t type = u8(header, i);
    if (type == kPad1) {
      ++i;
      continue;
    }
    if (i + 2 > header.size()) return std::nullopt;
    std::size_t end = i + 2 + u8(header, i + 1);
    if (end > header.size()) return std::nullopt;
    // PadN's type is 1, whose top bits say "skip" like those of any option that may be skipped.
    Ipv6Disposition d = unknown_option(type, multicast_destination, base + static_cast<std::uint32_t>(i));
    if (d.action != Action::process) return d;
    i = end;
  }
  return Ipv6Disposition{};
}

}  // namespace

std::optional<Ipv6Extensions> walk_ipv6_extensions(IpProtocol first, ConstBytes bytes, bool multicast_destination,
                                                   std::uint32_t base) {
  Ipv6Extensions out;
  out.protocol = first;
  // Where the header now looked at was named: what a parameter problem about its kind points to (RFC 4443 3.4). In the
  // fixed header that is byte 6; behind it, the first byte of the header before.
  std::uint32_t named_at = 6;
  for (unsigned walked = 0;; ++walked) {
    IpProtocol kind = out.protocol;
    if (kind != IpProtocol::hop_by_hop && kind != IpProtocol::routing && kind != IpProtocol::fragment &&
        kind != IpProtocol::destination_options) {
      return out;
    }
    if (walked == kMaxIpv6ExtensionHeaders) return std::nullopt;
    if (kind == IpProtocol::hop_by_hop && walked > 0) {
      // RFC 8200 4.1: it comes first or is not known.
      out.disposition = {.action = Action::parameter_problem, .code = 1, .pointer = named_at};
      return out;
    }
    ConstBytes rest = bytes.subspan(out.payload_offset);
    if (rest.size() < 8) return std::nullopt;
    const std::uint32_t at = base + static_cast<std::uint32_t>(out.payload_offset);
    const IpProtocol next = static_cast<IpProtocol>(u8(rest, 0));

    std::size_t size = kIpv6FragmentHeaderSize;
    if (kind != IpProtocol::fragment) {
      size = (std::size_t{u8(rest, 1)} + 1) * 8;
      if (size > rest.size()) return std::nullopt;
    }

    if (kind == IpProtocol::fragment) {
      if (out.fragment) return std::nullopt;
      std::uint16_t word = load_be<std::uint16_t>(rest.data() + 2);
      out.fragment = FragmentInfo{.id = load_be<std::uint32_t>(rest.data() + 4),
                                  .offset = static_cast<std::uint16_t>(word & 0xfff8),
                                  .more = (word & 1) != 0};
      out.fragment_header_offset = out.payload_offset;
      std::size_t data = rest.size() - size;
      // RFC 8200 4.5: the payload length (byte 4) is to blame for the one, the offset field for the other.
      if (out.fragment->more && (data == 0 || data % 8 != 0)) {
        out.disposition = {.action = Action::parameter_problem, .code = 0, .pointer = 4};
      } else if (out.fragment->offset + data > 0xffff) {
        out.disposition = {.action = Action::parameter_problem, .code = 0, .pointer = at + 2};
      }
    } else if (kind == IpProtocol::routing) {
      std::uint8_t type = u8(rest, 2);
      std::uint8_t segments_left = u8(rest, 3);
      if (type == 0) out.routing_type_0 = true;
      // RFC 8200 4.4, RFC 5095 3: we route for nobody, so every type is unknown; with no segments left it is passed
      // over.
      if (segments_left != 0) out.disposition = {.action = Action::parameter_problem, .code = 0, .pointer = at + 2};
    } else {
      auto d = read_options(rest.first(size), multicast_destination, at);
      if (!d) return std::nullopt;
      out.disposition = *d;
    }

    out.payload_offset += size;
    out.protocol = next;
    named_at = at;
    if (out.disposition.action != Action::process) return out;
    if (kind == IpProtocol::fragment && (out.fragment->offset != 0 || out.fragment->more)) return out;
  }
}

std::optional<Ipv6View> Ipv6View::parse(ConstBytes packet) {
  if (packet.size() < kIpv6HeaderSize) return std::nullopt;
  if (std::to_integer<unsigned>(packet[0]) >> 4 != 6) return std::nullopt;
  std::size_t total = kIpv6HeaderSize + load_be<std::uint16_t>(packet.data() + 4);
  if (total > packet.size()) return std::nullopt;
  ConstBytes bytes = packet.first(total);
  IpAddress src = IpAddress::v6(bytes.data() + 8);
  IpAddress dst = IpAddress::v6(bytes.data() + 24);
  if (src.is_v4() || dst.is_v4()) return std::nullopt;
  auto extensions =
      walk_ipv6_extensions(static_cast<IpProtocol>(u8(bytes, 6)), bytes.subspan(kIpv6HeaderSize), dst.is_multicast());
  if (!extensions) return std::nullopt;
  return Ipv6View(bytes, *extensions);
}

void Ipv6Header::write(Bytes to) const {
  assert(to.size() >= kIpv6HeaderSize && src.is_v6() && dst.is_v6());
  std::byte* p = to.data();
  store_be(p, std::uint32_t{0x60000000u | std::uint32_t{traffic_class(dscp, ecn)} << 20 | (flow_label & 0xfffffu)});
  store_be(p + 4, payload_length);
  p[6] = static_cast<std::byte>(next_header);
  p[7] = static_cast<std::byte>(hop_limit);
  std::memcpy(p + 8, src.data(), 16);
  std::memcpy(p + 24, dst.data(), 16);
}

void Ipv6FragmentHeader::write(Bytes to) const {
  assert(to.size() >= kIpv6FragmentHeaderSize && fragment.offset % 8 == 0);
  std::byte* p = to.data();
  p[0] = static_cast<std::byte>(next_header);
  p[1] = std::byte{0};
  store_be(p + 2, static_cast<std::uint16_t>(fragment.offset | (fragment.more ? 1u : 0u)));
  store_be(p + 4, fragment.id);
}

}  // namespace weir::wire
