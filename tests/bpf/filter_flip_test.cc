// SPDX-License-Identifier: MIT
// Generations under traffic: one thread runs frames through the program without a pause, the other changes which
// generation is current, as the tools do.
#include <netinet/in.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <thread>

#include "weir/control/filter.h"
#include "weir/control/heartbeat.h"
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

using control::Rule;

class FilterFlip : public XdpTest {};

// The frame is from kPeer4 to kSteeredTcp. `by_source` decides by its address alone, `by_port` by its port alone, each
// late in a table of rules that do not match it. What is of one generation and what is of the other fit nowhere
// together: tables, classes and rules lie at different places. Such a frame meets `third`, or no rule.
std::vector<Rule> generation(bool by_source, std::size_t rules) {
  std::vector<Rule> out;
  const auto add = [&](std::string name, control::Action action) -> Rule& {
    out.emplace_back();
    out.back().name = std::move(name);
    out.back().action = action;
    return out.back();
  };
  for (std::size_t i = 0; out.size() + 3 < rules; ++i) {
    Rule& r = add("other" + std::to_string(i), control::Action::drop);
    if (by_source) {
      r.source = *control::parse_prefix("203.0." + std::to_string(i / 256) + "." + std::to_string(i % 256));
    } else {
      r.protocol = IPPROTO_TCP;
      r.port = {static_cast<std::uint16_t>(10000 + i), static_cast<std::uint16_t>(10000 + i)};
    }
  }
  const auto matching = [&](Rule& r) {
    if (by_source) {
      r.source = *control::parse_prefix("198.51.100.2");
    } else {
      r.protocol = IPPROTO_TCP;
      r.port = {kSteeredTcp, kSteeredTcp};
    }
  };
  const auto never = [](Rule& r) { r.vlan = control::Range{1, 1}; };
  Rule& source = add("by-source", control::Action::pass);
  by_source ? matching(source) : never(source);
  Rule& port = add("by-port", control::Action::pass);
  by_source ? never(port) : matching(port);
  add("third", control::Action::drop);
  return out;
}

TEST_F(FilterFlip, EveryFrameIsJudgedByOneGenerationAndCountedOnce) {
  const std::uint64_t applies = from_environment("WEIR_FILTER_APPLIES", 200);
  constexpr int kFlipsAnApply = 50;
  const xdp::Maps maps = this->maps();
  const auto now = [] { return control::monotonic_now(); };
  ASSERT_TRUE(control::filter_apply(maps, generation(false, 500), std::nullopt, now()).ok());
  ASSERT_TRUE(control::filter_apply(maps, generation(true, 300), std::nullopt, now()).ok());

  std::atomic<bool> stop{false};
  std::uint64_t frames = 0;
  std::uint64_t not_passed = 0;
  std::thread traffic([&] {
    while (!stop) {
      // Long ones: the kernel waits for a grace period around each, in which no frame runs.
      constexpr std::uint32_t kBatch = 500'000;
      not_passed += run_repeatedly(tcp4("S"), kBatch).action == XDP_PASS ? 0u : 1u;
      frames += kBatch;
    }
  });
  std::uint64_t failed = 0;
  for (std::uint64_t i = 0; i < applies; ++i) {
    const auto state = control::filter_state(maps, now(), control::RuleCounters::leave_out);
    const bool source_now = state.ok() && state->rules[state->rules.size() - 3].source.any == false;
    // Another size each time, so that nothing lies where it lay before.
    const auto size = static_cast<std::size_t>((source_now ? 500 : 300) + i);
    const auto applied = control::filter_apply(maps, generation(!source_now, size), std::nullopt, now());
    failed += applied.ok() && *applied ? 0u : 1u;
    for (int flip = 0; flip < kFlipsAnApply; ++flip) {
      const weir_u64 selector = xdp::load(maps.config().filter_selector);
      xdp::store(maps.config().filter_selector, selector ^ 1);
      // Frames run in between, a few hundred of them.
      for (int turn = 0; turn < 5000; ++turn) static_cast<void>(xdp::load(maps.config().filter_selector));
    }
  }
  stop = true;
  traffic.join();
  EXPECT_EQ(failed, 0u);
  EXPECT_EQ(not_passed, 0u);

  const auto state = control::filter_state(maps, now());
  ASSERT_TRUE(state.ok());
  std::map<std::string, std::uint64_t> hits;
  std::uint64_t others = 0;
  for (const Rule& r : state->rules) {
    if (r.name.rfind("other", 0) == 0)
      others += r.hits.packets;
    else
      hits[r.name] = r.hits.packets;
  }
  std::printf("  %llu frames: %llu by source, %llu by port, %llu by neither\n", static_cast<unsigned long long>(frames),
              static_cast<unsigned long long>(hits["by-source"]), static_cast<unsigned long long>(hits["by-port"]),
              static_cast<unsigned long long>(hits["third"] + others));
  EXPECT_EQ(hits["third"] + others, 0u);
  EXPECT_EQ(hits["by-source"] + hits["by-port"], frames);
  EXPECT_GT(hits["by-source"], 0u);
  EXPECT_GT(hits["by-port"], 0u);
}

TEST_F(FilterFlip, ALimitLetsItsBurstThroughAndNoMore) {
  const xdp::Maps maps = this->maps();
  Rule limited;
  limited.name = "limited";
  limited.action = control::Action::pass;
  limited.limit = control::Limit{control::Limit::Unit::packets, false, 1, 5};
  ASSERT_TRUE(control::filter_apply(maps, {limited}, std::nullopt, control::monotonic_now()).ok());
  for (int i = 0; i < 5; ++i) EXPECT_EQ(reason(tcp4("S")), "PASS_FILTER") << i;
  EXPECT_EQ(reason(tcp4("S")), "DROP_LIMIT");
  EXPECT_EQ(reason(tcp6("S")), "DROP_LIMIT") << "the rule's one bucket";

  // Per source: the first source's debt is not another's; in IPv6 a /64 is one source.
  limited.name = "each";
  limited.limit->per_source = true;
  limited.limit->burst = 2;
  ASSERT_TRUE(control::filter_apply(maps, {limited}, std::nullopt, control::monotonic_now()).ok());
  for (const Packet& p : {tcp4("S"), Packet().ipv4(kTransit4, kOurs4).tcp(1, 2, "S"), tcp6("S")}) {
    EXPECT_EQ(reason(p), "PASS_FILTER");
    EXPECT_EQ(reason(p), "PASS_FILTER");
    EXPECT_EQ(reason(p), "DROP_LIMIT");
  }
  EXPECT_EQ(reason(Packet().ipv6(*IpAddress::parse("2001:db8:ffff::3"), kOurs6).tcp(1, 2, "S")), "DROP_LIMIT");
  EXPECT_EQ(reason(Packet().ipv6(*IpAddress::parse("2001:db8:ffff:1::2"), kOurs6).tcp(1, 2, "S")), "PASS_FILTER");

  // Octets, from the Ethernet header on: two frames of 1000 fit 2500, three do not.
  limited.name = "octets";
  limited.limit = control::Limit{control::Limit::Unit::bytes, false, 1, 2500};
  ASSERT_TRUE(control::filter_apply(maps, {limited}, std::nullopt, control::monotonic_now()).ok());
  const Packet thousand = tcp4("A").text(1000 - 54);
  EXPECT_EQ(reason(thousand), "PASS_FILTER");
  EXPECT_EQ(reason(thousand), "PASS_FILTER");
  EXPECT_EQ(reason(thousand), "DROP_LIMIT");
  EXPECT_EQ(reason(tcp4("A").text(400)), "PASS_FILTER") << "what is left is for a smaller one";
}

TEST_F(FilterFlip, ALimitThatIsChangedDoesNotWaitForTheDebtsOfTheOldOne) {
  const xdp::Maps maps = this->maps();
  for (const bool per_source : {false, true}) {
    Rule limited;
    limited.name = "limited";
    limited.action = control::Action::pass;
    limited.limit = control::Limit{control::Limit::Unit::packets, per_source, 1, 1000};
    ASSERT_TRUE(control::filter_apply(maps, {limited}, std::nullopt, control::monotonic_now()).ok());
    EXPECT_EQ(run_repeatedly(tcp4("S"), 2000).action, XDP_DROP) << "1000 s in debt";
    limited.limit->rate = 1'000'000;
    ASSERT_TRUE(control::filter_apply(maps, {limited}, std::nullopt, control::monotonic_now()).ok());
    bool passed = false;
    for (int i = 0; i < 1000 && !passed; i++) passed = reason(tcp4("S")) == "PASS_FILTER";
    EXPECT_TRUE(passed);
  }
}

}  // namespace
}  // namespace weir::bpf_test
