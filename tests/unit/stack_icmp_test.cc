// SPDX-License-Identifier: MIT
// ICMP errors about connections (RFC 1122 4.2.3.9, RFC 5927, RFC 8201).
#include "stack_fixture.h"

namespace weir::stack {
namespace {

// An error as a router sends it.
struct Error {
  std::uint8_t type;
  std::uint8_t code;
  std::uint32_t rest = 0;
};

class StackIcmp : public StackBothFamilies {
 protected:
  void SetUp() override { start(); }

  // About a segment that we sent, or are said to have sent.
  std::vector<std::byte> error(const Error& e, const Out& about, std::optional<IpAddress> to = {}) const {
    wire::TcpHeader h;
    h.src_port = about.src_port;
    h.dst_port = about.dst_port;
    h.seq = about.seq;
    h.ack = about.ack;
    h.flags = about.flags;
    std::vector<std::byte> tcp(h.size());
    h.write(tcp, about.src, about.dst);
    auto quoted = packet(ConstBytes(tcp).first(8), wire::IpProtocol::tcp, about.src, about.dst);
    std::vector<std::byte> message(wire::kIcmpHeaderSize + quoted.size());
    wire::IcmpHeader{e.type, e.code, e.rest}.write(message, router(), to.value_or(us(family)), quoted);
    return frame(packet(message, protocol(), router(), to), kRouterMac);
  }
  wire::IpProtocol protocol() const { return family == Family::v4 ? wire::IpProtocol::icmp : wire::IpProtocol::icmpv6; }
  IpAddress router() const {
    return family == Family::v4 ? IpAddress::v4(203, 0, 113, 1) : *IpAddress::parse("2001:db8:ffff::1");
  }
  Error host_unreachable() const { return family == Family::v4 ? Error{3, 1} : Error{1, 3}; }
  Error port_unreachable() const { return family == Family::v4 ? Error{3, 3} : Error{1, 4}; }
  Error too_big(std::uint32_t mtu) const { return family == Family::v4 ? Error{3, 4, mtu} : Error{2, 0, mtu}; }

  // In SYN-SENT, with the SYN that has left.
  std::pair<ConnectionId, Out> connecting() {
    auto id = stack->connect({us(family), 50'000}, {peer(family), 80}, now);
    EXPECT_TRUE(id.ok());
    answer_next_hops();
    sent();
    stack->poll_event();
    advance(Duration::milliseconds(1'100));  // the first SYN and its retransmission have the same numbers
    answer_next_hops();
    Out syn = only();
    EXPECT_EQ(letters(syn.flags), "S");
    return {*id, syn};
  }
};
INSTANTIATE_TEST_SUITE_P(Families, StackIcmp, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackIcmp, APortUnreachableRefusesAConnect) {
  auto [id, syn] = connecting();
  EXPECT_EQ(give(error(port_unreachable(), syn)), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(stack->error(id), tcp::Errc::refused);
  EXPECT_NE(events().connections.at(0).readiness & tcp::kFailed, 0);
}

TEST_P(StackIcmp, AHostUnreachableFailsAConnectAndNoEstablishedConnection) {
  auto [id, syn] = connecting();
  EXPECT_EQ(give(error(host_unreachable(), syn)), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(stack->error(id), tcp::Errc::host_unreachable);

  Peer p = establish(listen());
  std::array<std::byte, 10> text{};
  stack->write(p.id, text, now);
  Out out = only();
  EXPECT_EQ(give(error(host_unreachable(), out)), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(stack->error(p.id), tcp::Errc::none);
}

// RFC 5927 4.1: an attacker off the path does not know what is in flight.
TEST_P(StackIcmp, AQuotationOutsideWhatIsInFlightIsRefused) {
  auto [id, syn] = connecting();
  for (std::uint32_t off : {std::uint32_t{100}, std::uint32_t{0x80000000}, static_cast<std::uint32_t>(-100)}) {
    Out wrong = syn;
    wrong.seq += off;
    EXPECT_EQ(give(error(port_unreachable(), wrong)), WEIR_R_LOST_ICMP_INVALID);
  }
  EXPECT_EQ(stack->error(id), tcp::Errc::none);
}

TEST_P(StackIcmp, AQuotationOfNoConnectionIsRefused) {
  auto [id, syn] = connecting();
  Out other = syn;
  other.src_port = 50'001;
  EXPECT_EQ(give(error(port_unreachable(), other)), WEIR_R_LOST_ICMP_INVALID);
  other = syn;
  std::swap(other.src, other.dst);
  std::swap(other.src_port, other.dst_port);
  EXPECT_EQ(give(error(port_unreachable(), other)), WEIR_R_LOST_ICMP_INVALID) << "what the peer sends is not ours";
  EXPECT_EQ(stack->error(id), tcp::Errc::none);
}

TEST_P(StackIcmp, AnErrorComesToWhomTheQuotationSaysItWasSentBy) {
  auto [id, syn] = connecting();
  IpAddress second = family == Family::v4 ? IpAddress::v4(192, 0, 2, 7) : *IpAddress::parse("2001:db8::7");
  std::array<IpAddress, 2> ours{us(family), second};
  stack->set_local_addresses(ours);
  EXPECT_EQ(give(error(port_unreachable(), syn, second)), WEIR_R_LOST_ICMP_INVALID);
  EXPECT_EQ(give(error(port_unreachable(), syn)), WEIR_R_TAKEN_ICMP);
}

TEST_P(StackIcmp, OtherMessagesAreTheKernels) {
  std::vector<Error> others = family == Family::v4 ? std::vector<Error>{{0, 0}, {8, 0}, {5, 0}, {4, 0}, {13, 0}}
                                                   : std::vector<Error>{{128, 0}, {129, 0}, {135, 0}, {136, 0}};
  auto [id, syn] = connecting();
  for (const Error& e : others) EXPECT_EQ(give(error(e, syn)), WEIR_R_LOST_PROTOCOL) << int{e.type};
}

TEST_P(StackIcmp, AWrongChecksumIsCounted) {
  auto [id, syn] = connecting();
  auto bytes = error(port_unreachable(), syn);
  bytes.back() ^= std::byte{1};
  EXPECT_EQ(give(bytes), WEIR_R_LOST_CHECKSUM);
}

TEST_P(StackIcmp, ATimeExceededIsNoEnd) {
  auto [id, syn] = connecting();
  give(error(family == Family::v4 ? Error{11, 0} : Error{3, 0}, syn));
  Peer p = establish(listen());
  std::array<std::byte, 10> text{};
  stack->write(p.id, text, now);
  EXPECT_EQ(give(error(family == Family::v4 ? Error{11, 0} : Error{3, 0}, only())), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(stack->error(p.id), tcp::Errc::none);
}

class StackPathMtu : public StackIcmp {
 protected:
  std::size_t overhead() const { return family == Family::v4 ? 40 : 60; }
  // A connection with full segments in flight; the largest of them.
  std::pair<Peer, Out> sending(std::uint16_t port = 40'000) {
    if (!listener_) listener_ = listen();
    Peer p = establish(listener_, port);
    answer_next_hops();
    std::vector<std::byte> text(20'000);
    stack->write(p.id, text, now);
    auto out = sent();
    EXPECT_FALSE(out.empty());
    return {p, out.front()};
  }
  // Everything in flight is lost; the longest segment of the retransmission, as a packet.
  std::size_t packet_after_timeout() {
    std::size_t longest = 0;
    for (int i = 0; i < 30 && longest == 0; ++i) {
      advance(Duration::milliseconds(200));
      for (const Out& o : sent()) longest = std::max(longest, o.text);
    }
    return longest + overhead();
  }
  ListenerId listener_{};
};
INSTANTIATE_TEST_SUITE_P(Families, StackPathMtu, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackPathMtu, PacketTooBigMakesSegmentsSmaller) {
  auto [p, out] = sending();
  EXPECT_EQ(out.text + overhead(), family == Family::v4 ? 1'500u : 1'500u);
  EXPECT_EQ(give(error(too_big(1'400), out)), WEIR_R_TAKEN_ICMP);
  std::size_t longest = 0;
  for (const Out& o : sent()) longest = std::max(longest, o.text);
  if (longest == 0) longest = packet_after_timeout() - overhead();
  EXPECT_LE(longest + overhead(), 1'400u);
  EXPECT_GT(longest + overhead(), 1'380u);
}

TEST_P(StackPathMtu, ThenNewConnectionsToTheSameHostBeginThere) {
  auto [p, out] = sending();
  give(error(too_big(1'400), out));
  sent();
  auto [second, its] = sending(40'001);
  EXPECT_LE(its.text + overhead(), 1'400u);
}

TEST_P(StackPathMtu, WhatIsNotLowerIsNoNews) {
  auto [p, out] = sending();
  EXPECT_EQ(give(error(too_big(1'500), out)), WEIR_R_LOST_ICMP_INVALID);
  EXPECT_EQ(give(error(too_big(9'000), out)), WEIR_R_LOST_ICMP_INVALID);
  EXPECT_EQ(give(error(too_big(1'400), out)), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(give(error(too_big(1'450), out)), WEIR_R_LOST_ICMP_INVALID);
}

TEST_P(StackPathMtu, NoPathIsBelievedToBeNarrowerThanTheFamilysLeast) {
  auto [p, out] = sending();
  EXPECT_EQ(give(error(too_big(100), out)), WEIR_R_TAKEN_ICMP);
  std::size_t longest = packet_after_timeout();
  EXPECT_LE(longest, family == Family::v4 ? 576u : 1'280u);
  EXPECT_GE(longest, family == Family::v4 ? 556u : 1'260u);
}

TEST_P(StackPathMtu, ItIsForgottenAfterTenMinutes) {
  auto [p, out] = sending();
  give(error(too_big(1'400), out));
  std::uint32_t end = p.ack + 20'000;
  for (int i = 0; i < 20 && p.ack != end; ++i) {
    advance(Duration::milliseconds(500));
    for (const Out& o : sent()) p.ack = std::max(p.ack, o.seq + static_cast<std::uint32_t>(o.text));
    give({.flags = "A", .seq = p.seq, .ack = p.ack});
  }
  ASSERT_EQ(p.ack, end);
  advance(Duration::seconds(601));
  std::vector<std::byte> text(20'000);
  stack->write(p.id, text, now);
  auto again = sent();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again.front().seq, end);
  EXPECT_EQ(again.front().text + overhead(), 1'500u);
}

// RFC 1191 5 and 7.1: a router of before 1990 names no MTU. ICMPv6 always does.
class StackPathMtuV4 : public StackPathMtu {};
INSTANTIATE_TEST_SUITE_P(Families, StackPathMtuV4, testing::Values(Family::v4), family_name);
TEST_P(StackPathMtuV4, AnUnnamedMtuMeansTheNextPlateau) {
  auto [p, out] = sending();
  EXPECT_EQ(give(error(too_big(0), out)), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(packet_after_timeout(), 1'492u);
}

}  // namespace
}  // namespace weir::stack
