// SPDX-License-Identifier: MIT
#include "weir/wire/ipv6.h"

#include <gtest/gtest.h>

#include "bytes_util.h"

namespace weir::wire {

static void PrintTo(const Ipv6Disposition& d, std::ostream* os) {
  *os << "action " << static_cast<int>(d.action) << " code " << static_cast<int>(d.code) << " pointer " << d.pointer;
}

namespace {

using test::Buffer;
using test::concat;
using test::hex;
using test::ip;
using Action = Ipv6Disposition::Action;

// A packet whose fixed header is followed by `rest`, of which `kind` is the first header.
Buffer packet_of(IpProtocol kind, ConstBytes rest, const char* dst = "2001:db8::2") {
  Buffer packet(kIpv6HeaderSize);
  Ipv6Header{.src = ip("2001:db8::1"),
             .dst = ip(dst),
             .next_header = kind,
             .hop_limit = 9,
             .dscp = 46,
             .ecn = Ecn::ce,
             .flow_label = 0xabcde,
             .payload_length = static_cast<std::uint16_t>(rest.size())}
      .write(packet);
  return concat(packet, rest);
}

Buffer fragment_of(const FragmentInfo& f, std::size_t data, IpProtocol next = IpProtocol::tcp) {
  Buffer rest(kIpv6FragmentHeaderSize + data);
  Ipv6FragmentHeader{.next_header = next, .fragment = f}.write(rest);
  return packet_of(IpProtocol::fragment, rest);
}

TEST(Ipv6, RoundTrips) {
  Buffer packet = packet_of(IpProtocol::udp, hex("01 02 03 04 05 06 07 08 09"));
  packet.resize(packet.size() + 5);  // padding
  auto view = Ipv6View::parse(packet);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->src(), ip("2001:db8::1"));
  EXPECT_EQ(view->dst(), ip("2001:db8::2"));
  EXPECT_EQ(view->next_header(), IpProtocol::udp);
  EXPECT_EQ(view->protocol(), IpProtocol::udp);
  EXPECT_EQ(view->hop_limit(), 9);
  EXPECT_EQ(view->dscp(), 46);
  EXPECT_EQ(view->ecn(), Ecn::ce);
  EXPECT_EQ(view->flow_label(), 0xabcdeu);
  EXPECT_EQ(view->payload_length(), 9);
  EXPECT_EQ(test::to_hex(view->payload()), "01 02 03 04 05 06 07 08 09");
  EXPECT_FALSE(view->fragment());
  EXPECT_EQ(view->disposition(), Ipv6Disposition{});
}

TEST(Ipv6, EveryTruncationIsRefused) {
  Buffer packet = packet_of(IpProtocol::hop_by_hop, hex("3c 00 01 04 00 00 00 00  2b 00 01 04 00 00 00 00"
                                                        "06 00 00 00 00 00 00 07  aa bb"));
  ASSERT_TRUE(Ipv6View::parse(packet));
  EXPECT_EQ(Ipv6View::parse(packet)->payload().size(), 2u);
  for (std::size_t n = 0; n < packet.size(); ++n) {
    EXPECT_FALSE(Ipv6View::parse(test::cut(packet, n))) << n;
    if (n < kIpv6HeaderSize) continue;
    // The same, with a payload length that tells of the truncation: the headers must fit.
    Buffer cut = test::cut(packet, n);
    store_be(&cut[4], static_cast<std::uint16_t>(n - kIpv6HeaderSize));
    EXPECT_EQ(Ipv6View::parse(cut).has_value(), n >= kIpv6HeaderSize + 24) << n;
  }
}

TEST(Ipv6, RefusesMappedAddressesAndOtherVersions) {
  for (std::size_t at : {std::size_t{8}, std::size_t{24}}) {
    Buffer packet = packet_of(IpProtocol::udp, hex("00"));
    IpAddress mapped = IpAddress::v4(192, 0, 2, 1);
    std::memcpy(&packet[at], mapped.data(), 16);
    EXPECT_FALSE(Ipv6View::parse(packet)) << at;
    packet[at + 10] = std::byte{0};  // ::ff:c000:201 is no mapped address
    EXPECT_TRUE(Ipv6View::parse(packet)) << at;
  }
  Buffer packet = packet_of(IpProtocol::udp, hex("00"));
  packet[0] = std::byte{0x4b};
  EXPECT_FALSE(Ipv6View::parse(packet));
}

struct WalkCase {
  const char* what;
  IpProtocol first;
  const char* headers;
  bool taken;
  IpProtocol protocol;
  std::size_t offset;  // of the payload, in `headers`
  Ipv6Disposition disposition;
  const char* dst = "2001:db8::2";
};

TEST(Ipv6, ExtensionHeaders) {
  using P = IpProtocol;
  const Ipv6Disposition fine;
  const Ipv6Disposition discard{Action::discard, 0, 0};
  auto problem = [](std::uint8_t code, std::uint32_t pointer) {
    return Ipv6Disposition{Action::parameter_problem, code, pointer};
  };
  const WalkCase table[] = {
      {"none", P::tcp, "aa bb", true, P::tcp, 0, fine},
      {"no next header", P::none, "", true, P::none, 0, fine},
      {"AH is not walked", P::ah, "06 04", true, P::ah, 0, fine},
      {"ESP is not walked", P::esp, "06 04", true, P::esp, 0, fine},
      {"hop-by-hop, PadN", P::hop_by_hop, "06 00 01 04 00 00 00 00 aa", true, P::tcp, 8, fine},
      {"hop-by-hop, six Pad1", P::hop_by_hop, "06 00 00 00 00 00 00 00 aa", true, P::tcp, 8, fine},
      {"hop-by-hop, router alert", P::hop_by_hop, "3a 00 05 02 00 00 01 00 aa", true, P::icmpv6, 8, fine},
      {"of 16 bytes", P::destination_options, "11 01 01 0c 00 00 00 00 00 00 00 00 00 00 00 00", true, P::udp, 16,
       fine},
      {"all kinds", P::hop_by_hop,
       "3c 00 01 04 00 00 00 00  2b 00 01 04 00 00 00 00  3c 00 02 00 00 00 00 00  11 00 01 04 00 00 00 00", true,
       P::udp, 32, fine},
      // RFC 8200 4.2, the four actions
      {"option 00: skip", P::destination_options, "06 00 1e 04 01 02 03 04", true, P::tcp, 8, fine},
      {"option 01: discard", P::destination_options, "06 00 5e 04 01 02 03 04", true, P::tcp, 8, discard},
      {"option 10: say so", P::destination_options, "06 00 9e 04 01 02 03 04", true, P::tcp, 8, problem(2, 42)},
      {"option 10 to a group: say so", P::destination_options, "06 00 9e 04 01 02 03 04", true, P::tcp, 8,
       problem(2, 42), "ff02::1"},
      {"option 11: say so", P::destination_options, "06 00 de 04 01 02 03 04", true, P::tcp, 8, problem(2, 42)},
      {"option 11 to a group: discard", P::destination_options, "06 00 de 04 01 02 03 04", true, P::tcp, 8, discard,
       "ff02::1"},
      {"the second option", P::destination_options, "06 00 01 00 9e 02 00 00", true, P::tcp, 8, problem(2, 44)},
      {"in the second header", P::hop_by_hop, "3c 00 01 04 00 00 00 00 06 00 01 00 9e 02 00 00", true, P::tcp, 16,
       problem(2, 52)},
      {"the last option's length 0", P::destination_options, "06 00 01 02 00 00 1e 00", true, P::tcp, 8, fine},
      {"an option past its header", P::destination_options, "06 00 01 05 00 00 00 00 00 00 00 00", false, P::none, 0,
       fine},
      {"an option without a length", P::destination_options, "06 00 01 03 00 00 00 1e", false, P::none, 0, fine},
      // RFC 8200 4.1, 4
      {"hop-by-hop behind another", P::destination_options, "00 00 01 04 00 00 00 00 06 00 01 04 00 00 00 00", true,
       P::hop_by_hop, 8, problem(1, 40)},
      {"hop-by-hop twice", P::hop_by_hop, "00 00 01 04 00 00 00 00 06 00 01 04 00 00 00 00", true, P::hop_by_hop, 8,
       problem(1, 40)},
      // RFC 8200 4.4, RFC 5095
      {"routing type 0, nothing left", P::routing, "06 00 00 00 00 00 00 00", true, P::tcp, 8, fine},
      {"routing type 0", P::routing, "06 02 00 01 00 00 00 00 20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 09", true,
       P::tcp, 24, problem(0, 42)},
      {"routing type 4", P::routing, "06 00 04 01 00 00 00 00", true, P::tcp, 8, problem(0, 42)},
      {"a header longer than the packet", P::routing, "06 01 00 00 00 00 00 00", false, P::none, 0, fine},
      {"a header of 7 bytes", P::routing, "06 00 00 00 00 00 00", false, P::none, 0, fine},
      // Fragment headers
      {"atomic", P::fragment, "06 00 00 00 00 00 00 01 aa", true, P::tcp, 8, fine},
      {"atomic, reserved bits set", P::fragment, "06 ff 00 06 00 00 00 01 aa", true, P::tcp, 8, fine},
      {"atomic, then options", P::fragment, "3c 00 00 00 00 00 00 01  06 00 01 04 00 00 00 00 aa", true, P::tcp, 16,
       fine},
      {"two fragment headers", P::fragment, "2c 00 00 00 00 00 00 01  06 00 00 00 00 00 00 02", false, P::none, 0,
       fine},
      {"first", P::fragment, "3c 00 00 01 00 00 00 01  06 00 01 04 00 00 00 00", true, P::destination_options, 8, fine},
      {"first, not of eights", P::fragment, "06 00 00 01 00 00 00 01 aa", true, P::tcp, 8, problem(0, 4)},
      {"first, empty", P::fragment, "06 00 00 01 00 00 00 01", true, P::tcp, 8, problem(0, 4)},
      {"last", P::fragment, "06 00 00 08 00 00 00 01 aa", true, P::tcp, 8, fine},
      {"last, that looks like a header", P::fragment, "3c 00 00 08 00 00 00 01  06 00 01 04 00 00 00 00", true,
       P::destination_options, 8, fine},
      {"past 65535", P::fragment, "06 00 ff f8 00 00 00 01 00 00 00 00 00 00 00 00", true, P::tcp, 8, problem(0, 42)},
      {"at 65535", P::fragment, "06 00 ff f8 00 00 00 01 00 00 00 00 00 00 00", true, P::tcp, 8, fine},
  };
  for (const WalkCase& row : table) {
    Buffer packet = packet_of(row.first, hex(row.headers), row.dst);
    packet = test::cut(packet, packet.size());
    auto view = Ipv6View::parse(packet);
    ASSERT_EQ(view.has_value(), row.taken) << row.what;
    if (!view) continue;
    EXPECT_EQ(view->protocol(), row.protocol) << row.what;
    EXPECT_EQ(view->payload().size(), hex(row.headers).size() - row.offset) << row.what;
    EXPECT_EQ(view->disposition(), row.disposition) << row.what;
  }
}

TEST(Ipv6, WalkIsBounded) {
  for (unsigned count : {kMaxIpv6ExtensionHeaders, kMaxIpv6ExtensionHeaders + 1}) {
    Buffer headers;
    for (unsigned i = 0; i < count; ++i) {
      headers = concat(headers, i + 1 < count ? hex("3c 00 01 04 00 00 00 00") : hex("06 00 01 04 00 00 00 00"));
    }
    Buffer packet = packet_of(IpProtocol::destination_options, headers);
    EXPECT_EQ(Ipv6View::parse(packet).has_value(), count <= kMaxIpv6ExtensionHeaders);
  }
}

TEST(Ipv6, Fragments) {
  const FragmentInfo table[] = {{0xdeadbeef, 0, true}, {1, 8, true}, {2, 1400, false}, {3, 0xfff8 - 16, false}};
  for (const FragmentInfo& f : table) {
    Buffer packet = fragment_of(f, 16);
    auto view = Ipv6View::parse(packet);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->fragment(), f);
    EXPECT_EQ(view->payload().size(), 16u);
    EXPECT_EQ(view->extensions().fragment_header_offset, 0u);
  }
  // An atomic fragment is whole (RFC 6946), though its header was there.
  Buffer packet = fragment_of({7, 0, false}, 5);
  auto view = Ipv6View::parse(packet);
  ASSERT_TRUE(view);
  EXPECT_FALSE(view->fragment());
  EXPECT_EQ(view->extensions().fragment, (FragmentInfo{7, 0, false}));
}

TEST(Ipv6, RoutingType0IsFlagged) {
  EXPECT_TRUE(
      Ipv6View::parse(packet_of(IpProtocol::routing, hex("06 00 00 00 00 00 00 00")))->extensions().routing_type_0);
  EXPECT_FALSE(
      Ipv6View::parse(packet_of(IpProtocol::routing, hex("06 00 02 00 00 00 00 00")))->extensions().routing_type_0);
}

}  // namespace
}  // namespace weir::wire
