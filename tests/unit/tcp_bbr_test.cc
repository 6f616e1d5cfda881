// SPDX-License-Identifier: MIT
// BBR's model and states, draft-ietf-ccwg-bbr, over a path in virtual time.
#include <gtest/gtest.h>

#include <vector>

#include "congestion_path.h"
#include "weir/tcp/congestion/bbr.h"

namespace weir::tcp {
namespace {

using test::kMss;
using test::Path;
using test::PathParameters;
using State = Bbr::State;

// 10 Mb/s, 40 ms: a volume of 50,000 bytes.
constexpr double kRate = 1'250'000;
constexpr double kVolume = 50'000;

// The states in their order, each once, while the path runs for `d`.
std::vector<State> states(Path& path, const Bbr& bbr, Duration d) {
  std::vector<State> seen{bbr.state()};
  path.run(d, [&] {
    if (bbr.state() != seen.back()) seen.push_back(bbr.state());
    return false;
  });
  return seen;
}

bool run_to(Path& path, const Bbr& bbr, State state, Duration most = Duration::seconds(20)) {
  return path.run(most, [&] { return bbr.state() == state; });
}

// A segment of a flight of forty.
SegmentLoss one_lost(const Path& path) {
  SegmentLoss loss;
  loss.now = path.now();
  loss.bytes = loss.lost = kMss;
  loss.delivered = path.delivered();
  loss.tx_in_flight = 40 * kMss;
  loss.selective = true;
  return loss;
}

TEST(TcpBbr, StartupPacesAtTwoPointSevenSevenWindowsARoundTrip) {
  Bbr bbr;
  Path path(bbr, {});
  EXPECT_EQ(bbr.state(), State::startup);
  EXPECT_NEAR(static_cast<double>(bbr.pacing_rate()), 2.77 * 10 * kMss / 0.04, 1);
  EXPECT_TRUE(bbr.governs_recovery());
}

TEST(TcpBbr, StartupEndsWhenTheBandwidthNoLongerGrows) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::drain));
  EXPECT_TRUE(bbr.full_bw_reached());
  EXPECT_NEAR(static_cast<double>(bbr.max_bw()), kRate, 0.05 * kRate);
  // From 10 segments to the volume are three doublings, and three round trips show that it is over.
  EXPECT_LT(path.now() - Instant::from_ns(1'000'000'000), Duration::milliseconds(900));
  EXPECT_NEAR(static_cast<double>(bbr.pacing_rate()), 0.5 * 0.99 * static_cast<double>(bbr.max_bw()), 1);
}

TEST(TcpBbr, DrainEndsWhenTheQueueIsGone) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::drain));
  EXPECT_GT(path.in_flight(), 1.2 * kVolume) << "Startup has filled a queue";
  // What Drain leaves, Down need not take away.
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  EXPECT_LE(path.in_flight(), 1.05 * kVolume);
  EXPECT_LT(path.now() - Instant::from_ns(1'000'000'000), Duration::milliseconds(1'000));
}

TEST(TcpBbr, ProbeBwGoesRoundInItsOrder) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  std::vector<State> seen = states(path, bbr, Duration::seconds(3));
  std::vector<State> cycle{State::probe_bw_cruise, State::probe_bw_refill, State::probe_bw_up, State::probe_bw_down};
  ASSERT_GE(seen.size(), 5u);
  for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], cycle[i % 4]) << i;
}

TEST(TcpBbr, AProbeComesAfterTwoToThreeSecondsOrRenosRounds) {
  // 100 Mb/s, 50 ms: Reno would take far longer.
  Bbr bbr;
  Path path(bbr, {12'500'000, Duration::milliseconds(50), 10'000'000});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  Instant down = path.now();
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_refill));
  EXPECT_GE(path.now() - down, Duration::seconds(2));
  EXPECT_LE(path.now() - down, Duration::milliseconds(3'100));
  // 1 Mb/s, 40 ms: five segments, so five round trips.
  Bbr small;
  Path slow(small, {125'000, Duration::milliseconds(40), 100'000});
  ASSERT_TRUE(run_to(slow, small, State::probe_bw_cruise));
  down = slow.now();
  ASSERT_TRUE(run_to(slow, small, State::probe_bw_refill));
  EXPECT_LE(slow.now() - down, Duration::milliseconds(600));
}

TEST(TcpBbr, CruiseHoldsTheRateAndNoQueue) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  EXPECT_NEAR(static_cast<double>(bbr.pacing_rate()), 0.99 * static_cast<double>(bbr.max_bw()), 1);
  path.run(Duration::milliseconds(500));
  EXPECT_LE(path.in_flight(), 1.2 * kVolume);
  std::uint64_t before = path.delivered();
  path.run(Duration::seconds(4));
  EXPECT_GT(static_cast<double>(path.delivered() - before), 0.93 * 4 * kRate);
}

TEST(TcpBbr, UpPacesAQuarterFasterAndFindsNewBandwidth) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_up));
  path.run(Duration::milliseconds(1));
  ASSERT_EQ(bbr.state(), State::probe_bw_up);
  EXPECT_NEAR(static_cast<double>(bbr.pacing_rate()), 1.25 * 0.99 * static_cast<double>(bbr.max_bw()), 1);
  path.set_rate(2 * static_cast<std::uint64_t>(kRate));
  path.run(Duration::seconds(8));
  EXPECT_NEAR(static_cast<double>(bbr.max_bw()), 2 * kRate, 0.1 * kRate);
}

TEST(TcpBbr, AnOldBandwidthIsForgottenAfterTwoProbes) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  path.set_rate(static_cast<std::uint64_t>(kRate) / 2);
  path.run(Duration::seconds(12));
  EXPECT_NEAR(static_cast<double>(bbr.max_bw()), kRate / 2, 0.1 * kRate);
}

TEST(TcpBbr, ProbeRttComesEveryFiveSecondsAndHalvesTheVolume) {
  Bbr bbr;
  Path path(bbr, {});
  Instant start = path.now();
  ASSERT_TRUE(run_to(path, bbr, State::probe_rtt));
  EXPECT_GE(path.now() - start, Duration::seconds(5));
  Instant entered = path.now();
  std::uint32_t least = 1u << 30;
  ASSERT_TRUE(path.run(Duration::seconds(5), [&] {
    if (bbr.state() == State::probe_rtt) least = std::min(least, path.in_flight());
    return bbr.state() != State::probe_rtt;
  }));
  EXPECT_LE(least, 0.55 * kVolume);
  EXPECT_GE(path.now() - entered, Duration::milliseconds(200));
  EXPECT_LE(path.now() - entered, Duration::milliseconds(400));
  EXPECT_EQ(bbr.state(), State::probe_bw_cruise);
  EXPECT_NEAR(static_cast<double>(bbr.min_rtt().count_us()), 40'800, 900);
}

TEST(TcpBbr, AShallowBufferBoundsTheLongTermInflight) {
  Bbr bbr;
  Path path(bbr, {static_cast<std::uint64_t>(kRate), Duration::milliseconds(40), 5'000});
  EXPECT_EQ(bbr.inflight_longterm(), std::numeric_limits<std::uint64_t>::max());
  path.run(Duration::seconds(10));
  EXPECT_LT(static_cast<double>(bbr.inflight_longterm()), 2 * kVolume);
  std::uint64_t delivered = path.delivered();
  std::uint64_t lost = path.lost();
  path.run(Duration::seconds(20));
  EXPECT_GT(static_cast<double>(path.delivered() - delivered), 0.8 * 20 * kRate);
  EXPECT_LT(static_cast<double>(path.lost() - lost), 0.02 * static_cast<double>(path.delivered() - delivered));
}

TEST(TcpBbr, TheWindowIsTheGainTimesTheVolumeAndNeverBelowFourSegments) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  path.run(Duration::seconds(1));
  EXPECT_GE(bbr.cwnd(), 1.5 * kVolume);
  EXPECT_LE(bbr.cwnd(), 3 * kVolume);
  Bbr tiny;
  Path thin(tiny, {10'000, Duration::milliseconds(10), 100'000});
  thin.run(Duration::seconds(20));
  EXPECT_GE(tiny.cwnd(), 4 * kMss);
}

// 5.5.10.2
TEST(TcpBbr, LossesOfAProbeBoundTheInflightAtTheSegmentThatMetTheThreshold) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_up));
  SegmentLoss loss;
  loss.now = path.now();
  loss.bytes = kMss;
  loss.delivered = path.delivered();
  loss.selective = true;
  // A fiftieth is not too much.
  loss.tx_in_flight = 50 * kMss;
  loss.lost = kMss;
  bbr.on_segment_lost(loss);
  EXPECT_EQ(bbr.inflight_longterm(), std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(bbr.state(), State::probe_bw_up);
  // Of sixty, more than two are: with the second segment 1.18 of 59 are, so a fifth of the sixtieth fits.
  loss.tx_in_flight = 60 * kMss;
  loss.lost = 2 * kMss;
  bbr.on_segment_lost(loss);
  EXPECT_NEAR(static_cast<double>(bbr.inflight_longterm()), 59'000 + (0.02 * 59'000 - 1'000) / 0.98, 1);
  EXPECT_EQ(bbr.state(), State::probe_bw_down);
  // One answer to a probe.
  loss.lost = 40 * kMss;
  bbr.on_segment_lost(loss);
  EXPECT_NEAR(static_cast<double>(bbr.inflight_longterm()), 59'184, 1);
}

// 5.3.3.6
TEST(TcpBbr, TheProbeAfterOneThatWasTooMuchGoesDownAtTheBoundAndAnotherFollowsAtOnce) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_up));
  path.run(Duration::milliseconds(20));
  bbr.on_segment_lost(one_lost(path));
  ASSERT_EQ(bbr.state(), State::probe_bw_down);
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_up));
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_down));
  EXPECT_TRUE(run_to(path, bbr, State::probe_bw_refill, Duration::milliseconds(100))) << "it has met no loss";
}

// 5.5.11.2
TEST(TcpBbr, AProbeThatASpuriousLossEndedBeginsAgain) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_up));
  bbr.on_segment_lost(one_lost(path));
  ASSERT_EQ(bbr.state(), State::probe_bw_down);
  bbr.on_loss(test::moment_at(path.now(), path.in_flight()));
  bbr.undo();
  EXPECT_EQ(bbr.state(), State::probe_bw_refill);
  EXPECT_EQ(bbr.inflight_longterm(), std::numeric_limits<std::uint64_t>::max());
}

TEST(TcpBbr, ATimeOutLeavesOneSegmentAndUndoBringsTheWindowBack) {
  Bbr bbr;
  Path path(bbr, {});
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  std::uint32_t before = bbr.cwnd();
  bbr.on_timeout(test::moment_at(path.now(), path.in_flight()), false);
  EXPECT_EQ(bbr.cwnd(), kMss);
  bbr.undo();
  EXPECT_EQ(bbr.cwnd(), before);
}

TEST(TcpBbr, HandsOnThePathsVolumeAsThreshold) {
  Bbr bbr;
  Path path(bbr, {});
  EXPECT_EQ(bbr.ssthresh(), kNoThreshold);
  ASSERT_TRUE(run_to(path, bbr, State::probe_bw_cruise));
  EXPECT_NEAR(bbr.ssthresh(), kVolume, 0.15 * kVolume);
}

}  // namespace
}  // namespace weir::tcp
