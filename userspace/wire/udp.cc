// SPDX-License-Identifier: MIT
#include "weir/wire/udp.h"

#include <cassert>

namespace weir::wire {

bool UdpView::checksum_ok(const IpAddress& src, const IpAddress& dst, ChecksumPolicy policy) const {
  // RFC 768: 0 says that the sender computed none. RFC 8200 8.1 forbids that; RFC 6935's exceptions are tunnels'.
  if (load_be<std::uint16_t>(bytes_.data() + 6) == 0) return src.is_v4();
  auto pseudo = pseudo_header(src, dst, IpProtocol::udp, static_cast<std::uint32_t>(bytes_.size()));
  return wire::checksum_ok(bytes_, 6, pseudo, policy);
}

std::size_t UdpHeader::write(Bytes to, const IpAddress& src, const IpAddress& dst, ConstBytes payload) const {
  const std::size_t total = kUdpHeaderSize + payload.size();
  assert(total <= 0xffff && to.size() >= total);
  std::byte* p = to.data();
  store_be(p, src_port);
  store_be(p + 2, dst_port);
  store_be(p + 4, static_cast<std::uint16_t>(total));
  store_be(p + 6, std::uint16_t{0});
  Checksum sum = pseudo_header(src, dst, IpProtocol::udp, static_cast<std::uint32_t>(total));
  sum.add(to.first(kUdpHeaderSize));
  sum.copy_and_add(to.subspan(kUdpHeaderSize), payload);
  // A checksum that comes out as 0 is sent as its other form (RFC 768).
  std::uint16_t checksum = sum.fold();
  store_be(p + 6, checksum == 0 ? std::uint16_t{0xffff} : checksum);
  return total;
}

}  // namespace weir::wire
