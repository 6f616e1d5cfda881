// SPDX-License-Identifier: MIT
#include "weir/wire/checksum.h"

#include <gtest/gtest.h>

#include <random>

#include "bytes_util.h"

namespace weir::wire {
namespace {

using test::Buffer;
using test::hex;
using test::ip;

// RFC 1071 1, as it is written there: 16-bit big-endian words, one at a time, an odd last byte padded with 0.
std::uint16_t reference_sum(ConstBytes bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    std::uint32_t high = std::to_integer<std::uint32_t>(bytes[i]);
    std::uint32_t low = i + 1 < bytes.size() ? std::to_integer<std::uint32_t>(bytes[i + 1]) : 0;
    sum += high << 8 | low;
    sum = (sum & 0xffff) + (sum >> 16);
  }
  return static_cast<std::uint16_t>(sum);
}

std::uint16_t sum_of(ConstBytes bytes) {
  Checksum sum;
  sum.add(bytes);
  return sum.sum();
}

TEST(Checksum, Rfc1071Example) {
  EXPECT_EQ(sum_of(hex("00 01 f2 03 f4 f5 f6 f7")), 0xddf2);
  Checksum sum;
  sum.add(hex("00 01 f2 03 f4 f5 f6 f7"));
  EXPECT_EQ(sum.fold(), static_cast<std::uint16_t>(~0xddf2));
}

TEST(Checksum, Extremes) {
  EXPECT_EQ(sum_of({}), 0);
  EXPECT_EQ(sum_of(Buffer(1500)), 0);
  EXPECT_EQ(sum_of(Buffer(65536, std::byte{0xff})), 0xffff);
  EXPECT_EQ(sum_of(Buffer(65535, std::byte{0xff})), reference_sum(Buffer(65535, std::byte{0xff})));
  EXPECT_EQ(sum_of(hex("ff")), 0xff00);
  EXPECT_EQ(sum_of(hex("00 ff")), 0x00ff);
}

TEST(Checksum, AgreesWithTheReferenceAtEveryLengthAndAlignment) {
  std::mt19937 rng(3);
  Buffer memory = test::random_bytes(rng, 4096);
  for (std::size_t offset = 0; offset < 16; ++offset) {
    for (std::size_t n = 0; n < 200; ++n) {
      ConstBytes b = ConstBytes(memory).subspan(offset, n);
      ASSERT_EQ(sum_of(b), reference_sum(b)) << offset << " " << n;
    }
  }
  for (int round = 0; round < 2000; ++round) {
    std::size_t offset = rng() % 64;
    ConstBytes b = ConstBytes(memory).subspan(offset, rng() % (memory.size() - offset));
    ASSERT_EQ(sum_of(b), reference_sum(b));
  }
}

// Bytes near 0xff make every addition carry.
TEST(Checksum, CarriesAreNotLost) {
  std::mt19937 rng(4);
  for (int round = 0; round < 2000; ++round) {
    Buffer b(rng() % 300);
    for (std::byte& x : b) x = static_cast<std::byte>(0xff - (rng() % 8 == 0 ? 1 : 0));
    ASSERT_EQ(sum_of(b), reference_sum(b));
  }
}

TEST(Checksum, ChainsAnySplitAsOneSpan) {
  std::mt19937 rng(5);
  for (int round = 0; round < 2000; ++round) {
    Buffer memory = test::random_bytes(rng, rng() % 400);
    Buffer copied(memory.size());
    Checksum sum;
    ConstBytes rest = memory;
    Bytes to = copied;
    while (!rest.empty()) {
      std::size_t n = 1 + rng() % rest.size();
      if (rng() % 2 == 0) {
        sum.add(rest.first(n));
        std::memcpy(to.data(), rest.data(), n);
      } else {
        sum.copy_and_add(to, rest.first(n));
      }
      rest = rest.subspan(n);
      to = to.subspan(n);
    }
    ASSERT_EQ(sum.sum(), reference_sum(memory));
    ASSERT_EQ(copied, memory);
  }
}

TEST(Checksum, IntegersStandInNetworkOrder) {
  Checksum a;
  a.add_be16(0x1234);
  a.add_be32(0x56789abc);
  EXPECT_EQ(a.sum(), reference_sum(hex("12 34 56 78 9a bc")));
  // After an odd length too.
  Checksum b;
  b.add(hex("77"));
  b.add_be16(0x1234);
  b.add_be32(0xfffefdfc);
  EXPECT_EQ(b.sum(), reference_sum(hex("77 12 34 ff fe fd fc")));
}

TEST(Checksum, CopyAndSumWritesNothingBeyond) {
  std::mt19937 rng(6);
  for (std::size_t n = 0; n < 130; ++n) {
    Buffer from = test::random_bytes(rng, n);
    Buffer to(n + 8, std::byte{0xaa});
    EXPECT_EQ(copy_and_sum(to, from).sum(), reference_sum(from));
    EXPECT_EQ(test::cut(to, n), from);
    for (std::size_t i = n; i < to.size(); ++i) ASSERT_EQ(to[i], std::byte{0xaa}) << n;
  }
}

TEST(PseudoHeader, IsTheBytesOfTheRfcs) {
  EXPECT_EQ(pseudo_header(ip("192.0.2.1"), ip("198.51.100.7"), IpProtocol::tcp, 0x1234).sum(),
            reference_sum(hex("c0 00 02 01 c6 33 64 07 00 06 12 34")));
  EXPECT_EQ(pseudo_header(ip("2001:db8::1"), ip("fe80::2"), IpProtocol::icmpv6, 0x00012345).sum(),
            reference_sum(hex("20010db8000000000000000000000001 fe800000000000000000000000000002 00012345 0000003a")));
}

TEST(ChecksumOk, PartialIsTakenOnlyWhereItIsAllowed) {
  std::mt19937 rng(7);
  for (int round = 0; round < 500; ++round) {
    Buffer l4 = test::random_bytes(rng, 20 + rng() % 100);
    Checksum pseudo =
        pseudo_header(ip("192.0.2.1"), ip("192.0.2.2"), IpProtocol::tcp, static_cast<std::uint32_t>(l4.size()));
    // Right.
    store_be(&l4[16], std::uint16_t{0});
    Checksum full = pseudo;
    full.add(l4);
    store_be(&l4[16], full.fold());
    EXPECT_TRUE(checksum_ok(l4, 16, pseudo, ChecksumPolicy::verify));
    EXPECT_TRUE(checksum_ok(l4, 16, pseudo, ChecksumPolicy::verify_or_partial));
    // Wrong, by one bit anywhere.
    Buffer wrong = l4;
    wrong[rng() % wrong.size()] ^= static_cast<std::byte>(1u << (rng() % 8));
    EXPECT_FALSE(checksum_ok(wrong, 16, pseudo, ChecksumPolicy::verify));
    if (load_be<std::uint16_t>(&wrong[16]) != pseudo.sum()) {
      EXPECT_FALSE(checksum_ok(wrong, 16, pseudo, ChecksumPolicy::verify_or_partial));
    }
    // Partial.
    Buffer partial = l4;
    store_be(&partial[16], pseudo.sum());
    EXPECT_TRUE(checksum_ok(partial, 16, pseudo, ChecksumPolicy::verify_or_partial));
    if (partial != l4) { EXPECT_FALSE(checksum_ok(partial, 16, pseudo, ChecksumPolicy::verify)); }
  }
}

}  // namespace
}  // namespace weir::wire
