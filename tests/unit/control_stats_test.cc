// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "weir/control/stats.h"

namespace weir::control {
namespace {

TEST(Reasons, AreIndexedByThemselvesAndNamedOncePerVerdict) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < reasons().size(); ++i) {
    const ReasonFacts& r = reasons()[i];
    EXPECT_EQ(static_cast<std::size_t>(r.reason), i);
    EXPECT_TRUE(seen.insert(std::string(verdict_name(r.verdict)) + "." + r.name).second) << r.name;
  }
}

TEST(Snapshot, SumsByVerdictAndOverQueues) {
  Snapshot s;
  s.xdp[WEIR_R_DROP_FILTER] = {2, 200};
  s.xdp[WEIR_R_DROP_STALE] = {1, 60};
  s.xdp[WEIR_R_PASS_ARP] = {5, 300};
  EXPECT_EQ(s.total(WEIR_V_DROP).packets, 3u);
  EXPECT_EQ(s.total(WEIR_V_DROP).bytes, 260u);
  s.engine.resize(2);
  s.engine[0].by_reason[WEIR_R_TAKEN_TCP] = 4;
  s.engine[1].by_reason[WEIR_R_TAKEN_TCP] = 3;
  EXPECT_EQ(s.engine_total(WEIR_R_TAKEN_TCP), 7u);
}

Rule rule(const char* name, std::uint64_t packets) {
  Rule r;
  r.name = name;
  r.hits = {packets, packets * 60};
  return r;
}

TEST(Difference, MatchesRulesByNameAndEntriesByPort) {
  Snapshot a;
  Snapshot b;
  a.rules = {rule("a", 10), rule("b", 20)};
  b.rules = {rule("c", 5), rule("b", 25)};
  SteerEntry e;
  e.port = {Protocol::tcp, 80};
  e.counter = {7, 700};
  a.steered = {e};
  e.counter = {9, 900};
  e.index = 4;
  b.steered = {e};
  const Snapshot d = difference(b, a);
  EXPECT_EQ(d.rules[0].hits.packets, 5u);
  EXPECT_EQ(d.rules[1].hits.packets, 5u);
  EXPECT_EQ(d.steered[0].counter.packets, 2u);
}

TEST(Difference, ACounterThatWentBackIsANewOne) {
  Snapshot a;
  Snapshot b;
  a.xdp[WEIR_R_PASS_ARP] = {100, 6000};
  b.xdp[WEIR_R_PASS_ARP] = {3, 180};
  EXPECT_EQ(difference(b, a).xdp[WEIR_R_PASS_ARP].packets, 3u);
}

TEST(Difference, QueuesThatAppearCountFromZero) {
  Snapshot a;
  Snapshot b;
  b.engine.resize(1);
  b.engine[0].queue = 2;
  b.engine[0].by_reason[WEIR_R_TAKEN_TCP] = 4;
  EXPECT_EQ(difference(b, a).engine_total(WEIR_R_TAKEN_TCP), 4u);
}

}  // namespace
}  // namespace weir::control
