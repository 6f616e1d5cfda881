// SPDX-License-Identifier: MIT
// The way to a peer: next hops and MTUs out, fragments in.
#include <random>

#include "stack_fixture.h"

namespace weir::stack {
namespace {

class StackPath : public StackBothFamilies {
 protected:
  void SetUp() override { start(); }
  ConnectionId connect(std::uint16_t port = 50'000) {
    auto id = stack->connect({us(family), port}, {peer(family), 80}, now);
    EXPECT_TRUE(id.ok());
    return id.ok() ? *id : ConnectionId{};
  }
};
INSTANTIATE_TEST_SUITE_P(Families, StackPath, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackPath, AConnectAsksOnceAndWaits) {
  connect(50'000);
  connect(50'001);
  EXPECT_TRUE(stack->wants_transmit(now));
  EXPECT_EQ(described(), "");
  EXPECT_FALSE(stack->wants_transmit(now));
  auto query = stack->poll_next_hop_query();
  ASSERT_TRUE(query);
  EXPECT_EQ(query->source, us(family));
  EXPECT_EQ(query->destination, peer(family));
  EXPECT_FALSE(stack->poll_next_hop_query());
  stack->on_next_hop(peer(family), {kRouterMac, 1500}, now);
  EXPECT_TRUE(stack->wants_transmit(now));
  auto out = sent();
  ASSERT_EQ(out.size(), 2u);
  for (const Out& o : out) {
    EXPECT_EQ(letters(o.flags), "S");
    EXPECT_EQ(o.to, kRouterMac);
  }
}

TEST_P(StackPath, AConnectToAnAddressThatIsNotOursIsRefused) {
  EXPECT_EQ(stack->connect({peer(family), 1}, {us(family), 2}, now).error(), Errc::address_unavailable);
  EXPECT_EQ(stack->connect({IpAddress{}, 1}, {peer(family), 2}, now).error(), Errc::address_unavailable);
  auto other = us(family == Family::v4 ? Family::v6 : Family::v4);
  EXPECT_EQ(stack->connect({other, 1}, {peer(family), 2}, now).error(), Errc::address_unavailable);
  auto group = IpAddress::parse(family == Family::v4 ? "224.0.0.1" : "ff02::1");
  EXPECT_EQ(stack->connect({us(family), 1}, {*group, 2}, now).error(), Errc::address_unavailable);
  connect();
  EXPECT_EQ(stack->connect({us(family), 50'000}, {peer(family), 80}, now).error(), Errc::address_in_use);
}

TEST_P(StackPath, NoRouteFailsAConnectWithItsReason) {
  ConnectionId id = connect();
  sent();
  stack->on_no_next_hop(peer(family), tcp::Errc::network_unreachable, now);
  EXPECT_EQ(stack->error(id), tcp::Errc::network_unreachable);
  auto seen = events();
  ASSERT_EQ(seen.connections.size(), 1u);
  EXPECT_NE(seen.connections[0].readiness & tcp::kFailed, 0);
  EXPECT_NE(stack->readiness(id) & tcp::kFailed, 0);
  EXPECT_EQ(described(), "") << "nothing is sent to a peer that has heard nothing";
  stack->close(id, now);
  EXPECT_EQ(stack->connections(), 0u);
}

TEST_P(StackPath, AnUnansweredQuestionFailsAConnect) {
  ConnectionId id = connect();
  sent();
  advance(Duration::milliseconds(2'900));
  EXPECT_EQ(stack->error(id), tcp::Errc::none);
  advance(Duration::milliseconds(200));
  EXPECT_EQ(stack->error(id), tcp::Errc::host_unreachable);
}

TEST_P(StackPath, AnAbortWhileWaitingIsSilent) {
  ConnectionId id = connect();
  sent();
  stack->abort(id, now);
  EXPECT_EQ(stack->connections(), 0u);
  stack->on_next_hop(peer(family), {kRouterMac, 1500}, now);
  EXPECT_EQ(described(), "");
}

TEST_P(StackPath, AnEstablishedConnectionKeepsTryingWithoutANextHop) {
  ConnectionId id = connect();
  sent();
  answer_next_hops();
  Out syn = only();
  give({.flags = "SA", .seq = 9'000, .ack = syn.seq + 1, .port = 80, .to_port = 50'000});
  sent();
  stack->on_no_next_hop(peer(family), tcp::Errc::host_unreachable, now);
  std::array<std::byte, 100> text{};
  stack->write(id, text, now);
  EXPECT_EQ(described(), "");
  ASSERT_TRUE(stack->poll_next_hop_query());
  stack->on_no_next_hop(peer(family), tcp::Errc::host_unreachable, now);
  EXPECT_EQ(count(WEIR_R_LOST_NO_NEXT_HOP), 1u);
  EXPECT_EQ(stack->error(id), tcp::Errc::none);
  // Its retransmission asks again, and goes when there is an answer.
  advance(Duration::seconds(2));
  EXPECT_EQ(described(), "");
  answer_next_hops();
  Out again = only();
  EXPECT_EQ(again.text, 100u);
  EXPECT_EQ(again.seq, syn.seq + 1);
}

TEST_P(StackPath, TooManyWaitersLoseWhatTheySendAndTryAgain) {
  Config c = default_config();
  c.next_hop_queue = 1;
  start(c);
  connect(50'000);
  ConnectionId second = connect(50'001);
  sent();
  EXPECT_EQ(count(WEIR_R_LOST_NO_NEXT_HOP), 1u);
  answer_next_hops();
  EXPECT_EQ(only().src_port, 50'000);
  advance(Duration::milliseconds(1'100));
  auto out = sent();
  EXPECT_EQ(out.size(), 2u);
  EXPECT_EQ(stack->error(second), tcp::Errc::none);
}

TEST_P(StackPath, APassiveConnectionAsksOnceItIsEstablished) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  std::array<std::byte, 10> text{};
  stack->write(p.id, text, now);
  EXPECT_EQ(only().to, kPeerMac) << "the SYN's, until there is an answer";
  auto query = stack->poll_next_hop_query();
  ASSERT_TRUE(query);
  EXPECT_EQ(query->destination, peer(family));
  stack->on_next_hop(peer(family), {kRouterMac, 1500}, now);
  stack->set_no_delay(p.id, true);
  stack->write(p.id, text, now);
  EXPECT_EQ(only().to, kRouterMac);
  EXPECT_FALSE(stack->poll_next_hop_query());
}

TEST_P(StackPath, APassiveConnectionThatGetsNoAnswerGoesOnWithTheSynsMac) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  stack->set_no_delay(p.id, true);
  std::array<std::byte, 10> text{};
  stack->write(p.id, text, now);
  only();
  ASSERT_TRUE(stack->poll_next_hop_query());
  stack->on_no_next_hop(peer(family), tcp::Errc::host_unreachable, now);
  stack->write(p.id, text, now);
  EXPECT_EQ(only().to, kPeerMac);
  EXPECT_FALSE(stack->poll_next_hop_query()) << "asked once";
  stack->flush_next_hops();
  stack->write(p.id, text, now);
  EXPECT_EQ(only().to, kPeerMac);
  EXPECT_TRUE(stack->poll_next_hop_query()) << "and once after each change of routes";
}

TEST_P(StackPath, AFlushAsksAgainAndUsesTheOldMeanwhile) {
  Peer p = establish(listen());
  stack->set_no_delay(p.id, true);
  std::array<std::byte, 10> text{};
  stack->write(p.id, text, now);
  sent();
  answer_next_hops(kRouterMac);
  stack->flush_next_hops();
  EXPECT_FALSE(stack->poll_next_hop_query());
  stack->write(p.id, text, now);
  EXPECT_EQ(only().to, kRouterMac);
  auto query = stack->poll_next_hop_query();
  ASSERT_TRUE(query);
  stack->on_next_hop(query->destination, {kPeerMac, 1500}, now);
  stack->write(p.id, text, now);
  EXPECT_EQ(only().to, kPeerMac);
}

TEST_P(StackPath, ARoutesMtuBoundsTheSegments) {
  Peer p = establish(listen());
  std::vector<std::byte> text(10'000);
  stack->write(p.id, ConstBytes(text).first(1), now);
  sent();
  answer_next_hops(kRouterMac, 1'300);
  give({.flags = "A", .seq = p.seq, .ack = p.ack + 1});
  stack->write(p.id, text, now);
  std::size_t overhead = family == Family::v4 ? 40 : 60;
  for (const Out& o : sent()) EXPECT_LE(o.text + overhead, 1'300u);
}

TEST_P(StackPath, TheLinksMtuReachesConnectionsThatExist) {
  Peer p = establish(listen());
  stack->set_link_mtu(1'300, now);
  config.mtu = 1'300;  // what parse() checks, and how long the buffers are
  std::vector<std::byte> text(10'000);
  stack->write(p.id, text, now);
  EXPECT_GT(sent().size(), 2u);
}

// --- fragments ---

class StackFragments : public StackBothFamilies {
 protected:
  void SetUp() override { start(); }
  // The packet of `payload` in pieces of at most `size` bytes.
  std::vector<std::vector<std::byte>> fragments(ConstBytes payload, std::size_t size, std::uint32_t id = 99) const {
    std::vector<std::vector<std::byte>> all;
    for (std::size_t at = 0; at < payload.size(); at += size) {
      ConstBytes part = payload.subspan(at, std::min(size, payload.size() - at));
      all.push_back(frame(fragment(part, at, at + size < payload.size(), id)));
    }
    return all;
  }
  std::vector<std::byte> fragment(ConstBytes part, std::size_t at, bool more, std::uint32_t id) const {
    if (family == Family::v4) {
      wire::Ipv4Header h;
      h.src = peer(family);
      h.dst = us(family);
      h.dont_fragment = false;
      h.id = static_cast<std::uint16_t>(id);
      h.more_fragments = more;
      h.fragment_offset = static_cast<std::uint16_t>(at);
      h.payload_length = static_cast<std::uint16_t>(part.size());
      std::vector<std::byte> bytes(wire::kIpv4HeaderSize);
      h.write(bytes);
      bytes.insert(bytes.end(), part.begin(), part.end());
      return bytes;
    }
    std::vector<std::byte> payload(wire::kIpv6FragmentHeaderSize);
    wire::Ipv6FragmentHeader{wire::IpProtocol::tcp, {id, static_cast<std::uint16_t>(at), more}}.write(payload);
    payload.insert(payload.end(), part.begin(), part.end());
    return packet(payload, wire::IpProtocol::fragment);
  }
};
INSTANTIATE_TEST_SUITE_P(Families, StackFragments, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackFragments, ASegmentInPiecesIsCountedPieceByPiece) {
  Peer p = establish(listen());
  auto tcp = segment({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 1'000});
  auto pieces = fragments(tcp, 400);
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(give(pieces[2]), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give(pieces[0]), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give(pieces[1]), WEIR_R_TAKEN_TCP) << "the last to come is the segment's";
  EXPECT_EQ(stack->readable_bytes(p.id), 1'000u);
}

TEST_P(StackFragments, TheChecksumOfTheWholeIsVerified) {
  Config c = default_config();
  c.checksum = wire::ChecksumPolicy::verify_or_partial;
  start(c);
  Peer p = establish(listen());
  auto tcp = segment({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 1'000});
  tcp[500] ^= std::byte{1};
  auto pieces = fragments(tcp, 800);
  EXPECT_EQ(give(pieces[0]), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give(pieces[1]), WEIR_R_LOST_CHECKSUM);
}

TEST_P(StackFragments, OverlapsAndLimitsHaveTheirReasons) {
  auto tcp = segment({.flags = "PA", .text = 1'000});
  EXPECT_EQ(give(frame(fragment(ConstBytes(tcp).first(400), 0, true, 1))), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give(frame(fragment(ConstBytes(tcp).subspan(392, 400), 392, true, 1))), WEIR_R_LOST_FRAG_OVERLAP);
  weir_reason last = WEIR_R_TAKEN_FRAGMENT;
  for (std::uint32_t id = 2; id < 2'000 && last == WEIR_R_TAKEN_FRAGMENT; ++id) {
    last = give(frame(fragment(ConstBytes(tcp).first(400), 0, true, id)));
  }
  EXPECT_EQ(last, WEIR_R_LOST_FRAG_LIMIT);
}

TEST_P(StackFragments, WhatDoesNotComeInTimeIsCounted) {
  auto tcp = segment({.flags = "PA", .text = 1'000});
  give(frame(fragment(ConstBytes(tcp).first(400), 0, true, 1)));
  EXPECT_NE(stack->next_deadline(), Instant::never());
  advance(Duration::seconds(61));
  EXPECT_EQ(count(WEIR_R_LOST_FRAG_TIMEOUT), 1u);
  EXPECT_EQ(stack->next_deadline(), Instant::never());
}

class StackFragmentsV6 : public StackFragments {};
INSTANTIATE_TEST_SUITE_P(Families, StackFragmentsV6, testing::Values(Family::v6), family_name);

// RFC 6946: whole although it has a fragment header, and nothing to do with others of its number.
TEST_P(StackFragmentsV6, AnAtomicFragmentIsWhole) {
  listen();
  auto tcp = segment({.flags = "S"});
  give(frame(fragment(ConstBytes(tcp).first(16), 0, true, 5)));
  EXPECT_EQ(give(frame(fragment(tcp, 0, false, 5))), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(letters(only().flags), "SA");
}

TEST_P(StackFragmentsV6, ExtensionHeadersMayStandInTheFragmentedPart) {
  listen();
  // Destination options: next header TCP, 8 bytes, PadN.
  std::vector<std::byte> payload{std::byte{6}, std::byte{0}, std::byte{1}, std::byte{4}, {}, {}, {}, {}};
  auto tcp = segment({.flags = "S"});
  payload.insert(payload.end(), tcp.begin(), tcp.end());
  auto piece = [&](ConstBytes part, std::size_t at, bool more) {
    std::vector<std::byte> p(wire::kIpv6FragmentHeaderSize);
    wire::Ipv6FragmentHeader{wire::IpProtocol::destination_options, {3, static_cast<std::uint16_t>(at), more}}.write(p);
    p.insert(p.end(), part.begin(), part.end());
    return frame(packet(p, wire::IpProtocol::fragment));
  };
  EXPECT_EQ(give(piece(ConstBytes(payload).first(16), 0, true)), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give(piece(ConstBytes(payload).subspan(16), 16, false)), WEIR_R_TAKEN_TCP);
}

}  // namespace
}  // namespace weir::stack
