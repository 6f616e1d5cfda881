// SPDX-License-Identifier: MIT
// ICMP errors about our connections (RFC 1122 4.2.3.9, RFC 5927, RFC 8201). All else of ICMP is the kernel's.
#include <algorithm>
#include <array>
#include <cstdint>

#include "weir/stack/stack_impl.h"

namespace weir::stack {
namespace {

using Kind = tcp::IcmpError::Kind;

// RFC 1122 4.2.3.9: of version 4's codes 2 to 4 are hard, and those of RFC 1812 5.2.7.1 that say "prohibited" with
// them; RFC 4443 3.1 for version 6.
tcp::IcmpError unreachable(Family family, std::uint8_t code) {
  tcp::IcmpError error{Kind::soft_unreachable};
  if (family == Family::v4) {
    error.port = code == 2 || code == 3;  // protocol unreachable: nobody speaks TCP there
    error.network = code == 0 || code == 6 || code == 9 || code == 11;
    if (error.port || code == 9 || code == 10 || code == 13) error.kind = Kind::hard_unreachable;
  } else {
    error.port = code == 4;
    error.network = code == 0 || code == 2;
    if (code == 1 || code == 4 || code == 5 || code == 6) error.kind = Kind::hard_unreachable;
  }
  return error;
}

// RFC 1191 7.1, for routers that name no MTU: the next lower that links are known to have.
std::uint32_t plateau_below(std::uint32_t mtu) {
  constexpr std::array<std::uint32_t, 8> kPlateaus{65'535, 32'000, 17'914, 8'166, 4'352, 2'002, 1'492, 1'006};
  for (std::uint32_t plateau : kPlateaus) {
    if (plateau < mtu) return plateau;
  }
  return 576;
}

// No path MTU below these is believed. RFC 8201 4 for version 6. For version 4, RFC 791 3.1's 576 bytes that every host
// takes: whoever is on the path could otherwise have us send our text in slivers.
std::uint32_t lowest_mtu(Family family) { return family == Family::v4 ? 576 : 1'280; }

}  // namespace

weir_reason Stack::Impl::on_icmp(const Packet& packet, Instant now) {
  auto icmp = wire::IcmpView::parse(packet.payload, packet.dst.family());
  if (!icmp) return WEIR_R_LOST_MALFORMED;
  if (!icmp->checksum_ok(packet.src, packet.dst, config.checksum)) return WEIR_R_LOST_CHECKSUM;
  if (!icmp->is_error()) return WEIR_R_LOST_PROTOCOL;
  return on_icmp_error(*icmp, packet, now);
}

weir_reason Stack::Impl::on_icmp_error(const wire::IcmpView& icmp, const Packet& packet, Instant now) {
  auto quoted = icmp.quoted();
  if (!quoted || quoted->protocol != wire::IpProtocol::tcp || quoted->src != packet.dst) {
    return WEIR_R_LOST_ICMP_INVALID;
  }
  FlowKey key{quoted->src, quoted->dst, quoted->src_port, quoted->dst_port};
  Slot* slot = connections.find(key, flow_hash(key, config.hash_key));
  if (slot == nullptr) return WEIR_R_LOST_ICMP_INVALID;

  tcp::IcmpError error{Kind::soft_unreachable};
  switch (icmp.kind()) {
    case wire::IcmpKind::unreachable:
      error = unreachable(icmp.family(), icmp.code());
      break;
    case wire::IcmpKind::packet_too_big: {
      std::uint32_t mtu = icmp.mtu() != 0 ? icmp.mtu() : plateau_below(slot->path_mtu);
      mtu = std::max(mtu, lowest_mtu(icmp.family()));
      // RFC 8201 4: what is not lower is no news, and may be a lie.
      if (mtu >= slot->path_mtu) return WEIR_R_LOST_ICMP_INVALID;
      error.kind = Kind::packet_too_big;
      error.mtu = mtu;
      break;
    }
    case wire::IcmpKind::time_exceeded:
      error.kind = Kind::time_exceeded;
      break;
    case wire::IcmpKind::parameter_problem:
      error.kind = Kind::parameter_problem;
      break;
    default:
      return WEIR_R_LOST_PROTOCOL;
  }
  weir_reason reason = slot->tcp->on_icmp_error(error, tcp::SeqNum(quoted->tcp_seq), now);
  if (reason == WEIR_R_TAKEN_ICMP && error.kind == Kind::packet_too_big) {
    auto mtu = static_cast<std::uint16_t>(error.mtu);
    slot->path_mtu = slot->icmp_mtu = mtu;
    slot->icmp_mtu_until = now + kPathMtuLife;
    next_hops.lower_mtu(key.remote, mtu, now);
  }
  settle(*slot, now);
  return reason;
}

}  // namespace weir::stack
