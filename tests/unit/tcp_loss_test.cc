// SPDX-License-Identifier: MIT
// Loss and congestion: RFC 6298, RFC 5681, RFC 6582, RFC 3042, RFC 3465, RFC 6928.
#include <cstdio>
#include <string>
#include <vector>

#include "tcp_flight.h"

namespace weir::tcp {
namespace {

using test::ack;
using test::fill;
using test::kMss;
using test::Packet;
using test::Peer;
using test::Scene;
using test::setting;

Scene scene() {
  Scene s = setting();
  s.config.path_mtu_probing = false;  // what is lost here is not lost for its size
  return s;
}

// RFC 6928
TEST(TcpLoss, TheInitialWindowIsTenSegments) {
  struct Row {
    std::uint16_t mss;
    std::uint32_t window;
  };
  for (Row row : {Row{1'460, 14'600}, Row{1'000, 10'000}, Row{536, 5'360}, Row{4'000, 14'600}, Row{9'000, 18'000}}) {
    Scene s = scene();
    s.birth.mss = row.mss;
    Peer p(s);
    p.connected(65'535, "mss " + std::to_string(row.mss));
    EXPECT_EQ(p.info().cwnd, row.window);
    p.write(60'000);
    std::uint32_t sent = 0;
    for (const Packet& packet : p.take()) sent += packet.length;
    EXPECT_EQ(sent, row.window / row.mss * row.mss);
  }
}

// RFC 3465 2, with RFC 9406 4.2's L
TEST(TcpLoss, SlowStartCountsBytesAndAtMostEightSegmentsAnAck) {
  Peer p(scene());
  p.connected();
  p.write(500'000);
  p.take();
  p.in(ack(1'001));
  EXPECT_EQ(p.info().cwnd, 11'000u);
  EXPECT_EQ(p.take().size(), 2u);
  p.in(ack(4'001));
  EXPECT_EQ(p.info().cwnd, 14'000u);
  p.take();
  p.in(ack(13'001));
  EXPECT_EQ(p.info().cwnd, 22'000u);
  p.in(ack(13'101));
  EXPECT_EQ(p.info().cwnd, 22'100u);
}

// RFC 7661 4.3
TEST(TcpLoss, AWindowThatIsNotUsedDoesNotGrow) {
  Peer p(scene());
  p.connected();
  std::uint32_t at = 1;
  for (int i = 0; i < 100; ++i) {
    p.write(kMss);
    p.take();
    at += kMss;
    p.in(ack(at));
  }
  EXPECT_EQ(p.info().cwnd, 10'000u);
}

// RFC 5681 4.1
TEST(TcpLoss, AfterIdlenessTheWindowIsTheInitialOneAgain) {
  Peer p(scene());
  p.connected();
  std::uint32_t at = 1;
  p.write(200'000);
  while (at < 200'001) {
    p.take();
    at = std::min(at + 10'000, 200'001u);
    p.deliver(ack(std::min(at, 1 + p.info().in_flight + static_cast<std::uint32_t>(p.info().bytes_acked))));
    at = static_cast<std::uint32_t>(p.info().bytes_acked) + 1;
  }
  EXPECT_GT(p.info().cwnd, 30'000u);
  p.wait(p.info().rto);
  p.write(kMss);
  EXPECT_EQ(p.take().size(), 1u);
  EXPECT_GT(p.info().cwnd, 30'000u) << "not for longer than the RTO";
  p.in(ack(at + kMss));
  p.wait(p.info().rto + Duration::milliseconds(1));
  p.write(100'000);
  EXPECT_EQ(p.take().size(), 10u);
  EXPECT_EQ(p.info().cwnd, 10'000u);
}

// RFC 5681 3.2, RFC 6582 3.2, RFC 3042
TEST(TcpLoss, TheThirdDuplicateAckBringsFastRetransmit) {
  Peer p(scene());
  p.connected();
  p.write(100'000);
  EXPECT_EQ(p.take().size(), 10u);
  // The first segment is lost.
  p.in(ack(1));
  p.out(". 10001:11001(1000)");  // limited transmit
  p.in(ack(1));
  p.out(". 11001:12001(1000)");
  p.in(ack(1));
  p.out(". 1:1001(1000) ack 1 again");
  EXPECT_EQ(p.info().ssthresh, 5'000u);
  EXPECT_EQ(p.info().cwnd, 8'000u) << "ssthresh and three segments";
  // Twelve are out; the window lets one more out for each duplicate beyond that.
  for (int i = 0; i < 4; ++i) {
    p.in(ack(1));
    p.silent();
  }
  p.in(ack(1));
  p.out(". 12001:13001(1000)");
  // Everything that was out when it began is acknowledged.
  p.in(ack(12'001));
  EXPECT_EQ(p.info().cwnd, 2'000u) << "RFC 6582: FlightSize and one segment";
  EXPECT_EQ(p.info().ssthresh, 5'000u);
  p.out(". 13001:14001(1000)");
  EXPECT_EQ(p.info().retransmits, 1u);
  EXPECT_EQ(p.info().timeouts, 0u);
}

TEST(TcpLoss, APartialAckBringsTheNextLostSegment) {
  Peer p(scene());
  p.connected();
  fill(p, 10);
  for (int i = 0; i < 3; ++i) p.in(ack(1));
  p.out(". 1:1001(1000) again");
  EXPECT_EQ(p.info().cwnd, 8'000u);
  p.in(ack(4'001));
  EXPECT_EQ(p.info().cwnd, 5'000u) << "less what was acknowledged, and a segment for what is sent again";
  p.out(". 4001:5001(1000) again");
  p.in(ack(4'501));
  EXPECT_EQ(p.info().cwnd, 4'500u) << "less than a segment inflates nothing";
  p.take();
  p.in(ack(7'001));
  p.out(". 7001:8001(1000) again");
  p.in(ack(10'001));
  p.silent();
  EXPECT_EQ(p.info().retransmits, 4u);
  EXPECT_EQ(p.info().ssthresh, 5'000u) << "one episode, one reduction";
}

TEST(TcpLoss, ALossRightBehindAnEpisodeIsSeen) {
  Peer p(scene());
  p.connected();
  fill(p, 10);
  for (int i = 0; i < 3; ++i) p.in(ack(1));
  p.out(". 1:1001(1000) again");
  p.in(ack(10'001));
  fill(p, 2);
  p.write(10'000);
  p.in(ack(10'001));
  p.out(". 12001:13001(1000)");
  p.in(ack(10'001));
  p.out(". 13001:14001(1000)");
  p.in(ack(10'001));
  p.out({". 10001:11001(1000) again", ". 14001:15001(1000)"});
}

TEST(TcpLoss, WhatIsNoDuplicateAckDoesNotCount) {
  Peer p(scene());
  p.connected();
  fill(p, 10);
  for (int i = 0; i < 10; ++i) {
    char words[80];
    std::snprintf(words, sizeof words, ". %d:%d(0) ack 1 win %d", 1 + i, 1 + i, 60'000 - i);
    p.in(words);  // a window update
    std::snprintf(words, sizeof words, "P. %d:%d(1) ack 1 win %d", 1 + i, 2 + i, 60'000 - i);
    p.in(words);  // text
    for (const Packet& packet : p.take()) EXPECT_EQ(packet.length, 0u);
  }
  p.in(". 11:11(0) ack 10001");
  for (int i = 0; i < 10; ++i) p.in(". 11:11(0) ack 10001");  // nothing is out
  p.silent();
  EXPECT_EQ(p.info().retransmits, 0u);
}

// RFC 5681 3.1: cwnd grows by a segment for each window.
TEST(TcpLoss, CongestionAvoidanceGrowsByASegmentARoundTrip) {
  Peer p(scene());
  p.connected();
  p.write(600'000);
  p.take();
  for (int i = 0; i < 3; ++i) p.in(ack(1));
  p.take();
  p.in(ack(10'001));
  p.take();
  std::uint32_t cwnd = 0;
  std::uint32_t at = 10'001;
  for (int round = 0; round < 12; ++round) {
    std::uint32_t flight = p.info().in_flight;
    std::uint32_t before = p.info().cwnd;
    for (std::uint32_t acked = 0; acked < flight; acked += kMss) {
      at += kMss;
      p.in(ack(at));
      p.take();
    }
    cwnd = p.info().cwnd;
    if (before >= p.info().ssthresh) {
      EXPECT_GE(cwnd, before + 900);
      EXPECT_LE(cwnd, before + 1'000);
    }
  }
  EXPECT_GE(cwnd, 10'000u);
}

// RFC 6298 5, RFC 5681 3.1
TEST(TcpLoss, ATimeOutSendsTheFirstSegmentAgainAndBacksOff) {
  Peer p(scene());
  p.connected();
  fill(p, 10);
  for (int ms : {200, 400, 800, 1'600, 3'200}) {
    EXPECT_EQ(p.wait_for_output(), Duration::milliseconds(ms));
    p.out(". 1:1001(1000) ack 1 again");
    EXPECT_EQ(p.info().cwnd, kMss);
    EXPECT_EQ(p.info().ssthresh, 5'000u) << "it stands while the same segment times out";
  }
  EXPECT_EQ(p.info().timeouts, 5u);
  // The rest had arrived.
  p.in(ack(10'001));
  p.silent();
  EXPECT_EQ(p.info().send_queue, 0u);
  EXPECT_EQ(p.info().retransmits, 5u);
}

TEST(TcpLoss, AfterATimeOutSlowStartSendsTheRestAgain) {
  Peer p(scene());
  p.connected();
  p.write(7'500);
  p.take();
  p.wait_for_output();
  p.out(". 1:1001(1000) again");
  p.in(ack(1'001));
  p.out({". 1001:2001(1000) again", ". 2001:3001(1000) again"});
  p.in(ack(3'001));
  EXPECT_EQ(p.info().cwnd, 3'000u) << "RFC 3465 2.3: without SACK, one segment an ACK after a time-out";
  p.out({". 3001:4001(1000) again", ". 4001:5001(1000) again", ". 5001:6001(1000) again"});
}

// RFC 6582 3.2, 4
TEST(TcpLoss, DuplicatesOfWhatATimeOutSentAgainAreNoLoss) {
  Peer p(scene());
  p.connected();
  fill(p, 6);
  p.wait_for_output();
  p.out(". 1:1001(1000) again");
  p.in(ack(2'001));
  p.take();
  for (int i = 0; i < 5; ++i) p.in(ack(2'001));
  for (const Packet& packet : p.take()) EXPECT_NE(packet.seq, 2'001u);
  EXPECT_EQ(p.info().ssthresh, 3'000u);
}

// RFC 6298 5.3
TEST(TcpLoss, AnAckStartsTheTimerAnew) {
  Peer p(scene());
  p.connected();
  fill(p, 3);
  p.wait(Duration::milliseconds(150));
  p.in(ack(1'001));
  p.wait(Duration::milliseconds(199));
  p.silent();
  EXPECT_LE(p.info().rto, Duration::milliseconds(600));
  Duration rest = p.info().rto - Duration::milliseconds(199);
  EXPECT_EQ(p.wait_for_output(), rest);
  p.out(". 1001:2001(1000) again");
}

// RFC 1122 4.2.3.5, RFC 9293 3.8.3: R2 is at least 100 s.
TEST(TcpLoss, ItGivesUpInTheEnd) {
  Peer p(scene());
  p.connected();
  fill(p, 1);
  p.wait_for_output();
  p.wait_for_output();
  p.take();
  p.in(ack(1'001));
  p.write(100);  // what came before does not count
  p.take();
  Instant from = p.now();
  int sent = 0;
  while (p.state() == State::established) {
    ASSERT_NE(p->next_deadline(), Instant::never());
    p.wait(p->next_deadline() - p.now());
    sent += static_cast<int>(p.take().size());
  }
  EXPECT_EQ(sent, 15);
  EXPECT_EQ(p.error(), Errc::timed_out);
  EXPECT_GE(p.now() - from, Duration::seconds(100));
  EXPECT_TRUE(p->finished());
  EXPECT_EQ(p->readiness() & (kReadable | kWritable | kFailed), kReadable | kWritable | kFailed);
}

// Karn's algorithm (RFC 6298 3)
TEST(TcpLoss, ARetransmittedSegmentIsNotMeasured) {
  Peer p(scene());
  p.connected();
  p.wait(Duration::milliseconds(5));
  fill(p, 1);
  p.wait(Duration::milliseconds(10));
  p.in(ack(1'001));
  Duration srtt = p.info().srtt;
  fill(p, 1);
  p.wait_for_output();
  p.take();
  p.wait_for_output();
  p.take();
  p.wait(Duration::milliseconds(1));
  Duration backed_off = p.info().rto;
  p.in(ack(2'001));
  EXPECT_EQ(p.info().srtt, srtt);
  EXPECT_EQ(p.info().rto, backed_off) << "RFC 6298 5.7: until something is measured";
  fill(p, 1);
  p.wait(Duration::milliseconds(10));
  p.in(ack(3'001));
  EXPECT_LT(p.info().rto, p.info().srtt + Duration::milliseconds(201));
}

TEST(TcpLoss, NeitherIsOneThatIsSentAgainForOtherReasons) {
  Peer p(scene());
  p.connected();
  fill(p, 1);
  p.wait(Duration::milliseconds(10));
  p.in(ack(1'001));
  Duration srtt = p.info().srtt;
  fill(p, 10);
  p.wait(Duration::milliseconds(50));
  for (int i = 0; i < 3; ++i) p.in(ack(1'001));
  p.out(". 1001:2001(1000) again");
  p.wait(Duration::milliseconds(50));
  p.in(ack(11'001));
  EXPECT_EQ(p.info().srtt, srtt);

  fill(p, 2);
  p.wait(Duration::milliseconds(50));
  p->on_path_mss(500, p.now());
  p.take();
  p.wait(Duration::milliseconds(50));
  p.in(ack(13'001));
  EXPECT_EQ(p.info().srtt, srtt);
}

// RFC 6298 5.1: the time runs from when it was sent, not from when it was written.
TEST(TcpLoss, TheTimerStartsWithTheSegment) {
  Peer p(scene());
  p.connected();
  p.write(100);
  p.wait(Duration::milliseconds(150));
  EXPECT_EQ(p.take().size(), 1u);
  EXPECT_EQ(p.wait_for_output(), Duration::milliseconds(200));
}

// RFC 6582 3.2, 3: the first partial ACK starts the timer anew, the others let it run.
TEST(TcpLoss, ALongRecoveryIsCutShortByTheTimer) {
  Peer p(scene());
  p.connected();
  fill(p, 10);
  for (int i = 0; i < 3; ++i) p.in(ack(1));
  p.take();
  Instant first = p.now() + Duration::milliseconds(50);
  Duration rto = p.info().rto;
  for (std::uint32_t i = 1; i < 4; ++i) {
    p.wait(Duration::milliseconds(50));
    p.in(ack(1'000 * i + 1));
    EXPECT_EQ(p.take().size(), 1u);
    ASSERT_EQ(p.info().rto, rto);
  }
  p.wait_for_output();
  EXPECT_EQ(p.now(), first + rto);
}

// RFC 7323 4.1
TEST(TcpLoss, AnEchoMeasuresARetransmittedSegment) {
  Scene s = scene();
  s.config.timestamps = true;
  Peer p(s);
  p.connected(65'535, "mss 1012,ts 5 _");
  p.write(kMss);
  p.take();
  p.wait_for_output();
  p.take();
  p.wait(Duration::milliseconds(30));
  p.in(". 1:1(0) ack 989");
  EXPECT_EQ(p.info().srtt, Duration::microseconds(3'750)) << "an eighth of 30 ms, after a handshake in no time";
  EXPECT_LT(p.info().rto, Duration::milliseconds(400)) << "the back-off is taken back";
}

TEST(TcpLoss, RttFollowsRfc6298) {
  Peer p(scene());
  p.connect();
  p.take();
  p.wait(Duration::milliseconds(100));
  p.in("S. 0:0(0) ack 1 win 65535 <mss 1000>");
  p.take();
  EXPECT_EQ(p.info().srtt, Duration::milliseconds(100));
  EXPECT_EQ(p.info().rttvar, Duration::milliseconds(50));
  EXPECT_EQ(p.info().rto, Duration::milliseconds(300));
  fill(p, 1);
  p.wait(Duration::milliseconds(180));
  p.in(ack(1'001));
  EXPECT_EQ(p.info().srtt, Duration::milliseconds(110));
  EXPECT_EQ(p.info().rttvar, Duration::microseconds(57'500));
  EXPECT_EQ(p.info().rto, Duration::milliseconds(340));
  EXPECT_EQ(p.info().min_rtt, Duration::milliseconds(100));
}

// No next hop, no room in the ring: the connection does not notice, and its time runs all the same.
TEST(TcpLoss, TextThatNobodyTakesFromItStillTimesOut) {
  Peer p(scene());
  p.connected();
  p.write(100);
  for (int i = 0; i < 2'000 && p.state() == State::established; ++i) {
    ASSERT_NE(p->next_deadline(), Instant::never());
    p->on_deadline(p->next_deadline());
  }
  EXPECT_EQ(p.error(), Errc::timed_out);
}

// RFC 6298 5: the retransmission of a lost retransmission.
TEST(TcpLoss, ALostFastRetransmissionIsLeftToTheTimer) {
  Peer p(scene());
  p.connected();
  fill(p, 10);
  for (int i = 0; i < 3; ++i) p.in(ack(1));
  p.out(". 1:1001(1000) again");
  for (int i = 0; i < 6; ++i) p.in(ack(1));
  p.silent();
  EXPECT_EQ(p.wait_for_output(), Duration::milliseconds(200));
  p.out(". 1:1001(1000) again");
  p.in(ack(10'001));
  EXPECT_EQ(p.info().send_queue, 0u);
}

// --- the path's MTU ---

TEST(TcpLoss, PacketTooBigLowersTheMssAndSendsAgain) {
  Peer p(scene());
  p.connected();
  fill(p, 3);
  IcmpError e{IcmpError::Kind::packet_too_big};
  e.mtu = 640;
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1'001), p.now()), WEIR_R_TAKEN_ICMP);
  p.out({". 1:601(600) again", ". 601:1201(600) again", ". 1201:1801(600) again", ". 1801:2401(600) again",
         "P. 2401:3001(600) again"});
  EXPECT_EQ(p.info().send_mss, 600u);
  EXPECT_EQ(p.info().cwnd, 10'000u) << "no loss to congestion";
  EXPECT_EQ(p.info().timeouts, 0u);
}

// RFC 5927 4.1, 7
TEST(TcpLoss, AnErrorAboutNothingInFlightIsRefused) {
  Peer p(scene());
  p.connected();
  fill(p, 3);
  p.in(ack(1'001));
  IcmpError e{IcmpError::Kind::packet_too_big};
  e.mtu = 640;
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1'000), p.now()), WEIR_R_LOST_ICMP_INVALID);
  EXPECT_EQ(p->on_icmp_error(e, p.ours(3'001), p.now()), WEIR_R_LOST_ICMP_INVALID);
  e.mtu = 68;
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1'001), p.now()), WEIR_R_LOST_ICMP_INVALID) << "under the floor";
  e.mtu = 9'000;
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1'001), p.now()), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(p.info().send_mss, 1'000u);
  p.silent();
}

// RFC 1191 7.1
TEST(TcpLoss, ARouterThatDoesNotSayItsMtuMeansTheNextPlateau) {
  Scene s = scene();
  s.birth.mss = 1'460;
  Peer p(s);
  p.connected();
  p.write(3'000);
  p.take();
  IcmpError e{IcmpError::Kind::packet_too_big};
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1), p.now()), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(p.info().send_mss, 1'452u);
}

TEST(TcpLoss, ARouteOfAnotherMtuChangesTheMss) {
  Peer p(scene());
  p.connected(65'535, "mss 1000");
  fill(p, 2);
  p->on_path_mss(500, p.now());
  EXPECT_EQ(p.take().size(), 4u);
  p->on_path_mss(1'400, p.now());
  EXPECT_EQ(p.info().send_mss, 1'000u) << "the peer's limit stands";
}

// RFC 1122 4.2.3.9, RFC 5461
TEST(TcpLoss, UnreachableEndsAConnectAndNothingLater) {
  struct Row {
    IcmpError error;
    Errc becomes;
  };
  auto error = [](IcmpError::Kind kind, bool network, bool port) {
    IcmpError e{kind};
    e.network = network;
    e.port = port;
    return e;
  };
  const Row rows[] = {
      {error(IcmpError::Kind::soft_unreachable, false, false), Errc::host_unreachable},
      {error(IcmpError::Kind::soft_unreachable, true, false), Errc::network_unreachable},
      {error(IcmpError::Kind::hard_unreachable, false, true), Errc::refused},
      {error(IcmpError::Kind::hard_unreachable, false, false), Errc::host_unreachable},
      {error(IcmpError::Kind::time_exceeded, false, false), Errc::none},
      {error(IcmpError::Kind::parameter_problem, false, false), Errc::none},
  };
  for (const Row& row : rows) {
    Peer p(scene());
    p.connect();
    p.take();
    EXPECT_EQ(p->on_icmp_error(row.error, p.ours(1), p.now()), WEIR_R_LOST_ICMP_INVALID);
    EXPECT_EQ(p->on_icmp_error(row.error, p.ours(0), p.now()), WEIR_R_TAKEN_ICMP);
    EXPECT_EQ(p.error(), row.becomes);
    EXPECT_EQ(p.state(), row.becomes == Errc::none ? State::syn_sent : State::closed);

    Peer q(scene());
    q.connected();
    fill(q, 1);
    EXPECT_EQ(q->on_icmp_error(row.error, q.ours(1), q.now()), WEIR_R_TAKEN_ICMP);
    EXPECT_EQ(q.state(), State::established);
    EXPECT_EQ(q.error(), Errc::none);
  }
}

}  // namespace
}  // namespace weir::tcp
