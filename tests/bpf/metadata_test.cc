// SPDX-License-Identifier: MIT
// What is handed on in front of a steered frame.
#include <netinet/in.h>

#include <cstring>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Metadata : public XdpTest {
 protected:
  // As the engine computes it from the addresses in its own form.
  std::uint32_t hash(const IpAddress& src, std::uint16_t sport, const IpAddress& dst, std::uint16_t dport,
                     std::uint8_t protocol) const {
    std::uint64_t s[2];
    std::uint64_t d[2];
    std::memcpy(s, src.data(), 16);
    std::memcpy(d, dst.data(), 16);
    const weir_config c = config();
    return weir_flow_hash(s[0], s[1], to_be16(sport), d[0], d[1], to_be16(dport), protocol, c.hash_key);
  }
  weir_meta meta(const Packet& p) {
    const Octets sent = p.bytes();
    const Outcome outcome = run(sent);
    EXPECT_EQ(outcome.frame, sent) << "the frame itself is untouched";
    EXPECT_TRUE(outcome.meta.has_value()) << outcome.reason;
    return outcome.meta.value_or(weir_meta{});
  }
};

TEST_F(Metadata, SaysWhatTheParserFound) {
  const Packet plain = tcp4("S");
  weir_meta m = meta(plain);
  EXPECT_EQ(m.magic, WEIR_META_MAGIC);
  EXPECT_EQ(m.l3_offset, 14);
  EXPECT_EQ(m.l4_offset, 34);
  EXPECT_EQ(m.steer, kTcpEntry);
  EXPECT_EQ(m.reason, WEIR_R_STEER_SYN);

  const Packet options = Packet().ipv4(kPeer4, kOurs4, 40).tcp(kPeerPort, kSteeredTcp, "A");
  m = meta(options);
  EXPECT_EQ(m.l4_offset, options.l4_offset());
  EXPECT_EQ(m.reason, WEIR_R_STEER_SEGMENT);

  const Packet extended =
      Packet().ipv6(kPeer6, kOurs6).hop_by_hop(5).authentication().destination_options().udp(kPeerPort, kSteeredUdp);
  m = meta(extended);
  EXPECT_EQ(m.l3_offset, 14);
  EXPECT_EQ(m.l4_offset, extended.l4_offset());
  EXPECT_EQ(m.steer, kUdpEntry);
  EXPECT_EQ(m.reason, WEIR_R_STEER_DATAGRAM);
}

TEST_F(Metadata, OnlyInFrontOfSteeredFrames) {
  EXPECT_FALSE(run(tcp4("S", kKernelPort)).meta.has_value());
  EXPECT_FALSE(run(tcp4("S").header_words(1)).meta.has_value());
}

TEST_F(Metadata, WithoutRoomForItTheFrameIsSteeredBare) {
  EXPECT_EQ(run_repeatedly(tcp4("A"), 100).action, XDP_REDIRECT);
  EXPECT_EQ(steer_packets(kTcpEntry), 100u);
}

TEST_F(Metadata, HashIsTheEngines) {
  EXPECT_EQ(meta(tcp4("A")).flow_hash, hash(kPeer4, kPeerPort, kOurs4, kSteeredTcp, IPPROTO_TCP));
  EXPECT_EQ(meta(tcp6("A")).flow_hash, hash(kPeer6, kPeerPort, kOurs6, kSteeredTcp, IPPROTO_TCP));
  EXPECT_EQ(meta(udp4()).flow_hash, hash(kPeer4, kPeerPort, kOurs4, kSteeredUdp, IPPROTO_UDP));
  EXPECT_EQ(meta(udp6()).flow_hash, hash(kPeer6, kPeerPort, kOurs6, kSteeredUdp, IPPROTO_UDP));
}

TEST_F(Metadata, HashIsSymmetric) {
  // Both ends are made ours, so that each direction is steered.
  add_local(kPeer4);
  weir_steer other = entry(kTcpEntry);
  other.port_be = to_be16(kPeerPort);
  set_entry(9, other);
  index_entry(IPPROTO_TCP, kPeerPort, 9);
  const std::uint32_t there = meta(tcp4("A")).flow_hash;
  EXPECT_EQ(there, meta(Packet().ipv4(kOurs4, kPeer4).tcp(kSteeredTcp, kPeerPort, "A")).flow_hash);
  EXPECT_NE(there, meta(Packet().ipv4(kPeer4, kOurs4).tcp(kPeerPort + 1, kSteeredTcp, "A")).flow_hash);
}

TEST_F(Metadata, HashIsKeyed) {
  const std::uint32_t before = meta(tcp4("A")).flow_hash;
  weir_config c = config();
  c.hash_key[1] ^= 1;
  set_config(c);
  EXPECT_NE(meta(tcp4("A")).flow_hash, before);
}

TEST_F(Metadata, AnIcmpErrorHashesAsTheFlowItIsAbout) {
  const Packet sent = Packet().ipv4(kOurs4, kPeer4).tcp(kSteeredTcp, kPeerPort, "A");
  const Packet error = Packet().ipv4(kTransit4, kOurs4).icmp(3, 4).quote(sent);
  const weir_meta m = meta(error);
  EXPECT_EQ(m.reason, WEIR_R_STEER_ICMP);
  EXPECT_EQ(m.l4_offset, error.l4_offset()) << "of the ICMP header";
  EXPECT_EQ(m.flow_hash, meta(tcp4("A")).flow_hash);
}

TEST_F(Metadata, FragmentsOfAPacketHashAlike) {
  const weir_meta first =
      meta(Packet().ipv4(kPeer4, kOurs4).fragment(0, true).udp(kPeerPort, kSteeredUdp).udp_length(80).text(40));
  const weir_meta later = meta(Packet().ipv4(kPeer4, kOurs4).fragment(48, false).protocol(IPPROTO_UDP).text(32));
  EXPECT_EQ(first.flow_hash, hash(kPeer4, 0, kOurs4, 0, IPPROTO_UDP));
  EXPECT_EQ(later.flow_hash, first.flow_hash);
  EXPECT_EQ(first.l4_offset, 34);
  EXPECT_EQ(later.l4_offset, 0);
  EXPECT_EQ(later.reason, WEIR_R_STEER_FRAGMENT);
  EXPECT_EQ(later.steer, kUdpEntry);
}

}  // namespace
}  // namespace weir::bpf_test
