// SPDX-License-Identifier: MIT
// Loss recovery with SACK: RFC 8985 (RACK-TLP), RFC 9937 (PRR), RFC 3042, RFC 2883, RFC 2018 8. What turns out to have
// been no loss is tcp_spurious_test.cc's.
#include <string>
#include <vector>

#include "tcp_flight.h"
#include "weir/tcp/proportional_rate.h"

namespace weir::tcp {
namespace {

using test::ack;
using test::Flight;
using test::kMss;
using test::kRtt;
using test::ms;
using test::Numbers;
using test::Scene;
using test::setting;

class TcpRecovery : public testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, TcpRecovery, testing::Values(Family::v4, Family::v6),
                         [](const auto& p) { return p.param == Family::v4 ? "v4" : "v6"; });

// --- fast retransmit with SACK ---

// RFC 8985 6.2, step 4: without reordering seen, three segments selectively acknowledged are enough.
TEST_P(TcpRecovery, FastRetransmitWithSack) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 2}});
  EXPECT_EQ(p.leave(), Numbers{});
  p.ack_segments(0, {{1, 3}});
  EXPECT_EQ(p.leave(), Numbers{});
  p.ack_segments(0, {{1, 4}});
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().ssthresh, 5'000u);
  EXPECT_EQ(p.info().retransmits, 1u);
  EXPECT_EQ(p.info().lost, 1u);
  EXPECT_EQ(p.info().sacked, 3'000u);
  EXPECT_EQ(p.info().in_flight, 7'000u) << "ten, less three at the peer, less one lost, and that one again";
  p.ack_segments(10);
  EXPECT_EQ(p.info().cwnd, 6'000u) << "RFC 9937: ssthresh; RFC 5681: a segment for the window that this ACK told of";
  EXPECT_EQ(p.info().timeouts, 0u);
  EXPECT_EQ(p.info().delivered, 11'000u);
}

TEST_P(TcpRecovery, TheAckThatEndsItCountsForGrowth) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 10}});
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().cwnd, 5'000u);
  p.ack_segments(10);
  EXPECT_EQ(p.info().cwnd, 5'000u) << "by the one segment that is news";
}

TEST_P(TcpRecovery, OnlyWhatIsLostIsSentAgain) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  // 0, 3 and 6 are lost.
  p.ack_segments(0, {{1, 3}});
  p.ack_segments(0, {{4, 6}, {1, 3}});
  Numbers again = p.leave();
  p.ack_segments(0, {{7, 10}, {4, 6}, {1, 3}});
  for (std::uint32_t n : p.leave()) again.push_back(n);
  p.wait(kRtt);
  p.ack_segments(3, {{7, 10}, {4, 6}});
  for (std::uint32_t n : p.leave()) again.push_back(n);
  p.wait(kRtt);
  p.ack_segments(6, {{7, 10}});
  for (std::uint32_t n : p.leave()) again.push_back(n);
  p.ack_segments(10);
  EXPECT_EQ(again, (Numbers{0, 3, 6}));
  EXPECT_EQ(p.info().ssthresh, 5'000u) << "one episode, one reduction";
  EXPECT_EQ(p.info().timeouts, 0u);
}

// RFC 3042, with RFC 6675 5's (3.C): pipe lets new text out.
TEST_P(TcpRecovery, LimitedTransmit) {
  Flight p(setting(GetParam()));
  p.write(100'000);
  EXPECT_EQ(p.leave().size(), 10u);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 2}});
  EXPECT_EQ(p.leave(), Numbers{10});
  p.ack_segments(0, {{1, 3}});
  EXPECT_EQ(p.leave(), Numbers{11});
}

// --- RACK ---

// RFC 8985 6.2, step 5: with fewer than three, a quarter of the round trip.
TEST_P(TcpRecovery, OneSelectiveAckIsEnoughAfterTheReorderingWindow) {
  Flight p(setting(GetParam()));
  p.fill(2);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 2}});
  EXPECT_EQ(p.leave(), Numbers{});
  EXPECT_EQ(p.wait_for_output(), kRtt / 4);
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().timeouts, 0u);
}

TEST_P(TcpRecovery, WhatComesWithinTheReorderingWindowIsNotLost) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 2}});
  p.ack_segments(0, {{1, 3}});
  p.wait(ms(5));
  p.ack_segments(3);
  EXPECT_TRUE(p.info().reordering_seen);
  p.ack_segments(3, {{4, 10}});
  EXPECT_EQ(p.leave(), Numbers{}) << "three and more selectively acknowledged are no proof any more";
  EXPECT_EQ(p.wait_for_output(), kRtt / 4);
  EXPECT_EQ(p.leave(), Numbers{3});
}

// RFC 8985 6.2, step 4: DSACKs widen the reordering window.
TEST_P(TcpRecovery, NeedlessRetransmissionsWidenTheReorderingWindow) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 4}});
  EXPECT_EQ(p.leave(), Numbers{0});
  p.ack_segments(4);            // the first copy, late
  p.ack_segments(4, {{0, 1}});  // and the second
  EXPECT_EQ(p.info().dsacks, 1u);
  EXPECT_EQ(p.info().undos, 1u);
  p.ack_segments(10);
  p.take();
  p.fill(4);
  p.wait(kRtt);
  p.ack_segments(10, {{13, 14}});
  EXPECT_EQ(p.wait_for_output(), kRtt / 2) << "reo_wnd_mult is 2";
}

TEST_P(TcpRecovery, ALostRetransmissionIsSentAgain) {
  Flight p(setting(GetParam()));
  p.write(100'000);
  EXPECT_EQ(p.leave().size(), 10u);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 4}});
  Numbers again = p.leave();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0], 0u);
  std::uint32_t newest = 0;
  // What is sent behind the retransmission arrives, and that does not.
  for (std::uint32_t at = 4; at < 10; ++at) {
    p.ack_segments(0, {{1, at + 1}});
    for (std::uint32_t n : p.leave()) newest = n;
  }
  ASSERT_GE(newest, 10u);
  EXPECT_EQ(p.info().retransmits, 1u);
  p.wait(kRtt);
  p.ack_segments(0, {{1, newest + 1}});
  Numbers second = p.leave();
  if (second.empty() || second[0] != 0) {
    p.wait_for_output(kRtt / 2);
    second = p.leave();
  }
  ASSERT_FALSE(second.empty());
  EXPECT_EQ(second[0], 0u);
  EXPECT_EQ(p.info().timeouts, 0u);
  EXPECT_EQ(p.info().lost, 2u);
}

// RFC 8985 6.2, step 2: an ACK faster than the path is for the first copy.
TEST_P(TcpRecovery, AnAckOfTheFirstCopyTellsNothingOfTheSecond) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 4}});
  EXPECT_EQ(p.leave(), Numbers{0});
  p.wait(ms(1));
  p.ack_segments(1, {{2, 4}});
  p.wait(ms(1));
  EXPECT_EQ(p.leave(), Numbers{}) << "nothing that was sent before the second copy is lost for its sake";
}

// --- PRR ---

TEST(TcpProportionalRate, OneLeavesForEveryTwoDelivered) {
  ProportionalRate prr;
  // RFC 9937 6: twenty in flight, ssthresh ten: one leaves for every two delivered.
  prr.start(20'000);
  prr.on_ack(1'000, 18'000, 10'000, 1'000, false);
  EXPECT_EQ(prr.window(), 19'000u) << "the fast retransmit";
  prr.on_sent(1'000);
  std::uint32_t pipe = 19'000;
  std::uint32_t sent = 1'000;
  for (std::uint32_t delivered = 2'000; delivered <= 18'000; delivered += 1'000) {
    pipe -= 1'000;
    prr.on_ack(1'000, pipe, 10'000, 1'000, false);
    while (pipe + 1'000 <= prr.window()) {
      prr.on_sent(1'000);
      pipe += 1'000;
      sent += 1'000;
    }
    EXPECT_NEAR(sent, delivered / 2, 1'000) << delivered;
  }
  EXPECT_NEAR(pipe, 10'000, 1'000);
}

TEST(TcpProportionalRate, ReductionIsBoundedByWhatIsDelivered) {
  ProportionalRate prr;
  prr.start(20'000);
  // Nearly all was lost: PRR-CRB.
  prr.on_ack(1'000, 2'000, 10'000, 1'000, false);
  EXPECT_EQ(prr.window(), 3'000u);
  prr.on_sent(1'000);
  // PRR-SSRB: SND.UNA moves and nothing more is lost.
  prr.on_ack(1'000, 2'000, 10'000, 1'000, true);
  EXPECT_EQ(prr.window(), 4'000u);
  prr.on_sent(2'000);
  // Not above ssthresh.
  prr.on_ack(20'000, 9'500, 10'000, 1'000, true);
  EXPECT_EQ(prr.window(), 10'000u);
}

// A part of a segment that is due lets it go whole, and the next one waits for the rest.
TEST_P(TcpRecovery, WhileLossesAreMendedASegmentLeavesForEveryTwoDelivered) {
  Flight p(setting(GetParam()));
  p.write(100'000);
  EXPECT_EQ(p.leave().size(), 10u);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 2}});
  p.ack_segments(0, {{1, 3}});
  EXPECT_EQ(p.leave(), (Numbers{10, 11}));
  p.ack_segments(0, {{1, 4}});
  EXPECT_EQ(p.leave(), Numbers{0});
  const Numbers leave_at[] = {{}, {12}, {}, {13}};
  for (std::uint32_t i = 0; i < 4; ++i) {
    p.ack_segments(0, {{1, 5 + i}});
    EXPECT_EQ(p.leave(), leave_at[i]) << i;
  }
}

// --- TLP ---

// RFC 8985 7.2, 7.3
TEST_P(TcpRecovery, ATailLossProbeComesAfterTwoRoundTrips) {
  Flight p(setting(GetParam()));
  p.fill(3);
  p.wait(ms(5));
  p.ack_segments(1);
  EXPECT_EQ(p.wait_for_output(), 2 * p.info().srtt);
  EXPECT_EQ(p.leave(), Numbers{2}) << "the last one again";
  EXPECT_EQ(p.info().timeouts, 0u);
  EXPECT_EQ(p.info().cwnd, 10'000u);
  // 1 is lost.
  p.wait(kRtt);
  p.ack_segments(1, {{2, 3}});
  p.wait_for_output(kRtt);
  EXPECT_EQ(p.leave(), Numbers{1});
  p.wait(kRtt);
  p.ack_segments(3);
  EXPECT_EQ(p.info().timeouts, 0u);
  EXPECT_EQ(p.info().send_queue, 0u);
}

TEST_P(TcpRecovery, AProbeIsNewTextWhereThereIsSome) {
  Flight p(setting(GetParam()));
  p.write(100'000);
  EXPECT_EQ(p.leave().size(), 10u);
  p.wait_for_output();
  EXPECT_EQ(p.leave(), Numbers{10}) << "whatever the window is";
  EXPECT_EQ(p.info().retransmits, 0u);
}

TEST_P(TcpRecovery, ALoneSegmentIsGivenTimeForADelayedAck) {
  Flight p(setting(GetParam()));
  p.fill(1);
  Duration took = p.wait_for_output();
  EXPECT_EQ(took, std::min(2 * p.info().srtt + ms(200), p.info().rto));
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().timeouts, 0u);
  // One probe; behind it comes the timer, from its beginning.
  const Duration rto = p.info().rto;
  EXPECT_EQ(p.wait_for_output(), rto);
  EXPECT_EQ(p.info().timeouts, 1u);
}

// RFC 8985 7.4
TEST_P(TcpRecovery, AProbeThatMendsALossIsALoss) {
  Flight p(setting(GetParam()));
  p.fill(3);
  p.wait_for_output();
  EXPECT_EQ(p.leave(), Numbers{2});
  p.wait(kRtt);
  p.ack_segments(3);
  EXPECT_EQ(p.info().cwnd, 10'000u) << "which copy it was is not known yet";
  p.fill(1);
  p.wait(kRtt);
  p.ack_segments(4);
  EXPECT_EQ(p.info().cwnd, p.info().ssthresh) << "there came no DSACK, so one was lost";
  EXPECT_LT(p.info().cwnd, 10'000u);
}

TEST_P(TcpRecovery, AProbeThatMendsALossHalvesTheWindowThatMetIt) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait_for_output();
  EXPECT_EQ(p.leave(), Numbers{9});
  p.wait(kRtt);
  p.ack_segments(10);
  p.fill(1);
  p.wait(kRtt);
  p.ack_segments(11);
  EXPECT_EQ(p.info().ssthresh, 5'000u) << "not half of the one segment that is out when it is known";
}

TEST_P(TcpRecovery, AProbeThatArrivesTwiceIsNone) {
  Flight p(setting(GetParam()));
  p.fill(3);
  p.wait_for_output();
  EXPECT_EQ(p.leave(), Numbers{2});
  p.wait(kRtt);
  p.ack_segments(3);
  p.ack_segments(3, {{2, 3}});
  p.fill(1);
  p.wait(kRtt);
  p.ack_segments(4);
  EXPECT_GE(p.info().cwnd, 10'000u);
  EXPECT_EQ(p.info().ssthresh, kNoThreshold);
}

// --- the retransmission timer ---

TEST_P(TcpRecovery, ATimeOutKeepsWhatIsSelectivelyAcknowledged) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{8, 10}});
  p.wait_for_output(ms(20));
  p.take();  // RACK's
  while (p.info().timeouts == 0) p.wait_for_output();
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().sacked, 2'000u);
  EXPECT_EQ(p.info().cwnd, kMss);
  Numbers again;
  for (std::uint32_t acked = 1; acked < 9; ++acked) {
    p.wait(kRtt);
    p.ack_segments(acked, {{8, 10}});
    for (std::uint32_t n : p.leave()) again.push_back(n);
  }
  for (std::uint32_t n : again) EXPECT_LT(n, 8u);
  p.ack_segments(10);
  EXPECT_EQ(p.info().send_queue, 0u);
}

// RFC 5681 4.3: a window of data is reduced for once.
TEST_P(TcpRecovery, ATimeOutWithinFastRecoveryReducesNothingMore) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 10}});
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().ssthresh, 5'000u);
  p.wait_for_output();
  EXPECT_EQ(p.info().timeouts, 1u);
  EXPECT_EQ(p.info().ssthresh, 5'000u);
  EXPECT_EQ(p.info().cwnd, kMss);
}

// RFC 3465 2.3's reason is none with SACK.
TEST_P(TcpRecovery, SlowStartAfterATimeOutGrowsByAllThatAnAckTellsOf) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait_for_output();
  p.take();  // the probe
  p.wait_for_output();
  EXPECT_EQ(p.info().timeouts, 1u);
  EXPECT_EQ(p.leave(), Numbers{0});
  p.wait(kRtt);
  p.ack_segments(1);
  EXPECT_EQ(p.leave(), (Numbers{1, 2}));
  p.wait(kRtt);
  p.ack_segments(3);
  EXPECT_EQ(p.info().cwnd, 4 * kMss);
}

// RFC 2018 8
TEST_P(TcpRecovery, APeerMayDropWhatItHasSelectivelyAcknowledged) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 10}});
  EXPECT_EQ(p.leave(), Numbers{0});
  p.wait(kRtt);
  p.ack_segments(1);  // it has 0, and kept nothing of the rest
  p.take();
  p.wait_for_output();
  EXPECT_EQ(p.info().timeouts, 1u);
  EXPECT_EQ(p.leave(), Numbers{1});
  std::uint32_t acked = 2;
  for (int i = 0; i < 20 && acked < 10; ++i) {
    p.wait(kRtt);
    p.ack_segments(acked);
    acked += static_cast<std::uint32_t>(p.leave().size());
  }
  p.ack_segments(10);
  EXPECT_EQ(p.info().send_queue, 0u);
  EXPECT_EQ(p.info().timeouts, 1u);
}

// --- hostile blocks ---

TEST_P(TcpRecovery, NonsenseBlocksAreRefused) {
  Flight p(setting(GetParam()));
  p.fill(10);
  p.wait(kRtt);
  const std::vector<std::string> nonsense = {
      "3001:3001",              // empty
      "5001:4001",              // backwards
      "11001:13001",            // beyond what was sent
      "2147483648:2147490000",  // far away
      "4000000000:2001",        // from far before
  };
  for (const std::string& block : nonsense) {
    p.in(ack(1'001, "2001:2001 " + block));
    EXPECT_EQ(p.info().sacked, 0u) << block;
    EXPECT_EQ(p.leave(), Numbers{});
  }
  p.in(ack(1'001, "1501:2501 3001:3501"));
  EXPECT_EQ(p.info().sacked, 0u) << "a part of a segment";
  EXPECT_EQ(p.info().in_flight, 10'000u);
}

TEST_P(TcpRecovery, MemoryOfWhatIsInFlightIsBounded) {
  Scene s = setting(GetParam());
  s.config.options.no_delay = true;
  s.config.send_buffer = 64 * 1024;
  Flight p(s);
  // The smallest segments there are.
  for (int i = 0; i < 5'000; ++i) {
    p.write(1);
    p.take();
  }
  EXPECT_LE(p.info().in_flight, 262u) << "four times as many as full ones";
  EXPECT_LE(p->buffer_memory(), 32u * 1024);
  while (p.info().send_queue > 0) {
    p.in(ack(static_cast<std::uint32_t>(p.info().bytes_acked + p.info().in_flight) + 1));
    p.take();
  }
  p.wait(Duration::seconds(3));
  EXPECT_EQ(p->buffer_memory(), 0u) << "an idle connection keeps nothing";
}

}  // namespace
}  // namespace weir::tcp
