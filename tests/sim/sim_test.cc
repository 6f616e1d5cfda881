// SPDX-License-Identifier: MIT
// Two stacks over a link that loses, repeats, delays, reorders and damages. Whatever the seed, every byte arrives once
// and in order, every connection ends, and every frame is counted once.
//
// WEIR_SIM_SEEDS=N runs seeds 1 to N; WEIR_SIM_SEED=n that one alone.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <random>
#include <string>

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

// The parameters of a seed.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}

  WorldParameters parameters(std::uint64_t seed) {
    WorldParameters p;
    p.seed = seed;
    p.family = one_in(2) ? Family::v4 : Family::v6;
    p.medium = one_in(4) ? stack::Medium::ip : stack::Medium::ethernet;
    auto mtu = static_cast<std::uint16_t>(pick({576, 1'280, 1'400, 1'500, 9'000}));
    if (p.family == Family::v6) mtu = std::max<std::uint16_t>(mtu, 1'280);
    for (stack::Config* c : {&p.client, &p.server}) {
      c->mtu = mtu;
      c->tcp.receive_buffer = static_cast<std::uint32_t>(pick({4'096, 16'384, 65'535, 262'144}));
      c->tcp.send_buffer = static_cast<std::uint32_t>(pick({4'096, 16'384, 65'536, 262'144}));
      c->tcp.window_scale = !one_in(4);
      c->tcp.timestamps = !one_in(3);
      c->tcp.sack = !one_in(5);
      // With a loss of 8 % each way, the odds of one in a million.
      c->tcp.syn_retries = 12;
      c->tcp.syn_ack_retries = 12;
      c->checksum = one_in(4) ? wire::ChecksumPolicy::verify_or_partial : wire::ChecksumPolicy::verify;
    }
    bool gentle = one_in(4);
    p.to_server = link(p.medium, gentle);
    p.to_client = link(p.medium, gentle);
    p.resolve_after = Duration::microseconds(static_cast<std::int64_t>(below(2'000)));
    if (one_in(3)) p.routes_change_every = Duration::milliseconds(static_cast<std::int64_t>(1 + below(500)));
    p.backlog = static_cast<std::uint32_t>(1 + below(16));
    std::uint16_t least = p.family == Family::v4 ? 576 : 1'280;
    for (LinkParameters* l : {&p.to_server, &p.to_client}) {
      if (one_in(5) && mtu > least) l->path_mtu = static_cast<std::uint16_t>(least + below(mtu - least));
    }
    std::size_t conversations = 1 + below(6);
    for (std::size_t i = 0; i < conversations; ++i) p.conversations.push_back(conversation(seed, i, p));
    if (one_in(6)) p.server.syn_cookies = stack::SynCookies::always;
    p.to_server.black_hole = one_in(3);
    p.to_client.black_hole = one_in(3);
    // A cookie lives for two minutes, within which text must have got through.
    if (p.to_server.path_mtu != 0 && p.to_server.black_hole) p.server.syn_cookies = stack::SynCookies::never;
    for (stack::Config* c : {&p.client, &p.server}) {
      c->tcp.ecn = one_in(3) ? tcp::EcnMode::off : one_in(2) ? tcp::EcnMode::request : tcp::EcnMode::accept;
    }
    // By the seed itself, so that the draws above stay what they were.
    constexpr std::array kControllers{"cubic", "newreno", "bbr", "dctcp"};
    p.client.tcp.congestion = kControllers[seed / 8 % 4];
    p.server.tcp.congestion = kControllers[seed / 32 % 4];
    for (stack::Config* c : {&p.client, &p.server}) c->tcp.pacing = seed / 128 % 2 == 1;
    return p;
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool one_in(std::uint64_t n) { return below(n) == 0; }
  std::uint64_t pick(std::initializer_list<std::uint64_t> of) { return of.begin()[below(of.size())]; }
  double upto(double most) { return std::uniform_real_distribution<>(0, most)(random_); }

  LinkParameters link(stack::Medium medium, bool gentle) {
    LinkParameters l;
    l.spared = medium == stack::Medium::ethernet ? 14 : 0;  // a damaged MAC is the FCS's matter
    l.delay = Duration::microseconds(static_cast<std::int64_t>(pick({10, 200, 2'000, 20'000, 80'000})));
    l.jitter = l.delay * static_cast<std::int64_t>(below(3)) / 2;
    l.rate = pick({0, 1'000'000, 10'000'000, 100'000'000, 1'000'000'000});
    if (l.rate != 0 && one_in(2)) l.queue = static_cast<std::uint32_t>(20'000 + below(200'000));
    if (gentle) return l;
    if (!one_in(3)) l.loss = upto(0.08);
    if (one_in(3)) l.duplication = upto(0.1);
    if (one_in(3)) l.corruption = upto(0.03);
    if (one_in(2)) {
      l.reordering = upto(0.2);
      l.hold = Duration::microseconds(static_cast<std::int64_t>(1 + below(30'000)));
    }
    return l;
  }

  Conversation conversation(std::uint64_t seed, std::size_t i, const WorldParameters& p) {
    Conversation c;
    c.starts_after = Duration::microseconds(static_cast<std::int64_t>(below(200'000)));
    c.client.stream_out = c.server.stream_in = seed * 100 + i * 2;
    c.server.stream_out = c.client.stream_in = seed * 100 + i * 2 + 1;
    // A megabit link is given less to do, so that a run stays short.
    bool slow = p.to_server.rate == 1'000'000 || p.to_client.rate == 1'000'000;
    std::uint64_t most = slow ? 60'000 : 400'000;
    c.client.to_write = c.server.to_read = one_in(5) ? below(3) : below(most);
    c.server.to_write = c.client.to_read = one_in(5) ? below(3) : below(most);
    for (SessionPlan* s : {&c.client, &c.server}) {
      s->write_chunk = pick({100, 1'000, 1'460, 16'384, 100'000});
      s->read_chunk = pick({50, 1'000, 16'384, 100'000});
      if (one_in(6)) s->read_pause = Duration::microseconds(static_cast<std::int64_t>(1 + below(20'000)));
      if (s->read_pause.count_ns() != 0) s->read_chunk = std::max<std::size_t>(s->read_chunk, 1'000);
      s->no_delay = one_in(2);
      s->close_early = one_in(2);
    }
    if (one_in(4)) c.server.write_after_end = true;
    if (one_in(10)) (one_in(2) ? c.client : c.server).abort_after = below(most / 2);
    return c;
  }

  std::mt19937_64 random_;
};

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

constexpr std::uint64_t kShards = 8;

class SimSeeds : public testing::TestWithParam<std::uint64_t> {};

TEST_P(SimSeeds, EveryByteArrivesOnceAndInOrder) {
  std::uint64_t first = GetParam() + 1;
  std::uint64_t last = from_environment("WEIR_SIM_SEEDS", 320);
  if (std::uint64_t one = from_environment("WEIR_SIM_SEED", 0); one != 0) {
    if (one % kShards != first % kShards) GTEST_SKIP() << "the seed is another shard's";
    first = last = one;
  }
  for (std::uint64_t seed = first; seed <= last; seed += kShards) {
    World world(Draw(seed).parameters(seed));
    ASSERT_EQ(world.run(), "") << "seed " << seed << "; run it again with WEIR_SIM_SEED=" << seed
                               << " weir_sim_test --gtest_filter='*Seeds*'";
  }
}

INSTANTIATE_TEST_SUITE_P(Shards, SimSeeds, testing::Range(std::uint64_t{0}, kShards));

}  // namespace
}  // namespace weir::sim
