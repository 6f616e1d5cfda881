// SPDX-License-Identifier: MIT
// TIME-WAIT in a few dozen bytes: RFC 9293 3.6.1, RFC 6191.
#include <algorithm>

#include "stack_fixture.h"
#include "weir/stack/time_wait_table.h"

namespace weir::stack {
namespace {

class StackTimeWait : public StackBothFamilies {
 protected:
  void SetUp() override { start(); }
  // A connection that we close first, to its end. Its ISS is 1000.
  Peer ended(ListenerId listener, std::uint16_t port = 40'000, bool timestamps = false) {
    wire::TcpOptions o = with_mss(1'460);
    if (timestamps) o.timestamps = wire::TcpTimestamps{100, 0};
    give({.flags = "S", .seq = 1'000, .port = port, .options = o});
    Out syn_ack = only();
    Peer p{{}, 1'001, syn_ack.seq + 1};
    give({.flags = "A", .seq = p.seq, .ack = p.ack, .port = port, .options = stamp(timestamps, 101)});
    p.id = stack->accept(listener).value_or(ConnectionId{});
    stack->close(p.id, now);
    EXPECT_EQ(letters(only().flags), "FA");
    ++p.ack;
    give({.flags = "FA", .seq = p.seq, .ack = p.ack, .port = port, .options = stamp(timestamps, 102)});
    ++p.seq;
    EXPECT_EQ(described(), ack(p));
    events();
    return p;
  }
  static wire::TcpOptions stamp(bool on, std::uint32_t tsval) {
    wire::TcpOptions o;
    if (on) o.timestamps = wire::TcpTimestamps{tsval, 0};
    return o;
  }
  static std::string ack(const Peer& p) {
    std::string at = std::to_string(p.ack);
    return "A " + at + ":" + at + "(0) ack " + std::to_string(p.seq);
  }
};
INSTANTIATE_TEST_SUITE_P(Families, StackTimeWait, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackTimeWait, ItIsListedAndEndsAfterTwoMsl) {
  Peer p = ended(listen());
  EXPECT_EQ(stack->connections(), 1u);
  auto list = stack->list_connections(now);
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].info.state, tcp::State::time_wait);
  EXPECT_EQ(list[0].remote, (Endpoint{peer(family), 40'000}));
  EXPECT_EQ(list[0].local, (Endpoint{us(family), 80}));
  EXPECT_EQ(stack->flows(80), 0u);
  EXPECT_EQ(stack->info(p.id, now).state, tcp::State::closed) << "the id was given back by close()";
  advance(Duration::milliseconds(59'999));
  EXPECT_EQ(stack->connections(), 1u);
  advance(Duration::milliseconds(1));
  EXPECT_EQ(stack->connections(), 0u);
  EXPECT_EQ(stack->next_deadline(), Instant::never());
}

TEST_P(StackTimeWait, AFinAgainIsAckedAgainAndPutsTheEndOff) {
  Peer p = ended(listen());
  advance(Duration::seconds(50));
  EXPECT_EQ(give({.flags = "FA", .seq = p.seq - 1, .ack = p.ack}), WEIR_R_LOST_OUT_OF_WINDOW);
  Out again = only();
  EXPECT_EQ(again.describe(), ack(p));
  EXPECT_EQ(again.to, kPeerMac);
  advance(Duration::milliseconds(59'999));
  EXPECT_EQ(stack->connections(), 1u);
  advance(Duration::milliseconds(1));
  EXPECT_EQ(stack->connections(), 0u);
}

TEST_P(StackTimeWait, OldDuplicatesAreAnsweredAndHarmless) {
  Peer p = ended(listen());
  EXPECT_EQ(give({.flags = "PA", .seq = p.seq - 1, .ack = p.ack, .text = 1}), WEIR_R_LOST_DUPLICATE);
  EXPECT_EQ(described(), ack(p));
  EXPECT_EQ(give({.flags = "A", .seq = p.seq, .ack = p.ack}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(give({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 5}), WEIR_R_LOST_OUT_OF_WINDOW);
  EXPECT_EQ(described(), "") << "two ends in TIME-WAIT must not talk for ever";
  EXPECT_EQ(give({.flags = "A", .seq = p.seq - 1, .ack = p.ack}), WEIR_R_LOST_OUT_OF_WINDOW);
  EXPECT_EQ(described(), ack(p)) << "a keepalive probe";
  EXPECT_EQ(give({.flags = "A", .seq = p.seq, .ack = p.ack + 5}), WEIR_R_LOST_BAD_ACK);
  EXPECT_EQ(described(), ack(p));
  EXPECT_EQ(give({.flags = "", .seq = p.seq}), WEIR_R_LOST_BAD_FLAGS);
  EXPECT_EQ(stack->connections(), 1u);
}

TEST_P(StackTimeWait, OnlyAnExactResetEndsIt) {
  Peer p = ended(listen());
  EXPECT_EQ(give({.flags = "R", .seq = p.seq + 1}), WEIR_R_LOST_CHALLENGED);
  EXPECT_EQ(described(), ack(p));
  EXPECT_EQ(give({.flags = "R", .seq = p.seq - 1}), WEIR_R_LOST_OUT_OF_WINDOW);
  EXPECT_EQ(stack->connections(), 1u);
  EXPECT_EQ(give({.flags = "R", .seq = p.seq}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(stack->connections(), 0u);
  EXPECT_EQ(described(), "");
}

// RFC 9293 3.6.1
TEST_P(StackTimeWait, ANewerSynBeginsAnew) {
  ListenerId listener = listen();
  Peer p = ended(listener);
  EXPECT_EQ(give({.flags = "S", .seq = p.seq + 1}), WEIR_R_TAKEN_TCP);
  Out syn_ack = only();
  EXPECT_EQ(letters(syn_ack.flags), "SA");
  EXPECT_TRUE(tcp::SeqNum(syn_ack.seq).after(tcp::SeqNum(p.ack))) << "RFC 1122 4.2.2.13";
  EXPECT_EQ(stack->connections(), 1u);
}

TEST_P(StackTimeWait, AnOldSynIsChallenged) {
  Peer p = ended(listen());
  EXPECT_EQ(give({.flags = "S", .seq = p.seq - 1}), WEIR_R_LOST_OUT_OF_WINDOW);
  EXPECT_EQ(described(), ack(p));
  EXPECT_EQ(stack->connections(), 1u);
}

// RFC 6191 2
TEST_P(StackTimeWait, ALaterTimestampBeginsAnewWhateverItsSequenceNumber) {
  Config c = default_config();
  c.tcp.timestamps = true;
  start(c);
  ListenerId listener = listen();
  Peer p = ended(listener, 40'000, true);
  EXPECT_EQ(give({.flags = "S", .seq = p.seq + 9, .options = stamp(true, 50)}), WEIR_R_LOST_PAWS);
  sent();
  EXPECT_EQ(give({.flags = "S", .seq = p.seq - 100'000, .options = stamp(true, 103)}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(letters(only().flags), "SA");
}

TEST_P(StackTimeWait, AReAckHasTheTimestampsOfItsConnection) {
  Config c = default_config();
  c.tcp.timestamps = true;
  start(c);
  Peer p = ended(listen(), 40'000, true);
  advance(Duration::seconds(2));
  give({.flags = "FA", .seq = p.seq - 1, .ack = p.ack, .options = stamp(true, 102)});
  Out first = only();
  ASSERT_TRUE(first.options.timestamps);
  EXPECT_EQ(first.options.timestamps->tsecr, 102u);
  EXPECT_EQ(give({.flags = "FA", .seq = p.seq - 1, .ack = p.ack}), WEIR_R_LOST_PAWS) << "RFC 7323 3.2";
}

TEST_P(StackTimeWait, WhereThereIsNoRoomTheOldestGivesWay) {
  Config c = default_config();
  c.max_time_wait = 3;
  c.max_connections = 1;
  start(c);
  ListenerId listener = listen();
  for (std::uint16_t port = 1; port <= 5; ++port) ended(listener, port);
  EXPECT_EQ(stack->connections(), 3u);
  std::vector<std::uint16_t> ports;
  for (const auto& one : stack->list_connections(now)) ports.push_back(one.remote.port);
  std::sort(ports.begin(), ports.end());
  EXPECT_EQ(ports, (std::vector<std::uint16_t>{3, 4, 5}));
  advance(Duration::seconds(60));
  EXPECT_EQ(stack->connections(), 0u);
}

TEST_P(StackTimeWait, AConnectToWhatWaitsIsRefused) {
  ended(listen());
  EXPECT_EQ(stack->connect({us(family), 80}, {peer(family), 40'000}, now).error(), Errc::address_in_use);
}

TEST_P(StackTimeWait, WhoStillReadsKeepsTheConnection) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  stack->shutdown_write(p.id, now);
  sent();
  give({.flags = "A", .seq = p.seq, .ack = p.ack + 1});
  give({.flags = "FPA", .seq = p.seq, .ack = p.ack + 1, .text = 7});
  sent();
  EXPECT_EQ(stack->info(p.id, now).state, tcp::State::time_wait);
  EXPECT_EQ(stack->readable_bytes(p.id), 7u);
  std::vector<std::byte> to(10);
  EXPECT_EQ(stack->read(p.id, to, now), 7u);
  EXPECT_TRUE(stack->at_end(p.id));
  stack->close(p.id, now);
  EXPECT_EQ(stack->connections(), 1u);
  EXPECT_EQ(give({.flags = "FA", .seq = p.seq + 7, .ack = p.ack + 1}), WEIR_R_LOST_OUT_OF_WINDOW);
  EXPECT_EQ(letters(only().flags), "A");
  advance(Duration::seconds(60));
  EXPECT_EQ(stack->connections(), 0u);
}

TEST(TimeWaitTable, TenThousandTakeSomeEightyBytesEachAndGiveThemBack) {
  TimeWaitTable table(10'000);
  FlowKey key{us(Family::v4), peer(Family::v4), 80, 0};
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    key.remote_port = static_cast<std::uint16_t>(i);
    table.add(key, i * 2'654'435'761u, {}, Instant::from_ns(i));
  }
  EXPECT_EQ(table.size(), 10'000u);
  EXPECT_LE(table.memory() / 10'000, 2 * sizeof(TimeWaitTable::Entry));
  RecordProperty("bytes", static_cast<int>(sizeof(TimeWaitTable::Entry)));
  table.on_deadline(Instant::from_ns(10'000));
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.memory(), 0u);
}

}  // namespace
}  // namespace weir::stack
