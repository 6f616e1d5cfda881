// SPDX-License-Identifier: MIT
// Options by the stack's calls.
#include "stack_fixture.h"

namespace weir::stack {
namespace {

class StackOptions : public StackBothFamilies {
 protected:
  void SetUp() override { start(); }
};
INSTANTIATE_TEST_SUITE_P(Families, StackOptions, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackOptions, AConnectionBeginsWithItsListenersOptions) {
  ListenerId listener = listen();
  EXPECT_EQ(stack->listener_options(listener), config.tcp.options);
  Peer before = establish(listener, 1);
  tcp::Options wanted;
  wanted.keepalive = true;
  wanted.keepalive_idle = Duration::seconds(7);
  ASSERT_TRUE(stack->set_listener_options(listener, wanted));
  EXPECT_EQ(stack->listener_options(listener), wanted);
  Peer after = establish(listener, 2);
  EXPECT_EQ(stack->options(before.id), config.tcp.options);
  EXPECT_EQ(stack->options(after.id), wanted);
  advance(Duration::seconds(8));
  Out probe = only();
  EXPECT_EQ(probe.dst_port, 2);
  EXPECT_EQ(probe.seq, after.ack - 1);
}

TEST_P(StackOptions, AStaleIdHasNone) {
  ListenerId listener = listen();
  Peer p = establish(listener);
  stack->abort(p.id, now);
  sent();
  tcp::Options cork;
  cork.cork = true;
  EXPECT_FALSE(stack->set_options(p.id, cork, now));
  EXPECT_EQ(stack->options(p.id), config.tcp.options);
  stack->close_listener(listener, now);
  EXPECT_FALSE(stack->set_listener_options(listener, cork));
}

TEST_P(StackOptions, PullingTheCorkSendsAtOnce) {
  Peer p = establish(listen());
  tcp::Options o = stack->options(p.id);
  o.cork = true;
  ASSERT_TRUE(stack->set_options(p.id, o, now));
  std::vector<std::byte> text(10);
  stack->write(p.id, text, now);
  EXPECT_EQ(described(), "");
  o.cork = false;
  ASSERT_TRUE(stack->set_options(p.id, o, now));
  EXPECT_EQ(only().text, 10u);
}

// RFC 3168: the codepoint of the IP header goes in and out with the segment.
TEST_P(StackOptions, EcnIsNegotiatedMarkedAndEchoed) {
  ListenerId listener = listen();
  give({.flags = "SEW", .seq = 1'000, .options = with_mss(1'000)});
  Out syn_ack = only();
  EXPECT_EQ(letters(syn_ack.flags), "SAE");
  EXPECT_EQ(syn_ack.ecn, wire::Ecn::not_ect);
  give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1});
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  std::vector<std::byte> text(10);
  stack->write(*id, text, now);
  EXPECT_EQ(only().ecn, wire::Ecn::ect0);
  give({.flags = "PA", .seq = 1'001, .ack = syn_ack.seq + 11, .text = 10, .ecn = wire::Ecn::ce});
  Out ack = only();
  EXPECT_EQ(letters(ack.flags), "AE");
  EXPECT_EQ(ack.ecn, wire::Ecn::not_ect);
  EXPECT_EQ(stack->info(*id, now).ecn_marks, 1u);
}

TEST_P(StackOptions, EcnOutlivesACookie) {
  Config c = default_config();
  c.tcp.timestamps = true;
  c.syn_cookies = SynCookies::always;
  start(c);
  ListenerId listener = listen();
  for (bool asked : {true, false}) {
    wire::TcpOptions o = with_mss(1'000);
    o.timestamps = wire::TcpTimestamps{5, 0};
    give({.flags = asked ? "SEW" : "S", .seq = 1'000, .options = o});
    Out syn_ack = only();
    EXPECT_EQ(letters(syn_ack.flags), asked ? "SAE" : "SA");
    o.timestamps = wire::TcpTimestamps{6, syn_ack.options.timestamps->tsval};
    give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1, .options = o});
    auto id = stack->accept(listener);
    ASSERT_TRUE(id);
    EXPECT_EQ(stack->info(*id, now).ecn, asked);
    stack->abort(*id, now);
    sent();
  }
}

TEST_P(StackOptions, BuffersAreBoundedInAll) {
  Config c = default_config();
  c.max_buffer_memory = 64 * 1024;
  start(c);
  ListenerId listener = listen();
  EXPECT_EQ(stack->buffer_memory(), 0u);
  std::vector<Peer> peers;
  for (std::uint16_t port = 1; port <= 4; ++port) peers.push_back(establish(listener, port));
  // Nobody reads what they send.
  for (std::uint16_t port = 1; port <= 4; ++port) {
    Peer& p = peers[port - 1u];
    for (int i = 0; i < 20; ++i, p.seq += 1'000) {
      give({.flags = "A", .seq = p.seq, .ack = p.ack, .text = 1'000, .port = port});
    }
  }
  sent();
  EXPECT_GE(stack->buffer_memory(), c.max_buffer_memory);
  EXPECT_EQ(give({.flags = "S", .seq = 1, .port = 9}), WEIR_R_LOST_MEMORY_LIMIT);
  EXPECT_EQ(stack->connect({us(family), 50'000}, {peer(family), 80}, now).error(), Errc::no_memory);
  std::vector<std::byte> text(100'000);
  EXPECT_LE(stack->write(peers[0].id, text, now), 3'000u);
  // Read, and idle for a while: it is all there again.
  for (Peer& p : peers) {
    while (stack->read(p.id, text, now) > 0) {}
    stack->abort(p.id, now);
  }
  sent();
  EXPECT_EQ(stack->buffer_memory(), 0u);
  EXPECT_EQ(give({.flags = "S", .seq = 1, .port = 9}), WEIR_R_TAKEN_TCP);
}

}  // namespace
}  // namespace weir::stack
