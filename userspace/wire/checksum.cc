// SPDX-License-Identifier: MIT
#include "weir/wire/checksum.h"

#include <cassert>

namespace weir::wire {
namespace {

// One's complement addition: the carry out of the top comes back in at the bottom. Compilers turn the comparison into
// the carry flag (add, adc 0).
inline std::uint64_t add_carry(std::uint64_t a, std::uint64_t b) {
  a += b;
  return a + (a < b ? 1u : 0u);
}

template <class T>
inline T load_native(const std::byte* p) {
  T v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// 2^16 = 1 (mod 2^16 - 1), so a wide word and the sum of its 16-bit parts are the same one's complement number, and a
// span can be summed 8 bytes at a time and folded once (RFC 1071 2(C)). Four sums run beside each other because each
// addition with carry waits for the one before it: one chain would bound the loop at its latency, not at the loads.
template <bool copy>
std::uint64_t native_sum(std::byte* to, const std::byte* from, std::size_t n) {
  auto step = [&]<class T>(T) {
    T w = load_native<T>(from);
    if constexpr (copy) {
      std::memcpy(to, &w, sizeof w);
      to += sizeof w;
    }
    from += sizeof w;
    return std::uint64_t{w};
  };
  std::uint64_t a = 0;
  std::uint64_t b = 0;
  std::uint64_t c = 0;
  std::uint64_t d = 0;
  for (; n >= 32; n -= 32) {
    a = add_carry(a, step(std::uint64_t{}));
    b = add_carry(b, step(std::uint64_t{}));
    c = add_carry(c, step(std::uint64_t{}));
    d = add_carry(d, step(std::uint64_t{}));
  }
  for (; n >= 8; n -= 8) a = add_carry(a, step(std::uint64_t{}));
  if ((n & 4) != 0) b = add_carry(b, step(std::uint32_t{}));
  if ((n & 2) != 0) c = add_carry(c, step(std::uint16_t{}));
  if ((n & 1) != 0) {
    // The last byte of an odd length is the first in memory of a word whose second is 0 (RFC 1071 4.1).
    std::byte word[2] = {*from, std::byte{0}};
    if constexpr (copy) *to = *from;
    d = add_carry(d, load_native<std::uint16_t>(word));
  }
  return add_carry(add_carry(a, b), add_carry(c, d));
}

std::uint16_t fold16(std::uint64_t v) {
  v = (v & 0xffffffff) + (v >> 32);
  v = (v & 0xffff) + (v >> 16);  // at most 0xffff + 0x1ffff
  v = (v & 0xffff) + (v >> 16);
  v = (v & 0xffff) + (v >> 16);
  return static_cast<std::uint16_t>(v);
}

}  // namespace

// After an odd number of bytes, what follows stands one byte off: in one's complement that is its sum with the two
// bytes exchanged (RFC 1071 2(B)).
void Checksum::accumulate(std::uint64_t native_sum) {
  if (odd_) native_sum = __builtin_bswap16(fold16(native_sum));
  sum_ = add_carry(sum_, native_sum);
}

void Checksum::add(ConstBytes bytes) {
  accumulate(native_sum<false>(nullptr, bytes.data(), bytes.size()));
  odd_ ^= (bytes.size() & 1) != 0;
}

void Checksum::add_be16(std::uint16_t v) { accumulate(to_be16(v)); }

void Checksum::add_be32(std::uint32_t v) {
  accumulate(std::uint64_t{to_be16(static_cast<std::uint16_t>(v >> 16))} + to_be16(static_cast<std::uint16_t>(v)));
}

void Checksum::copy_and_add(Bytes to, ConstBytes from) {
  assert(to.size() >= from.size());
  accumulate(native_sum<true>(to.data(), from.data(), from.size()));
  odd_ ^= (from.size() & 1) != 0;
}

std::uint16_t Checksum::sum() const { return from_be16(fold16(sum_)); }

Checksum pseudo_header(const IpAddress& src, const IpAddress& dst, IpProtocol protocol, std::uint32_t length) {
  assert(src.family() == dst.family());
  Checksum sum;
  sum.add(src.wire());
  sum.add(dst.wire());
  sum.add_be16(static_cast<std::uint16_t>(protocol));
  sum.add_be32(length);
  return sum;
}

bool checksum_ok(ConstBytes l4, std::size_t field_offset, const Checksum& pseudo, ChecksumPolicy policy) {
  assert(field_offset + 2 <= l4.size());
  // First, because it spares the pass over the text, and on such a link it is the common case.
  if (policy == ChecksumPolicy::verify_or_partial && load_be<std::uint16_t>(l4.data() + field_offset) == pseudo.sum()) {
    return true;
  }
  Checksum all = pseudo;
  all.add(l4);
  return all.sum() == 0xffff;
}

}  // namespace weir::wire
