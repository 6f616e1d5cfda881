// SPDX-License-Identifier: MIT
// Steering: local addresses and stations, acceptors, draining, liveness, queues.
#include <net/if.h>
#include <netinet/in.h>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Steer : public XdpTest {
 protected:
  void flag(std::uint32_t flags, std::uint32_t index = kTcpEntry) {
    edit_entry(index, [&](weir_steer& e) { e.flags = flags; });
  }
  std::uint32_t syns_to_kernel() const { return entry(kTcpEntry).syns_to_kernel; }
};

TEST_F(Steer, OnlyWhatIsOurs) {
  EXPECT_EQ(reason(Packet(kOtherMac).ipv4(kPeer4, kOurs4).tcp(1, kSteeredTcp, "S")), "PASS_OTHER_MAC");
  EXPECT_EQ(reason(Packet(kBroadcastMac).ipv4(kPeer4, kOurs4).udp(1, kSteeredUdp)), "PASS_OTHER_MAC");
  const MacAddress multicast{{0x33, 0x33, 0, 0, 0, 1}};
  EXPECT_EQ(reason(Packet(multicast).ipv6(kPeer6, kOurs6).udp(1, kSteeredUdp)), "PASS_OTHER_MAC");
  for (std::size_t octet = 0; octet < 6; octet++) {
    MacAddress near = kOurMac;
    near.bytes[octet] ^= 1;
    EXPECT_EQ(reason(Packet(near).ipv4(kPeer4, kOurs4).tcp(1, kSteeredTcp, "S")), "PASS_OTHER_MAC") << octet;
  }
  EXPECT_EQ(reason(Packet().ipv4(kPeer4, kTransit4).tcp(1, kSteeredTcp, "S")), "PASS_NOT_LOCAL");
  EXPECT_EQ(reason(Packet().ipv6(kPeer6, kTransit6).tcp(1, kSteeredTcp, "A")), "PASS_NOT_LOCAL");
  EXPECT_EQ(reason(Packet().ipv4(kOurs4, kPeer4).tcp(1, kSteeredTcp, "A")), "PASS_NOT_LOCAL");
}

TEST_F(Steer, AnAddressThatLeftKeepsItsFlowsAndGetsNoNewOnes) {
  add_local(kOurs4, WEIR_LOCAL_LEFT);
  EXPECT_EQ(reason(tcp4("A")), "STEER_SEGMENT");
  EXPECT_EQ(reason(tcp4("R")), "STEER_SEGMENT");
  EXPECT_EQ(reason(tcp4("S")), "PASS_NOT_LOCAL");
  EXPECT_EQ(reason(udp4(kSteeredUdp)), "PASS_NOT_LOCAL");
}

TEST_F(Steer, KeyIsProtocolAndDestinationPort) {
  EXPECT_EQ(reason(tcp4("S", kSteeredUdp)), "PASS_NOT_STEERED");
  EXPECT_EQ(reason(udp4(kSteeredTcp)), "PASS_NOT_STEERED");
  EXPECT_EQ(reason(Packet().ipv4(kPeer4, kOurs4).tcp(kSteeredTcp, kKernelPort, "A")), "PASS_NOT_STEERED");
}

// steer_index and steer are two writes: between them an index may lead to an entry that is free, or another port's.
TEST_F(Steer, AnIndexWithoutItsEntryIsNone) {
  edit_entry(kTcpEntry, [](weir_steer& e) { e.protocol = 0; });
  EXPECT_EQ(reason(tcp4("S")), "PASS_NOT_STEERED");
  edit_entry(kTcpEntry, [](weir_steer& e) { e.protocol = IPPROTO_UDP; });
  EXPECT_EQ(reason(tcp4("S")), "PASS_NOT_STEERED");
  edit_entry(kTcpEntry, [](weir_steer& e) {
    e.protocol = IPPROTO_TCP;
    e.port_be = to_be16(81);
  });
  EXPECT_EQ(reason(tcp4("S")), "PASS_NOT_STEERED");
  index_entry(IPPROTO_TCP, kSteeredTcp, WEIR_MAX_STEER);
  EXPECT_EQ(reason(tcp4("S")), "PASS_NOT_STEERED");
}

TEST_F(Steer, OnlyABareSynOpens) {
  for (const char* flags : {"S", "SP", "SU"}) EXPECT_EQ(reason(tcp4(flags)), "STEER_SYN") << flags;
  for (const char* flags : {"SA", "A", "R", "RA", "F", "FA", "PA", "SF", "SR", ""})
    EXPECT_EQ(reason(tcp4(flags)), "STEER_SEGMENT") << flags;
}

TEST_F(Steer, SegmentsGoToTheEngineWithoutAListener) {
  edit_entry(kTcpEntry, [](weir_steer& e) { e.listeners = 0; });
  EXPECT_EQ(reason(tcp4("A")), "STEER_SEGMENT");
  EXPECT_EQ(reason(tcp4("SA")), "STEER_SEGMENT") << "the answer to an outgoing connection";
  EXPECT_EQ(reason(tcp4("S")), "PASS_SYN_NO_ACCEPTOR");
}

// RFC 9293 3.5: the other side of a simultaneous open.
TEST_F(Steer, ASynOfAReservedPortIsTheEnginesWhoHasBegunThere) {
  edit_entry(kTcpEntry, [](weir_steer& e) {
    e.listeners = 0;
    e.flags = WEIR_STEER_RESERVED | WEIR_STEER_ABSENT_DROP;
  });
  EXPECT_EQ(reason(tcp4("S")), "STEER_SEGMENT");
  EXPECT_EQ(reason(tcp4("SA")), "STEER_SEGMENT");
  beat(0, std::nullopt);
  EXPECT_EQ(reason(tcp4("S")), "PASS_NO_SOCKET") << "it was never offered: never dropped for want of an acceptor";
}

TEST_F(Steer, Draining) {
  flag(WEIR_STEER_DRAINING);
  EXPECT_EQ(reason(tcp4("S")), "PASS_SYN_DRAINING");
  EXPECT_EQ(reason(tcp4("A")), "STEER_SEGMENT");
  flag(WEIR_STEER_DRAINING | WEIR_STEER_ABSENT_DROP);
  EXPECT_EQ(reason(tcp4("S")), "PASS_SYN_DRAINING") << "the kernel's now, whoever is there";
  flag(WEIR_STEER_DRAINING, kUdpEntry);
  EXPECT_EQ(reason(udp4()), "PASS_NOT_STEERED");
}

TEST_F(Steer, DetachingDrainsEveryPort) {
  weir_config c = config();
  c.flags = WEIR_CONFIG_DETACHING;
  set_config(c);
  EXPECT_EQ(reason(tcp4("S")), "PASS_SYN_DRAINING");
  EXPECT_EQ(reason(tcp4("A")), "STEER_SEGMENT");
}

TEST_F(Steer, HeartbeatDecidesWhoIsThere) {
  struct {
    const char* what;
    std::optional<std::uint64_t> age;
    const char *syn, *segment, *datagram;
  } cases[] = {
      {"fresh", 0, "STEER_SYN", "STEER_SEGMENT", "STEER_DATAGRAM"},
      {"silent", kSecond + kSecond / 20, "PASS_SYN_STALE", "STEER_SEGMENT", "PASS_NO_SOCKET"},
      {"stopped", 3 * kSecond + kSecond / 20, "PASS_SYN_STALE", "DROP_STALE", "PASS_NO_SOCKET"},
      {"left", std::nullopt, "PASS_SYN_NO_ACCEPTOR", "PASS_NO_SOCKET", "PASS_NO_SOCKET"},
  };
  for (const auto& c : cases) {
    beat(0, c.age);
    EXPECT_EQ(reason(tcp4("S")), c.syn) << c.what;
    EXPECT_EQ(reason(tcp6("A")), c.segment) << c.what;
    EXPECT_EQ(reason(udp4()), c.datagram) << c.what;
  }
}

TEST_F(Steer, ABeatFromAClockSlightlyAheadIsFresh) {
  beat(0, static_cast<std::uint64_t>(-static_cast<std::int64_t>(kSecond)));
  EXPECT_EQ(reason(tcp4("S")), "STEER_SYN");
  EXPECT_EQ(reason(tcp4("A")), "STEER_SEGMENT");
}

TEST_F(Steer, AbsentDrop) {
  flag(WEIR_STEER_ABSENT_DROP);
  flag(WEIR_STEER_ABSENT_DROP, kUdpEntry);
  EXPECT_EQ(reason(tcp4("S")), "STEER_SYN");
  EXPECT_EQ(reason(udp4()), "STEER_DATAGRAM");
  beat(0, 2 * kSecond);
  EXPECT_EQ(reason(tcp4("S")), "DROP_ABSENT");
  EXPECT_EQ(reason(udp4()), "DROP_ABSENT");
  beat(0, std::nullopt);
  EXPECT_EQ(reason(tcp4("S")), "DROP_ABSENT");
  beat(0, 0);
  remove_socket(0);
  EXPECT_EQ(reason(tcp4("S")), "DROP_ABSENT");
  EXPECT_EQ(reason(udp4()), "DROP_ABSENT");
  EXPECT_EQ(reason(tcp4("A")), "PASS_NO_SOCKET");
  put_socket(0);
  edit_entry(kTcpEntry, [](weir_steer& e) { e.listeners = 0; });
  EXPECT_EQ(reason(tcp4("S")), "DROP_ABSENT");
  EXPECT_EQ(syns_to_kernel(), 0u) << "none of them reached the kernel";
}

TEST_F(Steer, WithoutASocketTheKernelHasTheFrame) {
  remove_socket(0);
  EXPECT_EQ(reason(tcp4("S")), "PASS_NO_SOCKET");
  EXPECT_EQ(reason(tcp4("A")), "PASS_NO_SOCKET");
  EXPECT_EQ(reason(udp6()), "PASS_NO_SOCKET");
  beat(0, 4 * kSecond);
  EXPECT_EQ(reason(tcp4("A")), "PASS_NO_SOCKET") << "no ring that could fill";
}

TEST_F(Steer, EverySynThatFallsToTheKernelIsNoted) {
  edit_entry(kTcpEntry, [](weir_steer& e) { e.syns_to_kernel = e.kernel_clear = 7; });
  run(tcp4("S"));
  EXPECT_EQ(syns_to_kernel(), 7u) << "steered";
  beat(0, 2 * kSecond);
  run(tcp4("S"));
  EXPECT_EQ(syns_to_kernel(), 8u) << "stale";
  run(tcp4("A"));
  EXPECT_EQ(syns_to_kernel(), 8u) << "not a SYN";
  beat(0, std::nullopt);
  run(tcp6("S"));
  EXPECT_EQ(syns_to_kernel(), 9u) << "no engine";
  beat(0, 0);
  flag(WEIR_STEER_DRAINING);
  run(tcp4("S"));
  EXPECT_EQ(syns_to_kernel(), 10u) << "draining";
  flag(0);
  remove_socket(0);
  run(tcp4("S"));
  EXPECT_EQ(syns_to_kernel(), 11u) << "no socket";
  put_socket(0);
  run(Packet().ipv4(kPeer4, kTransit4).tcp(1, kSteeredTcp, "S"));
  EXPECT_EQ(syns_to_kernel(), 12u) << "an address that may become local in the connection's life";
  set_filter(0, {rule(WEIR_ACTION_PASS, 0)});
  run(tcp4("S"));
  run(tcp4("A"));
  EXPECT_EQ(syns_to_kernel(), 13u) << "a rule that may go in the connection's life";
  set_filter(0, {rule(WEIR_ACTION_DROP, 0)});
  run(tcp4("S"));
  set_filter(0, {});
  run(tcp4("S", kKernelPort));
  EXPECT_EQ(syns_to_kernel(), 13u) << "dropped, or of another port";
  EXPECT_EQ(entry(kTcpEntry).kernel_clear, 7u) << "the engine's field";
}

TEST_F(Steer, CountsByEntryWhatItSteered) {
  run(tcp4("S"));
  run(tcp6("A"));
  run(udp4());
  beat(0, std::nullopt);
  run(tcp4("S"));
  EXPECT_EQ(steer_packets(kTcpEntry), 2u);
  EXPECT_EQ(steer_packets(kUdpEntry), 1u);
}

TEST_F(Steer, EachQueueHasItsOwnEngine) {
  ASSERT_TRUE(ip("link add wq0 numrxqueues 4 numtxqueues 4 type veth peer name wq1 numrxqueues 4 numtxqueues 4"));
  const unsigned ifindex = if_nametoindex("wq0");
  ASSERT_NE(ifindex, 0u);
  const Arrival queue2{2, ifindex};
  EXPECT_EQ(reason(tcp4("S"), Arrival{0, ifindex}), "STEER_SYN");
  EXPECT_EQ(reason(tcp4("S"), queue2), "PASS_SYN_NO_ACCEPTOR");
  EXPECT_EQ(reason(tcp4("A"), queue2), "PASS_NO_SOCKET");
  edit_entry(kTcpEntry, [](weir_steer& e) { e.listeners |= 1u << 2; });
  EXPECT_EQ(reason(tcp4("S"), queue2), "PASS_SYN_NO_ACCEPTOR") << "a listener, and no heartbeat";
  beat(2, 0);
  EXPECT_EQ(reason(tcp4("S"), queue2), "PASS_NO_SOCKET");
  put_socket(2);
  EXPECT_EQ(reason(tcp4("S"), queue2), "STEER_SYN");
  EXPECT_EQ(reason(tcp4("A"), queue2), "STEER_SEGMENT");
  beat(0, std::nullopt);
  remove_socket(0);
  EXPECT_EQ(reason(tcp4("S"), queue2), "STEER_SYN") << "queue 0's engine is gone, queue 2's is not";
  EXPECT_EQ(reason(tcp4("S"), Arrival{0, ifindex}), "PASS_SYN_NO_ACCEPTOR");
}

}  // namespace
}  // namespace weir::bpf_test
