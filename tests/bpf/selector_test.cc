// SPDX-License-Identifier: MIT
// Steering entries with ranges of ports and prefixes: which entry has a packet. The maps are written by the tools' own
// code, so that what a tool makes of an entry is what the program reads.
#include <netinet/in.h>

#include <bpf/bpf.h>
#include <unistd.h>

#include "weir/control/steer.h"
#include "weir/xdp/maps.h"
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

using control::Absent;
using control::Port;
using control::Protocol;
using control::Purpose;
using control::Selector;

class Selectors : public XdpTest {
 protected:
  void SetUp() override {
    XdpTest::SetUp();
    maps_.emplace(maps());
    // The fixture's entries go: these tests make their own.
    for (std::uint16_t port : {kSteeredTcp}) remove({Port{Protocol::tcp, port}});
    remove({Port{Protocol::udp, kSteeredUdp}});
  }

  static Selector selector(std::uint16_t first, std::uint16_t last = 0, const char* to = "any",
                           const char* from = "any", Protocol protocol = Protocol::tcp) {
    Selector s(Port{protocol, first});
    if (last != 0) s.last = last;
    s.to = *control::parse_prefix(to);
    s.from = *control::parse_prefix(from);
    return s;
  }
  // An entry on which the engine of queue 0 accepts, and the kernel owns nothing.
  std::uint32_t add(const Selector& s, Absent absent = Absent::pass) {
    auto index = control::steer_add(*maps_, s, absent, Purpose::serve, control_now());
    EXPECT_TRUE(index) << s.to_string() << ": " << index.error().message;
    if (!index) return 0;
    weir_steer& entry = maps_->steer()[*index];
    xdp::store(entry.listeners, weir_u64{1});
    xdp::store(entry.kernel_clear, xdp::load(entry.syns_to_kernel));
    return *index;
  }
  std::string refusal(const Selector& s) {
    auto index = control::steer_add(*maps_, s, Absent::pass, Purpose::serve, control_now());
    return index ? "" : index.error().message;
  }
  void remove(const Selector& s, control::Removal how = control::Removal::now) {
    auto r = control::steer_del(*maps_, s, how, control_now());
    EXPECT_TRUE(r) << r.error().message;
  }
  static Instant control_now() { return Instant::from_ns(xdp::monotonic_ns()); }
  // The entry that took the packet, by what it counted; nothing where none did.
  std::optional<std::uint32_t> taker(const Packet& packet) {
    std::map<std::uint32_t, std::uint64_t> before;
    for (std::uint32_t i = 0; i < 16; ++i) before[i] = steer_packets(i);
    run(packet);
    for (std::uint32_t i = 0; i < 16; ++i)
      if (steer_packets(i) != before[i]) return i;
    return std::nullopt;
  }
  static Packet from(IpAddress peer, const char* flags = "A", std::uint16_t port = kSteeredTcp) {
    return Packet().ip(peer, peer.is_v4() ? kOurs4 : kOurs6).tcp(kPeerPort, port, flags);
  }

  std::optional<xdp::Maps> maps_;
  const IpAddress near4_ = IpAddress::v4(198, 51, 100, 77), far4_ = IpAddress::v4(198, 51, 101, 77);
  const IpAddress near6_ = *IpAddress::parse("2001:db8:ffff::77"), far6_ = *IpAddress::parse("2001:db8:fffe::77");
};

TEST_F(Selectors, BySourcePrefix) {
  const auto four = add(selector(kSteeredTcp, 0, "any", "198.51.100.0/24"));
  EXPECT_EQ(taker(from(near4_)), four);
  EXPECT_EQ(reason(from(near4_, "S")), "STEER_SYN");
  EXPECT_EQ(reason(from(far4_)), "PASS_NOT_STEERED");
  EXPECT_EQ(reason(from(near6_)), "PASS_NOT_STEERED");
  const auto six = add(selector(kSteeredTcp, 0, "any", "2001:db8:ffff::/48"));
  EXPECT_EQ(taker(from(near6_)), six);
  EXPECT_EQ(taker(from(near4_)), four);
  EXPECT_EQ(reason(from(far6_, "S")), "PASS_NOT_STEERED");
  EXPECT_EQ(reason(from(near4_, "S", kSteeredTcp + 1)), "PASS_NOT_STEERED");
}

// ::/0 is every IPv6 address and no IPv4 one, whose mapped form lies within it.
TEST_F(Selectors, AFamily) {
  const auto six = add(selector(kSteeredTcp, 0, "any", "::/0"));
  EXPECT_EQ(taker(from(far6_)), six);
  EXPECT_EQ(reason(from(near4_, "S")), "PASS_NOT_STEERED");
  const auto four = add(selector(kSteeredTcp, 0, "0.0.0.0/0"));
  EXPECT_EQ(taker(from(near4_)), four);
  EXPECT_EQ(taker(from(far6_)), six);
}

TEST_F(Selectors, ByDestination) {
  const IpAddress second = IpAddress::v4(192, 0, 2, 9);
  add_local(second);
  const auto one = add(selector(kSteeredTcp, 0, "192.0.2.9"));
  EXPECT_EQ(taker(Packet().ipv4(kPeer4, second).tcp(1, kSteeredTcp, "S")), one);
  EXPECT_EQ(reason(tcp4("S")), "PASS_NOT_STEERED");
  const auto six = add(selector(kSteeredTcp, 0, "2001:db8::/64", "2001:db8:ffff::/48"));
  EXPECT_EQ(taker(from(near6_)), six);
  EXPECT_EQ(reason(from(far6_)), "PASS_NOT_STEERED");
}

TEST_F(Selectors, ByRangeOfPorts) {
  const auto range = add(selector(8000, 8099));
  const auto word = [&](std::uint16_t port) -> weir_u64& { return maps_->listening()[weir_listening_word(6, port)]; };
  xdp::fetch_or(word(8000), weir_u64{1} << (8000 % 64));
  xdp::fetch_or(word(8099), weir_u64{1} << (8099 % 64));
  for (std::uint16_t port : {std::uint16_t{8000}, std::uint16_t{8099}}) {
    EXPECT_EQ(taker(tcp4("S", port)), range) << port;
    EXPECT_EQ(taker(tcp6("A", port)), range) << port;
  }
  EXPECT_EQ(reason(tcp4("S", 8050)), "PASS_SYN_NO_ACCEPTOR") << "the engine does not listen on that one";
  EXPECT_EQ(reason(tcp4("A", 8050)), "STEER_SEGMENT");
  for (std::uint16_t port : {std::uint16_t{7999}, std::uint16_t{8100}})
    EXPECT_EQ(reason(tcp4("S", port)), "PASS_NOT_STEERED") << port;
  EXPECT_EQ(reason(udp4(8000)), "PASS_NOT_STEERED");
  remove(selector(8000, 8099));
  EXPECT_EQ(reason(tcp4("S", 8000)), "PASS_NOT_STEERED");
  EXPECT_EQ(maps_->config().flags & WEIR_CONFIG_STEER_RANGES, 0u);
}

TEST_F(Selectors, DatagramsToo) {
  const auto udp = add(selector(4000, 4999, "any", "198.51.100.0/24", Protocol::udp));
  xdp::fetch_or(maps_->listening()[weir_listening_word(17, 4433)], weir_u64{1} << (4433 % 64));
  EXPECT_EQ(taker(udp4(4433)), udp);
  EXPECT_EQ(reason(udp4(4434)), "PASS_NO_SOCKET");
  EXPECT_EQ(reason(udp6(4433)), "PASS_NOT_STEERED");
  EXPECT_EQ(reason(tcp4("S", 4433)), "PASS_NOT_STEERED");
}

TEST_F(Selectors, TheMoreSpecificHasIt) {
  // Added from the middle outwards, so that order is not what decides.
  const auto by_source = add(selector(kSteeredTcp, 0, "any", "198.51.100.0/24"));
  const auto wide = add(selector(1, 65535));
  const auto narrow = add(selector(8000, 8099));
  const auto plain = add(selector(kSteeredTcp));
  const auto host = add(selector(kSteeredTcp, 0, "any", "198.51.100.77"));
  const auto by_destination = add(selector(kSteeredTcp, 0, "192.0.2.1", "203.0.113.0/24"));
  const auto range_by_source = add(selector(8000, 8099, "any", "198.51.100.0/24"));
  EXPECT_EQ(taker(from(near4_)), host);
  EXPECT_EQ(taker(from(kPeer4)), by_source);
  EXPECT_EQ(taker(from(far4_)), plain);
  EXPECT_EQ(taker(from(near6_)), plain);
  EXPECT_EQ(taker(from(kTransit4)), by_destination);
  EXPECT_EQ(taker(tcp4("A", 8001)), range_by_source);
  EXPECT_EQ(taker(tcp6("A", 8001)), narrow);
  EXPECT_EQ(taker(tcp4("A", 9000)), wide);
  // What stays decides as before.
  remove(selector(kSteeredTcp, 0, "any", "198.51.100.77"));
  EXPECT_EQ(taker(from(near4_)), by_source);
  remove(selector(kSteeredTcp, 0, "any", "198.51.100.0/24"));
  EXPECT_EQ(taker(from(near4_)), plain);
  remove(selector(kSteeredTcp));
  EXPECT_EQ(taker(from(near4_)), range_by_source);
  EXPECT_EQ(taker(from(near6_)), narrow);
  remove(selector(8000, 8099));
  EXPECT_EQ(taker(from(near6_)), wide);
}

TEST_F(Selectors, EqualsAreRefused) {
  add(selector(kSteeredTcp, 0, "any", "198.51.100.0/24"));
  EXPECT_NE(refusal(selector(kSteeredTcp, 0, "any", "198.51.100.0/24")).find("is steered already"), std::string::npos);
  add(selector(8000, 8010));
  const std::string why = refusal(selector(8005, 8015));
  EXPECT_NE(why.find("neither is the more specific"), std::string::npos) << why;
  EXPECT_EQ(refusal(selector(8005, 8016)), "") << "a wider one gives way";
  EXPECT_EQ(refusal(selector(8005, 8015, "any", "198.51.100.0/24")), "") << "a longer prefix goes first";
  EXPECT_NE(refusal(selector(0)), "");
  EXPECT_NE(refusal(selector(9, 8)), "");
  EXPECT_NE(refusal(selector(9, 9, "192.0.2.1", "::/0")).find("two families"), std::string::npos);
}

TEST_F(Selectors, AChainIsBounded) {
  for (int i = 0; i < WEIR_MAX_STEER_CHAIN; ++i)
    add(selector(kSteeredTcp, 0, "any", ("10.0.0." + std::to_string(i)).c_str()));
  EXPECT_NE(refusal(selector(kSteeredTcp)).find("there may be 64"), std::string::npos);
  EXPECT_EQ(reason(from(IpAddress::v4(10, 0, 0, 0), "S")), "STEER_SYN");
  EXPECT_EQ(reason(from(IpAddress::v4(10, 0, 0, 63), "S")), "STEER_SYN") << "the last of the chain";
}

// An entry that drains has what no other has.
TEST_F(Selectors, Draining) {
  const auto narrow = add(selector(kSteeredTcp, 0, "any", "198.51.100.0/24"));
  maps_->steer()[narrow].flags = WEIR_STEER_DRAINING;
  EXPECT_EQ(reason(from(near4_, "S")), "PASS_SYN_DRAINING");
  EXPECT_EQ(taker(from(near4_)), narrow);
  const auto wide = add(selector(kSteeredTcp));
  EXPECT_EQ(taker(from(near4_, "S")), wide);
  EXPECT_EQ(taker(from(near4_)), wide);
  maps_->steer()[wide].flags = WEIR_STEER_DRAINING;
  const auto range = add(selector(8000, 8099));
  EXPECT_EQ(taker(from(near4_)), range);
  maps_->steer()[range].flags = WEIR_STEER_DRAINING;
  EXPECT_EQ(taker(from(near4_)), narrow) << "the first of those that drain";
  EXPECT_EQ(taker(from(far4_)), wide);
}

// The kernel's connections of an entry that goes are looked for under those that had less before.
TEST_F(Selectors, WhatTheKernelHasIsRemembered) {
  const auto wide = add(selector(kSteeredTcp));
  const auto narrow = selector(kSteeredTcp, 0, "any", "198.51.100.0/24");
  add(narrow);
  const auto differ = [&] { return entry(wide).syns_to_kernel - entry(wide).kernel_clear; };
  EXPECT_EQ(differ(), 0u);
  remove(narrow, control::Removal::drain);
  EXPECT_NE(differ(), 0u);
}

TEST_F(Selectors, IcmpErrorsByTheFlowTheyQuote) {
  const auto by_peer = add(selector(kSteeredTcp, 0, "192.0.2.1", "198.51.100.0/24"));
  const auto error = [&](IpAddress peer) {
    return Packet().ipv4(kTransit4, kOurs4).icmp(3, 1).quote(Packet().ipv4(kOurs4, peer).tcp(kSteeredTcp, 1, "A"));
  };
  EXPECT_EQ(taker(error(near4_)), by_peer);
  EXPECT_EQ(reason(error(far4_)), "PASS_INFRA");
  const auto six = add(selector(8000, 8099, "any", "2001:db8:ffff::/48"));
  const auto error6 = [&](IpAddress peer) {
    return Packet().ipv6(kTransit6, kOurs6).icmp(1, 4).quote(Packet().ipv6(kOurs6, peer).tcp(8000, 1, "A"));
  };
  EXPECT_EQ(taker(error6(near6_)), six);
  EXPECT_EQ(reason(error6(far6_)), "PASS_INFRA");
}

TEST_F(Selectors, LaterFragmentsFollowTheFirst) {
  const auto by_source = add(selector(kSteeredTcp, 0, "any", "198.51.100.0/24"));
  add(selector(kSteeredTcp));
  EXPECT_EQ(taker(Packet().ipv4(near4_, kOurs4).fragment(0, true).tcp(1, kSteeredTcp, "A").text(8)), by_source);
  EXPECT_EQ(taker(Packet().ipv4(near4_, kOurs4).fragment(32, false).protocol(6).text(8)), by_source);
  const auto six = add(selector(9000, 9001, "any", "2001:db8:ffff::/48"));
  EXPECT_EQ(taker(Packet().ipv6(near6_, kOurs6).fragment(0, true).tcp(1, 9001, "A").text(8)), six);
  EXPECT_EQ(taker(Packet().ipv6(near6_, kOurs6).fragment(32, false).protocol(6).text(8)), six);
}

// A writer that was killed: written and not linked, or unlinked and not cleared. The next one makes it whole.
TEST_F(Selectors, WhatAKilledWriterLeftIsMadeWhole) {
  const auto narrow = selector(kSteeredTcp, 0, "any", "198.51.100.0/24");
  const auto index = add(narrow);
  ASSERT_TRUE(maps_->withdraw_steer(IPPROTO_TCP, kSteeredTcp));
  EXPECT_EQ(reason(from(near4_, "S")), "PASS_NOT_STEERED");
  add(selector(9));
  EXPECT_EQ(taker(from(near4_)), index);
  ASSERT_TRUE(maps_->publish_steer(IPPROTO_TCP, 7, index));
  remove(selector(9));
  EXPECT_FALSE(maps_->find_steer(IPPROTO_TCP, 7));
}

}  // namespace
}  // namespace weir::bpf_test
