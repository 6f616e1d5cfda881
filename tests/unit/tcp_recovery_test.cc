// SPDX-License-Identifier: MIT
// Loss recovery with SACK: RFC 8985 (RACK-TLP), RFC 9937 (PRR), RFC 3042, RFC 3522 and 4015 (Eifel), RFC 5682 (F-RTO),
// RFC 2883, RFC 2018 8.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tcp_harness.h"
#include "weir/tcp/congestion/new_reno.h"
#include "weir/tcp/proportional_rate.h"

namespace weir::tcp {
namespace {

using test::Packet;
using test::Peer;
using test::plain;
using test::Scene;

constexpr std::uint32_t kMss = 1'000;
constexpr Duration kRtt = Duration::milliseconds(40);

Scene setting() {
  Scene s = plain();
  s.birth.mss = kMss;
  s.config.send_buffer = 1u << 20;
  s.config.congestion = "reno";
  return s;
}

Duration ms(std::int64_t n) { return Duration::milliseconds(n); }

std::string ack(std::uint32_t n, const std::string& sack = {}) {
  return ". 1:1(0) ack " + std::to_string(n) + " win 65535" + (sack.empty() ? "" : " <sack " + sack + ">");
}

// ESTABLISHED, with a window of ten segments and a round trip of 40 ms, also of one segment that has been acknowledged.
struct Flight : Peer {
  explicit Flight(const Scene& s = setting()) : Peer(s) {
    connect();
    take();
    wait(kRtt);
    std::string options = s.config.timestamps ? "<mss 1012,sackOK,ts 5 _>" : "<mss 1000,sackOK>";
    in("S. 0:0(0) ack 1 win 65535 " + options);
    take();
    fill(1);
    wait(kRtt);
    in(ack(kMss + 1));
  }
  // `n` segments more leave now.
  void fill(std::uint32_t n) {
    write(n * kMss);
    EXPECT_EQ(take().size(), n);
  }
  // In segments behind the first: the ACK of the first `acked`, SACK blocks of [from, to) pairs.
  void ack_segments(std::uint32_t acked, std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks = {}) {
    std::string words;
    for (auto [from, to] : blocks) words += (words.empty() ? "" : " ") + number(from) + ":" + number(to);
    in(ack(warm_ * kMss + acked * kMss + 1, words));
  }
  std::string number(std::uint32_t segment) const { return std::to_string((warm_ + segment) * kMss + 1); }
  // The segments, counted from 0 behind the first, that leave now.
  std::vector<std::uint32_t> leave() {
    std::vector<std::uint32_t> numbers;
    for (const Packet& p : take()) {
      if (p.length > 0) numbers.push_back((p.seq - 1) / kMss - warm_);
    }
    return numbers;
  }

  std::uint32_t warm_ = 1;
};

using Numbers = std::vector<std::uint32_t>;

// --- fast retransmit with SACK ---

// RFC 8985 6.2, step 4: without reordering seen, three segments selectively acknowledged are enough.
TEST(TcpRecovery, FastRetransmitWithSack) {
  Flight p;
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
  EXPECT_EQ(p.info().cwnd, 5'000u) << "RFC 9937: ssthresh";
  EXPECT_EQ(p.info().timeouts, 0u);
  EXPECT_EQ(p.info().delivered, 11'000u);
}

TEST(TcpRecovery, OnlyWhatIsLostIsSentAgain) {
  Flight p;
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
TEST(TcpRecovery, LimitedTransmit) {
  Flight p;
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
TEST(TcpRecovery, OneSelectiveAckIsEnoughAfterTheReorderingWindow) {
  Flight p;
  p.fill(2);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 2}});
  EXPECT_EQ(p.leave(), Numbers{});
  EXPECT_EQ(p.wait_for_output(), kRtt / 4);
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().timeouts, 0u);
}

TEST(TcpRecovery, WhatComesWithinTheReorderingWindowIsNotLost) {
  Flight p;
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
TEST(TcpRecovery, NeedlessRetransmissionsWidenTheReorderingWindow) {
  Flight p;
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

TEST(TcpRecovery, ALostRetransmissionIsSentAgain) {
  Flight p;
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
TEST(TcpRecovery, AnAckOfTheFirstCopyTellsNothingOfTheSecond) {
  Flight p;
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

TEST(TcpRecovery, ProportionalRateReduction) {
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

TEST(TcpRecovery, ReductionIsBoundedByWhatIsDelivered) {
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
TEST(TcpRecovery, WhileLossesAreMendedASegmentLeavesForEveryTwoDelivered) {
  Flight p;
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
TEST(TcpRecovery, ATailLossProbeComesAfterTwoRoundTrips) {
  Flight p;
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

TEST(TcpRecovery, AProbeIsNewTextWhereThereIsSome) {
  Flight p;
  p.write(100'000);
  EXPECT_EQ(p.leave().size(), 10u);
  p.wait_for_output();
  EXPECT_EQ(p.leave(), Numbers{10}) << "whatever the window is";
  EXPECT_EQ(p.info().retransmits, 0u);
}

TEST(TcpRecovery, ALoneSegmentIsGivenTimeForADelayedAck) {
  Flight p;
  p.fill(1);
  Duration took = p.wait_for_output();
  EXPECT_EQ(took, std::min(2 * p.info().srtt + ms(200), p.info().rto));
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_EQ(p.info().timeouts, 0u);
  // One probe; behind it comes the timer, from its beginning.
  EXPECT_EQ(p.wait_for_output(), p.info().rto);
  EXPECT_EQ(p.info().timeouts, 1u);
}

// RFC 8985 7.4
TEST(TcpRecovery, AProbeThatMendsALossIsALoss) {
  Flight p;
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

TEST(TcpRecovery, AProbeThatMendsALossHalvesTheWindowThatMetIt) {
  Flight p;
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

TEST(TcpRecovery, AProbeThatArrivesTwiceIsNone) {
  Flight p;
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

TEST(TcpRecovery, ATimeOutKeepsWhatIsSelectivelyAcknowledged) {
  Flight p;
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
TEST(TcpRecovery, ATimeOutWithinFastRecoveryReducesNothingMore) {
  Flight p;
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
TEST(TcpRecovery, SlowStartAfterATimeOutGrowsByAllThatAnAckTellsOf) {
  Flight p;
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
TEST(TcpRecovery, APeerMayDropWhatItHasSelectivelyAcknowledged) {
  Flight p;
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

// --- spurious retransmissions ---

// RFC 5682 3.1
TEST(TcpRecovery, FRtoTakesASpuriousTimeOutBack) {
  Flight p;
  p.write(100'000);
  EXPECT_EQ(p.leave().size(), 10u);
  p.wait_for_output();
  p.take();  // the probe
  p.wait_for_output();
  EXPECT_EQ(p.info().timeouts, 1u);
  EXPECT_EQ(p.leave(), Numbers{0});
  std::uint32_t ssthresh = p.info().ssthresh;
  EXPECT_LT(ssthresh, 10'000u);
  // The path had paused: the ACKs of the first copies come.
  p.ack_segments(1);
  EXPECT_EQ(p.leave(), (Numbers{11, 12})) << "step 2: two new ones";
  p.ack_segments(2);
  EXPECT_EQ(p.info().undos, 1u);
  EXPECT_GE(p.info().cwnd, 10'000u);
  EXPECT_EQ(p.info().ssthresh, kNoThreshold);
  for (std::uint32_t n : p.leave()) EXPECT_GT(n, 12u);
  EXPECT_EQ(p.info().retransmits, 1u);
}

TEST(TcpRecovery, FRtoLetsATimeOutStandThatWasNone) {
  Flight p;
  p.write(100'000);
  EXPECT_EQ(p.leave().size(), 10u);
  p.wait_for_output();
  p.take();
  p.wait_for_output();
  EXPECT_EQ(p.leave(), Numbers{0});
  p.wait(kRtt);
  p.ack_segments(1);
  EXPECT_EQ(p.leave(), (Numbers{11, 12}));
  p.wait(kRtt);
  p.ack_segments(1, {{11, 12}});
  EXPECT_EQ(p.info().undos, 0u);
  Numbers again = p.leave();
  ASSERT_FALSE(again.empty());
  EXPECT_EQ(again[0], 1u);
}

// RFC 3522, RFC 4015
TEST(TcpRecovery, EifelTakesASpuriousTimeOutBack) {
  Scene s = setting();
  s.config.timestamps = true;
  s.birth.mss = 1'012;
  Flight p(s);
  p.fill(5);
  std::uint32_t first = p.last_tsval();
  p.wait_for_output();
  p.take();
  p.wait_for_output();
  EXPECT_EQ(p.info().timeouts, 1u);
  p.take();
  p.in(". 1:1(0) ack 2001 win 65535 <ts _ " + std::to_string(first) + ">");
  EXPECT_EQ(p.info().undos, 1u);
  EXPECT_EQ(p.info().ssthresh, kNoThreshold);
  EXPECT_GE(p.info().cwnd, 10'000u);
  p.silent();
}

TEST(TcpRecovery, EifelTakesASpuriousFastRetransmitBack) {
  Scene s = setting();
  s.config.timestamps = true;
  s.birth.mss = 1'012;
  Flight p(s);
  p.fill(10);
  std::uint32_t first = p.last_tsval();
  p.wait(kRtt);
  p.ack_segments(0, {{1, 4}});
  EXPECT_EQ(p.leave(), Numbers{0});
  EXPECT_LT(p.info().ssthresh, 10'000u);
  p.wait(ms(2));
  p.in(". 1:1(0) ack " + p.number(4) + " win 65535 <ts _ " + std::to_string(first) + ">");
  EXPECT_EQ(p.info().undos, 1u);
  EXPECT_EQ(p.info().ssthresh, kNoThreshold);
  EXPECT_GE(p.info().cwnd, 10'000u);
}

// RFC 3708 3, with RFC 2883
TEST(TcpRecovery, DsacksOfAllThatWasSentAgainTakeAnEpisodeBack) {
  Flight p;
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{2, 5}});
  EXPECT_EQ(p.leave(), (Numbers{0}));
  p.ack_segments(0, {{5, 7}, {2, 5}});
  EXPECT_EQ(p.leave(), (Numbers{1}));
  p.wait(ms(5));
  p.ack_segments(7);
  p.wait(kRtt);
  p.ack_segments(7, {{0, 1}});
  EXPECT_EQ(p.info().undos, 0u) << "one of two";
  p.ack_segments(7, {{1, 2}});
  EXPECT_EQ(p.info().undos, 1u);
  EXPECT_EQ(p.info().ssthresh, kNoThreshold);
}

// --- hostile blocks ---

TEST(TcpRecovery, NonsenseBlocksAreRefused) {
  Flight p;
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

TEST(TcpRecovery, MemoryOfWhatIsInFlightIsBounded) {
  Scene s = setting();
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

// --- delivery ---

// A controller that keeps what it is told.
class Recorder final : public Controller {
 public:
  explicit Recorder(std::vector<AckEvent>& events) : events_(events) {}
  std::string_view name() const override { return "recorder"; }
  void open(std::uint32_t, const Moment&) override {}
  void take_over(std::uint32_t, std::uint32_t, const Moment&) override {}
  void on_ack(const AckEvent& ack) override { events_.push_back(ack); }
  void on_loss(const Moment&) override {}
  void on_recovered(const Moment&) override {}
  void on_timeout(const Moment&, bool) override {}
  void on_idle(const Moment&) override {}
  void undo() override {}
  std::uint32_t cwnd() const override { return 100'000; }
  std::uint32_t ssthresh() const override { return 50'000; }

 private:
  std::vector<AckEvent>& events_;
};

TEST(TcpRecovery, AnAckTellsTheControllerWhatThePathDelivers) {
  std::vector<AckEvent> events;
  Scene s = setting();
  s.config.controllers.add("recorder", [&events] { return std::make_unique<Recorder>(events); });
  s.config.congestion = "recorder";
  Flight p(s);
  events.clear();
  p.fill(10);
  p.wait(kRtt);
  // Two segments a millisecond come through.
  for (std::uint32_t i = 2; i <= 6; i += 2) {
    p.ack_segments(i);
    p.wait(ms(1));
  }
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].acked, 2'000u);
  EXPECT_EQ(events[0].delivered, 3'000u);
  EXPECT_EQ(events[0].in_flight, 8'000u);
  EXPECT_EQ(events[0].rtt, kRtt);
  EXPECT_EQ(events[0].min_rtt, kRtt);
  EXPECT_TRUE(events[0].round_start);
  EXPECT_FALSE(events[1].round_start);
  EXPECT_TRUE(events[2].rate.valid());
  EXPECT_EQ(events[2].rate.delivered, 6'000u);
  EXPECT_EQ(events[2].rate.interval, ms(42));
  EXPECT_EQ(events[2].rate.prior_delivered, 1'000u);
  EXPECT_EQ(events[2].rate.tx_in_flight, 6'000u);
  EXPECT_TRUE(events[2].rate.app_limited) << "the window had room";
  // 6 is lost; 7 to 9 tell.
  p.ack_segments(6, {{7, 10}});
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[3].acked, 3'000u) << "selectively";
  EXPECT_EQ(events[3].newly_lost, 1'000u);
  EXPECT_EQ(events[3].in_flight, 0u);
  EXPECT_TRUE(events[3].in_recovery);
  EXPECT_EQ(events[3].delivered, 10'000u);
  EXPECT_EQ(p.leave(), Numbers{6});
  p.wait(kRtt);
  p.ack_segments(10);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(events[4].acked, 1'000u) << "what was told before is not told again";
  EXPECT_EQ(events[4].rtt, Duration{}) << "Karn";
  EXPECT_EQ(events[4].rate.lost, 0u);
  EXPECT_EQ(p.info().delivered, 11'000u);
}

}  // namespace
}  // namespace weir::tcp
