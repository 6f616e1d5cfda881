// SPDX-License-Identifier: MIT
// Congestion control outside the datapath.
#include <gtest/gtest.h>

#include <deque>
#include <map>

#include "congestion_path.h"
#include "off_path_reno.h"
#include "weir/tcp/congestion/new_reno.h"
#include "weir/tcp/congestion/off_path.h"

namespace weir::tcp {
namespace {

using test::ack_of;
using test::at_ms;
using test::kMss;
using test::moment_at;
using test::Path;
using test::PathParameters;

// An algorithm that answers at once, while it lives, over a queue with room for so many reports.
class Agent final : public Channel {
 public:
  bool send(const FlowReport& report) override {
    last = report;
    ++reports;
    if (full) return false;
    if (!alive) return true;
    if (auto control = algorithm.on_report(report)) answers[report.flow] = *control;
    return true;
  }
  std::optional<FlowControl> receive(std::uint64_t flow) override {
    auto it = answers.find(flow);
    if (it == answers.end()) return std::nullopt;
    FlowControl control = it->second;
    answers.erase(it);
    return control;
  }

  examples::OffPathReno algorithm;
  std::map<std::uint64_t, FlowControl> answers;
  FlowReport last;
  int reports = 0;
  bool alive = true;
  bool full = false;
};

TEST(TcpOffPath, RenoOutsideDeliversWithinFivePercentOfRenoInside) {
  for (std::uint32_t buffer : {10'000u, 50'000u, 200'000u}) {
    for (std::int64_t delay_ms : {5, 40, 150}) {
      PathParameters p{1'250'000, Duration::milliseconds(delay_ms), buffer};
      NewReno inside;
      Path built_in(inside, p);
      built_in.run(Duration::seconds(400));
      Agent agent;
      OffPath outside("outside", agent, 1);
      Path off_path(outside, p);
      off_path.run(Duration::seconds(400));
      double ratio = static_cast<double>(off_path.delivered()) / static_cast<double>(built_in.delivered());
      EXPECT_NEAR(ratio, 1, 0.05) << "buffer " << buffer << ", delay " << delay_ms;
      EXPECT_GT(built_in.lost(), 0u);
    }
  }
}

TEST(TcpOffPath, ReportsComeAFewTimesARoundTrip) {
  Agent agent;
  OffPath c("outside", agent, 1);
  Path path(c, {1'250'000, Duration::milliseconds(40), 50'000});
  path.run(Duration::seconds(2));
  agent.reports = 0;
  path.run(Duration::seconds(2));
  // A round trip is 40 ms, and 80 with the queue full.
  EXPECT_LE(agent.reports, 2'000 / 40 * 9);
  EXPECT_GE(agent.reports, 2'000 / 80 * 6);
}

TEST(TcpOffPath, WindowAndRateAreThoseThatCameBack) {
  Agent agent;
  OffPath c("outside", agent, 7);
  c.open(10 * kMss, moment_at(at_ms(0), 0));
  EXPECT_EQ(agent.last.event, FlowReport::opened);
  agent.answers[7] = {7, 123'456, 33 * kMss, 22 * kMss};
  agent.alive = false;
  c.on_ack(ack_of(kMss, at_ms(100)));
  EXPECT_EQ(c.cwnd(), 33 * kMss);
  EXPECT_EQ(c.ssthresh(), 22 * kMss);
  EXPECT_EQ(c.pacing_rate(), 123'456u);
  c.on_loss(moment_at(at_ms(101), 30 * kMss));
  EXPECT_EQ(agent.last.event, FlowReport::lost) << "at once";
}

TEST(TcpOffPath, WithoutAnAnswerItIsReno) {
  Agent agent;
  agent.alive = false;
  OffPath c("outside", agent, 1);
  c.open(10 * kMss, moment_at(at_ms(0), 0));
  EXPECT_FALSE(c.answered());
  c.on_ack(ack_of(2 * kMss, at_ms(10)));
  EXPECT_EQ(c.cwnd(), 12 * kMss);
  c.on_loss(moment_at(at_ms(20), 12 * kMss));
  EXPECT_EQ(c.cwnd(), 6 * kMss);
}

TEST(TcpOffPath, AnAlgorithmThatDiesLeavesRenoBehind) {
  for (bool full : {false, true}) {
    Agent agent;
    OffPath c("outside", agent, 1);
    Path path(c, {});
    path.run(Duration::seconds(1));
    ASSERT_TRUE(c.answered());
    agent.alive = false;
    agent.full = full;
    std::uint32_t window = c.cwnd();
    path.run(Duration::seconds(2));
    EXPECT_FALSE(c.answered());
    EXPECT_GE(c.cwnd(), window / 4);
    std::uint64_t before = path.delivered();
    path.run(Duration::seconds(5));
    EXPECT_GT(path.delivered() - before, 5 * 1'250'000 * 8 / 10u);
  }
}

TEST(TcpOffPath, WhereTheChannelIsFullTheCountsComeLater) {
  Agent agent;
  OffPath c("outside", agent, 1);
  c.open(10 * kMss, moment_at(at_ms(0), 0));
  agent.full = true;
  for (int i = 1; i <= 5; ++i) c.on_ack(ack_of(kMss, at_ms(i * 20)));
  c.on_loss(moment_at(at_ms(110), 10 * kMss));
  c.on_recovered(moment_at(at_ms(120), 5 * kMss));
  agent.full = false;
  c.on_ack(ack_of(kMss, at_ms(140)));
  EXPECT_EQ(agent.last.acked, 6 * kMss);
  EXPECT_EQ(agent.last.event, FlowReport::lost) << "what weighs most";
}

}  // namespace
}  // namespace weir::tcp
