// SPDX-License-Identifier: MIT
// Frames that are almost right, by the ten thousand: each is counted by exactly one reason, nothing breaks, and what
// was there before still works.
#include <random>

#include "stack_fixture.h"

namespace weir::stack {
namespace {

class StackMutation : public StackBothFamilies {};
INSTANTIATE_TEST_SUITE_P(Families, StackMutation, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackMutation, EveryFrameIsCountedOnce) {
  std::mt19937 generator(17);
  auto random = [&] { return static_cast<std::uint32_t>(generator()); };
  start();
  ListenerId listener = listen();
  Peer p = establish(listener);
  for (int i = 0; i < 40'000; ++i) {
    In in;
    static constexpr std::array<std::string_view, 9> kFlags{"", "S", "A", "PA", "FA", "R", "RA", "SA", "SF"};
    in.flags = kFlags[random() % kFlags.size()];
    in.seq = p.seq + (random() % 4 == 0 ? random() : random() % 3'000 - 1'000);
    in.ack = p.ack + (random() % 4 == 0 ? random() : random() % 10 - 5);
    in.text = random() % 3 == 0 ? random() % 1'400 : 0;
    in.port = static_cast<std::uint16_t>(random() % 2 == 0 ? 40'000u : 30'000u + random() % 50);
    in.to_port = random() % 8 == 0 ? 81 : 80;
    if (random() % 4 == 0) in.options.timestamps = wire::TcpTimestamps{random(), 0};
    if (random() % 4 == 0) in.options.mss = static_cast<std::uint16_t>(random());
    auto bytes = frame(in);
    unsigned flips = random() % 3;
    for (unsigned f = 0; f < flips; ++f) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    if (random() % 8 == 0) bytes.resize(random() % (bytes.size() + 1));
    give(bytes);
    if (testing::Test::HasFailure()) FAIL() << "frame " << i;

    if (random() % 8 == 0) advance(Duration::milliseconds(random() % 500));
    sent();
    while (stack->poll_next_hop_query()) {}
    for (const Event& e : events().connections) {
      std::array<std::byte, 1'000> text;
      stack->read(e.connection, text, now);
      stack->write(e.connection, ConstBytes(text).first(random() % 1'000), now);
    }
    while (auto id = stack->accept(listener)) {
      if (random() % 2 == 0) stack->close(*id, now);
    }
    // It may have been reset by a lucky guess; then another takes its place.
    if (stack->error(p.id) != tcp::Errc::none || stack->at_end(p.id)) {
      stack->abort(p.id, now);
      sent();
      p.id = {};
    }
    if (!p.id) {
      give({.flags = "R", .seq = p.seq, .port = 40'000});
      auto id = stack->connect({us(family), static_cast<std::uint16_t>(20'000 + i % 10'000)}, {peer(family), 9}, now);
      ASSERT_TRUE(id.ok());
      p.id = *id;
    }
  }
  stack->abort_all(now);
  for (const ConnectionSummary& s : stack->list_connections(now)) stack->close(s.id, now);
  sent();
  stack->close_listener(listener, now);
  advance(Duration::seconds(100));
  for (const ConnectionSummary& s : stack->list_connections(now)) stack->close(s.id, now);
  sent();
  EXPECT_EQ(stack->connections(), 0u);
  EXPECT_EQ(stack->flows(80), 0u);
}

// A flood of SYNs from everywhere: as many handshakes as the backlog has room for, no look-up, one timer each, and who
// is connected notices nothing.
TEST_P(StackMutation, ASynFloodIsBoundedByTheBacklog) {
  start();
  ListenerId listener = listen(64);
  Peer p = establish(listener);
  std::size_t taken = 0;
  for (std::uint16_t port = 1; port < 10'000; ++port) {
    weir_reason reason = give({.flags = "S", .seq = port, .port = port});
    if (reason == WEIR_R_TAKEN_TCP) {
      ++taken;
    } else {
      ASSERT_EQ(reason, WEIR_R_TAKEN_SYN_COOKIE);
    }
    if (port % 100 == 0) sent(64);
  }
  EXPECT_EQ(taken, 64u);
  EXPECT_EQ(stack->connections(), 65u);
  EXPECT_FALSE(stack->poll_next_hop_query());
  give({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 100});
  EXPECT_EQ(stack->readable_bytes(p.id), 100u);
  // None of them answers: the backlog is free again when the last SYN-ACK has had its time.
  sent(64);
  for (int s = 0; s < 200; ++s) {
    advance(Duration::seconds(1));
    sent(64);
  }
  EXPECT_EQ(stack->connections(), 1u);
}

}  // namespace
}  // namespace weir::stack
