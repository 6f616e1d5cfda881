// SPDX-License-Identifier: MIT
// Requests to explain: the answer is what a frame of the wire would meet, and nothing remembers that it was asked.
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Explain : public XdpTest {
 protected:
  void SetUp() override {
    XdpTest::SetUp();
    if (IsSkipped()) return;
    weir_config c = config();
    c.explain_key = kExplainKey;
    set_config(c);
  }

  std::string asked(const Packet& p) {
    const Explained a = ask(p.bytes());
    EXPECT_TRUE(a.answered);
    return a.answered ? reason_id(a.words.reason) : "";
  }

  // One of each way through the program, of both families.
  static std::vector<Packet> packets() {
    std::vector<Packet> out = {Packet(kBroadcastMac).arp(),
                               tcp4("S"),
                               tcp4("A"),
                               tcp6("S"),
                               tcp6("SA"),
                               udp4(),
                               udp6(),
                               tcp4("S", kKernelPort),
                               tcp6("A", kKernelPort),
                               udp4(53),
                               tcp4("S").fragment(0, true),
                               udp6().fragment(0, true),
                               Packet().vlan(7).ipv4(kPeer4, kOurs4).tcp(1, kSteeredTcp, "S"),
                               Packet().vlan(1).vlan(2).vlan(3).arp(),
                               Packet(kOtherMac).ipv4(kPeer4, kOurs4).tcp(1, kSteeredTcp, "S"),
                               Packet().ipv4(kPeer4, kTransit4).tcp(1, kSteeredTcp, "S"),
                               Packet().ipv4(kPeer4, kOurs4).icmp(8).text(8),
                               Packet().ipv6(kPeer6, kOurs6).icmp(135).text(16),
                               Packet().ipv6(kPeer6, kOurs6).icmp(128).text(16),
                               Packet()
                                   .ipv4(kTransit4, kOurs4)
                                   .icmp(3, 4)
                                   .quote(Packet().ipv4(kOurs4, kPeer4).tcp(kSteeredTcp, kPeerPort, "A")),
                               Packet().ipv4(kPeer4, kOurs4).protocol(47).text(20),
                               Packet().ipv6(kPeer6, kOurs6).fragment(800, false).text(8),
                               tcp4("S").data_offset(3),
                               Packet().ethertype(0x88cc).text(30)};
    return out;
  }
};

TEST_F(Explain, SaysWhatTheWireWouldMeet) {
  const auto same_for_all = [&](const char* when) {
    int number = 0;
    for (const Packet& p : packets()) {
      const Explained a = ask(p.bytes());
      const Outcome met = run(p);
      EXPECT_TRUE(a.answered) << when << number;
      EXPECT_EQ(reason_id(a.words.reason), met.reason) << when << number;
      EXPECT_EQ(a.action, met.action) << when << number;
      ++number;
    }
  };
  same_for_all("no rules, ");
  beat(0, 2 * kSecond);
  same_for_all("a silent engine, ");
  beat(0, 4 * kSecond);
  same_for_all("a stopped engine, ");
  beat(0, 0);
  remove_socket(0);
  same_for_all("no socket, ");
  set_filter(0, {rule(WEIR_ACTION_DROP, 0)});
  same_for_all("all refused, ");
}

TEST_F(Explain, NamesTheRuleTheSlotAndTheEntry) {
  weir_rule port = rule(WEIR_ACTION_PASS, 1);
  port.fields = 1u << WEIR_FIELD_PROTOCOL;
  port.protocol = 17;
  set_filter(1, {rule(WEIR_ACTION_DROP, 0)});
  set_filter(0, {port});
  weir_explanation e = ask(udp4().bytes()).words;
  EXPECT_EQ(e.rule, 0u);
  EXPECT_EQ(e.slot, 0u);
  e = ask(tcp4("S").bytes()).words;
  EXPECT_EQ(e.rule, WEIR_NONE);
  EXPECT_EQ(e.slot, 0u);
  EXPECT_EQ(e.steer, kTcpEntry);
  EXPECT_EQ(e.fragment, WEIR_FRAGMENT_NONE);
  e = ask(Packet().ipv6(kPeer6, kOurs6).icmp(135).text(16).bytes()).words;
  EXPECT_EQ(e.slot, WEIR_NO_SLOT) << "the filter is not asked";
  EXPECT_EQ(e.steer, WEIR_NONE);
  EXPECT_EQ(ask(tcp4("S").fragment(0, true).bytes()).words.fragment, WEIR_FRAGMENT_FIRST);
  const auto transport = [&](const Packet& p) { return ask(p.bytes()).words.l4_offset; };
  EXPECT_EQ(transport(tcp4("S")), 34u);
  EXPECT_EQ(transport(Packet().vlan(7).ipv4(kPeer4, kOurs4, 24).tcp(1, kSteeredTcp, "S")), 14u + 4 + 20 + 24);
  EXPECT_EQ(transport(udp6()), 54u);
  EXPECT_EQ(transport(Packet().ipv6(kPeer6, kOurs6).destination_options().tcp(1, 2, "S")), 62u);
  EXPECT_EQ(transport(Packet().ipv4(kPeer4, kOurs4).protocol(6).text(16).fragment(800, false)), 0u);
  weir_config c = config();
  c.filter_selector = 1;
  set_config(c);
  e = ask(udp4().bytes()).words;
  EXPECT_EQ(e.rule, 0u);
  EXPECT_EQ(e.slot, 1u);
  EXPECT_EQ(reason_id(e.reason), "DROP_FILTER");
}

TEST_F(Explain, LeavesNoTrace) {
  weir_rule limited = rule(WEIR_ACTION_PASS, 5);
  limited.fields = 1u << WEIR_FIELD_PROTOCOL;
  limited.protocol = 17;
  limited.limit = WEIR_LIMIT_PACKETS;
  limited.rate = 1;
  limited.burst = 2;
  weir_rule each = limited;
  each.counter = 6;
  each.protocol = 1;
  each.limit = WEIR_LIMIT_PACKETS | WEIR_LIMIT_PER_SOURCE;
  set_filter(0, {limited, each});
  const Packet echo = Packet().ipv4(kPeer4, kOurs4).icmp(8).text(8);
  const std::uint32_t kernel_syns = entry(kTcpEntry).syns_to_kernel;
  beat(0, std::nullopt);  // SYNs fall to the kernel
  const auto before = all_counted();
  for (int i = 0; i < 10; i++) {
    EXPECT_EQ(asked(udp4()), "PASS_FILTER");
    EXPECT_EQ(asked(echo), "PASS_FILTER");
    EXPECT_EQ(asked(tcp4("S")), "PASS_SYN_NO_ACCEPTOR");
  }
  EXPECT_EQ(all_counted(), before);
  EXPECT_EQ(rule_packets(5) + rule_packets(6) + steer_packets(kTcpEntry), 0u);
  EXPECT_EQ(entry(kTcpEntry).syns_to_kernel, kernel_syns);
  // The buckets are as full as they were; what is beyond them is said, and not charged either.
  for (const Packet& p : {udp4(), echo}) {
    EXPECT_EQ(reason(p), "PASS_FILTER");
    EXPECT_EQ(reason(p), "PASS_FILTER");
    EXPECT_EQ(asked(p), "DROP_LIMIT");
    EXPECT_EQ(reason(p), "DROP_LIMIT");
  }
  // Neither are fragments remembered, nor forgotten.
  beat(0, 0);
  const auto first = [] { return tcp4("S").fragment(0, true, 77); };
  const auto later = [] { return Packet().ipv4(kPeer4, kOurs4).protocol(6).text(16).fragment(800, false, 77); };
  EXPECT_EQ(asked(first()), "STEER_SYN");
  EXPECT_EQ(reason(later()), "PASS_FRAG_UNKNOWN");
  EXPECT_EQ(reason(first()), "STEER_SYN");
  EXPECT_EQ(asked(tcp4("S", kKernelPort).fragment(0, true, 77)), "PASS_NOT_STEERED");
  EXPECT_EQ(asked(later()), "STEER_FRAGMENT");
  EXPECT_EQ(reason(later()), "STEER_FRAGMENT");
}

// A driver's metadata, or another program's, is no request: the frame counts.
TEST_F(Explain, OtherMetadataIsNoRequest) {
  const auto counts = [&](std::uint64_t key, std::size_t size) {
    const std::uint64_t before = all_counted();
    const Explained a = ask(udp4(53).bytes(), key, size);
    EXPECT_FALSE(a.answered);
    EXPECT_EQ(a.action, std::uint32_t{XDP_PASS});
    return all_counted() - before;
  };
  EXPECT_EQ(counts(kExplainKey + 1, 32), 1u);
  EXPECT_EQ(counts(kExplainKey, 28), 1u);
  EXPECT_EQ(counts(kExplainKey, 8), 1u);
  EXPECT_EQ(counts(kExplainKey, 4), 1u);
  weir_config c = config();
  c.explain_key = 0;
  set_config(c);
  EXPECT_EQ(counts(0, 4), 1u) << "without a key there are no requests";
  const std::uint64_t before = all_counted();
  static_cast<void>(ask(udp4(53).bytes(), 0));
  EXPECT_EQ(all_counted() - before, 1u);
}

}  // namespace
}  // namespace weir::bpf_test
