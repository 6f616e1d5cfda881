// SPDX-License-Identifier: MIT
#include "weir/wire/ip_packet.h"

#include <cassert>

namespace weir::wire {

IpPacketView::IpPacketView(const Ipv4View& v4)
    : packet_(v4.packet()),
      payload_(v4.payload()),
      src_(v4.src()),
      dst_(v4.dst()),
      fragment_(v4.fragment()),
      family_(Family::v4),
      protocol_(v4.protocol()),
      ttl_(v4.ttl()),
      traffic_class_(wire::traffic_class(v4.dscp(), v4.ecn())),
      header_checksum_ok_(v4.checksum_ok()),
      source_routed_(v4.source_routed()) {}

IpPacketView::IpPacketView(const Ipv6View& v6)
    : packet_(v6.packet()),
      payload_(v6.payload()),
      src_(v6.src()),
      dst_(v6.dst()),
      fragment_(v6.fragment()),
      disposition_(v6.disposition()),
      family_(Family::v6),
      protocol_(v6.protocol()),
      ttl_(v6.hop_limit()),
      traffic_class_(v6.traffic_class()),
      source_routed_(v6.extensions().routing_type_0) {}

std::optional<IpPacketView> IpPacketView::parse(ConstBytes packet) {
  if (packet.empty()) return std::nullopt;
  switch (std::to_integer<unsigned>(packet[0]) >> 4) {
    case 4:
      if (auto v4 = Ipv4View::parse(packet)) return IpPacketView(*v4);
      return std::nullopt;
    case 6:
      if (auto v6 = Ipv6View::parse(packet)) return IpPacketView(*v6);
      return std::nullopt;
    default:
      return std::nullopt;
  }
}

void IpHeader::write(Bytes to) const {
  assert(src.family() == dst.family());
  if (dst.is_v4()) {
    Ipv4Header{.src = src,
               .dst = dst,
               .protocol = protocol,
               .ttl = ttl,
               .dscp = dscp,
               .ecn = ecn,
               .id = id,
               .dont_fragment = dont_fragment,
               .payload_length = payload_length}
        .write(to);
  } else {
    Ipv6Header{.src = src,
               .dst = dst,
               .next_header = protocol,
               .hop_limit = ttl,
               .dscp = dscp,
               .ecn = ecn,
               .flow_label = flow_label,
               .payload_length = payload_length}
        .write(to);
  }
}

}  // namespace weir::wire
