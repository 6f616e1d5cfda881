// SPDX-License-Identifier: MIT
#include "weir/wire/ip_packet.h"

#include <gtest/gtest.h>

#include "bytes_util.h"

namespace weir::wire {
namespace {

using test::Buffer;
using test::hex;
using test::ip;

Buffer packet_of(const IpHeader& header) {
  Buffer packet(header.size() + header.payload_length);
  header.write(packet);
  return packet;
}

TEST(IpPacket, RoundTripsInBothFamilies) {
  struct {
    const char* src;
    const char* dst;
    Family family;
    std::size_t header;
  } const table[] = {{"192.0.2.1", "192.0.2.2", Family::v4, 20}, {"2001:db8::1", "2001:db8::2", Family::v6, 40}};
  for (const auto& row : table) {
    IpHeader h{.src = ip(row.src),
               .dst = ip(row.dst),
               .protocol = IpProtocol::udp,
               .ttl = 33,
               .dscp = 10,
               .ecn = Ecn::ect1,
               .id = 77,
               .flow_label = 0x12345,
               .payload_length = 11};
    EXPECT_EQ(h.size(), row.header);
    EXPECT_EQ(IpHeader::size(row.family), row.header);
    Buffer packet = packet_of(h);
    packet.resize(packet.size() + 9);
    auto view = IpPacketView::parse(packet);
    ASSERT_TRUE(view);
    EXPECT_EQ(view->family(), row.family);
    EXPECT_EQ(view->src(), h.src);
    EXPECT_EQ(view->dst(), h.dst);
    EXPECT_EQ(view->protocol(), IpProtocol::udp);
    EXPECT_EQ(view->ttl(), 33);
    EXPECT_EQ(view->dscp(), 10);
    EXPECT_EQ(view->ecn(), Ecn::ect1);
    EXPECT_EQ(view->payload().size(), 11u);
    EXPECT_EQ(view->header_size(), row.header);
    EXPECT_EQ(view->packet().size(), row.header + 11);
    EXPECT_TRUE(view->header_checksum_ok());
    EXPECT_FALSE(view->fragment());
    EXPECT_FALSE(view->source_routed());
    EXPECT_EQ(view->disposition().action, Ipv6Disposition::Action::process);
    for (std::size_t n = 0; n < row.header + 11; ++n) ASSERT_FALSE(IpPacketView::parse(test::cut(packet, n))) << n;
  }
}

TEST(IpPacket, CarriesWhatTheFamilySays) {
  Buffer v4(28);
  Ipv4Header{.src = ip("192.0.2.1"),
             .dst = ip("192.0.2.2"),
             .id = 9,
             .dont_fragment = false,
             .more_fragments = true,
             .fragment_offset = 16,
             .payload_length = 8}
      .write(v4);
  EXPECT_EQ(IpPacketView::parse(v4)->fragment(), (FragmentInfo{9, 16, true}));
  v4[8] ^= std::byte{1};
  EXPECT_FALSE(IpPacketView::parse(v4)->header_checksum_ok());

  Buffer v6(48);
  Ipv6Header{
      .src = ip("2001:db8::1"), .dst = ip("2001:db8::2"), .next_header = IpProtocol::routing, .payload_length = 8}
      .write(v6);
  v6[40] = std::byte{6};
  v6[43] = std::byte{1};
  auto view = IpPacketView::parse(v6);
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->source_routed());
  EXPECT_EQ(view->disposition().action, Ipv6Disposition::Action::parameter_problem);
  EXPECT_EQ(view->header_size(), 48u);
}

TEST(IpPacket, OtherVersionsAreRefused) {
  for (unsigned version = 0; version < 16; ++version) {
    Buffer packet(60);
    packet[0] = static_cast<std::byte>(version << 4 | 5);
    store_be(&packet[2], std::uint16_t{60});
    bool taken = IpPacketView::parse(packet).has_value();
    EXPECT_EQ(taken, version == 4) << version;  // as IPv6 its payload would be too long
    store_be(&packet[2], std::uint32_t{0});
    packet[6] = static_cast<std::byte>(IpProtocol::none);
    EXPECT_EQ(IpPacketView::parse(packet).has_value(), version == 6) << version;
  }
}

}  // namespace
}  // namespace weir::wire
