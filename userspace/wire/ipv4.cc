// SPDX-License-Identifier: MIT
#include "weir/wire/ipv4.h"

#include <cassert>

#include "weir/wire/checksum.h"

namespace weir::wire {

std::optional<Ipv4View> Ipv4View::parse(ConstBytes packet) {
  if (packet.size() < kIpv4HeaderSize) return std::nullopt;
  unsigned first = std::to_integer<unsigned>(packet[0]);
  std::size_t header = std::size_t{first & 0x0f} * 4;
  std::size_t total = load_be<std::uint16_t>(packet.data() + 2);
  if (first >> 4 != 4 || header < kIpv4HeaderSize || total < header || total > packet.size()) return std::nullopt;
  Ipv4View view(packet.first(total));
  std::size_t payload = total - header;
  // What reassembly makes of it has this header too, and must itself be a packet.
  if (view.fragment_offset() + total > 0xffff) return std::nullopt;
  if (view.more_fragments() && (payload == 0 || payload % 8 != 0)) return std::nullopt;
  return view;
}

bool Ipv4View::checksum_ok() const {
  Checksum sum;
  sum.add(header());
  return sum.sum() == 0xffff;
}

bool Ipv4View::source_routed() const {
  enum : unsigned { kEnd = 0, kNop = 1, kLoose = 131, kStrict = 137 };
  ConstBytes rest = options();
  while (!rest.empty()) {
    unsigned kind = std::to_integer<unsigned>(rest[0]);
    if (kind == kLoose || kind == kStrict) return true;
    if (kind == kEnd) return false;
    if (kind == kNop) {
      rest = rest.subspan(1);
      continue;
    }
    if (rest.size() < 2) return false;
    std::size_t length = std::to_integer<std::size_t>(rest[1]);
    if (length < 2 || length > rest.size()) return false;
    rest = rest.subspan(length);
  }
  return false;
}

void Ipv4Header::write(Bytes to) const {
  assert(to.size() >= kIpv4HeaderSize && src.is_v4() && dst.is_v4());
  assert(payload_length <= 0xffff - kIpv4HeaderSize && fragment_offset % 8 == 0);
  std::byte* p = to.data();
  p[0] = std::byte{0x45};
  p[1] = static_cast<std::byte>(traffic_class(dscp, ecn));
  store_be(p + 2, static_cast<std::uint16_t>(kIpv4HeaderSize + payload_length));
  store_be(p + 4, id);
  unsigned flags = (dont_fragment ? 0x4000u : 0u) | (more_fragments ? 0x2000u : 0u);
  store_be(p + 6, static_cast<std::uint16_t>(flags | (fragment_offset >> 3)));
  p[8] = static_cast<std::byte>(ttl);
  p[9] = static_cast<std::byte>(protocol);
  store_be(p + 10, std::uint16_t{0});
  std::memcpy(p + 12, src.wire().data(), 4);
  std::memcpy(p + 16, dst.wire().data(), 4);
  Checksum sum;
  sum.add(to.first(kIpv4HeaderSize));
  store_be(p + 10, sum.fold());
}

}  // namespace weir::wire
