// SPDX-License-Identifier: MIT
#include "weir/wire/ipv4.h"

#include <gtest/gtest.h>

#include "bytes_util.h"
#include "weir/wire/checksum.h"

namespace weir::wire {
namespace {

using test::Buffer;
using test::hex;
using test::ip;

const Ipv4Header kHeader{.src = ip("192.0.2.1"),
                         .dst = ip("198.51.100.7"),
                         .protocol = IpProtocol::udp,
                         .ttl = 17,
                         .dscp = 46,
                         .ecn = Ecn::ect0,
                         .id = 0xbeef,
                         .payload_length = 16};

Buffer packet_of(const Ipv4Header& header) {
  Buffer packet(kIpv4HeaderSize + header.payload_length, std::byte{0x5a});
  header.write(packet);
  return packet;
}

// The header with `options`, a multiple of 4 bytes, and its checksum.
Buffer with_options(const Ipv4Header& header, ConstBytes options) {
  Buffer packet = packet_of(header);
  packet.insert(packet.begin() + kIpv4HeaderSize, options.begin(), options.end());
  packet[0] = static_cast<std::byte>(0x40 | (5 + options.size() / 4));
  store_be(&packet[2], static_cast<std::uint16_t>(packet.size()));
  store_be(&packet[10], std::uint16_t{0});
  Checksum sum;
  sum.add(ConstBytes(packet).first(kIpv4HeaderSize + options.size()));
  store_be(&packet[10], sum.fold());
  return packet;
}

TEST(Ipv4, RoundTrips) {
  Buffer packet = packet_of(kHeader);
  auto view = Ipv4View::parse(packet);
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->checksum_ok());
  EXPECT_EQ(view->src(), kHeader.src);
  EXPECT_EQ(view->dst(), kHeader.dst);
  EXPECT_EQ(view->protocol(), IpProtocol::udp);
  EXPECT_EQ(view->ttl(), 17);
  EXPECT_EQ(view->dscp(), 46);
  EXPECT_EQ(view->ecn(), Ecn::ect0);
  EXPECT_EQ(view->id(), 0xbeef);
  EXPECT_TRUE(view->dont_fragment());
  EXPECT_FALSE(view->more_fragments());
  EXPECT_EQ(view->fragment_offset(), 0);
  EXPECT_FALSE(view->fragment());
  EXPECT_EQ(view->header_size(), 20u);
  EXPECT_TRUE(view->options().empty());
  EXPECT_EQ(view->payload().size(), 16u);
}

// The worked header of many a textbook: 192.168.0.1 to 192.168.0.199, UDP, checksum b861.
TEST(Ipv4, KnownHeader) {
  Buffer packet = hex("4500 0073 0000 4000 4011 b861 c0a8 0001 c0a8 00c7");
  packet.resize(0x73);
  auto view = Ipv4View::parse(packet);
  ASSERT_TRUE(view);
  EXPECT_TRUE(view->checksum_ok());
  Buffer ours(kIpv4HeaderSize);
  Ipv4Header{.src = ip("192.168.0.1"), .dst = ip("192.168.0.199"), .protocol = IpProtocol::udp, .payload_length = 0x5f}
      .write(ours);
  EXPECT_EQ(ours, test::cut(packet, kIpv4HeaderSize));
}

TEST(Ipv4, EveryTruncationIsRefused) {
  Buffer packet = with_options(kHeader, hex("01 01 01 00"));
  for (std::size_t n = 0; n < packet.size(); ++n) EXPECT_FALSE(Ipv4View::parse(test::cut(packet, n))) << n;
  EXPECT_TRUE(Ipv4View::parse(packet));
}

TEST(Ipv4, PaddingIsNotPayload) {
  Buffer packet = packet_of(kHeader);
  packet.resize(packet.size() + 30, std::byte{0xee});
  auto view = Ipv4View::parse(packet);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->payload().size(), 16u);
  EXPECT_EQ(view->packet().size(), 36u);
  EXPECT_EQ(view->total_length(), 36);
}

TEST(Ipv4, EveryFlippedBitOfTheHeaderBreaksItsChecksum) {
  Buffer packet = packet_of(kHeader);
  for (std::size_t bit = 0; bit < 8 * kIpv4HeaderSize; ++bit) {
    Buffer wrong = packet;
    wrong[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    if (auto view = Ipv4View::parse(wrong)) { EXPECT_FALSE(view->checksum_ok()) << bit; }
  }
}

TEST(Ipv4, RefusesWhatContradictsItself) {
  struct {
    const char* what;
    std::size_t at;
    std::uint16_t value;
    bool taken;
  } const table[] = {
      {"as it is", 0, 0x4500, true},
      {"version 6", 0, 0x6500, false},
      {"version 0", 0, 0x0500, false},
      {"ihl 4", 0, 0x4400, false},
      {"ihl 0", 0, 0x4000, false},
      {"ihl 9, all of it options", 0, 0x4900, true},
      {"ihl 10, longer than the packet", 0, 0x4a00, false},
      {"ihl 15", 0, 0x4f00, false},
      {"total length 0", 2, 0, false},
      {"total length under the header", 2, 19, false},
      {"total length of a header alone", 2, 20, true},
      {"total length over what is there", 2, 37, false},
      {"total length 65535", 2, 65535, false},
      {"fragment that would end at 65528 + 36", 6, 0x1fff, false},
      {"fragment that ends where the largest packet does", 6, (65535 - 36) / 8, true},
      {"one further", 6, (65535 - 36) / 8 + 1, false},
      {"first fragment of 16 bytes", 6, 0x2000, true},
  };
  for (const auto& row : table) {
    Buffer packet = packet_of(kHeader);
    store_be(&packet[row.at], row.value);
    EXPECT_EQ(Ipv4View::parse(packet).has_value(), row.taken) << row.what;
  }
}

TEST(Ipv4, Fragments) {
  struct {
    bool more;
    std::uint16_t offset;
    std::uint16_t length;
    bool taken;
    bool fragment;
  } const table[] = {
      {false, 0, 5, true, false}, {true, 0, 8, true, true},      {false, 8, 5, true, true},
      {true, 8, 16, true, true},  {true, 0, 5, false, false},    {true, 8, 12, false, false},
      {true, 0, 0, false, false}, {false, 65496, 8, true, true}, {false, 65512, 8, false, false},
  };
  for (const auto& row : table) {
    Ipv4Header h = kHeader;
    h.dont_fragment = false;
    h.more_fragments = row.more;
    h.fragment_offset = row.offset;
    h.payload_length = row.length;
    Buffer packet = packet_of(h);
    auto view = Ipv4View::parse(packet);
    ASSERT_EQ(view.has_value(), row.taken) << row.offset << "+" << row.length;
    if (!view) continue;
    EXPECT_FALSE(view->dont_fragment());
    if (row.fragment) {
      EXPECT_EQ(view->fragment(), (FragmentInfo{0xbeef, row.offset, row.more}));
      EXPECT_EQ(view->fragment()->first(), row.offset == 0);
    } else {
      EXPECT_FALSE(view->fragment());
    }
  }
}

TEST(Ipv4, SourceRoutesAreFound) {
  struct {
    const char* what;
    const char* options;
    bool routed;
  } const table[] = {
      {"none", "", false},
      {"NOPs", "01 01 01 01", false},
      {"router alert", "94 04 00 00", false},
      {"loose source route", "83 07 04 c0 00 02 09 00", true},
      {"strict source route", "89 07 04 c0 00 02 09 00", true},
      {"behind others", "01 94 04 00 00 83 03 04", true},
      {"after the end of the list", "00 02 83 03", false},
      {"cut short", "01 01 01 83", true},
      {"with a broken length", "83 00 00 00", true},
      {"behind a length of 0", "94 00 83 03", false},
      {"behind a length of 1", "94 01 83 03", false},
      {"record route", "07 07 04 00 00 00 00 00", false},
      {"a length past the end", "07 09 04 00", false},
  };
  for (const auto& row : table) {
    Buffer packet = with_options(kHeader, hex(row.options));
    auto view = Ipv4View::parse(packet);
    ASSERT_TRUE(view) << row.what;
    EXPECT_TRUE(view->checksum_ok()) << row.what;
    EXPECT_EQ(view->options().size(), hex(row.options).size()) << row.what;
    EXPECT_EQ(view->payload().size(), 16u) << row.what;
    EXPECT_EQ(view->source_routed(), row.routed) << row.what;
  }
}

}  // namespace
}  // namespace weir::wire
