// SPDX-License-Identifier: MIT
// The filter: an ordered table, first match wins, and a generation chosen by one word.
#include <netinet/in.h>

#include <cstring>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Filter : public XdpTest {
 protected:
  // Prefix lengths of IPv4 count within IPv4.
  static weir_prefix prefix(IpAddress address, unsigned bits) {
    weir_prefix out{};
    out.family = address.is_v4() ? 4 : 6;
    out.length = static_cast<weir_u8>(bits);
    const unsigned mapped = address.is_v4() ? 96 + bits : bits;
    for (unsigned i = 0; i < mapped; i++)
      out.address.bytes[i / 8] =
          static_cast<weir_u8>(out.address.bytes[i / 8] | (address.bytes()[i / 8] & (0x80u >> (i % 8))));
    return out;
  }
  static weir_rule from(weir_action action, IpAddress address, unsigned bits, std::uint16_t counter = 0) {
    weir_rule r = rule(action, counter);
    r.fields = 1u << WEIR_FIELD_SOURCE;
    r.source = prefix(address, bits);
    return r;
  }
  static weir_rule to(weir_action action, IpAddress address, unsigned bits, std::uint16_t counter = 0) {
    weir_rule r = rule(action, counter);
    r.fields = 1u << WEIR_FIELD_DESTINATION;
    r.destination = prefix(address, bits);
    return r;
  }
  static weir_rule ports(weir_action action, std::uint8_t protocol, std::uint16_t min, std::uint16_t max,
                         std::uint16_t counter = 0) {
    weir_rule r = rule(action, counter);
    if (protocol != 0) r.fields |= 1u << WEIR_FIELD_PROTOCOL;
    if (min != 0 || max != 65535) r.fields |= 1u << WEIR_FIELD_DESTINATION_PORT;
    r.protocol = protocol;
    r.destination_port[0] = min;
    r.destination_port[1] = max;
    return r;
  }
};

TEST_F(Filter, ActionsDecideWhereAFrameGoes) {
  EXPECT_EQ(reason(tcp4("S")), "STEER_SYN") << "an empty table accepts";
  set_filter(0, {rule(WEIR_ACTION_ACCEPT, 1)});
  EXPECT_EQ(reason(tcp4("S")), "STEER_SYN");
  set_filter(0, {rule(WEIR_ACTION_PASS, 1)});
  EXPECT_EQ(reason(tcp4("S")), "PASS_FILTER");
  set_filter(0, {rule(WEIR_ACTION_DROP, 1)});
  EXPECT_EQ(reason(tcp4("S")), "DROP_FILTER");
}

TEST_F(Filter, Prefixes) {
  struct {
    const char* what;
    weir_rule r;
    bool v4, v6;
  } cases[] = {
      {"any", rule(WEIR_ACTION_DROP, 0), true, true},
      {"host", from(WEIR_ACTION_DROP, kPeer4, 32), true, false},
      {"its network", from(WEIR_ACTION_DROP, IpAddress::v4(198, 51, 100, 0), 24), true, false},
      {"its neighbour", from(WEIR_ACTION_DROP, IpAddress::v4(198, 51, 100, 3), 32), false, false},
      {"/31 that holds it", from(WEIR_ACTION_DROP, IpAddress::v4(198, 51, 100, 3), 31), true, false},
      {"/25 beside it", from(WEIR_ACTION_DROP, IpAddress::v4(198, 51, 100, 128), 25), false, false},
      {"all of IPv4", from(WEIR_ACTION_DROP, IpAddress::v4(0, 0, 0, 0), 0), true, false},
      {"host, v6", from(WEIR_ACTION_DROP, kPeer6, 128), false, true},
      {"network, v6", from(WEIR_ACTION_DROP, *IpAddress::parse("2001:db8:ffff::"), 48), false, true},
      {"network beside it, v6", from(WEIR_ACTION_DROP, *IpAddress::parse("2001:db8:fffe::"), 48), false, false},
      {"last bit, v6", from(WEIR_ACTION_DROP, *IpAddress::parse("2001:db8:ffff::3"), 128), false, false},
      {"destination", to(WEIR_ACTION_DROP, kOurs4, 32), true, false},
      {"other destination", to(WEIR_ACTION_DROP, kPeer4, 32), false, false},
      {"destination, v6", to(WEIR_ACTION_DROP, kOurs6, 64), false, true},
  };
  for (const auto& c : cases) {
    set_filter(0, {c.r});
    EXPECT_EQ(reason(tcp4("S")), c.v4 ? "DROP_FILTER" : "STEER_SYN") << c.what;
    EXPECT_EQ(reason(tcp6("S")), c.v6 ? "DROP_FILTER" : "STEER_SYN") << c.what;
  }
}

TEST_F(Filter, SourceAndDestinationMustBothMatch) {
  weir_rule both = from(WEIR_ACTION_DROP, kPeer4, 32);
  both.fields |= 1u << WEIR_FIELD_DESTINATION;
  both.destination = prefix(kTransit4, 32);
  set_filter(0, {both});
  EXPECT_EQ(reason(tcp4("S")), "STEER_SYN");
  EXPECT_EQ(reason(Packet().ipv4(kPeer4, kTransit4).tcp(1, kSteeredTcp, "S")), "DROP_FILTER");
  EXPECT_EQ(reason(Packet().ipv4(kTransit4, kTransit4).tcp(1, kSteeredTcp, "S")), "PASS_NOT_LOCAL");
}

TEST_F(Filter, ProtocolAndPortRange) {
  const auto drops = [&](const weir_rule& r, const Packet& p) {
    set_filter(0, {r});
    return reason(p) == "DROP_FILTER";
  };
  EXPECT_TRUE(drops(ports(WEIR_ACTION_DROP, IPPROTO_TCP, 8080, 8080), tcp4("S")));
  EXPECT_TRUE(drops(ports(WEIR_ACTION_DROP, IPPROTO_TCP, 8000, 8080), tcp6("A")));
  EXPECT_TRUE(drops(ports(WEIR_ACTION_DROP, IPPROTO_TCP, 8080, 9000), tcp4("S")));
  EXPECT_FALSE(drops(ports(WEIR_ACTION_DROP, IPPROTO_TCP, 8081, 9000), tcp4("S")));
  EXPECT_FALSE(drops(ports(WEIR_ACTION_DROP, IPPROTO_TCP, 1, 8079), tcp4("S")));
  EXPECT_FALSE(drops(ports(WEIR_ACTION_DROP, IPPROTO_UDP, 8080, 8080), tcp4("S")));
  EXPECT_TRUE(drops(ports(WEIR_ACTION_DROP, 0, 4433, 4433), udp4())) << "any protocol";
  EXPECT_FALSE(drops(ports(WEIR_ACTION_DROP, IPPROTO_TCP, kPeerPort, kPeerPort), tcp4("S"))) << "source port";
}

TEST_F(Filter, PacketsWithoutPortsMatchOnlyRulesForAllPorts) {
  const Packet echo = Packet().ipv4(kPeer4, kOurs4).icmp(8).text(8);
  const Packet gre = Packet().ipv4(kPeer4, kOurs4).protocol(47).text(8);
  const Packet later = Packet().ipv4(kPeer4, kOurs4).fragment(800, false).protocol(IPPROTO_UDP).text(32);
  for (const Packet& p : {echo, gre, later}) {
    set_filter(0, {ports(WEIR_ACTION_DROP, 0, 0, 65534)});
    EXPECT_NE(reason(p), "DROP_FILTER");
    set_filter(0, {ports(WEIR_ACTION_DROP, 0, 1, 65535)});
    EXPECT_NE(reason(p), "DROP_FILTER");
    set_filter(0, {rule(WEIR_ACTION_DROP, 0)});
    EXPECT_EQ(reason(p), "DROP_FILTER");
  }
  set_filter(0, {ports(WEIR_ACTION_DROP, IPPROTO_UDP, 0, 65535)});
  EXPECT_EQ(reason(later), "DROP_FILTER") << "a later fragment has a protocol";
  set_filter(0, {ports(WEIR_ACTION_DROP, IPPROTO_ICMP, 0, 65535)});
  EXPECT_EQ(reason(echo), "DROP_FILTER");
  EXPECT_EQ(reason(gre), "PASS_OTHER_PROTO");
}

TEST_F(Filter, FirstMatchWinsAndIsCounted) {
  set_filter(0, {from(WEIR_ACTION_DROP, kTransit4, 32, 10), from(WEIR_ACTION_PASS, kPeer4, 32, 200),
                 from(WEIR_ACTION_DROP, kPeer4, 32, 12)});
  EXPECT_EQ(reason(tcp4("S")), "PASS_FILTER");
  EXPECT_EQ(reason(tcp4("A")), "PASS_FILTER");
  EXPECT_EQ(reason(tcp6("S")), "STEER_SYN");
  EXPECT_EQ(rule_packets(10), 0u);
  EXPECT_EQ(rule_packets(200), 2u);
  EXPECT_EQ(rule_packets(12), 0u);
}

TEST_F(Filter, AcceptEndsTheSearch) {
  set_filter(0, {from(WEIR_ACTION_ACCEPT, kPeer4, 32, 1), rule(WEIR_ACTION_DROP, 2)});
  EXPECT_EQ(reason(tcp4("S")), "STEER_SYN");
  EXPECT_EQ(reason(tcp6("S")), "DROP_FILTER");
}

TEST_F(Filter, AFullTableIsReadToItsEnd) {
  std::vector<weir_rule> rules(WEIR_MAX_RULES, from(WEIR_ACTION_DROP, kTransit4, 32, 1));
  rules.back() = from(WEIR_ACTION_DROP, kPeer4, 32, WEIR_RULE_COUNTERS - 1);
  set_filter(0, rules);
  EXPECT_EQ(reason(tcp4("S")), "DROP_FILTER");
  EXPECT_EQ(rule_packets(WEIR_RULE_COUNTERS - 1), 1u);
  EXPECT_EQ(reason(tcp6("S")), "STEER_SYN");
}

TEST_F(Filter, TheSelectorNamesTheGeneration) {
  set_filter(0, {rule(WEIR_ACTION_DROP, 1)});
  set_filter(1, {rule(WEIR_ACTION_PASS, 2)});
  for (std::uint32_t selector : {0u, 1u, 0u}) {
    weir_config c = config();
    c.filter_selector = selector;
    set_config(c);
    EXPECT_EQ(reason(tcp4("S")), selector ? "PASS_FILTER" : "DROP_FILTER");
  }
}

// What a frame is refused for is looked at before whose it is.
TEST_F(Filter, DropsWhatWouldNotBeSteeredToo) {
  set_filter(0, {from(WEIR_ACTION_DROP, kPeer4, 32)});
  EXPECT_EQ(reason(tcp4("S", kKernelPort)), "DROP_FILTER");
  EXPECT_EQ(reason(Packet(kOtherMac).ipv4(kPeer4, kTransit4).tcp(1, 2, "S")), "DROP_FILTER");
  EXPECT_EQ(reason(tcp4("S").header_words(4)), "DROP_MALFORMED");
}

}  // namespace
}  // namespace weir::bpf_test
