// SPDX-License-Identifier: MIT
// What the parser makes of a frame: tables of packets and their reasons.
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

struct Case {
  const char* what;
  Packet packet;
  const char* reason;
};

class Parse : public XdpTest {
 protected:
  void expect(const std::vector<Case>& cases) {
    for (const Case& c : cases) EXPECT_EQ(reason(c.packet), c.reason) << c.what;
  }
};

TEST_F(Parse, LinkLayer) {
  expect({
      {"ARP", Packet(kBroadcastMac).arp(), "PASS_ARP"},
      {"ARP in a VLAN", Packet(kBroadcastMac).vlan(7).arp(), "PASS_ARP"},
      {"LLDP", Packet().ethertype(0x88cc).text(30), "PASS_NOT_IP"},
      {"802.3 length", Packet().ethertype(38).text(38), "PASS_NOT_IP"},
      {"no more than a header", Packet().ethertype(0x88cc), "PASS_NOT_IP"},
      {"steered port", tcp4("S"), "STEER_SYN"},
      {"steered port, v6", tcp6("S"), "STEER_SYN"},
      {"another port", tcp4("S", kKernelPort), "PASS_NOT_STEERED"},
      {"another port, v6", tcp6("S", kKernelPort), "PASS_NOT_STEERED"},
      {"padded to Ethernet's minimum", tcp4("A").padding(6), "STEER_SEGMENT"},
      {"padded UDP", udp4().padding(18), "STEER_DATAGRAM"},
  });
}

TEST_F(Parse, VlanTaggedFramesAreNeverSteered) {
  expect({
      {"one tag", Packet().vlan(7).ipv4(kPeer4, kOurs4).tcp(kPeerPort, kSteeredTcp, "S"), "PASS_VLAN"},
      {"priority tag", Packet().vlan(0).ipv4(kPeer4, kOurs4).tcp(kPeerPort, kSteeredTcp, "A"), "PASS_VLAN"},
      {"802.1ad", Packet().vlan(7, 0x88a8).vlan(8).ipv6(kPeer6, kOurs6).tcp(kPeerPort, kSteeredTcp, "S"), "PASS_VLAN"},
      {"UDP", Packet().vlan(7).ipv4(kPeer4, kOurs4).udp(kPeerPort, kSteeredUdp).text(4), "PASS_VLAN"},
      {"unsteered", Packet().vlan(7).ipv4(kPeer4, kOurs4).tcp(kPeerPort, kKernelPort, "S"), "PASS_VLAN"},
      {"later fragment", Packet().vlan(7).ipv4(kPeer4, kOurs4).fragment(800, false).protocol(17).text(8), "PASS_VLAN"},
      {"echo", Packet().vlan(7).ipv4(kPeer4, kOurs4).icmp(8).text(8), "PASS_ICMP"},
      {"three tags hide what follows", Packet().vlan(1).vlan(2).vlan(3).ipv4(kPeer4, kOurs4).tcp(1, 2, "S"),
       "DROP_VLAN_TAGS"},
      {"malformed inside", Packet().vlan(7).ipv4(kPeer4, kOurs4).tcp(1, 2, "S").header_words(4), "DROP_MALFORMED"},
  });
}

TEST_F(Parse, Ipv4) {
  expect({
      {"options", Packet().ipv4(kPeer4, kOurs4, 12).tcp(kPeerPort, kSteeredTcp, "S"), "STEER_SYN"},
      {"all options", Packet().ipv4(kPeer4, kOurs4, 40).tcp(kPeerPort, kSteeredTcp, "A"), "STEER_SEGMENT"},
      {"options and another port", Packet().ipv4(kPeer4, kOurs4, 40).tcp(kSteeredTcp, kKernelPort, "A"),
       "PASS_NOT_STEERED"},
      {"version 5", tcp4("S").ip_version(5), "DROP_MALFORMED"},
      {"version 6 under the type of 4", tcp4("S").ip_version(6), "DROP_MALFORMED"},
      {"header of 4 words", tcp4("S").header_words(4), "DROP_MALFORMED"},
      {"header of 0 words", tcp4("S").header_words(0), "DROP_MALFORMED"},
      {"options past the end", tcp4("S").header_words(15), "DROP_MALFORMED"},
      {"total length beyond the frame", tcp4("S").total_length(41), "DROP_MALFORMED"},
      {"total length inside the header", tcp4("S").total_length(19), "DROP_MALFORMED"},
      {"total length inside the options", Packet().ipv4(kPeer4, kOurs4, 12).tcp(1, 2, "S").total_length(31),
       "DROP_MALFORMED"},
      {"total length 0", tcp4("S").total_length(0), "DROP_MALFORMED"},
      {"the TCP header is in the padding", tcp4("S").total_length(39), "DROP_MALFORMED"},
      {"no transport header", tcp4("S").total_length(20), "DROP_MALFORMED"},
      {"text is padding", tcp4("A").text(100).total_length(40), "STEER_SEGMENT"},
      {"GRE", Packet().ipv4(kPeer4, kOurs4).protocol(47).text(8), "PASS_OTHER_PROTO"},
      {"ICMPv6 in IPv4", Packet().ipv4(kPeer4, kOurs4).protocol(58).text(8), "PASS_OTHER_PROTO"},
      {"AH is not walked in IPv4", Packet().ipv4(kPeer4, kOurs4).authentication().tcp(kPeerPort, kSteeredTcp, "S"),
       "PASS_OTHER_PROTO"},
  });
}

TEST_F(Parse, Ipv6) {
  const IpAddress mapped = IpAddress::v4(192, 0, 2, 1);
  expect({
      {"version 4", tcp6("S").ip_version(4), "DROP_MALFORMED"},
      {"payload length beyond the frame", tcp6("S").payload_length(21), "DROP_MALFORMED"},
      {"payload length inside the TCP header", tcp6("S").payload_length(19), "DROP_MALFORMED"},
      {"payload length 0", tcp6("S").payload_length(0), "DROP_MALFORMED"},
      {"text is padding", tcp6("A").text(9).payload_length(20), "STEER_SEGMENT"},
      {"mapped source", Packet().ipv6(mapped, kOurs6).tcp(kPeerPort, kSteeredTcp, "S"), "DROP_MALFORMED"},
      {"mapped destination", Packet().ipv6(kPeer6, mapped).tcp(kPeerPort, kSteeredTcp, "S"), "DROP_MALFORMED"},
      {"no next header", Packet().ipv6(kPeer6, kOurs6).protocol(59), "PASS_OTHER_PROTO"},
      {"ESP", Packet().ipv6(kPeer6, kOurs6).protocol(50).text(16), "PASS_OTHER_PROTO"},
      {"ICMP in IPv6", Packet().ipv6(kPeer6, kOurs6).protocol(1).text(8), "PASS_OTHER_PROTO"},
  });
}

TEST_F(Parse, ExtensionHeaders) {
  const auto v6 = [] { return Packet().ipv6(kPeer6, kOurs6); };
  const auto options = [&](int headers) {
    Packet p = v6();
    for (int i = 0; i < headers; i++) p.destination_options();
    return p;
  };
  expect({
      {"hop-by-hop", v6().hop_by_hop().tcp(kPeerPort, kSteeredTcp, "S"), "STEER_SYN"},
      {"long hop-by-hop", v6().hop_by_hop(100).tcp(kPeerPort, kSteeredTcp, "S"), "STEER_SYN"},
      {"one of each",
       v6().hop_by_hop(1).destination_options(2).routing(0).authentication().tcp(kPeerPort, kSteeredTcp, "A"),
       "STEER_SEGMENT"},
      {"the port behind them counts", v6().hop_by_hop(3).tcp(kSteeredTcp, kKernelPort, "A"), "PASS_NOT_STEERED"},
      {"eight", options(8).tcp(kPeerPort, kSteeredTcp, "S"), "STEER_SYN"},
      {"nine", options(9).tcp(kPeerPort, kSteeredTcp, "S"), "DROP_EXT_HEADERS"},
      {"nine, and nothing behind", options(9), "DROP_EXT_HEADERS"},
      {"routing with segments left: not for us", v6().routing(1).tcp(kPeerPort, kSteeredTcp, "S"), "PASS_NOT_LOCAL"},
      {"header cut short", v6().hop_by_hop(0).payload_length(7), "DROP_MALFORMED"},
      {"header longer than the packet", v6().hop_by_hop(1).payload_length(8), "DROP_MALFORMED"},
      {"ends in one", options(3), "DROP_MALFORMED"},
      {"two fragment headers", v6().fragment(0, true).fragment(0, true).tcp(1, 2, "S"), "DROP_MALFORMED"},
      {"atomic fragment", v6().fragment(0, false).tcp(kPeerPort, kSteeredTcp, "S"), "STEER_SYN"},
      {"echo behind options", options(2).icmp(128), "PASS_ICMP"},
  });
}

TEST_F(Parse, Transport) {
  expect({
      {"TCP options", Packet().ipv4(kPeer4, kOurs4).tcp(kPeerPort, kSteeredTcp, "S", 40), "STEER_SYN"},
      {"data offset 4", tcp4("S").data_offset(4), "DROP_MALFORMED"},
      {"data offset 0", tcp4("S").data_offset(0), "DROP_MALFORMED"},
      {"data offset past the segment", tcp4("S").data_offset(6), "DROP_MALFORMED"},
      {"data offset into the padding", tcp4("S").data_offset(6).padding(6), "DROP_MALFORMED"},
      {"data offset 4, v6", tcp6("S").data_offset(4), "DROP_MALFORMED"},
      {"UDP length 7", udp4().udp_length(7), "DROP_MALFORMED"},
      {"UDP length 0", udp6().udp_length(0), "DROP_MALFORMED"},
      {"UDP length past the packet", udp4().udp_length(17), "DROP_MALFORMED"},
      {"UDP length short of the packet", udp4().udp_length(8), "STEER_DATAGRAM"},
      {"empty datagram", Packet().ipv4(kPeer4, kOurs4).udp(kPeerPort, kSteeredUdp), "STEER_DATAGRAM"},
      {"echo", Packet().ipv4(kPeer4, kOurs4).icmp(8).text(56), "PASS_ICMP"},
      {"echo, v6", Packet().ipv6(kPeer6, kOurs6).icmp(128).text(56), "PASS_ICMP"},
      {"ICMP of 7 octets", Packet().ipv4(kPeer4, kOurs4).icmp(8).total_length(27), "DROP_MALFORMED"},
      {"echo reply, v6", Packet().ipv6(kPeer6, kOurs6).icmp(129), "PASS_ICMP"},
  });
}

// No frame that was cut short reaches the engine, wherever the cut is.
TEST_F(Parse, CutAtEveryOctet) {
  const std::vector<Packet> whole = {
      tcp4("S"),
      Packet().ipv4(kPeer4, kOurs4, 40).tcp(kPeerPort, kSteeredTcp, "A", 20).text(5),
      tcp6("S"),
      Packet()
          .ipv6(kPeer6, kOurs6)
          .hop_by_hop()
          .routing(0)
          .authentication()
          .fragment(0, false)
          .tcp(kPeerPort, kSteeredTcp, "A"),
      udp4(),
      udp6(),
      Packet().vlan(7).vlan(8).ipv4(kPeer4, kOurs4).tcp(kPeerPort, kSteeredTcp, "A"),
  };
  for (const Packet& packet : whole) {
    const Octets all = packet.bytes();
    for (std::size_t size = 14; size < all.size(); size++) {
      const Outcome outcome = run(Octets(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size)));
      EXPECT_EQ(outcome.reason, "DROP_MALFORMED") << "cut to " << size << " of " << all.size();
    }
  }
}

// The same cuts, with an IP header that admits them: what is left of the transport header is malformed, or there is
// text to spare and the packet is whole.
TEST_F(Parse, CutWithHonestLengths) {
  for (std::size_t left = 0; left <= 20; left++) {
    const auto length = static_cast<std::uint16_t>(left);
    const char* expected = left < 20 ? "DROP_MALFORMED" : "STEER_SYN";
    EXPECT_EQ(reason(tcp4("S").total_length(static_cast<std::uint16_t>(20 + length))), expected) << left;
    EXPECT_EQ(reason(tcp6("S").payload_length(length)), expected) << left;
  }
}

}  // namespace
}  // namespace weir::bpf_test
