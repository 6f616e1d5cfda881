// SPDX-License-Identifier: MIT
// The Internet checksum (RFC 1071).
#pragma once

#include <cstddef>
#include <cstdint>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/ip_protocol.h"

namespace weir::wire {

// A one's complement sum in the making. Spans may have any length and alignment, and chain as if they were one: after
// an odd number of bytes the next span begins in the low half of a 16-bit word.
class Checksum {
 public:
  constexpr Checksum() = default;

  void add(ConstBytes bytes);
  // Values in host order, summed as they will stand on the wire.
  void add_be16(std::uint16_t v);
  void add_be32(std::uint32_t v);
  // Copies `from` to the start of `to`, which is at least as long and does not overlap it, and sums it in the same
  // pass.
  void copy_and_add(Bytes to, ConstBytes from);

  // The 16-bit one's complement sum, in host order: 0xffff over bytes that hold a right checksum. It is 0 only where
  // every byte summed is 0.
  std::uint16_t sum() const;
  // What a checksum field takes: the complement of sum(), for store_be().
  std::uint16_t fold() const { return static_cast<std::uint16_t>(~sum()); }

 private:
  void accumulate(std::uint64_t native_sum);

  // The sum of words as memory holds them, not swapped (RFC 1071 2(B)): one swap at the end does for all.
  std::uint64_t sum_ = 0;
  bool odd_ = false;
};

// What TCP, UDP and ICMPv6 sum in front of their own bytes: RFC 9293 3.1, RFC 8200 8.1. Both addresses are of one
// family; `length` is that of the upper layer's header and data, in bytes.
Checksum pseudo_header(const IpAddress& src, const IpAddress& dst, IpProtocol protocol, std::uint32_t length);

// Copies `from` to the start of `to`, which is at least as long and does not overlap it, and returns its sum.
inline Checksum copy_and_sum(Bytes to, ConstBytes from) {
  Checksum sum;
  sum.copy_and_add(to, from);
  return sum;
}

enum class ChecksumPolicy : std::uint8_t {
  verify,
  // For a link that hands over frames whose sender left the checksum to hardware that never was (a veth or virtio
  // peer): the field then holds the pseudo-header's sum alone. Such a frame did not cross a wire, so there is nothing
  // to verify.
  verify_or_partial,
};

// Whether the 16-bit field at `field_offset` of `l4` is right. `l4` is the whole segment or datagram, and holds the
// field.
bool checksum_ok(ConstBytes l4, std::size_t field_offset, const Checksum& pseudo, ChecksumPolicy policy);

}  // namespace weir::wire
