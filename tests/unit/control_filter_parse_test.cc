// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "weir/control/filter_rule.h"

namespace weir::control {
namespace {

using ::testing::HasSubstr;

TEST(ParsePrefix, WritesBackWhatItRead) {
  for (const char* text : {"any", "192.0.2.0/24", "10.0.0.0/8", "0.0.0.0/0", "192.0.2.1/32", "2001:db8::/32",
                           "fe80::/10", "2001:db8::1/128", "::1/128", "2000::/3", "::/0", "::/64"}) {
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

Rule rule_of(std::initializer_list<std::pair<const char*, const char*>> words, Action action = Action::accept) {
  Rule r;
  r.action = action;
  for (const auto& [word, value] : words) {
    const auto set = set_word(r, word, value);
    EXPECT_TRUE(set.ok()) << word << " " << value << ": " << (set ? "" : set.error().message);
  }
  return r;
}

TEST(RuleWords, AreWrittenAsTheyWereRead) {
  const struct {
    const char* word;
    std::vector<const char*> values;
  } cases[] = {{"proto", {"tcp", "udp", "icmp", "icmpv6", "132"}},
               {"from", {"192.0.2.0/24", "::/0"}},
               {"to", {"2001:db8::1/128", "0.0.0.0/0"}},
               {"sport", {"1", "1-1023"}},
               {"port", {"80", "8000-8999"}},
               {"flags", {"S", "S/SA", "-/FSRPAU", "FSRPAUEC", "A/SAEC"}},
               {"icmp-type", {"0", "8", "255", "8-9"}},
               {"vlan", {"none", "any", "0", "4095", "100-199"}},
               {"fragment", {"no", "yes", "first", "later"}},
               {"length", {"0-40", "1500", "1500-65535"}}};
  for (const auto& c : cases)
    for (const char* value : c.values)
      EXPECT_EQ(rule_of({{c.word, value}}).to_string(), std::string("accept ") + c.word + " " + value);
}

TEST(RuleWords, SayWhatIsWrong) {
  const struct {
    const char* word;
    const char* value;
    const char* says;
  } cases[] = {{"flags", "X", "FSRPAUEC"},
               {"flags", "", "FSRPAUEC"},
               {"flags", "SA/S", "match nothing"},
               {"flags", "-", "FSRPAUEC"},
               {"icmp-type", "256", "0 to 255"},
               {"icmp-type", "echo", "0 to 255"},
               {"vlan", "4096", "0 to 4095"},
               {"vlan", "9-8", "0 to 4095"},
               {"fragment", "maybe", "first or later"},
               {"length", "65536", "0 to 65535"},
               {"limit", "100", "100/s"},
               {"limit", "0/s", "100/s"},
               {"limit", "1.5/s", "100/s"},
               {"limit", "5000000000/s", "100/s"},
               {"burst", "5", "limit RATE before"},
               {"per", "source", "limit RATE before"},
               {"sample", "0", "one frame in N"},
               {"sample", "1000000001", "1 to 1000000000"},
               {"sample", "1/10", "one frame in N"}};
  for (const auto& c : cases) {
    Rule r;
    const auto set = set_word(r, c.word, c.value);
    ASSERT_FALSE(set.ok()) << c.word << " " << c.value;
    EXPECT_THAT(set.error().message, HasSubstr(c.says)) << c.word << " " << c.value;
    EXPECT_EQ(set.error().code, EINVAL);
  }
  Rule r;
  EXPECT_EQ(set_word(r, "colour", "red").error().code, ENOENT);
}

TEST(RuleWords, ALimitHasARateABurstAndABucket) {
  EXPECT_EQ(rule_of({{"limit", "100/s"}}).to_string(), "accept limit 100/s burst 100");
  EXPECT_EQ(rule_of({{"limit", "10k/s"}, {"burst", "20"}, {"per", "source"}}).to_string(),
            "accept limit 10k/s burst 20 per source");
  EXPECT_EQ(rule_of({{"limit", "1500kB/s"}}).to_string(), "accept limit 1500kB/s burst 1500kB");
  EXPECT_EQ(rule_of({{"sample", "1000"}}).to_string(), "accept sample 1000");
  EXPECT_EQ(rule_of({{"limit", "2GB/s"}, {"burst", "64000B"}}).to_string(), "accept limit 2GB/s burst 64kB");
  EXPECT_EQ(rule_of({{"limit", "100B/s"}}).limit->burst, 1514u) << "an idle limit lets a frame through";
  Rule r = rule_of({{"limit", "100/s"}});
  EXPECT_THAT(set_word(r, "burst", "64kB").error().message, HasSubstr("packets, as 20"));
  r = rule_of({{"limit", "1/s"}, {"burst", "100k"}});
  EXPECT_THAT(check_rule(r).error().message, HasSubstr("more than a day"));
  r = rule_of({{"limit", "1MB/s"}, {"burst", "1000B"}});
  EXPECT_THAT(check_rule(r).error().message, HasSubstr("smaller than a frame"));
  r = rule_of({{"limit", "1/s"}}, Action::drop);
  EXPECT_THAT(check_rule(r).error().message, HasSubstr("a drop has no limit"));
}

TEST(ParseRuleName, OneWord) {
  for (const char* text : {"a", "ssh-in", "r1", "Office_v6", "a.b", "0123456789012345678901234567890"})
    EXPECT_TRUE(parse_rule_name(text).ok()) << text;
  for (const char* text : {"", "-a", "a b", "a/b", "a\n", "01234567890123456789012345678901", "caf\xc3\xa9"})
    EXPECT_FALSE(parse_rule_name(text).ok()) << text;
}

TEST(CheckRule, AFieldNeedsItsProtocol) {
  EXPECT_THAT(check_rule(rule_of({{"sport", "1"}})).error().message, HasSubstr("proto tcp"));
  EXPECT_THAT(check_rule(rule_of({{"flags", "S"}, {"proto", "udp"}})).error().message, HasSubstr("proto tcp"));
  EXPECT_THAT(check_rule(rule_of({{"icmp-type", "8"}})).error().message, HasSubstr("proto icmp"));
  EXPECT_THAT(check_rule(rule_of({{"proto", "udp"}, {"port", "1"}, {"fragment", "later"}})).error().message,
              HasSubstr("later fragment"));
  EXPECT_TRUE(check_rule(rule_of({{"proto", "icmpv6"}, {"icmp-type", "128-129"}, {"to", "2001:db8::/32"}})).ok());
}

TEST(Rule, SurvivesTheMap) {
  Rule r = rule_of({{"from", "192.0.2.0/24"},
                    {"proto", "tcp"},
                    {"port", "80-90"},
                    {"sport", "1024-65535"},
                    {"flags", "S/SA"},
                    {"vlan", "5"},
                    {"fragment", "no"},
                    {"length", "40-1500"},
                    {"limit", "1MB/s"},
                    {"burst", "64kB"},
                    {"per", "source"},
                    {"sample", "7"}},
                   Action::pass);
  r.name = "web";
  r.counter = 8191;
  const weir_rule raw = to_map(r);
  EXPECT_EQ(raw.source.family, 4);
  EXPECT_EQ(raw.source.length, 24);
  EXPECT_EQ(raw.source.address.bytes[10], 0xff);
  EXPECT_EQ(raw.source.address.bytes[12], 192);
  EXPECT_EQ(raw.fields & (1u << WEIR_FIELD_DESTINATION), 0u);
  const Rule back = from_map(raw);
  EXPECT_TRUE(back.same_rule(r)) << back.to_string();
  EXPECT_EQ(back.counter, 8191u);
  const Rule plain = rule_of({{"proto", "icmp"}, {"icmp-type", "8"}});
  EXPECT_EQ(from_map(to_map(plain)).to_string(), "accept proto icmp icmp-type 8");
}

TEST(Rule, AnyIPv4IsNotAnyAddress) {
  Rule r;
  r.source = *parse_prefix("0.0.0.0/0");
  EXPECT_EQ(to_map(r).source.family, 4);
  EXPECT_EQ(from_map(to_map(r)).source.to_string(), "0.0.0.0/0");
  EXPECT_EQ(to_map(Rule()).fields, 0u);
}

}  // namespace
}  // namespace weir::control
