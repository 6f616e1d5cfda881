// SPDX-License-Identifier: MIT
// Twenty thousand frames that nobody thought of: each has exactly one reason (run() checks it), and none is steered
// that is tagged, for another station, or not IP.
#include <random>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Mutation : public XdpTest {
 protected:
  static std::vector<Octets> seeds() {
    const Packet sent4 = Packet().ipv4(kOurs4, kPeer4).tcp(kSteeredTcp, kPeerPort, "A");
    const Packet sent6 = Packet().ipv6(kOurs6, kPeer6).destination_options().tcp(kSteeredTcp, kPeerPort, "A");
    std::vector<Octets> all;
    for (const Packet& p : {tcp4("S"), tcp4("A").text(40), tcp6("S"), tcp6("A"), udp4(), udp6(),
                            Packet().ipv4(kPeer4, kOurs4, 24).tcp(kPeerPort, kSteeredTcp, "A", 12),
                            Packet().vlan(7).vlan(8).ipv4(kPeer4, kOurs4).tcp(kPeerPort, kSteeredTcp, "S"),
                            Packet()
                                .ipv6(kPeer6, kOurs6)
                                .hop_by_hop()
                                .routing(0)
                                .authentication()
                                .fragment(0, false)
                                .tcp(1, kSteeredTcp, "A"),
                            Packet().ipv4(kPeer4, kOurs4).fragment(0, true).udp(kPeerPort, kSteeredUdp).text(64),
                            Packet().ipv4(kPeer4, kOurs4).fragment(72, false).protocol(17).text(64),
                            Packet().ipv6(kPeer6, kOurs6).fragment(72, true).protocol(17).text(64),
                            Packet().ipv4(kTransit4, kOurs4).icmp(3, 4).quote(sent4),
                            Packet().ipv6(kTransit6, kOurs6).icmp(2).quote(sent6), Packet(kBroadcastMac).arp()})
      all.push_back(p.bytes());
    return all;
  }

  static bool may_be_steered(const Octets& f) {
    const bool for_us = std::equal(kOurMac.bytes.begin(), kOurMac.bytes.end(), f.begin());
    const unsigned type = static_cast<unsigned>(f[12] << 8 | f[13]);
    return for_us && ((type == 0x0800 && f[14] >> 4 == 4) || (type == 0x86dd && f[14] >> 4 == 6));
  }
};

TEST_F(Mutation, ExactlyOneReasonAFrame) {
  std::mt19937_64 random(20260);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const std::vector<Octets> all = seeds();
  std::map<std::string, int> seen;
  for (int i = 0; i < 20'000; i++) {
    Octets frame = all[below(all.size())];
    if (below(8) == 0) frame.resize(14 + below(frame.size()), static_cast<std::uint8_t>(random()));
    // Most changes go where the headers are, and one in four to a value that means something there.
    constexpr std::uint8_t kMeaning[] = {0, 1, 2, 4, 6, 8, 17, 43, 44, 51, 58, 60, 0x45, 0x4f, 0x60, 0x80, 0x81, 0xff};
    for (std::size_t n = below(4); n > 0; n--) {
      const std::size_t at = below(4) == 0 ? below(frame.size()) : below(std::min<std::size_t>(frame.size(), 64));
      frame[at] = below(4) == 0 ? kMeaning[below(std::size(kMeaning))] : static_cast<std::uint8_t>(random());
    }
    if (below(50) == 0)
      for (std::uint8_t& octet : frame) octet = static_cast<std::uint8_t>(random());
    const Outcome outcome = run(frame);
    seen[outcome.reason]++;
    if (outcome.reason.rfind("STEER_", 0) == 0) {
      ASSERT_TRUE(may_be_steered(frame)) << outcome.reason << " at frame " << i;
    }
    ASSERT_FALSE(HasFailure()) << "at frame " << i;
  }
  // The mutations are worth something only while they reach most of the program.
  EXPECT_GE(seen.size(), 15u);
  for (const auto& [reason, times] : seen) std::printf("  %6d %s\n", times, reason.c_str());
}

}  // namespace
}  // namespace weir::bpf_test
