// SPDX-License-Identifier: MIT
// The guard: infrastructure passes whatever the filter says, and ICMP errors find the side that has the flow.
#include <bpf/bpf.h>

#include <cstring>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Guard : public XdpTest {
 protected:
  // What a rule set that refuses everything leaves of the packet.
  std::string under_drop_all(const Packet& p) {
    set_filter(0, {rule(WEIR_ACTION_DROP, 0)});
    return reason(p);
  }
  // The segment that our engine sent, and that an error quotes.
  static Packet sent4(std::uint16_t sport = kSteeredTcp) {
    return Packet().ipv4(kOurs4, kPeer4).tcp(sport, kPeerPort, "A").text(20);
  }
  static Packet sent6(std::uint16_t sport = kSteeredTcp) {
    return Packet().ipv6(kOurs6, kPeer6).tcp(sport, kPeerPort, "A").text(20);
  }
  static Packet error4(const Packet& about, int type = 3, std::uint8_t code = 4) {
    return Packet().ipv4(kTransit4, kOurs4).icmp(type, code).quote(about);
  }
  void guard_session(IpAddress from, std::uint16_t port) {
    weir_guard_key key{};
    std::memcpy(key.remote.bytes, from.data(), 16);
    key.port_be = to_be16(port);
    const weir_guard guard{};
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton()->maps.guarded), &key, &guard, BPF_ANY), 0);
  }
  std::uint64_t heard(IpAddress from, std::uint16_t port) {
    weir_guard_key key{};
    std::memcpy(key.remote.bytes, from.data(), 16);
    key.port_be = to_be16(port);
    weir_guard guard{};
    EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton()->maps.guarded), &key, &guard), 0);
    return guard.seen_ns;
  }
  static Packet error6(const Packet& about, int type = 2) {
    return Packet().ipv6(kTransit6, kOurs6).icmp(type).quote(about);
  }
};

TEST_F(Guard, InfrastructureSkipsTheFilter) {
  EXPECT_EQ(under_drop_all(Packet(kBroadcastMac).arp()), "PASS_ARP");
  for (int type : {130, 131, 132, 133, 134, 135, 136, 137, 143})
    EXPECT_EQ(under_drop_all(Packet().ipv6(kPeer6, kOurs6).icmp(type).text(16)), "PASS_INFRA") << type;
  for (int port : {67, 68})
    EXPECT_EQ(under_drop_all(Packet().ipv4(kPeer4, kOurs4).udp(67, port).text(8)), "PASS_INFRA") << port;
  for (int port : {546, 547})
    EXPECT_EQ(under_drop_all(Packet().ipv6(kPeer6, kOurs6).udp(9, port).text(8)), "PASS_INFRA") << port;
  // Errors about flows that nobody steers, and errors whose quote says nothing.
  for (int type : {3, 4, 5, 11, 12}) EXPECT_EQ(under_drop_all(error4(sent4(kKernelPort), type)), "PASS_INFRA") << type;
  for (int type : {1, 2, 3, 4}) EXPECT_EQ(under_drop_all(error6(sent6(kKernelPort), type)), "PASS_INFRA") << type;
  EXPECT_EQ(under_drop_all(Packet().ipv4(kTransit4, kOurs4).icmp(3).text(4)), "PASS_INFRA");
}

TEST_F(Guard, TheRestIsFiltered) {
  EXPECT_EQ(under_drop_all(Packet().ipv4(kPeer4, kOurs4).icmp(8).text(8)), "DROP_FILTER");
  for (int type : {128, 129, 138, 142, 144})
    EXPECT_EQ(under_drop_all(Packet().ipv6(kPeer6, kOurs6).icmp(type).text(8)), "DROP_FILTER") << type;
  EXPECT_EQ(under_drop_all(Packet().ipv4(kPeer4, kOurs4).udp(68, 69).text(8)), "DROP_FILTER");
  EXPECT_EQ(under_drop_all(Packet().ipv4(kPeer4, kOurs4).udp(1, 546).text(8)), "DROP_FILTER") << "DHCPv6's port, in v4";
  EXPECT_EQ(under_drop_all(Packet().ipv6(kPeer6, kOurs6).udp(1, 67).text(8)), "DROP_FILTER") << "DHCP's port, in v6";
  EXPECT_EQ(under_drop_all(Packet().ipv4(kPeer4, kOurs4).tcp(1, 67, "S")), "DROP_FILTER");
  // RFC 6980: neighbour discovery is never fragmented, so what pretends to be is not it.
  EXPECT_EQ(under_drop_all(Packet().ipv6(kPeer6, kOurs6).fragment(0, true).icmp(135).text(16)), "DROP_FILTER");
  EXPECT_EQ(under_drop_all(Packet().vlan(7).ipv4(kPeer4, kOurs4).tcp(1, 2, "S")), "DROP_FILTER");
}

TEST_F(Guard, ErrorsAboutSteeredFlowsGoToTheEngineUnfiltered) {
  set_filter(0, {rule(WEIR_ACTION_DROP, 0)});
  for (int type : {3, 11, 12}) EXPECT_EQ(reason(error4(sent4(), type)), "STEER_ICMP") << type;
  for (int type : {1, 2, 3, 4}) EXPECT_EQ(reason(error6(sent6(), type)), "STEER_ICMP") << type;
  EXPECT_EQ(reason(error4(Packet().ipv4(kOurs4, kPeer4).udp(kSteeredUdp, kPeerPort).text(8), 3, 3)), "STEER_ICMP");
  EXPECT_EQ(reason(error4(Packet().ipv4(kOurs4, kPeer4, 40).tcp(kSteeredTcp, kPeerPort, "A"))), "STEER_ICMP");
  EXPECT_EQ(reason(error6(Packet().ipv6(kOurs6, kPeer6).destination_options(2).tcp(kSteeredTcp, kPeerPort, "A"))),
            "STEER_ICMP");
}

TEST_F(Guard, ErrorsTheEngineMustNotHave) {
  EXPECT_EQ(reason(error4(sent4(), 5)), "PASS_INFRA") << "a redirect is about a route";
  EXPECT_EQ(reason(error4(sent4(), 4)), "PASS_INFRA") << "source quench (RFC 6633)";
  EXPECT_EQ(reason(error6(sent6(), 100)), "PASS_INFRA") << "an error of unknown type";
  EXPECT_EQ(reason(error4(Packet().ipv4(kTransit4, kPeer4).tcp(kSteeredTcp, kPeerPort, "A"))), "PASS_INFRA")
      << "the quoted packet is not from our address";
  EXPECT_EQ(reason(error4(Packet().ipv4(kPeer4, kOurs4).tcp(kPeerPort, kSteeredTcp, "A"))), "PASS_INFRA")
      << "the quoted packet was sent to us";
  EXPECT_EQ(reason(Packet().ipv4(kTransit4, kTransit4).icmp(3).quote(sent4())), "PASS_INFRA") << "transit";
  EXPECT_EQ(reason(Packet(kOtherMac).ipv4(kTransit4, kOurs4).icmp(3).quote(sent4())), "PASS_INFRA") << "other MAC";
  EXPECT_EQ(reason(Packet().vlan(7).ipv4(kTransit4, kOurs4).icmp(3).quote(sent4())), "PASS_INFRA") << "tagged";
  EXPECT_EQ(reason(Packet().ipv4(kTransit4, kOurs4).fragment(0, true).icmp(3).quote(sent4())), "PASS_ICMP")
      << "a fragment of an error";
  EXPECT_EQ(reason(error4(sent4().fragment(800, false))), "PASS_INFRA") << "quotes a later fragment: no ports in it";
  EXPECT_EQ(reason(error6(Packet().ipv6(kOurs6, kPeer6).fragment(800, false).tcp(kSteeredTcp, kPeerPort, "A"))),
            "PASS_INFRA");
  EXPECT_EQ(reason(error4(sent6())), "PASS_INFRA") << "quotes the other family";
  Packet deep = Packet().ipv6(kOurs6, kPeer6);
  for (int i = 0; i < 9; i++) deep.destination_options();
  EXPECT_EQ(reason(error6(deep.tcp(kSteeredTcp, kPeerPort, "A"))), "PASS_INFRA") << "quotes more than is walked";
}

// A quote is cut anywhere. Ports are its first four octets; with fewer it concerns nobody.
TEST_F(Guard, CutQuotes) {
  for (std::size_t size = 0; size <= 60; size++) {
    EXPECT_EQ(reason(Packet().ipv4(kTransit4, kOurs4).icmp(3, 4).quote(sent4(), size)),
              size < 24 ? "PASS_INFRA" : "STEER_ICMP")
        << size;
    EXPECT_EQ(reason(Packet().ipv6(kTransit6, kOurs6).icmp(2).quote(sent6(), size)),
              size < 44 ? "PASS_INFRA" : "STEER_ICMP")
        << size;
  }
}

// An operator's session: that address to that port, whatever the rules and the steering say.
TEST_F(Guard, ASessionIsTheKernels) {
  set_filter(0, {rule(WEIR_ACTION_DROP, 0)});
  for (const bool v6 : {false, true}) {
    const IpAddress peer = v6 ? kPeer6 : kPeer4;
    const IpAddress ours = v6 ? kOurs6 : kOurs4;
    const auto from = [&](int sport, int dport, const char* flags) {
      return Packet().ip(peer, ours).tcp(sport, dport, flags);
    };
    EXPECT_EQ(reason(from(50022, kKernelPort, "A")), "DROP_FILTER");
    guard_session(peer, kKernelPort);
    EXPECT_EQ(reason(from(50022, kKernelPort, "A")), "DROP_FILTER") << "the flag says that nobody is guarded";
    weir_config c = config();
    c.flags |= WEIR_CONFIG_GUARDED;
    c.explain_key = kExplainKey;
    set_config(c);
    EXPECT_EQ(reason_id(ask(from(50022, kKernelPort, "A").bytes()).words.reason), "PASS_GUARD");
    EXPECT_EQ(heard(peer, kKernelPort), 0u) << "to be asked is not to be heard of";
    EXPECT_EQ(reason(from(50022, kKernelPort, "A")), "PASS_GUARD");
    EXPECT_NE(heard(peer, kKernelPort), 0u);
    EXPECT_EQ(reason(from(50023, kKernelPort, "S")), "PASS_GUARD") << "a new connection";
    EXPECT_EQ(reason(Packet().vlan(7).ip(peer, ours).tcp(1, kKernelPort, "A")), "PASS_GUARD");
    EXPECT_EQ(reason(from(50022, kKernelPort + 1, "A")), "DROP_FILTER");
    EXPECT_EQ(reason(from(kKernelPort, 50022, "A")), "DROP_FILTER") << "its own port says nothing";
    EXPECT_EQ(reason(Packet().ip(peer, ours).udp(50022, kKernelPort)), "DROP_FILTER");
    EXPECT_EQ(reason(Packet().ip(v6 ? kTransit6 : kTransit4, ours).tcp(50022, kKernelPort, "A")), "DROP_FILTER");
    EXPECT_EQ(reason(from(50022, kKernelPort, "A").fragment(0, true)), "DROP_FILTER") << "fragments are not guarded";
    c.flags &= ~std::uint32_t{WEIR_CONFIG_GUARDED};
    set_config(c);
  }
}

TEST_F(Guard, ASessionOnASteeredPortStaysTheKernelsWhenTheGuardGoes) {
  guard_session(kPeer4, kSteeredTcp);
  weir_config c = config();
  c.flags |= WEIR_CONFIG_GUARDED;
  set_config(c);
  const std::uint32_t before = entry(kTcpEntry).syns_to_kernel;
  EXPECT_EQ(reason(tcp4("S")), "PASS_GUARD");
  EXPECT_EQ(entry(kTcpEntry).syns_to_kernel, before + 1) << "the kernel's sockets are looked up from now on";
  EXPECT_EQ(reason(tcp6("S")), "STEER_SYN") << "another address";
}

TEST_F(Guard, ErrorsPassWhileTheEngineIsAway) {
  beat(0, std::nullopt);
  EXPECT_EQ(reason(error4(sent4())), "PASS_INFRA") << "left";
  beat(0, 4 * kSecond);
  EXPECT_EQ(reason(error4(sent4())), "PASS_INFRA") << "stopped";
  beat(0, 0);
  remove_socket(0);
  EXPECT_EQ(reason(error4(sent4())), "PASS_NO_SOCKET");
}

}  // namespace
}  // namespace weir::bpf_test
