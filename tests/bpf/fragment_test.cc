// SPDX-License-Identifier: MIT
// Fragments: the later ones follow the first.
#include <netinet/in.h>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Fragment : public XdpTest {
 protected:
  static Packet first4(std::uint16_t dport = kSteeredUdp, std::uint32_t id = 0x1234) {
    return Packet().ipv4(kPeer4, kOurs4).fragment(0, true, id).udp(kPeerPort, dport).udp_length(2000).text(1000);
  }
  static Packet later4(std::uint32_t id = 0x1234, std::uint8_t protocol = IPPROTO_UDP) {
    return Packet().ipv4(kPeer4, kOurs4).fragment(1008, false, id).protocol(protocol).text(992);
  }
  static Packet first6(std::uint16_t dport = kSteeredUdp, std::uint32_t id = 0x12345678) {
    return Packet().ipv6(kPeer6, kOurs6).fragment(0, true, id).udp(kPeerPort, dport).udp_length(2000).text(1000);
  }
  static Packet later6(std::uint32_t id = 0x12345678, std::uint8_t protocol = IPPROTO_UDP) {
    return Packet().ipv6(kPeer6, kOurs6).fragment(1008, false, id).protocol(protocol).text(992);
  }
};

TEST_F(Fragment, LaterOnesFollowASteeredFirst) {
  EXPECT_EQ(reason(later4()), "PASS_FRAG_UNKNOWN");
  EXPECT_EQ(reason(first4()), "STEER_DATAGRAM");
  EXPECT_EQ(reason(later4()), "STEER_FRAGMENT");
  EXPECT_EQ(reason(later4()), "STEER_FRAGMENT") << "as often as they come";
  EXPECT_EQ(reason(later6()), "PASS_FRAG_UNKNOWN");
  EXPECT_EQ(reason(first6()), "STEER_DATAGRAM");
  EXPECT_EQ(reason(later6()), "STEER_FRAGMENT");
  EXPECT_EQ(steer_packets(kUdpEntry), 5u);
}

TEST_F(Fragment, TheKeyIsThePackets) {
  run(first4());
  EXPECT_EQ(reason(later4(0x1235)), "PASS_FRAG_UNKNOWN") << "another identification";
  EXPECT_EQ(reason(later4(0x1234, IPPROTO_ICMP)), "PASS_FRAG_UNKNOWN") << "another protocol";
  EXPECT_EQ(reason(Packet().ipv4(kTransit4, kOurs4).fragment(1008, false).protocol(IPPROTO_UDP).text(8)),
            "PASS_FRAG_UNKNOWN")
      << "another source";
  EXPECT_EQ(reason(Packet().ipv4(kPeer4, kTransit4).fragment(1008, false).protocol(IPPROTO_UDP).text(8)),
            "PASS_FRAG_UNKNOWN")
      << "another destination";
  run(first6());
  EXPECT_EQ(reason(later6(0x12345679)), "PASS_FRAG_UNKNOWN");
  EXPECT_EQ(reason(later6(0x12345678, 60)), "STEER_FRAGMENT") << "RFC 8200 4.5: their next header is not the key's";
}

TEST_F(Fragment, UnsteeredOnesStayWithTheKernel) {
  EXPECT_EQ(reason(first4(kKernelPort)), "PASS_NOT_STEERED");
  EXPECT_EQ(reason(later4()), "PASS_FRAG_UNKNOWN");
}

// Sixteen bits of identification come round soon: what an older packet left must not split a newer one.
TEST_F(Fragment, ANewFirstReplacesTheVerdict) {
  run(first4());
  EXPECT_EQ(reason(later4()), "STEER_FRAGMENT");
  EXPECT_EQ(reason(first4(kKernelPort)), "PASS_NOT_STEERED");
  EXPECT_EQ(reason(later4()), "PASS_FRAG_UNKNOWN");
}

TEST_F(Fragment, AFirstThatFellToTheKernelDrawsNone) {
  remove_socket(0);
  EXPECT_EQ(reason(first4()), "PASS_NO_SOCKET");
  put_socket(0);
  EXPECT_EQ(reason(later4()), "PASS_FRAG_UNKNOWN");
}

TEST_F(Fragment, FirstFragmentsFollowTheRulesOfTheirProtocol) {
  const auto tcp = [](std::string_view flags) {
    return Packet().ipv4(kPeer4, kOurs4).fragment(0, true).tcp(kPeerPort, kSteeredTcp, flags).text(100);
  };
  EXPECT_EQ(reason(tcp("A")), "STEER_SEGMENT");
  EXPECT_EQ(reason(tcp("S")), "STEER_SYN");
  beat(0, std::nullopt);
  EXPECT_EQ(reason(tcp("S")), "PASS_SYN_NO_ACCEPTOR");
  EXPECT_EQ(reason(Packet(kOtherMac).ipv4(kPeer4, kOurs4).fragment(0, true).tcp(1, kSteeredTcp, "A").text(4)),
            "PASS_OTHER_MAC");
}

TEST_F(Fragment, TinyAndOverwritingFragmentsAreMalformed) {
  // RFC 1858: a first fragment that hides the flags, and a second that would rewrite them.
  EXPECT_EQ(reason(Packet().ipv4(kPeer4, kOurs4).fragment(0, true).tcp(1, kKernelPort, "S").total_length(28)),
            "DROP_MALFORMED");
  EXPECT_EQ(reason(Packet().ipv4(kPeer4, kOurs4).fragment(8, false).protocol(IPPROTO_TCP).text(40)), "DROP_MALFORMED");
  EXPECT_EQ(reason(Packet().ipv4(kPeer4, kOurs4).fragment(8, false).protocol(IPPROTO_UDP).text(40)),
            "PASS_FRAG_UNKNOWN");
  // RFC 7112 5
  EXPECT_EQ(reason(Packet().ipv6(kPeer6, kOurs6).fragment(0, true).tcp(1, kKernelPort, "S").payload_length(24)),
            "DROP_MALFORMED");
}

TEST_F(Fragment, TheEnginesStateDecidesLaterOnesToo) {
  run(first4());
  beat(0, 2 * kSecond);
  EXPECT_EQ(reason(later4()), "STEER_FRAGMENT") << "silent: what began with the engine stays with it";
  beat(0, 4 * kSecond);
  EXPECT_EQ(reason(later4()), "DROP_STALE");
  beat(0, std::nullopt);
  EXPECT_EQ(reason(later4()), "PASS_NO_SOCKET");
  beat(0, 0);
  remove_socket(0);
  EXPECT_EQ(reason(later4()), "PASS_NO_SOCKET");
  put_socket(0);
  edit_entry(kUdpEntry, [](weir_steer& e) { e.protocol = 0; });
  EXPECT_EQ(reason(later4()), "PASS_FRAG_UNKNOWN") << "its entry is gone";
}

TEST_F(Fragment, ForAnotherStationPasses) {
  run(first4());
  EXPECT_EQ(reason(Packet(kOtherMac).ipv4(kPeer4, kOurs4).fragment(1008, false).protocol(IPPROTO_UDP).text(8)),
            "PASS_OTHER_MAC");
}

}  // namespace
}  // namespace weir::bpf_test
