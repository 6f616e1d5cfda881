// SPDX-License-Identifier: MIT
// Frames from the words of `weir filter test`, and words from frames.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "weir/control/test_packet.h"

namespace weir::control {
namespace {

using ::testing::HasSubstr;

PacketDefaults defaults() {
  return {MacAddress{{2, 0, 0, 0, 0, 9}},
          {*IpAddress::parse("fe80::1"), IpAddress::v4(10, 0, 0, 1), *IpAddress::parse("fd00::1")}};
}

Rule words(std::initializer_list<std::pair<const char*, const char*>> said) {
  Rule rule;
  for (const auto& [word, value] : said) EXPECT_TRUE(set_word(rule, word, value).ok()) << word << " " << value;
  return rule;
}

// What is built is read back, header by header.
TEST(ControlTestPacket, WordsBecomeAFrame) {
  const struct {
    std::initializer_list<std::pair<const char*, const char*>> said;
    const char* text;
  } kRows[] = {
      {{{"from", "192.0.2.1"}, {"port", "443"}}, "tcp 192.0.2.1:40000 -> 10.0.0.1:443 S, 54 octets"},
      {{{"from", "192.0.2.1"}, {"to", "192.0.2.7"}, {"proto", "tcp"}, {"sport", "5"}, {"port", "6"}, {"flags", "SA"}},
       "tcp 192.0.2.1:5 -> 192.0.2.7:6 SA, 54 octets"},
      {{{"from", "2001:db8::2"}, {"port", "443"}}, "tcp [2001:db8::2]:40000 -> [fd00::1]:443 S, 74 octets"},
      {{{"from", "192.0.2.1"}, {"proto", "udp"}, {"port", "53"}, {"vlan", "100"}, {"length", "200"}},
       "vlan 100, udp 192.0.2.1:40000 -> 10.0.0.1:53, 218 octets"},
      {{{"from", "192.0.2.1"}, {"proto", "icmp"}}, "icmp 192.0.2.1 -> 10.0.0.1 type 8, 42 octets"},
      {{{"from", "192.0.2.1"}, {"proto", "icmp"}, {"icmp-type", "0"}}, "icmp 192.0.2.1 -> 10.0.0.1 type 0, 42 octets"},
      {{{"from", "fd00::2"}, {"proto", "icmpv6"}, {"vlan", "none"}}, "icmpv6 fd00::2 -> fd00::1 type 128, 62 octets"},
      {{{"from", "192.0.2.1"}, {"proto", "47"}}, "47 192.0.2.1 -> 10.0.0.1, 34 octets"},
      {{{"from", "192.0.2.1"}, {"port", "1"}, {"fragment", "first"}},
       "tcp 192.0.2.1:40000 -> 10.0.0.1:1 S, first fragment, 54 octets"},
      {{{"from", "fd00::2"}, {"port", "1"}, {"fragment", "first"}},
       "tcp [fd00::2]:40000 -> [fd00::1]:1 S, first fragment, 82 octets"},
      {{{"from", "192.0.2.1"}, {"proto", "udp"}, {"fragment", "later"}},
       "udp 192.0.2.1 -> 10.0.0.1, later fragment, 42 octets"},
      {{{"from", "fd00::2"}, {"proto", "udp"}, {"fragment", "later"}},
       "udp fd00::2 -> fd00::1, later fragment, 70 octets"},
  };
  for (const auto& row : kRows) {
    const auto frame = frame_of(words(row.said), defaults());
    ASSERT_TRUE(frame.ok()) << row.text << ": " << frame.error().message;
    EXPECT_EQ(frame_text(*frame), row.text);
  }
}

TEST(ControlTestPacket, WordsThatAreNoPacketAreRefused) {
  const struct {
    std::initializer_list<std::pair<const char*, const char*>> said;
    const char* why;
  } kRows[] = {
      {{{"port", "443"}}, "'from' is missing"},
      {{{"from", "192.0.2.1"}}, "'port' is missing"},
      {{{"from", "192.0.2.0/24"}, {"port", "1"}}, "is a network"},
      {{{"from", "192.0.2.1"}, {"port", "1-2"}}, "one port"},
      {{{"from", "192.0.2.1"}, {"to", "fd00::1"}, {"port", "1"}}, "two families"},
      {{{"from", "192.0.2.1"}, {"proto", "icmpv6"}}, "famil"},
      {{{"from", "192.0.2.1"}, {"port", "1"}, {"vlan", "any"}}, "vlan says more than one"},
      {{{"from", "192.0.2.1"}, {"port", "1"}, {"fragment", "yes"}}, "fragment says more than one"},
      {{{"from", "192.0.2.1"}, {"port", "1"}, {"fragment", "later"}}, "a later fragment has no ports"},
      {{{"from", "192.0.2.1"}, {"port", "1"}, {"length", "39"}}, "40 is the least"},
      {{{"from", "192.0.2.1"}, {"proto", "47"}, {"port", "1"}}, "proto"},
  };
  for (const auto& row : kRows) {
    const auto frame = frame_of(words(row.said), defaults());
    ASSERT_FALSE(frame.ok()) << row.why;
    EXPECT_EQ(frame.error().code, EINVAL);
    EXPECT_THAT(frame.error().message, HasSubstr(row.why));
  }
  PacketDefaults bare = defaults();
  bare.addresses.clear();
  EXPECT_THAT(frame_of(words({{"from", "192.0.2.1"}, {"port", "1"}}), bare).error().message,
              HasSubstr("'to' is missing"));
}

TEST(ControlTestPacket, OctetsInHexadecimal) {
  EXPECT_EQ(parse_hex("00ffAb").value(), (std::vector<std::byte>{std::byte{0}, std::byte{255}, std::byte{0xab}}));
  EXPECT_EQ(parse_hex("00:ff ab-01\n").value().size(), 4u);
  EXPECT_EQ(parse_hex("").value().size(), 0u);
  for (const char* wrong : {"0", "0g", "0 0", "xx", "00f"}) EXPECT_FALSE(parse_hex(wrong).ok()) << wrong;
  EXPECT_FALSE(parse_hex(std::string(200'000, '0')).ok());
}

TEST(ControlTestPacket, WhatCannotBeReadIsLeftOut) {
  const auto text = [](const char* hex) { return frame_text(parse_hex(hex).value()); };
  EXPECT_EQ(text("00"), "less than an Ethernet header, 1 octets");
  EXPECT_EQ(text("000000000000000000000000 0806"), "ARP, 14 octets");
  EXPECT_EQ(text("000000000000000000000000 88cc"), "Ethernet type 0x88cc, 14 octets");
  EXPECT_EQ(text("000000000000000000000000 0800 45"), "IPv4, cut short, 15 octets");
  EXPECT_EQ(text("000000000000000000000000 86dd 60"), "IPv6, cut short, 15 octets");
  EXPECT_EQ(text("000000000000000000000000 8100 00"), "a VLAN tag, cut short, 15 octets");
}

}  // namespace
}  // namespace weir::control
