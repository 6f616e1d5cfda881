// SPDX-License-Identifier: MIT
// Two stacks over a link that loses, repeats, delays, reorders and damages. Whatever the seed, every byte arrives once
// and in order, every connection ends, and every frame is counted once.
//
// WEIR_SIM_SEEDS=N runs seeds 1 to N; WEIR_SIM_SEED=n that one alone. The full set, in a few minutes on two cores:
//   WEIR_SIM_SEEDS=20000 ctest --preset release -j2 -L sim
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "draw.h"
#include "world.h"

namespace weir::sim {
namespace {

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

WorldParameters plain() {
  WorldParameters p;
  Conversation c;
  c.client.stream_out = c.server.stream_in = 1;
  c.server.stream_out = c.client.stream_in = 2;
  c.client.to_write = c.server.to_read = 100'000;
  c.server.to_write = c.client.to_read = 300'000;
  p.conversations.push_back(c);
  return p;
}

TEST(Sim, TwoStacksConnectTransferAndClose) {
  for (Family family : {Family::v4, Family::v6}) {
    for (stack::Medium medium : {stack::Medium::ethernet, stack::Medium::ip}) {
      WorldParameters p = plain();
      p.family = family;
      p.medium = medium;
      World world(p);
      EXPECT_EQ(world.run(), "");
      EXPECT_LT(world.talk(), Duration::milliseconds(100));
      EXPECT_EQ(world.server().count(WEIR_R_TAKEN_TCP), world.server().received_frames());
      EXPECT_EQ(world.client().count(WEIR_R_TAKEN_TCP), world.client().received_frames());
    }
  }
}

// RFC 7413: from the second on the text goes with the SYN.
TEST(Sim, ConversationsThatFastOpenBegins) {
  for (Family family : {Family::v4, Family::v6}) {
    WorldParameters p = plain();
    p.family = family;
    p.fast_open = 8;
    p.conversations.assign(6, p.conversations[0]);
    for (std::size_t i = 0; i < p.conversations.size(); ++i) {
      p.conversations[i].fast_open = true;
      p.conversations[i].starts_after = Duration::milliseconds(static_cast<std::int64_t>(i) * 500);
    }
    World world(p);
    EXPECT_EQ(world.run(), "");
    EXPECT_EQ(world.server().stack().fast_open_counts().cookies_given, 1u);
    EXPECT_EQ(world.server().stack().fast_open_counts().passive, 5u);
    EXPECT_EQ(world.client().stack().fast_open_counts().active, 5u);
    EXPECT_EQ(world.client().stack().fast_open_counts().active_failed, 0u);
  }
}

constexpr std::uint64_t kShards = 8;

class SimSeeds : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SimSeeds, EveryByteArrivesOnceAndInOrder) {
  std::uint64_t first = GetParam() + 1;
  std::uint64_t last = from_environment("WEIR_SIM_SEEDS", 2'400);
  if (std::uint64_t one = from_environment("WEIR_SIM_SEED", 0); one != 0) {
    if (one % kShards != first % kShards) GTEST_SKIP() << "the seed is another shard's";
    first = last = one;
  }
  for (std::uint64_t seed = first; seed <= last; seed += kShards) {
    World world(Draw(seed).parameters());
    ASSERT_EQ(world.run(), "") << "seed " << seed << "; run it again with WEIR_SIM_SEED=" << seed
                               << " weir_sim_test --gtest_filter='*Seeds*'";
  }
}

INSTANTIATE_TEST_SUITE_P(Shards, SimSeeds, testing::Range(std::uint64_t{0}, kShards));

}  // namespace
}  // namespace weir::sim
