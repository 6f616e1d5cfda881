// SPDX-License-Identifier: MIT
// Which connection, listener or reason a frame comes to.
#include <map>

#include "stack_fixture.h"
#include "weir/stack/flow_key.h"

namespace weir::stack {
namespace {

class StackDemux : public StackBothFamilies {
 protected:
  void SetUp() override { start(); }
};
INSTANTIATE_TEST_SUITE_P(Families, StackDemux, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackDemux, ASynToAListenerIsAnsweredToTheMacItCameFrom) {
  listen();
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .options = with_mss(1'460)}), WEIR_R_TAKEN_TCP);
  Out out = only();
  EXPECT_EQ(letters(out.flags), "SA");
  EXPECT_EQ(out.ack, 1'001u);
  EXPECT_EQ(out.to, kPeerMac);
  EXPECT_EQ(out.src, us(family));
  EXPECT_EQ(out.dst, peer(family));
  EXPECT_EQ(out.src_port, 80);
  EXPECT_EQ(out.dst_port, 40'000);
  EXPECT_EQ(out.options.mss, family == Family::v4 ? 1'460 : 1'440);
  EXPECT_FALSE(stack->poll_next_hop_query()) << "a spoofed SYN must cost no look-up";
}

TEST_P(StackDemux, TheHandshakeEndsInTheAcceptQueue) {
  ListenerId listener = listen();
  give({.flags = "S", .seq = 1'000});
  Out syn_ack = only();
  EXPECT_FALSE(stack->accept(listener));
  EXPECT_TRUE(events().listeners.empty());
  EXPECT_EQ(stack->list_listeners().at(0).pending, 1u);

  EXPECT_EQ(give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(stack->list_listeners().at(0).pending, 0u);
  EXPECT_EQ(stack->list_listeners().at(0).queued, 1u);
  Seen seen = events();
  ASSERT_EQ(seen.listeners.size(), 1u);
  EXPECT_EQ(seen.listeners[0], listener);
  EXPECT_TRUE(seen.connections.empty()) << "nobody has accepted it yet";

  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  EXPECT_EQ(stack->remote_endpoint(*id), (Endpoint{peer(family), 40'000}));
  EXPECT_EQ(stack->local_endpoint(*id), (Endpoint{us(family), 80}));
  EXPECT_EQ(stack->flows(80), 1u);
  seen = events();
  ASSERT_EQ(seen.connections.size(), 1u) << "what already holds is told on accept";
  EXPECT_EQ(seen.connections[0].connection, *id);
  EXPECT_EQ(seen.connections[0].readiness, tcp::kConnected | tcp::kWritable);
  EXPECT_FALSE(stack->accept(listener));
}

TEST_P(StackDemux, TextBeforeAcceptIsThereAfterIt) {
  ListenerId listener = listen();
  give({.flags = "S", .seq = 1'000});
  Out syn_ack = only();
  give({.flags = "PA", .seq = 1'001, .ack = syn_ack.seq + 1, .text = 5});
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  EXPECT_EQ(stack->readable_bytes(*id), 5u);
  EXPECT_NE(events().connections.at(0).readiness & tcp::kReadable, 0);
}

TEST_P(StackDemux, AListenerOnOneAddressServesThatAlone) {
  ASSERT_TRUE(stack->listen({us(family), 81}, 4).ok());
  ASSERT_TRUE(stack->listen({us(family == Family::v4 ? Family::v6 : Family::v4), 82}, 4).ok());
  EXPECT_EQ(give({.flags = "S", .to_port = 81}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(give({.flags = "S", .to_port = 82}), WEIR_R_LOST_NO_CONNECTION);
}

TEST_P(StackDemux, APortIsListenedOnOnce) {
  listen();
  EXPECT_EQ(stack->listen({us(family), 80}, 4).error(), Errc::address_in_use);
  EXPECT_EQ(stack->listen({IpAddress{}, 80}, 4).error(), Errc::address_in_use);
  EXPECT_EQ(stack->listen({peer(family), 81}, 4).error(), Errc::address_unavailable);
  ASSERT_TRUE(stack->listen({us(Family::v4), 81}, 4).ok());
  EXPECT_TRUE(stack->listen({us(Family::v6), 81}, 4).ok());
  EXPECT_EQ(stack->listen({IpAddress{}, 81}, 4).error(), Errc::address_in_use);
}

// RFC 9293 3.10.7.1: the numbers of a RST for a segment that belongs to no connection.
TEST_P(StackDemux, AClosedPortAnswersWithTheNumbersOfTheRfc) {
  struct Case {
    In in;
    std::string answer;
  };
  std::vector<Case> cases{
      {{.flags = "S", .seq = 500}, "RA 0:0(0) ack 501"},
      {{.flags = "", .seq = 500, .text = 10}, "RA 0:0(0) ack 510"},
      {{.flags = "F", .seq = 500, .text = 10}, "RA 0:0(0) ack 511"},
      {{.flags = "SF", .seq = 500}, "RA 0:0(0) ack 502"},
      {{.flags = "S", .seq = 0xffffffff}, "RA 0:0(0) ack 0"},
      {{.flags = "A", .seq = 500, .ack = 900}, "R 900:900(0)"},
      {{.flags = "PA", .seq = 500, .ack = 900, .text = 10}, "R 900:900(0)"},
      {{.flags = "SA", .seq = 500, .ack = 900}, "R 900:900(0)"},
      {{.flags = "FA", .seq = 500, .ack = 900}, "R 900:900(0)"},
  };
  for (Case& c : cases) {
    SCOPED_TRACE(std::string(c.in.flags));
    c.in.to_port = 81;
    EXPECT_EQ(give(c.in), WEIR_R_LOST_NO_CONNECTION);
    EXPECT_EQ(described(), c.answer);
  }
}

TEST_P(StackDemux, AResetIsNeverAnswered) {
  listen();
  for (std::string_view f : {"R", "RA", "SR", "RF"}) {
    for (std::uint16_t port : {std::uint16_t{80}, std::uint16_t{81}}) {
      EXPECT_EQ(give({.flags = f, .seq = 5, .ack = 7, .to_port = port}), WEIR_R_LOST_STRAY_RST);
    }
  }
  EXPECT_EQ(described(), "");
}

// RFC 9293 3.10.7.2
TEST_P(StackDemux, AListenerTakesSynsAlone) {
  listen();
  EXPECT_EQ(give({.flags = "A", .seq = 5, .ack = 77}), WEIR_R_LOST_NO_CONNECTION);
  EXPECT_EQ(described(), "R 77:77(0)");
  EXPECT_EQ(give({.flags = "SA", .seq = 5, .ack = 77}), WEIR_R_LOST_NO_CONNECTION);
  EXPECT_EQ(described(), "R 77:77(0)");
  for (std::string_view f : {"", "F", "P", "SF"}) EXPECT_EQ(give({.flags = f, .seq = 5}), WEIR_R_LOST_BAD_FLAGS) << f;
  EXPECT_EQ(described(), "");
  EXPECT_EQ(stack->connections(), 0u);
}

TEST_P(StackDemux, TheBacklogCountsHandshakesAndTheAcceptQueue) {
  Config c = default_config();
  c.syn_cookies = SynCookies::never;
  start(c);
  ListenerId listener = listen(2);
  give({.flags = "S", .seq = 1'000, .port = 1});
  Out first = only();
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 2}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 3}), WEIR_R_LOST_BACKLOG_FULL);
  give({.flags = "A", .seq = 1'001, .ack = first.seq + 1, .port = 1});
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 3}), WEIR_R_LOST_BACKLOG_FULL);
  ASSERT_TRUE(stack->accept(listener));
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 3}), WEIR_R_TAKEN_TCP);
}

TEST_P(StackDemux, AHandshakeThatIsResetLeavesTheBacklog) {
  listen(1);
  give({.flags = "S", .seq = 1'000});
  sent();
  EXPECT_EQ(give({.flags = "R", .seq = 1'001}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(stack->connections(), 0u);
  EXPECT_EQ(stack->flows(80), 0u);
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 2}), WEIR_R_TAKEN_TCP);
}

TEST_P(StackDemux, AHandshakeThatIsNeverAnsweredIsGivenUp) {
  listen(1);
  give({.flags = "S", .seq = 1'000});
  int syn_acks = static_cast<int>(sent().size());
  for (int s = 0; s < 200 && stack->connections() != 0; ++s) {
    advance(Duration::seconds(1));
    syn_acks += static_cast<int>(sent().size());
  }
  EXPECT_EQ(stack->connections(), 0u);
  EXPECT_EQ(syn_acks, 1 + config.tcp.syn_ack_retries);
  EXPECT_EQ(stack->next_deadline(), Instant::never());
}

TEST_P(StackDemux, ConnectionsAreBounded) {
  Config c = default_config();
  c.max_connections = 2;
  start(c);
  listen();
  EXPECT_EQ(give({.flags = "S", .port = 1}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(give({.flags = "S", .port = 2}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(give({.flags = "S", .port = 3}), WEIR_R_LOST_NO_MEMORY);
  EXPECT_EQ(stack->connect({us(family), 50'000}, {peer(family), 80}, now).error(), Errc::no_memory);
}

TEST_P(StackDemux, RepliesAreBounded) {
  Config c = default_config();
  c.max_replies = 2;
  start(c);
  EXPECT_EQ(give({.flags = "S"}), WEIR_R_LOST_NO_CONNECTION);
  EXPECT_EQ(give({.flags = "S"}), WEIR_R_LOST_NO_CONNECTION);
  EXPECT_EQ(give({.flags = "S"}), WEIR_R_LOST_REPLY_LIMIT);
  EXPECT_EQ(sent().size(), 2u);
  EXPECT_EQ(give({.flags = "S"}), WEIR_R_LOST_NO_CONNECTION);
}

TEST_P(StackDemux, SynsThatWaitedForALapsedEngineAreDiscarded) {
  ListenerId listener = listen();
  RxInfo lapsed;
  lapsed.discard_syn = true;
  EXPECT_EQ(give({.flags = "S"}, lapsed), WEIR_R_LOST_SYN_LAPSED);
  EXPECT_EQ(described(), "");
  Peer p = establish(listener);
  EXPECT_EQ(give({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 3}, lapsed), WEIR_R_TAKEN_TCP);
}

TEST_P(StackDemux, AFlowIsFoundByTheHashThatXdpHandsOn) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  RxInfo info;
  info.flow_hash = flow_hash({us(family), peer(family), 80, 40'000}, config.hash_key);
  EXPECT_EQ(give({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 3}, info), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(stack->readable_bytes(p.id), 3u);
  info.flow_hash = *info.flow_hash + 1;
  EXPECT_EQ(give({.flags = "PA", .seq = p.seq + 3, .ack = p.ack, .text = 3}, info), WEIR_R_TAKEN_TCP)
      << "a hash made with another key costs time, and no connection";
  EXPECT_EQ(give({.flags = "S", .seq = 1, .port = 40'001}, info), WEIR_R_TAKEN_TCP);
  info.flow_hash.reset();
  EXPECT_EQ(give({.flags = "R", .seq = 2, .port = 40'001}, info), WEIR_R_TAKEN_TCP);
}

// RFC 6191, RFC 1122 4.2.2.13
TEST_P(StackDemux, ANewerSynTakesThePlaceOfATimeWait) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  stack->close(p.id, now);
  Out fin = only();
  ASSERT_EQ(letters(fin.flags), "FA");
  give({.flags = "FA", .seq = p.seq, .ack = fin.seq + 1});
  EXPECT_EQ(described(), "A " + std::to_string(fin.seq + 1) + ":" + std::to_string(fin.seq + 1) + "(0) ack " +
                             std::to_string(p.seq + 1));
  EXPECT_EQ(stack->connections(), 1u);
  EXPECT_EQ(stack->flows(80), 0u) << "TIME-WAIT is not a flow";

  // An older one is a stray duplicate: re-acknowledged.
  give({.flags = "S", .seq = p.seq - 100});
  EXPECT_EQ(letters(only().flags), "A");
  EXPECT_EQ(give({.flags = "S", .seq = p.seq + 100}), WEIR_R_TAKEN_TCP);
  Out syn_ack = only();
  EXPECT_EQ(letters(syn_ack.flags), "SA");
  EXPECT_GT(static_cast<std::int32_t>(syn_ack.seq - fin.seq), 0) << "behind all that the old one used";
  EXPECT_EQ(stack->connections(), 1u);
  EXPECT_EQ(stack->flows(80), 1u);
}

TEST_P(StackDemux, TimeWaitEnds) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  stack->close(p.id, now);
  Out fin = only();
  give({.flags = "FA", .seq = p.seq, .ack = fin.seq + 1});
  sent();
  advance(Duration::milliseconds(59'900));
  EXPECT_EQ(stack->connections(), 1u);
  advance(Duration::milliseconds(200));
  EXPECT_EQ(stack->connections(), 0u);
  EXPECT_EQ(stack->next_deadline(), Instant::never());
}

// --- what is refused before TCP ---

TEST_P(StackDemux, FramesForOthersAndMartiansAreNotOurs) {
  listen();
  auto tcp = segment({.flags = "S"});
  auto whole = packet(tcp, wire::IpProtocol::tcp);
  EXPECT_EQ(give(frame(whole, kPeerMac, kRouterMac)), WEIR_R_LOST_NOT_OURS);
  EXPECT_EQ(give(frame(whole, kPeerMac, MacAddress{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}})), WEIR_R_LOST_NOT_OURS);
  EXPECT_EQ(give(frame(packet(tcp, wire::IpProtocol::tcp, {}, peer(family)))), WEIR_R_LOST_NOT_OURS);
  std::vector<std::string_view> martians =
      family == Family::v4 ? std::vector<std::string_view>{"127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0"}
                           : std::vector<std::string_view>{"::1", "ff02::1", "::"};
  for (std::string_view m : martians) {
    EXPECT_EQ(give(frame(packet(tcp, wire::IpProtocol::tcp, IpAddress::parse(m)))), WEIR_R_LOST_NOT_OURS) << m;
  }
  EXPECT_EQ(described(), "");
}

TEST_P(StackDemux, ManyLocalAddressesAreAllOurs) {
  std::vector<IpAddress> ours;
  for (std::uint8_t n = 200; n > 100; --n) ours.push_back(IpAddress::v4(198, 51, 100, n));
  ours.push_back(us(family));
  stack->set_local_addresses(ours);
  listen();
  EXPECT_EQ(give({.flags = "S"}), WEIR_R_TAKEN_TCP);
  auto tcp = segment({.flags = "S"});
  EXPECT_EQ(give(frame(packet(tcp, wire::IpProtocol::tcp, {}, peer(family)))), WEIR_R_LOST_NOT_OURS);
}

TEST_P(StackDemux, OurOwnAddressIsNoSource) {
  listen();
  wire::TcpHeader h;
  h.src_port = 80;
  h.dst_port = 80;
  h.flags = wire::kSyn;
  std::vector<std::byte> tcp(h.size());
  h.write(tcp, us(family), us(family));
  EXPECT_EQ(give(frame(packet(tcp, wire::IpProtocol::tcp, us(family)))), WEIR_R_LOST_NOT_OURS);
}

TEST_P(StackDemux, WrongChecksumsAreCounted) {
  listen();
  auto bytes = frame(In{.flags = "S"});
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(give(bytes), WEIR_R_LOST_CHECKSUM);
  if (family == Family::v4) {
    bytes = frame(In{.flags = "S"});
    bytes[14 + 8] ^= std::byte{1};  // TTL
    EXPECT_EQ(give(bytes), WEIR_R_LOST_CHECKSUM);
  }
}

TEST_P(StackDemux, APartialChecksumIsTakenWhereTheLinkHasThem) {
  auto tcp = segment({.flags = "S"});
  auto pseudo =
      wire::pseudo_header(peer(family), us(family), wire::IpProtocol::tcp, static_cast<std::uint32_t>(tcp.size()));
  store_be(tcp.data() + 16, pseudo.sum());
  listen();
  EXPECT_EQ(give(frame(packet(tcp, wire::IpProtocol::tcp))), WEIR_R_LOST_CHECKSUM);
  Config c = default_config();
  c.checksum = wire::ChecksumPolicy::verify_or_partial;
  start(c);
  listen();
  EXPECT_EQ(give(frame(packet(tcp, wire::IpProtocol::tcp))), WEIR_R_TAKEN_TCP);
}

TEST_P(StackDemux, WhatIsNotServedIsNamed) {
  std::array<std::byte, 12> some{};
  EXPECT_EQ(give(frame(packet(some, wire::IpProtocol::udp))), WEIR_R_LOST_PROTOCOL);
  auto arp = frame(packet(some, wire::IpProtocol::udp));
  store_be(arp.data() + 12, std::uint16_t{0x0806});
  EXPECT_EQ(give(arp), WEIR_R_LOST_PROTOCOL);
  auto other_version = frame(packet(some, wire::IpProtocol::udp));
  store_be(other_version.data() + 12, family == Family::v4 ? std::uint16_t{0x86dd} : std::uint16_t{0x0800});
  EXPECT_EQ(give(other_version), WEIR_R_LOST_MALFORMED);
  EXPECT_EQ(give(ConstBytes(arp).first(13)), WEIR_R_LOST_MALFORMED);
  EXPECT_EQ(give(frame(packet(ConstBytes(some).first(8), wire::IpProtocol::tcp))), WEIR_R_LOST_MALFORMED);
}

TEST_P(StackDemux, ShortFramesMayBePadded) {
  listen();
  auto bytes = frame(In{.flags = "S"});
  bytes.resize(bytes.size() + 6);
  EXPECT_EQ(give(bytes), WEIR_R_TAKEN_TCP);
}

// RFC 4942 2.2: ::ffff:192.0.2.2 on the wire would be found as the IPv4 peer.
TEST(StackDemuxMapped, AMappedAddressOnTheWireIsMalformed) {
  Config c;
  c.medium = Medium::ip;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters{};
  Stack stack(c, {}, 1, counters);
  std::array<std::byte, 60> packet{};
  packet[0] = std::byte{0x60};
  packet[5] = std::byte{20};
  packet[6] = std::byte{6};
  packet[8 + 10] = packet[8 + 11] = std::byte{0xff};
  packet[24] = std::byte{0x20};
  stack.on_frame(packet, {}, Instant{});
  EXPECT_EQ(counters[WEIR_R_LOST_MALFORMED], 1u);
}

TEST_P(StackDemux, BareIpPacketsWorkWithoutNextHops) {
  Config c = default_config();
  c.medium = Medium::ip;
  start(c);
  listen();
  EXPECT_EQ(give(packet(segment({.flags = "S"}), wire::IpProtocol::tcp)), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(letters(only().flags), "SA");
  ASSERT_TRUE(stack->connect({us(family), 50'000}, {peer(family), 80}, now).ok());
  EXPECT_EQ(letters(only().flags), "S");
  EXPECT_FALSE(stack->poll_next_hop_query());
}

// --- letting go ---

TEST_P(StackDemux, ClosingAListenerResetsWhatNobodyHas) {
  ListenerId listener = listen();
  give({.flags = "S", .seq = 1'000, .port = 1});
  Out pending = only();
  give({.flags = "S", .seq = 1'000, .port = 2});
  Out queued = only();
  give({.flags = "A", .seq = 1'001, .ack = queued.seq + 1, .port = 2});
  Peer accepted = establish(listener, 3);
  // accept() gave the oldest: the connection of port 2.
  EXPECT_EQ(stack->remote_endpoint(accepted.id).port, 2);

  stack->close_listener(listener, now);
  auto out = sent();
  ASSERT_EQ(out.size(), 2u);
  for (const Out& o : out) EXPECT_TRUE(o.flags.rst());
  EXPECT_EQ(out[0].dst_port, 1);
  EXPECT_EQ(out[0].seq, pending.seq + 1);
  EXPECT_EQ(out[1].dst_port, 3);
  EXPECT_EQ(stack->connections(), 1u);
  EXPECT_EQ(stack->error(accepted.id), tcp::Errc::none);
  EXPECT_FALSE(stack->accept(listener));
  EXPECT_EQ(give({.flags = "S", .port = 9}), WEIR_R_LOST_NO_CONNECTION);
  EXPECT_TRUE(stack->listen({IpAddress{}, 80}, 4).ok()) << "the port is free, and its connections go on";
}

TEST_P(StackDemux, AbortAllResetsEveryPeerAndTellsEveryUser) {
  ListenerId listener = listen();
  Peer a = establish(listener, 1);
  Peer b = establish(listener, 2);
  stack->abort_all(now);
  auto out = sent();
  ASSERT_EQ(out.size(), 2u);
  EXPECT_TRUE(out[0].flags.rst() && out[1].flags.rst());
  auto seen = events();
  ASSERT_EQ(seen.connections.size(), 2u);
  for (const Event& e : seen.connections) EXPECT_NE(e.readiness & tcp::kFailed, 0);
  EXPECT_EQ(stack->error(a.id), tcp::Errc::aborted);
  stack->close(a.id, now);
  stack->close(b.id, now);
  EXPECT_EQ(stack->connections(), 0u);
  EXPECT_EQ(stack->flows(80), 0u);
}

TEST_P(StackDemux, AStaleIdIsHarmless) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  stack->abort(p.id, now);
  sent();
  ASSERT_EQ(stack->connections(), 0u);
  Peer next = establish(listener);
  ASSERT_EQ(next.id.index, p.id.index) << "the place is used again, the id is not";
  EXPECT_NE(next.id, p.id);
  std::array<std::byte, 4> bytes{};
  EXPECT_EQ(stack->write(p.id, bytes, now), 0u);
  EXPECT_EQ(stack->read(p.id, bytes, now), 0u);
  EXPECT_EQ(stack->readiness(p.id), 0);
  EXPECT_EQ(stack->error(p.id), tcp::Errc::none);
  EXPECT_EQ(stack->remote_endpoint(p.id), Endpoint{});
  stack->close(p.id, now);
  stack->abort(p.id, now);
  stack->shutdown_write(p.id, now);
  EXPECT_EQ(stack->connections(), 1u);
  EXPECT_EQ(stack->write(next.id, bytes, now), 4u);
}

TEST_P(StackDemux, AFailedConnectionFreesItsTupleBeforeItsUserCloses) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  give({.flags = "R", .seq = p.seq});
  EXPECT_EQ(stack->error(p.id), tcp::Errc::reset);
  EXPECT_EQ(stack->flows(80), 0u);
  Peer again = establish(listener);
  EXPECT_NE(again.id, p.id);
  EXPECT_EQ(stack->error(p.id), tcp::Errc::reset) << "and is still there to be asked";
  stack->close(p.id, now);
  EXPECT_EQ(stack->error(again.id), tcp::Errc::none);
}

// --- events ---

TEST_P(StackDemux, EventsAreEdges) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  auto text = [&](std::size_t n) {
    give({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = n});
    p.seq += static_cast<std::uint32_t>(n);
  };
  text(10);
  text(10);
  auto seen = events();
  ASSERT_EQ(seen.connections.size(), 1u) << "one event gathers the bits";
  EXPECT_EQ(seen.connections[0].readiness, tcp::kReadable);
  text(10);
  EXPECT_TRUE(events().connections.empty()) << "it still holds";
  std::array<std::byte, 64> bytes{};
  EXPECT_EQ(stack->read(p.id, bytes, now), 30u);
  EXPECT_TRUE(events().connections.empty());
  text(1);
  EXPECT_EQ(events().connections.size(), 1u) << "consumed, and true again";
  text(1);
  stack->read(p.id, bytes, now);
  EXPECT_TRUE(events().connections.empty()) << "told before it was read: an event that no longer holds is not told";
}

TEST_P(StackDemux, NoEventComesAfterClose) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  give({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 1});
  stack->close(p.id, now);
  EXPECT_TRUE(events().connections.empty());
  give({.flags = "R", .seq = p.seq + 1});
  EXPECT_TRUE(events().connections.empty());
}

// --- out ---

TEST_P(StackDemux, ABulkFlowDoesNotStarveAnother) {
  Config c = default_config();
  c.tcp.options.no_delay = true;
  start(c);
  ListenerId listener = listen();
  Peer bulk = establish(listener, 1);
  Peer small = establish(listener, 2);
  answer_next_hops();
  std::vector<std::byte> much(200'000);
  stack->write(bulk.id, much, now);
  // Opens the congestion window, so that more than a burst is due at once.
  for (int round = 0; round < 6; ++round) {
    for (const Out& o : sent()) bulk.ack = o.seq + static_cast<std::uint32_t>(o.text);
    give({.flags = "A", .seq = bulk.seq, .ack = bulk.ack, .port = 1});
    stack->write(bulk.id, much, now);
  }
  std::array<std::byte, 10> little{};
  stack->write(small.id, little, now);
  auto out = sent(64);
  auto at = std::find_if(out.begin(), out.end(), [](const Out& o) { return o.dst_port == 2; });
  ASSERT_NE(at, out.end());
  EXPECT_GT(out.size(), 20u);
  EXPECT_LE(at - out.begin(), 16);
}

TEST_P(StackDemux, AFloodForNobodyLeavesHalfOfTheFrames) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  std::vector<std::byte> text(5'000);
  stack->write(p.id, text, now);
  for (int i = 0; i < 50; ++i) give({.flags = "S", .to_port = 81});
  std::vector<std::vector<std::byte>> buffers(8, std::vector<std::byte>(1514));
  std::vector<TxFrame> frames;
  for (auto& b : buffers) frames.push_back({b, 0});
  ASSERT_EQ(stack->poll_transmit(frames, now), 8u);
  int resets = 0;
  for (std::size_t i = 0; i < 8; ++i) resets += parse(ConstBytes(buffers[i]).first(frames[i].length)).flags.rst();
  EXPECT_EQ(resets, 4);
}

TEST(StackIpId, PacketsOfAConnectionHaveIdsOfTheirOwn) {
  struct Fixture : StackFixture {
    void TestBody() override {}
    std::map<std::uint16_t, int> ids() {
      start();
      Peer p = establish(listen());
      answer_next_hops();
      std::vector<std::byte> text(14'000);
      stack->write(p.id, text, now);
      std::map<std::uint16_t, int> seen;
      for (const Out& o : sent()) ++seen[o.ip_id];
      return seen;
    }
  };
  auto seen = Fixture().ids();
  EXPECT_GE(seen.size(), 8u);
  for (auto [id, times] : seen) EXPECT_EQ(times, 1) << id;
}

}  // namespace
}  // namespace weir::stack
