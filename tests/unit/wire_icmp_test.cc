// SPDX-License-Identifier: MIT
#include "weir/wire/icmp.h"

#include <gtest/gtest.h>

#include "bytes_util.h"
#include "weir/wire/ip_packet.h"
#include "weir/wire/tcp.h"
#include "weir/wire/udp.h"

namespace weir::wire {
namespace {

using test::Buffer;
using test::concat;
using test::hex;
using test::ip;

struct Pair {
  IpAddress us;
  IpAddress peer;
  IpAddress router;
};
const Pair kV4{ip("192.0.2.1"), ip("198.51.100.7"), ip("203.0.113.9")};
const Pair kV6{ip("2001:db8::1"), ip("2001:db8:1::7"), ip("2001:db8:2::9")};

// What we sent and somebody complains of.
Buffer our_segment(const Pair& p) {
  TcpHeader tcp{.src_port = 8080, .dst_port = 40000, .seq = 0xcafe0001, .ack = 5, .flags = kAck};
  Buffer text = test::text("some text that a router may or may not quote");
  Buffer l4(tcp.size() + text.size());
  tcp.write(l4, p.us, p.peer, text);
  IpHeader h{.src = p.us, .dst = p.peer, .payload_length = static_cast<std::uint16_t>(l4.size())};
  Buffer header(h.size());
  h.write(header);
  return concat(header, l4);
}

Buffer message(const Pair& p, std::uint8_t type, std::uint8_t code, std::uint32_t rest, ConstBytes body) {
  Buffer out(kIcmpHeaderSize + body.size());
  EXPECT_EQ((IcmpHeader{type, code, rest}.write(out, p.router, p.us, body)), out.size());
  return out;
}

TEST(Icmp, RoundTripsWithItsChecksum) {
  for (const Pair& p : {kV4, kV6}) {
    Family family = p.us.family();
    for (std::size_t n : {0u, 1u, 7u, 56u}) {
      Buffer bytes = message(p, 200, 3, 0x12345678, Buffer(n, std::byte{0xc3}));
      auto view = IcmpView::parse(bytes, family);
      ASSERT_TRUE(view);
      EXPECT_EQ(view->type(), 200);
      EXPECT_EQ(view->code(), 3);
      EXPECT_EQ(view->rest(), 0x12345678u);
      EXPECT_EQ(view->body().size(), n);
      EXPECT_EQ(view->kind(), IcmpKind::other);
      EXPECT_TRUE(view->checksum_ok(p.router, p.us, ChecksumPolicy::verify));
      bytes.back() ^= std::byte{0x10};
      EXPECT_FALSE(IcmpView::parse(bytes, family)->checksum_ok(p.router, p.us, ChecksumPolicy::verify));
    }
    for (std::size_t n = 0; n < kIcmpHeaderSize; ++n) EXPECT_FALSE(IcmpView::parse(Buffer(n), family)) << n;
  }
  // ICMPv6's covers the addresses, ICMP's does not.
  Buffer v6 = message(kV6, 128, 0, 1, {});
  EXPECT_FALSE(IcmpView::parse(v6, Family::v6)->checksum_ok(kV6.peer, kV6.us, ChecksumPolicy::verify));
  Buffer v4 = message(kV4, 8, 0, 1, {});
  EXPECT_TRUE(IcmpView::parse(v4, Family::v4)->checksum_ok(kV4.peer, kV4.us, ChecksumPolicy::verify));
  // A partial sum over nothing would be 0: not right in ICMP under any policy.
  store_be(&v4[2], std::uint16_t{0});
  EXPECT_FALSE(IcmpView::parse(v4, Family::v4)->checksum_ok(kV4.peer, kV4.us, ChecksumPolicy::verify_or_partial));
}

TEST(Icmp, Kinds) {
  struct {
    Family family;
    std::uint8_t type;
    std::uint8_t code;
    IcmpKind kind;
    bool error;
  } const table[] = {
      {Family::v4, 0, 0, IcmpKind::echo_reply, false},
      {Family::v4, 3, 0, IcmpKind::unreachable, true},
      {Family::v4, 3, 3, IcmpKind::unreachable, true},
      {Family::v4, 3, 4, IcmpKind::packet_too_big, true},
      {Family::v4, 3, 13, IcmpKind::unreachable, true},
      {Family::v4, 4, 0, IcmpKind::other, false},  // source quench: RFC 6633
      {Family::v4, 5, 0, IcmpKind::other, false},  // redirect: the kernel's
      {Family::v4, 8, 0, IcmpKind::echo_request, false},
      {Family::v4, 11, 0, IcmpKind::time_exceeded, true},
      {Family::v4, 12, 0, IcmpKind::parameter_problem, true},
      {Family::v4, 128, 0, IcmpKind::other, false},
      {Family::v6, 0, 0, IcmpKind::other, false},
      {Family::v6, 1, 4, IcmpKind::unreachable, true},
      {Family::v6, 2, 0, IcmpKind::packet_too_big, true},
      {Family::v6, 3, 1, IcmpKind::time_exceeded, true},
      {Family::v6, 4, 2, IcmpKind::parameter_problem, true},
      {Family::v6, 128, 0, IcmpKind::echo_request, false},
      {Family::v6, 129, 0, IcmpKind::echo_reply, false},
      {Family::v6, 135, 0, IcmpKind::other, false},
  };
  for (const auto& row : table) {
    const Pair& p = row.family == Family::v4 ? kV4 : kV6;
    Buffer bytes = message(p, row.type, row.code, 0, our_segment(p));
    auto view = IcmpView::parse(bytes, row.family);
    EXPECT_EQ(view->kind(), row.kind) << int{row.type} << "/" << int{row.code};
    EXPECT_EQ(view->is_error(), row.error) << int{row.type};
    EXPECT_EQ(view->quoted().has_value(), row.error) << int{row.type};
  }
}

TEST(Icmp, Mtu) {
  Buffer v4 = message(kV4, 3, 4, 0xffff05dc, our_segment(kV4));
  EXPECT_EQ(IcmpView::parse(v4, Family::v4)->mtu(), 1500u);
  Buffer v6 = message(kV6, 2, 0, 0x00010000, our_segment(kV6));
  EXPECT_EQ(IcmpView::parse(v6, Family::v6)->mtu(), 65536u);
  Buffer other = message(kV4, 3, 3, 1500, our_segment(kV4));
  EXPECT_EQ(IcmpView::parse(other, Family::v4)->mtu(), 0u);
}

TEST(Icmp, QuotedSegment) {
  for (const Pair& p : {kV4, kV6}) {
    const std::size_t ip_header = IpHeader::size(p.us.family());
    Buffer segment = our_segment(p);
    std::uint8_t type = p.us.is_v4() ? 3 : 1;
    for (std::size_t n = 0; n <= segment.size(); ++n) {
      Buffer bytes = message(p, type, 1, 0, test::cut(segment, n));
      auto q = IcmpView::parse(bytes, p.us.family())->quoted();
      ASSERT_EQ(q.has_value(), n >= ip_header + 8) << n;
      if (!q) continue;
      EXPECT_EQ(q->src, p.us);
      EXPECT_EQ(q->dst, p.peer);
      EXPECT_EQ(q->protocol, IpProtocol::tcp);
      EXPECT_EQ(q->src_port, 8080);
      EXPECT_EQ(q->dst_port, 40000);
      EXPECT_EQ(q->tcp_seq, 0xcafe0001u);
    }
  }
}

TEST(Icmp, QuotedBehindOptionsAndOtherProtocols) {
  // IPv4 with 8 bytes of options.
  Buffer inner = our_segment(kV4);
  Buffer options(8, std::byte{1});
  inner.insert(inner.begin() + 20, options.begin(), options.end());
  inner[0] = std::byte{0x47};
  auto q = IcmpView::parse(message(kV4, 3, 1, 0, inner), Family::v4)->quoted();
  ASSERT_TRUE(q);
  EXPECT_EQ(q->tcp_seq, 0xcafe0001u);

  // IPv6 behind an atomic fragment header.
  inner = our_segment(kV6);
  inner[6] = std::byte{44};
  Buffer fragment = hex("06 00 00 00 00 00 00 01");
  inner.insert(inner.begin() + 40, fragment.begin(), fragment.end());
  q = IcmpView::parse(message(kV6, 1, 1, 0, inner), Family::v6)->quoted();
  ASSERT_TRUE(q);
  EXPECT_EQ(q->tcp_seq, 0xcafe0001u);

  // UDP has no sequence number.
  Buffer payload = test::text("x");
  Buffer udp(9);
  UdpHeader{.src_port = 5, .dst_port = 6}.write(udp, kV4.us, kV4.peer, payload);
  Buffer header(20);
  Ipv4Header{.src = kV4.us, .dst = kV4.peer, .protocol = IpProtocol::udp, .payload_length = 9}.write(header);
  q = IcmpView::parse(message(kV4, 3, 3, 0, concat(header, udp)), Family::v4)->quoted();
  ASSERT_TRUE(q);
  EXPECT_EQ(q->protocol, IpProtocol::udp);
  EXPECT_EQ(q->src_port, 5);
  EXPECT_EQ(q->dst_port, 6);
  EXPECT_EQ(q->tcp_seq, 0u);

  // Another protocol has no ports, and needs no bytes.
  header[9] = std::byte{1};
  q = IcmpView::parse(message(kV4, 3, 2, 0, header), Family::v4)->quoted();
  ASSERT_TRUE(q);
  EXPECT_EQ(q->protocol, IpProtocol::icmp);
  EXPECT_EQ(q->src_port, 0);
}

TEST(Icmp, QuotationsThatAreRefused) {
  auto refused_v4 = [](const char* what, std::size_t at, std::uint8_t value) {
    Buffer inner = our_segment(kV4);
    inner[at] = static_cast<std::byte>(value);
    inner.resize(64);
    EXPECT_FALSE(IcmpView::parse(message(kV4, 3, 1, 0, inner), Family::v4)->quoted()) << what;
  };
  refused_v4("of the other family", 0, 0x65);
  refused_v4("ihl 4", 0, 0x44);
  refused_v4("ihl that leaves 4 bytes for the ports", 0, 0x4f);
  refused_v4("a later fragment", 7, 1);

  Buffer inner = our_segment(kV6);
  IpAddress mapped = IpAddress::v4(192, 0, 2, 1);
  std::memcpy(&inner[8], mapped.data(), 16);
  EXPECT_FALSE(IcmpView::parse(message(kV6, 1, 1, 0, inner), Family::v6)->quoted());
  inner = our_segment(kV6);
  inner[6] = std::byte{44};
  Buffer fragment = hex("06 00 00 08 00 00 00 01");
  inner.insert(inner.begin() + 40, fragment.begin(), fragment.end());
  EXPECT_FALSE(IcmpView::parse(message(kV6, 1, 1, 0, inner), Family::v6)->quoted()) << "a later fragment";
  inner[43] = std::byte{0x01};  // the first, of which 60-odd bytes are quoted
  EXPECT_TRUE(IcmpView::parse(message(kV6, 1, 1, 0, inner), Family::v6)->quoted());
  EXPECT_FALSE(IcmpView::parse(message(kV6, 1, 1, 0, our_segment(kV4)), Family::v6)->quoted());
}

}  // namespace
}  // namespace weir::wire
