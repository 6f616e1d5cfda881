// SPDX-License-Identifier: MIT
#include "weir/base/ip_address.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <random>

#include "bytes_util.h"

namespace weir {
namespace {

using test::ip;

// RFC 5952, section 4 and 5, rule by rule: what comes in, and the one text that goes out.
TEST(IpAddress, TextIsRfc5952) {
  struct {
    const char* in;
    const char* out;
  } const table[] = {
      // 4.1: no leading zeros
      {"2001:0db8::0001", "2001:db8::1"},
      {"2001:db8:00aa::", "2001:db8:aa::"},
      // 4.2.1: "::" as much as it can
      {"2001:db8:0:0:0:0:2:1", "2001:db8::2:1"},
      {"2001:db8::0:1", "2001:db8::1"},
      {"0:0:0:0:0:0:0:0", "::"},
      {"0:0:0:0:0:0:0:1", "::1"},
      {"1:0:0:0:0:0:0:0", "1::"},
      {"ff02:0:0:0:0:0:0:fb", "ff02::fb"},
      // 4.2.2: not for a single group
      {"2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"2001:db8::1:1:1:1:1", "2001:db8:0:1:1:1:1:1"},
      {"0:1:2:3:4:5:6:7", "0:1:2:3:4:5:6:7"},
      {"1:2:3:4:5:6:7:0", "1:2:3:4:5:6:7:0"},
      {"0:1:0:1:0:1:0:1", "0:1:0:1:0:1:0:1"},
      // 4.2.3: the longest run, of equals the first
      {"2001:0:0:1:0:0:0:1", "2001:0:0:1::1"},
      {"2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"},
      {"0:0:1:0:0:0:1:1", "0:0:1::1:1"},
      {"0:0:1:2:3:4:0:0", "::1:2:3:4:0:0"},
      // 4.3: lower case
      {"2001:DB8::ABCD:EF", "2001:db8::abcd:ef"},
      // 5: an IPv4-mapped address is IPv4 in this program, whole
      {"::ffff:192.0.2.1", "192.0.2.1"},
      {"::ffff:c000:201", "192.0.2.1"},
      {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
      {"192.0.2.1", "192.0.2.1"},
      {"0.0.0.0", "0.0.0.0"},
      {"255.255.255.255", "255.255.255.255"},
  };
  for (const auto& row : table) {
    auto a = IpAddress::parse(row.in);
    ASSERT_TRUE(a) << row.in;
    EXPECT_EQ(a->to_string(), row.out) << row.in;
    EXPECT_EQ(IpAddress::parse(row.out), a) << row.out;
  }
}

TEST(IpAddress, RefusesWhatIsNoAddress) {
  for (const char* s : {"",
                        " ",
                        "1",
                        "1.2.3",
                        "1.2.3.4.",
                        "1.2.3.4.5",
                        ".1.2.3.4",
                        "1..2.3",
                        "256.0.0.1",
                        "01.2.3.4",
                        "1.2.3.04",
                        "1.2.3.-4",
                        "+1.2.3.4",
                        "1.2.3.4 ",
                        " 1.2.3.4",
                        "0x1.2.3.4",
                        ":",
                        ":::",
                        "1:",
                        ":1",
                        "1:2:3:4:5:6:7",
                        "1::2::3",
                        "12345::",
                        "::12345",
                        "1:2:3:4:5:6:7:8:9",
                        "1:2:3:4:5:6:7:8::",
                        "::1:2:3:4:5:6:7:8",
                        "1::2:3:4:5:6:7:8",
                        "g::",
                        "::1%lo",
                        "[::1]",
                        "::1.2.3",
                        "::1.2.3.4.5",
                        "1.2.3.4::",
                        "::1.2.3.4:5",
                        "1:2:3:4:5:6:7:1.2.3.4",
                        "::-1",
                        "::0x1",
                        "::+1",
                        "1:2:3:4:5:6:1.2.3.256"}) {
    EXPECT_FALSE(IpAddress::parse(s)) << s;
  }
}

// Strings that are nearly addresses, a hundred thousand of them: parse() takes what inet_pton takes and reads it alike.
TEST(IpAddress, AgreesWithInetPton) {
  std::mt19937 rng(1);
  constexpr std::string_view kPieces[] = {"0", "1", "9", "10",  "255",  "256",   "00",      "01",   ":",    "::",
                                          ".", "f", "a", "db8", "ffff", "10000", "1.2.3.4", "2001", "FFFF", "-"};
  unsigned valid = 0;
  for (int round = 0; round < 100'000; ++round) {
    std::string s;
    if (round % 2 == 0) {
      // Groups with separators between them, so that many are right.
      bool v6 = rng() % 4 != 0;
      std::size_t groups = v6 ? 1 + rng() % 9 : 3 + rng() % 3;
      for (std::size_t i = 0; i < groups; ++i) {
        if (i > 0) s += v6 ? (rng() % 5 == 0 ? "::" : ":") : ".";
        s += v6 ? kPieces[rng() % 16 == 0 ? rng() % std::size(kPieces) : 11 + rng() % 4] : std::to_string(rng() % 300);
      }
      if (rng() % 8 == 0) s.insert(0, "::");
      if (rng() % 8 == 0) s += "::";
      if (v6 && rng() % 4 == 0) s += ":10.0.0.1";
    } else {
      std::size_t pieces = rng() % 10;
      for (std::size_t i = 0; i < pieces; ++i) s += kPieces[rng() % std::size(kPieces)];
    }
    std::byte raw[16];
    bool v6 = s.find(':') != std::string::npos;
    bool expected = inet_pton(v6 ? AF_INET6 : AF_INET, s.c_str(), raw) == 1;
    auto got = IpAddress::parse(s);
    ASSERT_EQ(got.has_value(), expected) << s;
    if (!expected) continue;
    ++valid;
    ASSERT_EQ(*got, v6 ? IpAddress::v6(raw) : IpAddress::v4(raw)) << s;
  }
  EXPECT_GT(valid, 10'000u);
}

TEST(IpAddress, AgreesWithInetNtop) {
  std::mt19937 rng(2);
  for (int round = 0; round < 50'000; ++round) {
    std::byte raw[16];
    // Zero groups are frequent, so that "::" moves about.
    for (std::size_t i = 0; i < 8; ++i) {
      store_be(&raw[2 * i], static_cast<std::uint16_t>(rng() % 2 == 0 ? 0 : rng() >> (rng() % 16)));
    }
    // inet_ntop writes ::a.b.c.d for these, which RFC 5952 5 does not ask for.
    if (load_be<std::uint64_t>(raw) == 0 && load_be<std::uint16_t>(&raw[8]) == 0) raw[0] = std::byte{1};
    char expected[INET6_ADDRSTRLEN];
    ASSERT_NE(inet_ntop(AF_INET6, raw, expected, sizeof expected), nullptr);
    IpAddress a = IpAddress::v6(raw);
    ASSERT_EQ(a.to_string(), expected);
    ASSERT_EQ(IpAddress::parse(a.to_string()), a);
    ASSERT_NE(inet_ntop(AF_INET, raw, expected, sizeof expected), nullptr);
    ASSERT_EQ(IpAddress::v4(raw).to_string(), expected);
  }
}

TEST(IpAddress, FamilyAndWireForm) {
  EXPECT_TRUE(ip("192.0.2.1").is_v4());
  EXPECT_EQ(ip("192.0.2.1").family(), Family::v4);
  EXPECT_EQ(test::to_hex(ip("192.0.2.1").wire()), "c0 00 02 01");
  EXPECT_TRUE(ip("2001:db8::1").is_v6());
  EXPECT_EQ(ip("2001:db8::1").wire().size(), 16u);
  EXPECT_TRUE(ip("::").is_v6());
  EXPECT_EQ(IpAddress{}, ip("::"));
  EXPECT_EQ(ip("192.0.2.1"), IpAddress::v4(192, 0, 2, 1));
}

TEST(IpAddress, Kinds) {
  struct {
    const char* text;
    bool unspecified, loopback, multicast, broadcast, link_local;
  } const table[] = {
      {"0.0.0.0", true, false, false, false, false},
      {"::", true, false, false, false, false},
      {"127.0.0.1", false, true, false, false, false},
      {"127.255.0.9", false, true, false, false, false},
      {"::1", false, true, false, false, false},
      {"::2", false, false, false, false, false},
      {"223.255.255.255", false, false, false, false, false},
      {"224.0.0.1", false, false, true, false, false},
      {"239.255.255.255", false, false, true, false, false},
      {"240.0.0.1", false, false, false, false, false},
      {"255.255.255.255", false, false, false, true, false},
      {"ff02::1", false, false, true, false, false},
      {"fe80::1", false, false, false, false, true},
      {"febf::1", false, false, false, false, true},
      {"fec0::1", false, false, false, false, false},
      {"169.254.1.1", false, false, false, false, true},
      {"169.253.1.1", false, false, false, false, false},
      {"192.0.2.1", false, false, false, false, false},
      {"2001:db8::1", false, false, false, false, false},
  };
  for (const auto& row : table) {
    IpAddress a = ip(row.text);
    EXPECT_EQ(a.is_unspecified(), row.unspecified) << row.text;
    EXPECT_EQ(a.is_loopback(), row.loopback) << row.text;
    EXPECT_EQ(a.is_multicast(), row.multicast) << row.text;
    EXPECT_EQ(a.is_broadcast(), row.broadcast) << row.text;
    EXPECT_EQ(a.is_link_local(), row.link_local) << row.text;
  }
}

TEST(Endpoint, Text) {
  EXPECT_EQ((Endpoint{ip("192.0.2.1"), 80}.to_string()), "192.0.2.1:80");
  EXPECT_EQ((Endpoint{ip("2001:db8::1"), 65535}.to_string()), "[2001:db8::1]:65535");
  EXPECT_EQ((Endpoint{}.to_string()), "[::]:0");
}

TEST(MacAddress, TextRoundTrips) {
  auto m = MacAddress::parse("02:00:5E:10:00:fF");
  ASSERT_TRUE(m);
  EXPECT_EQ(m->to_string(), "02:00:5e:10:00:ff");
  EXPECT_FALSE(m->is_group());
  EXPECT_FALSE(m->is_zero());
  EXPECT_TRUE(MacAddress{}.is_zero());
  EXPECT_TRUE(MacAddress::parse("ff:ff:ff:ff:ff:ff")->is_group());
  EXPECT_TRUE(MacAddress::parse("01:00:5e:00:00:01")->is_group());
  for (const char* s : {"", "02:00:5e:10:00", "02:00:5e:10:00:f", "02-00-5e-10-00-ff", "02:00:5e:10:00:fg",
                        "02:00:5e:10:00:ff:", "2:000:5e:10:00:ff", "-2:00:5e:10:00:ff", "02:00:5e:10:00: f"}) {
    EXPECT_FALSE(MacAddress::parse(s)) << s;
  }
}

}  // namespace
}  // namespace weir
