// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "weir/control/filter.h"

namespace weir::control {
namespace {

using ::testing::HasSubstr;

TEST(ParsePrefix, WritesBackWhatItRead) {
  for (const char* text : {"any", "192.0.2.0/24", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::/32",
                           "fe80::/10", "2001:db8::1/128", "::1/128", "2000::/3"}) {
    const auto p = parse_prefix(text);
    ASSERT_TRUE(p.ok()) << text << ": " << p.error().message;
    EXPECT_EQ(p->to_string(), text);
  }
}

TEST(ParsePrefix, AnAddressAloneIsItself) {
  EXPECT_EQ(parse_prefix("192.0.2.7")->to_string(), "192.0.2.7/32");
  EXPECT_EQ(parse_prefix("2001:db8::7")->to_string(), "2001:db8::7/128");
}

struct Bad {
  const char* text;
  const char* says;
};

TEST(ParsePrefix, SaysWhatIsWrong) {
  const Bad cases[] = {
      {"", "not a prefix"},
      {"/24", "not a prefix"},
      {"192.0.2", "not a prefix"},
      {"192.0.2.0.1/24", "not a prefix"},
      {"192.0.2.0/", "0 to 32"},
      {"192.0.2.0/33", "0 to 32"},
      {"192.0.2.0/-1", "0 to 32"},
      {"192.0.2.0/2x", "0 to 32"},
      {"192.0.2.0/24/8", "0 to 32"},
      {"2001:db8::/129", "0 to 128"},
      {"192.0.2.1/24", "did you mean 192.0.2.0/24?"},
      {"2001:db8::1/32", "did you mean 2001:db8::/32?"},
      {"::ffff:192.0.2.1", "write it as IPv4"},
      {"::/0", "would cover IPv4 too"},
      {"::/64", "would cover IPv4 too"},
      {"::fffe:0:0/95", "would cover IPv4 too"},
  };
  for (const Bad& c : cases) {
    const auto p = parse_prefix(c.text);
    ASSERT_FALSE(p.ok()) << c.text;
    EXPECT_THAT(p.error().message, HasSubstr(c.says)) << c.text;
    EXPECT_EQ(p.error().code, EINVAL);
  }
}

TEST(ParsePort, OneTo65535) {
  EXPECT_EQ(*parse_port("1"), 1);
  EXPECT_EQ(*parse_port("65535"), 65535);
  for (const char* text : {"", "0", "65536", "99999999999", "-1", "+1", " 1", "80 ", "http", "0x50"})
    EXPECT_FALSE(parse_port(text).ok()) << text;
}

TEST(ParsePortRange, WritesBackWhatItRead) {
  for (const char* text : {"any", "80", "1-65535", "8000-8999"}) EXPECT_EQ(parse_port_range(text)->to_string(), text);
  EXPECT_EQ(parse_port_range("7-7")->to_string(), "7");
  for (const char* text : {"-", "1-", "-1", "0-5", "5-65536", "1-2-3"})
    EXPECT_FALSE(parse_port_range(text).ok()) << text;
  EXPECT_THAT(parse_port_range("90-80").error().message, HasSubstr("did you mean 80-90?"));
}

TEST(ParseProtocol, NamesAndNumbers) {
  EXPECT_EQ(*parse_protocol("any"), 0);
  EXPECT_EQ(*parse_protocol("tcp"), 6);
  EXPECT_EQ(*parse_protocol("132"), 132);
  for (const char* text : {"", "0", "256", "TCP", "sctp"}) EXPECT_FALSE(parse_protocol(text).ok()) << text;
  EXPECT_EQ(ip_protocol_name(58), "icmpv6");
  EXPECT_EQ(ip_protocol_name(132), "132");
}

TEST(CheckRule, RefusesWhatNoPacketCanMatch) {
  Rule r;
  EXPECT_TRUE(check_rule(r).ok());
  r.port = {80, 80};
  EXPECT_THAT(check_rule(r).error().message, HasSubstr("proto tcp"));
  r.protocol = 6;
  EXPECT_TRUE(check_rule(r).ok());
  r.source = *parse_prefix("192.0.2.0/24");
  r.destination = *parse_prefix("2001:db8::/32");
  EXPECT_THAT(check_rule(r).error().message, HasSubstr("different families"));
  r = {};
  r.protocol = 58;
  r.destination = *parse_prefix("192.0.2.0/24");
  EXPECT_FALSE(check_rule(r).ok());
}

TEST(Rule, SurvivesTheMap) {
  Rule r;
  r.action = Action::drop;
  r.source = *parse_prefix("192.0.2.0/24");
  r.protocol = 6;
  r.port = {80, 90};
  r.id = 7;
  r.counter = 200;
  const weir_rule raw = to_map(r);
  // ::ffff:192.0.2.0/120
  EXPECT_EQ(raw.src.bytes[10], 0xff);
  EXPECT_EQ(raw.src.bytes[12], 192);
  EXPECT_EQ(raw.src.bytes[15], 0);
  EXPECT_EQ(raw.src_mask.bytes[0], 0xff);
  EXPECT_EQ(raw.src_mask.bytes[14], 0xff);
  EXPECT_EQ(raw.src_mask.bytes[15], 0);
  EXPECT_EQ(raw.dst_mask.bytes[0], 0);
  EXPECT_EQ(raw.port_min, 80);
  EXPECT_EQ(raw.port_max, 90);
  const Rule back = from_map(raw);
  EXPECT_EQ(back.to_string(), "drop src 192.0.2.0/24 proto tcp port 80-90");
  EXPECT_EQ(back.id, 7u);
  EXPECT_EQ(back.counter, 200u);
}

TEST(Rule, AnyIPv4IsNotAnyAddress) {
  Rule r;
  r.source = *parse_prefix("0.0.0.0/0");
  const weir_rule raw = to_map(r);
  EXPECT_EQ(raw.src_mask.bytes[11], 0xff);
  EXPECT_EQ(raw.src_mask.bytes[12], 0);
  EXPECT_EQ(from_map(raw).source.to_string(), "0.0.0.0/0");
}

TEST(Rule, PartOfAByteIsMasked) {
  Rule r;
  r.destination = *parse_prefix("2001:db8:8000::/33");
  const weir_rule raw = to_map(r);
  EXPECT_EQ(raw.dst_mask.bytes[3], 0xff);
  EXPECT_EQ(raw.dst_mask.bytes[4], 0x80);
  EXPECT_EQ(raw.dst_mask.bytes[5], 0);
  EXPECT_EQ(from_map(raw).destination, r.destination);
}

}  // namespace
}  // namespace weir::control
