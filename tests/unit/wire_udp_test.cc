// SPDX-License-Identifier: MIT
#include "weir/wire/udp.h"

#include <gtest/gtest.h>

#include <random>

#include "bytes_util.h"

namespace weir::wire {
namespace {

using test::Buffer;
using test::ip;

TEST(Udp, RoundTrips) {
  for (auto [src, dst] :
       {std::pair{ip("192.0.2.1"), ip("192.0.2.2")}, std::pair{ip("2001:db8::1"), ip("2001:db8::2")}}) {
    for (std::size_t n : {0u, 1u, 2u, 9u, 1472u}) {
      std::mt19937 rng(static_cast<unsigned>(n));
      Buffer payload = test::random_bytes(rng, n);
      Buffer bytes(kUdpHeaderSize + n + 3);  // what follows is IP's padding
      ASSERT_EQ((UdpHeader{.src_port = 53, .dst_port = 40000}.write(bytes, src, dst, payload)), kUdpHeaderSize + n);
      auto view = UdpView::parse(bytes);
      ASSERT_TRUE(view);
      EXPECT_EQ(view->src_port(), 53);
      EXPECT_EQ(view->dst_port(), 40000);
      EXPECT_EQ(view->length(), kUdpHeaderSize + n);
      EXPECT_EQ(Buffer(view->payload().begin(), view->payload().end()), payload);
      EXPECT_TRUE(view->checksum_ok(src, dst, ChecksumPolicy::verify));
      bytes[1] ^= std::byte{1};
      EXPECT_FALSE(UdpView::parse(bytes)->checksum_ok(src, dst, ChecksumPolicy::verify));
    }
  }
}

TEST(Udp, LengthsThatContradictAreRefused) {
  Buffer bytes(20);
  for (std::uint16_t length = 0; length < 40; ++length) {
    store_be(&bytes[4], length);
    EXPECT_EQ(UdpView::parse(bytes).has_value(), length >= 8 && length <= 20) << length;
  }
  store_be(&bytes[4], std::uint16_t{8});
  for (std::size_t n = 0; n < 8; ++n) EXPECT_FALSE(UdpView::parse(test::cut(bytes, n))) << n;
}

TEST(Udp, NoChecksumIsForIpv4Alone) {
  Buffer bytes(8);
  UdpHeader{.src_port = 1, .dst_port = 2}.write(bytes, ip("192.0.2.1"), ip("192.0.2.2"), {});
  store_be(&bytes[6], std::uint16_t{0});
  EXPECT_TRUE(UdpView::parse(bytes)->checksum_ok(ip("192.0.2.1"), ip("192.0.2.2"), ChecksumPolicy::verify));
  EXPECT_FALSE(UdpView::parse(bytes)->checksum_ok(ip("2001:db8::1"), ip("2001:db8::2"), ChecksumPolicy::verify));
  EXPECT_FALSE(
      UdpView::parse(bytes)->checksum_ok(ip("2001:db8::1"), ip("2001:db8::2"), ChecksumPolicy::verify_or_partial));
}

// Of the 65,536 payloads of two bytes one sums to 0xffff; its checksum must be sent as 0xffff and be right.
TEST(Udp, AZeroChecksumIsSentAsOnes) {
  unsigned ones = 0;
  for (unsigned v = 0; v < 0x10000; ++v) {
    Buffer payload(2);
    store_be(payload.data(), static_cast<std::uint16_t>(v));
    Buffer bytes(10);
    UdpHeader{.src_port = 1, .dst_port = 2}.write(bytes, ip("2001:db8::1"), ip("2001:db8::2"), payload);
    ASSERT_NE(load_be<std::uint16_t>(&bytes[6]), 0);
    if (load_be<std::uint16_t>(&bytes[6]) != 0xffff) continue;
    ++ones;
    EXPECT_TRUE(UdpView::parse(bytes)->checksum_ok(ip("2001:db8::1"), ip("2001:db8::2"), ChecksumPolicy::verify));
  }
  EXPECT_EQ(ones, 1u);
}

TEST(Udp, PartialChecksum) {
  IpAddress a = ip("192.0.2.1");
  IpAddress b = ip("192.0.2.2");
  Buffer payload = test::text("text");
  Buffer bytes(12);
  UdpHeader{.src_port = 1, .dst_port = 2}.write(bytes, a, b, payload);
  store_be(&bytes[6], pseudo_header(a, b, IpProtocol::udp, 12).sum());
  EXPECT_FALSE(UdpView::parse(bytes)->checksum_ok(a, b, ChecksumPolicy::verify));
  EXPECT_TRUE(UdpView::parse(bytes)->checksum_ok(a, b, ChecksumPolicy::verify_or_partial));
}

}  // namespace
}  // namespace weir::wire
