// SPDX-License-Identifier: MIT
// CUBIC by RFC 9438, HyStart++ by RFC 9406: formulas and rules, on made-up ACKs.
#include <gtest/gtest.h>

#include <cmath>

#include "congestion_events.h"
#include "weir/tcp/congestion/cubic.h"

namespace weir::tcp {
namespace {

using test::ack_of;
using test::at_ms;
using test::kMss;
using test::moment_at;

// In congestion avoidance, after a loss at `window`.
Cubic after_loss_at(std::uint32_t window, Instant now = at_ms(0)) {
  Cubic c;
  c.open(window, moment_at(now, 0));
  c.on_loss(moment_at(now, window));
  return c;
}

// A window's worth of ACKs, one a segment, over one round trip from `now` on; returns when it ended.
Instant round_trip(Cubic& c, Instant now, Duration rtt) {
  std::uint32_t acks = c.cwnd() / kMss;
  for (std::uint32_t i = 0; i < acks; ++i) c.on_ack(ack_of(kMss, now + rtt * i / acks, rtt));
  return now + rtt;
}

TEST(TcpCubic, ALossMultipliesTheWindowByBeta) {
  Cubic c = after_loss_at(100 * kMss);
  EXPECT_EQ(c.cwnd(), 70 * kMss);
  EXPECT_EQ(c.ssthresh(), 70 * kMss);
  EXPECT_DOUBLE_EQ(c.w_max(), 100.0 * kMss);
}

TEST(TcpCubic, TheWindowAfterALossIsOfWhatWasInFlight) {
  Cubic c;
  c.open(100 * kMss, moment_at(at_ms(0), 0));
  c.on_loss(moment_at(at_ms(0), 50 * kMss));
  EXPECT_EQ(c.cwnd(), 35 * kMss);
}

TEST(TcpCubic, TheWindowIsNeverBelowTwoSegmentsAfterALossNorOneAfterAMark) {
  Cubic c = after_loss_at(kMss);
  EXPECT_EQ(c.cwnd(), 2 * kMss);
  EXPECT_EQ(c.ssthresh(), 2 * kMss);
  Cubic marked;
  marked.open(kMss, moment_at(at_ms(0), 0));
  marked.on_ecn(moment_at(at_ms(0), kMss));
  EXPECT_EQ(marked.cwnd(), kMss);
  EXPECT_EQ(marked.ssthresh(), 2 * kMss);
}

// Figure 2: K = cbrt((W_max - cwnd_epoch) / C).
TEST(TcpCubic, KIsWhenTheWindowIsBackAtWMax) {
  Cubic c = after_loss_at(1'000 * kMss);
  c.on_ack(ack_of(kMss, at_ms(100)));
  EXPECT_NEAR(c.k(), std::cbrt(300 / 0.4), 1e-6);
  EXPECT_NEAR(c.w_cubic(Duration::nanoseconds(static_cast<std::int64_t>(c.k() * 1e9)), kMss), 1'000.0 * kMss, 1);
  EXPECT_NEAR(c.w_cubic(Duration{}, kMss), 700.0 * kMss, 1);
}

// Figure 1: W_cubic(t) = C * (t - K)^3 + W_max.
TEST(TcpCubic, TheWindowFollowsWCubic) {
  constexpr Duration kRtt = Duration::milliseconds(100);
  Cubic c = after_loss_at(1'000 * kMss);
  Instant start = at_ms(100);
  double k = std::cbrt(300 / 0.4);
  for (Instant now = start; now - start < Duration::seconds(14);) {
    now = round_trip(c, now, kRtt);
    double t = static_cast<double>((now - start).count_ns()) * 1e-9;
    double expected = 0.4 * (t - k) * (t - k) * (t - k) + 1'000;
    EXPECT_NEAR(c.cwnd() / static_cast<double>(kMss), expected, expected * 0.01 + 1) << "at " << t;
  }
}

TEST(TcpCubic, TheWindowGrowsByNoMoreThanHalfARoundTrip) {
  // A round trip of ten seconds: the target is far above one and a half windows.
  Cubic c = after_loss_at(1'000 * kMss);
  std::uint32_t before = c.cwnd();
  round_trip(c, at_ms(0), Duration::seconds(60));
  EXPECT_LE(c.cwnd(), before * 165 / 100);  // 1.5 a window of ACKs, compounded per ACK: below e^0.5
  EXPECT_GT(c.cwnd(), before * 14 / 10);
}

// 4.3: where Reno would be faster, the window is W_est, which grows by alpha_cubic segments a round trip, and by one
// once it is back where the reduction was.
TEST(TcpCubic, InTheRenoFriendlyRegionTheWindowIsWEst) {
  constexpr Duration kRtt = Duration::milliseconds(1);
  Cubic c = after_loss_at(20 * kMss);
  Instant now = at_ms(0);
  ASSERT_EQ(c.cwnd(), 14 * kMss);
  for (int i = 0; i < 9; ++i) now = round_trip(c, now, kRtt);
  // 3 * (1 - 0.7) / (1 + 0.7) = 0.529 a round trip.
  EXPECT_NEAR(c.cwnd(), 14 * kMss + 9 * 0.529 * kMss, 0.5 * kMss);
  while (c.cwnd() < 20 * kMss) now = round_trip(c, now, kRtt);
  std::uint32_t back = c.cwnd();
  for (int i = 0; i < 10; ++i) now = round_trip(c, now, kRtt);
  EXPECT_NEAR(c.cwnd(), back + 10.0 * kMss, 1.0 * kMss);
}

// 4.7
TEST(TcpCubic, FastConvergenceGivesRoomToOthers) {
  Cubic c = after_loss_at(100 * kMss);
  c.on_loss(moment_at(at_ms(50), 70 * kMss));
  EXPECT_NEAR(c.w_max(), 70.0 * kMss * 1.7 / 2, 1);
  // A window that has passed its old maximum is the maximum.
  Cubic grown = after_loss_at(100 * kMss);
  Instant now = at_ms(0);
  while (grown.cwnd() <= 100 * kMss) now = round_trip(grown, now, Duration::milliseconds(100));
  std::uint32_t window = grown.cwnd();
  grown.on_loss(moment_at(now, window));
  EXPECT_DOUBLE_EQ(grown.w_max(), static_cast<double>(window));
}

// 4.8
TEST(TcpCubic, ATimeOutMakesTheWindowOneSegmentAndTheNextEpochFlat) {
  Cubic c;
  c.open(100 * kMss, moment_at(at_ms(0), 0));
  c.on_timeout(moment_at(at_ms(0), 100 * kMss), false);
  EXPECT_EQ(c.cwnd(), kMss);
  EXPECT_EQ(c.ssthresh(), 70 * kMss);
  c.on_timeout(moment_at(at_ms(1'000), kMss), true);
  EXPECT_EQ(c.ssthresh(), 70 * kMss) << "the same segment again";
  Instant now = at_ms(2'000);
  for (int i = 0; c.cwnd() < c.ssthresh(); ++i) c.on_ack(ack_of(kMss, now = now + Duration::milliseconds(1)));
  c.on_ack(ack_of(kMss, now));
  EXPECT_EQ(c.k(), 0);
  EXPECT_DOUBLE_EQ(c.w_max(), 70.0 * kMss);
}

// 4.9
TEST(TcpCubic, UndoBringsBackWhatASpuriousLossTook) {
  Cubic c = after_loss_at(100 * kMss);
  Instant now = at_ms(0);
  for (int i = 0; i < 5; ++i) now = round_trip(c, now, Duration::milliseconds(100));
  std::uint32_t cwnd = c.cwnd();
  double w_max = c.w_max();
  double k = c.k();
  c.on_timeout(moment_at(now, cwnd), false);
  EXPECT_EQ(c.cwnd(), kMss);
  c.undo();
  EXPECT_EQ(c.cwnd(), cwnd);
  EXPECT_EQ(c.ssthresh(), 70 * kMss);
  EXPECT_DOUBLE_EQ(c.w_max(), w_max);
  EXPECT_DOUBLE_EQ(c.k(), k);
  round_trip(c, now, Duration::milliseconds(100));
  EXPECT_GE(c.cwnd(), cwnd);
  EXPECT_LT(c.cwnd(), cwnd * 12 / 10) << "the epoch goes on where it was";
}

// 5.8: the cubic function does not run away while the window is not filled.
TEST(TcpCubic, AnUnusedWindowDoesNotGrowAndItsTimeDoesNotCount) {
  Cubic c = after_loss_at(100 * kMss);
  Instant now = round_trip(c, at_ms(0), Duration::milliseconds(100));
  std::uint32_t cwnd = c.cwnd();
  for (int i = 0; i < 1'000; ++i) {
    now += Duration::milliseconds(100);
    AckEvent a = ack_of(kMss, now);
    a.peak_in_flight = 2 * kMss;
    c.on_ack(a);
  }
  EXPECT_EQ(c.cwnd(), cwnd);
  now = round_trip(c, now, Duration::milliseconds(100));
  EXPECT_LT(c.cwnd(), cwnd + 6 * kMss);
}

TEST(TcpCubic, TheWindowStandsStillWithinARecovery) {
  Cubic c = after_loss_at(100 * kMss);
  for (int i = 0; i < 1'000; ++i) {
    AckEvent a = ack_of(kMss, at_ms(i * 100));
    a.in_recovery = true;
    c.on_ack(a);
  }
  EXPECT_EQ(c.cwnd(), 70 * kMss);
}

TEST(TcpCubic, TakesOverAWindowAndGrowsFromThere) {
  Cubic c;
  c.take_over(50 * kMss, 40 * kMss, moment_at(at_ms(0), 50 * kMss));
  EXPECT_EQ(c.cwnd(), 50 * kMss);
  EXPECT_EQ(c.ssthresh(), 40 * kMss);
  round_trip(c, at_ms(0), Duration::milliseconds(100));
  EXPECT_GT(c.cwnd(), 50 * kMss);
  EXPECT_LE(c.cwnd(), 52 * kMss);
}

// --- HyStart++ ---

// One round trip of `samples` ACKs, each of a segment and with that round trip time.
void hystart_round(HyStart& h, Duration rtt, std::uint32_t samples = HyStart::kRttSamples) {
  for (std::uint32_t i = 0; i < samples; ++i) {
    AckEvent a = ack_of(kMss, at_ms(0), rtt);
    a.round_start = i == 0;
    h.on_ack(a);
  }
}

constexpr Duration kBase = Duration::milliseconds(80);  // threshold: 80 / 8 = 10 ms

TEST(TcpHyStart, ConservativeSlowStartBeginsWhenTheRoundTripHasGrownByAnEighth) {
  HyStart h;
  hystart_round(h, kBase);
  hystart_round(h, kBase + Duration::nanoseconds(9'999'999));
  EXPECT_EQ(h.phase(), HyStart::Phase::slow_start);
  HyStart grown;
  hystart_round(grown, kBase);
  hystart_round(grown, kBase + Duration::milliseconds(10));
  EXPECT_EQ(grown.phase(), HyStart::Phase::conservative);
}

TEST(TcpHyStart, TheThresholdIsFourMillisecondsAtLeastAndSixteenAtMost) {
  struct Case {
    std::int64_t base_ms, grown_ms;
    HyStart::Phase expected;
  };
  for (const Case& t : {Case{8, 11, HyStart::Phase::slow_start}, Case{8, 12, HyStart::Phase::conservative},
                        Case{400, 415, HyStart::Phase::slow_start}, Case{400, 416, HyStart::Phase::conservative}}) {
    HyStart h;
    hystart_round(h, Duration::milliseconds(t.base_ms));
    hystart_round(h, Duration::milliseconds(t.grown_ms));
    EXPECT_EQ(h.phase(), t.expected) << t.base_ms << " to " << t.grown_ms;
  }
}

TEST(TcpHyStart, EightSamplesAreNeeded) {
  HyStart h;
  hystart_round(h, kBase);
  hystart_round(h, kBase * 2, 7);
  EXPECT_EQ(h.phase(), HyStart::Phase::slow_start);
}

TEST(TcpHyStart, ConservativeSlowStartGrowsAQuarterAsFast) {
  HyStart h;
  EXPECT_EQ(h.on_ack(ack_of(2 * kMss, at_ms(0), kBase)), 2 * kMss);
  EXPECT_EQ(h.on_ack(ack_of(20 * kMss, at_ms(0), kBase)), 8 * kMss) << "L = 8";
  hystart_round(h, kBase);
  hystart_round(h, kBase * 2);
  ASSERT_EQ(h.phase(), HyStart::Phase::conservative);
  EXPECT_EQ(h.on_ack(ack_of(2 * kMss, at_ms(0), kBase * 2)), kMss / 2);
}

TEST(TcpHyStart, FiveConservativeRoundsEndSlowStart) {
  HyStart h;
  hystart_round(h, kBase);
  hystart_round(h, kBase * 2);
  for (int i = 0; i < 4; ++i) hystart_round(h, kBase * 2);
  EXPECT_EQ(h.phase(), HyStart::Phase::conservative);
  hystart_round(h, kBase * 2);
  EXPECT_EQ(h.phase(), HyStart::Phase::done);
}

TEST(TcpHyStart, ARoundTripThatShrinksAgainResumesSlowStart) {
  HyStart h;
  hystart_round(h, kBase);
  hystart_round(h, kBase * 2);
  ASSERT_EQ(h.phase(), HyStart::Phase::conservative);
  hystart_round(h, kBase);
  EXPECT_EQ(h.phase(), HyStart::Phase::slow_start);
}

TEST(TcpCubic, SlowStartThatHyStartEndsLeavesTheThresholdAtTheWindow) {
  Cubic c;
  c.open(10 * kMss, moment_at(at_ms(0), 0));
  std::int64_t ms = 0;
  for (int round = 0; round < 8; ++round) {
    for (std::uint32_t i = 0; i < 8; ++i) {
      AckEvent a = ack_of(kMss, at_ms(++ms), round == 0 ? kBase : kBase * 2);
      a.round_start = i == 0;
      c.on_ack(a);
    }
  }
  EXPECT_NE(c.ssthresh(), kNoThreshold);
  std::uint32_t threshold = c.ssthresh();
  // 10 + 8 + 8 at full growth, then five rounds of 8 quarters.
  EXPECT_NEAR(threshold, (26 + 5 * 2) * kMss, 2 * kMss);
  c.on_ack(ack_of(kMss, at_ms(++ms)));
  EXPECT_EQ(c.k(), 0) << "RFC 9438 4.10: no loss has told of a maximum";
}

TEST(TcpCubic, HyStartIsForTheFirstSlowStartAlone) {
  Cubic c;
  c.open(100 * kMss, moment_at(at_ms(0), 0));
  c.on_timeout(moment_at(at_ms(0), 100 * kMss), false);
  for (int round = 0; round < 3; ++round) {
    for (std::uint32_t i = 0; i < 8; ++i) {
      AckEvent a = ack_of(kMss, at_ms(0), round == 0 ? kBase : kBase * 2);
      a.round_start = i == 0;
      c.on_ack(a);
    }
  }
  EXPECT_EQ(c.cwnd(), 25 * kMss);
  EXPECT_EQ(c.ssthresh(), 70 * kMss);
}

}  // namespace
}  // namespace weir::tcp
