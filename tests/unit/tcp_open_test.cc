// SPDX-License-Identifier: MIT
// Opening: RFC 9293 3.5, 3.10.7.3.
#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Packet;
using test::Peer;
using test::plain;
using test::Scene;

TEST(TcpOpen, ActiveOpenSendsSynWithOptionsAndAcksTheSynAck) {
  Peer p;
  p.connect();
  EXPECT_EQ(p.state(), State::syn_sent);
  p.out("S 0:0(0) win 65535 <mss 1460,ts 7001000 0,wscale 3>");
  p.in("S. 0:0(0) ack 1 win 29200 <mss 1400,ts 77 7001000,wscale 7>");
  EXPECT_EQ(p.state(), State::established);
  EXPECT_EQ(p->readiness() & kConnected, kConnected);
  p.out(". 1:1(0) ack 1 <ts 7001000 77>");
  p.silent();
  EXPECT_EQ(p.info().send_mss, 1388u);
  EXPECT_EQ(p.info().send_window, 29'200u) << "the window of a SYN-ACK is not scaled";
  EXPECT_EQ(p.info().send_scale, 7);
  EXPECT_EQ(p.info().receive_scale, 3);
}

TEST(TcpOpen, PassiveOpenAnswersSynWithSynAck) {
  Peer p;
  p.arrive("S 0:0(0) win 64240 <mss 1460,ts 77 0,wscale 7>");
  EXPECT_EQ(p.state(), State::syn_received);
  EXPECT_EQ(p->readiness() & kConnected, 0);
  p.out("S. 0:0(0) ack 1 win 65535 <mss 1460,ts 7001000 77,wscale 3>");
  p.in(". 1:1(0) ack 1 win 502");
  EXPECT_EQ(p.state(), State::established);
  EXPECT_EQ(p.info().send_window, 502u << 7);
  p.silent();
}

// RFC 7323 1.3, RFC 9293 3.7.1: an option that only one side has is off.
TEST(TcpOpen, OptionsAreOnOnlyWhereBothOffer) {
  Peer p;
  p.arrive("S 0:0(0) win 64240 <mss 1000>");
  p.out("S. 0:0(0) ack 1 win 65535 <mss 1460>");
  p.in(". 1:1(0) ack 1 win 502");
  EXPECT_EQ(p.info().send_window, 502u);
  EXPECT_EQ(p.info().send_mss, 1000u);
  EXPECT_FALSE(p.info().timestamps);
  EXPECT_FALSE(p.info().window_scaling);

  Peer q(plain());
  q.connect();
  q.out("S 0:0(0) win 65535 <mss 1460>");
  q.in("S. 0:0(0) ack 1 win 502 <mss 1000>");
  q.out(". 1:1(0) ack 1 win 65535");
}

TEST(TcpOpen, NoMssOptionMeansTheDefault) {
  for (auto [family, mss] : {std::pair{Family::v4, 536u}, std::pair{Family::v6, 1220u}}) {
    Scene s = plain();
    s.birth.family = family;
    Peer p(s);
    p.connect();
    p.take();
    p.in("S. 0:0(0) ack 1 win 65535");
    EXPECT_EQ(p.info().send_mss, mss);
  }
}

// RFC 6298 2.1, 5.5
TEST(TcpOpen, SynIsRetransmittedWithBackOffUntilTheLimit) {
  Peer p;
  p.connect();
  p.out("S 0:0(0)");
  for (int s : {1, 2, 4, 8, 16, 32}) {
    EXPECT_EQ(p.wait_for_output(), Duration::seconds(s));
    p.out("S 0:0(0) win 65535 again");
  }
  p.wait(Duration::milliseconds(63'999));
  EXPECT_EQ(p.state(), State::syn_sent);
  p.wait(Duration::milliseconds(1));
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_EQ(p.error(), Errc::timed_out);
  EXPECT_EQ(p->readiness() & kFailed, kFailed);
  EXPECT_TRUE(p->finished());
}

TEST(TcpOpen, SynAckIsRetransmittedUntilTheLimit) {
  Peer p;
  p.arrive("S 0:0(0) win 64240 <mss 1460>");
  p.out("S. 0:0(0) ack 1");
  for (int s : {1, 2, 4, 8, 16}) {
    EXPECT_EQ(p.wait_for_output(), Duration::seconds(s));
    p.out("S. 0:0(0) ack 1 again");
  }
  p.wait(Duration::seconds(32));
  EXPECT_EQ(p.state(), State::closed);
}

// RFC 9293 3.10.7.3, first
TEST(TcpOpen, ABadAckInSynSentIsAnsweredWithItsOwnNumber) {
  for (const char* words : {". 0:0(0) ack 0", ". 900:900(0) ack 2", "S. 0:0(0) ack 99", "F. 7:8(1) ack 4000000000"}) {
    Peer p(plain());
    p.connect();
    p.take();
    p.in(words, WEIR_R_LOST_BAD_ACK);
    std::vector<Packet> left = p.take();
    ASSERT_EQ(left.size(), 1u) << words;
    EXPECT_EQ(left[0].flags, "R") << words;
    EXPECT_EQ(left[0].seq, *Packet::parse(words).ack) << words;
    EXPECT_EQ(p.state(), State::syn_sent);
    p.in("S. 0:0(0) ack 1");
    EXPECT_EQ(p.state(), State::established);
  }
}

TEST(TcpOpen, ABadAckWithRstInSynSentIsIgnored) {
  Peer p(plain());
  p.connect();
  p.take();
  p.in("R. 0:0(0) ack 2", WEIR_R_LOST_BAD_ACK);
  p.in("R. 0:0(0) ack 0", WEIR_R_LOST_BAD_ACK);
  p.in("R 0:0(0)", WEIR_R_LOST_BAD_FLAGS);
  p.silent();
  EXPECT_EQ(p.state(), State::syn_sent);
}

TEST(TcpOpen, RstThatAcksTheSynMeansRefused) {
  Peer p(plain());
  p.connect();
  p.take();
  p.in("R. 0:0(0) ack 1");
  p.silent();
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_EQ(p.error(), Errc::refused);
  EXPECT_TRUE(p->finished());
}

TEST(TcpOpen, NeitherSynNorRstIsIgnoredInSynSent) {
  Peer p(plain());
  p.connect();
  p.take();
  p.in(". 0:0(0) ack 1", WEIR_R_LOST_BAD_FLAGS);
  p.in("- 0:0(0)", WEIR_R_LOST_BAD_FLAGS);
  p.in("F 0:0(0)", WEIR_R_LOST_BAD_FLAGS);
  p.silent();
  EXPECT_EQ(p.state(), State::syn_sent);
}

// RFC 9293 3.5, figure 7
TEST(TcpOpen, SimultaneousOpen) {
  Peer p;
  p.connect();
  p.out("S 0:0(0) <mss 1460,ts,wscale 3>");
  p.in("S 0:0(0) win 1000 <mss 1400,ts 5 0,wscale 2>");
  EXPECT_EQ(p.state(), State::syn_received);
  p.out("S. 0:0(0) ack 1 again <mss 1460,ts _ 5,wscale 3>");
  p.in("S. 0:0(0) ack 1 win 1000 <mss 1400,ts 6 _,wscale 2>");
  EXPECT_EQ(p.state(), State::established);
  p.silent();
  p.in("P. 1:101(100) ack 1 win 1000");
  EXPECT_EQ(p.read(), 100u);
  p.out(". 1:1(0) ack 101");
}

TEST(TcpOpen, SimultaneousOpenEndsWithAPlainAckToo) {
  Peer p(plain());
  p.connect();
  p.take();
  p.in("S 0:0(0)");
  p.out("S. 0:0(0) ack 1");
  p.in(". 1:1(0) ack 1");
  EXPECT_EQ(p.state(), State::established);
}

// RFC 9293 3.10.7.3, fourth: what came with the SYN-ACK is read.
TEST(TcpOpen, TextInTheSynAckIsTaken) {
  Peer p(plain());
  p.connect();
  p.take();
  p.in("SP. 0:100(100) ack 1 <mss 1460>");
  p.out(". 1:1(0) ack 101");
  EXPECT_EQ(p.read(), 100u);
}

// RFC 9293 3.10.7.2: only the SYN of a SYN with text is acknowledged, so the text comes again.
TEST(TcpOpen, TextAndFinInASynAreLeftToTheirRetransmission) {
  Peer p(plain());
  p.arrive("SFP 0:3(3) win 1000 <mss 1460>");
  p.out("S. 0:0(0) ack 1");
  p.in("P. 1:4(3) ack 1");
  EXPECT_EQ(p.state(), State::established);
  p.out(". 1:1(0) ack 4");
  EXPECT_EQ(p.read(), 3u);
}

TEST(TcpOpen, TheThirdAckMayCarryText) {
  Peer p(plain());
  p.arrive("S 0:0(0) win 1000 <mss 1460>");
  p.take();
  p.in("P. 1:501(500) ack 1");
  EXPECT_EQ(p.state(), State::established);
  EXPECT_EQ(p.read(), 500u);
  p.out(". 1:1(0) ack 501");
}

TEST(TcpOpen, TheThirdAckMayBeLost) {
  Peer p(plain());
  p.arrive("S 0:0(0) win 1000 <mss 1460>");
  p.take();
  p.in("F. 11:11(0) ack 1");
  EXPECT_EQ(p.state(), State::established) << "the FIN is ahead of text that is missing";
  p.out(". 1:1(0) ack 1");
  p.in("P. 1:11(10) ack 1");
  EXPECT_EQ(p.state(), State::close_wait);
  p.out(". 1:1(0) ack 12");
}

// RFC 9293 3.10.7.4, fifth
TEST(TcpOpen, ABadAckInSynReceivedIsAnsweredWithRst) {
  for (const char* words : {". 1:1(0) ack 0", ". 1:1(0) ack 2", "P. 1:9(8) ack 77"}) {
    Peer p(plain());
    p.arrive("S 0:0(0) win 1000 <mss 1460>");
    p.take();
    p.in(words, WEIR_R_LOST_BAD_ACK);
    std::vector<Packet> left = p.take();
    ASSERT_EQ(left.size(), 1u) << words;
    EXPECT_EQ(left[0].flags, "R");
    EXPECT_EQ(left[0].seq, *Packet::parse(words).ack);
    EXPECT_EQ(p.state(), State::syn_received);
  }
}

TEST(TcpOpen, RstInSynReceivedEndsItSilently) {
  Peer p(plain());
  p.arrive("S 0:0(0) win 1000 <mss 1460>");
  p.take();
  p.in("R 2:2(0)", WEIR_R_LOST_CHALLENGED);
  p.out(". 1:1(0) ack 1");
  p.in("R 1:1(0)");
  p.silent();
  EXPECT_EQ(p.state(), State::closed);
}

TEST(TcpOpen, RstInASimultaneousOpenMeansRefused) {
  Peer p(plain());
  p.connect();
  p.take();
  p.in("S 0:0(0)");
  p.take();
  p.in("R 1:1(0)");
  EXPECT_EQ(p.error(), Errc::refused);
}

TEST(TcpOpen, AnAckInSynReceivedStandsBehindTheSynWhateverTheWindow) {
  Peer p(plain());
  p.arrive("S 0:0(0) win 0 <mss 1460>");
  p.take();
  p.in("R 2:2(0)", WEIR_R_LOST_CHALLENGED);
  p.out(". 1:1(0) ack 1");
}

TEST(TcpOpen, TheSynAgainBringsTheSynAckAgain) {
  Peer p(plain());
  p.arrive("S 0:0(0) win 1000 <mss 1460>");
  p.out("S. 0:0(0) ack 1");
  p.in("S 0:0(0) win 1000 <mss 1460>");
  p.out("S. 0:0(0) ack 1 again");
}

// RFC 9293 3.10.7.4, fourth
TEST(TcpOpen, AnotherSynInTheWindowSendsAListenersChildBack) {
  Peer p(plain());
  p.arrive("S 0:0(0) win 1000 <mss 1460>");
  p.take();
  p.in("S 40:40(0) win 1000 <mss 1460>", WEIR_R_LOST_CHALLENGED);
  p.silent();
  EXPECT_EQ(p.state(), State::closed);
}

TEST(TcpOpen, WritesAndShutdownInSynSentWaitForTheHandshake) {
  Peer p(plain());
  p.connect();
  p.take();
  EXPECT_EQ(p.write(100), 100u);
  p.shutdown_write();
  p.silent();
  p.in("S. 0:0(0) ack 1 <mss 1460>");
  EXPECT_EQ(p.state(), State::fin_wait_1);
  p.out("FP. 1:101(100) ack 1");
}

TEST(TcpOpen, CloseInSynReceivedSendsTheFinAfterTheHandshake) {
  Peer p(plain());
  p.arrive("S 0:0(0) win 1000 <mss 1460>");
  p.take();
  p.close();
  p.silent();
  p.in(". 1:1(0) ack 1");
  EXPECT_EQ(p.state(), State::fin_wait_1);
  p.out("F. 1:1(0) ack 1");
}

// RFC 9293 3.10.4, 3.10.5
TEST(TcpOpen, CloseAndAbortInSynSentAreSilent) {
  for (bool abort : {false, true}) {
    Peer p(plain());
    p.connect();
    p.take();
    abort ? p.abort() : p.close();
    p.silent();
    EXPECT_EQ(p.state(), State::closed);
    EXPECT_TRUE(p->finished());
    EXPECT_EQ(p->next_deadline(), Instant::never());
  }
}

// RFC 6928 2, RFC 6298 5.7
TEST(TcpOpen, ALostSynMakesTheFirstWindowOneSegment) {
  Peer p(plain());
  p.connect();
  p.take();
  p.wait(Duration::seconds(1));
  p.out("S 0:0(0) again");
  p.in("S. 0:0(0) ack 1 <mss 1000>");
  p.take();
  EXPECT_EQ(p.info().cwnd, 1'000u);
  EXPECT_EQ(p.info().rto, Duration::seconds(3));
}

// RFC 7323 4.1: the echo says which of two SYNs is answered, so there is a measurement all the same.
TEST(TcpOpen, TimestampsMeasureTheRoundTripOfALostSyn) {
  Peer p;
  p.connect();
  p.out("S 0:0(0) <mss 1460,ts 7001000 0,wscale 3>");
  p.wait(Duration::seconds(1));
  p.out("S 0:0(0) again <mss 1460,ts 7002000 0,wscale 3>");
  p.wait(Duration::milliseconds(30));
  p.in("S. 0:0(0) ack 1 <mss 1460,ts 9 7002000,wscale 3>");
  EXPECT_EQ(p.info().srtt, Duration::milliseconds(30));
  EXPECT_EQ(p.info().rto, Duration::milliseconds(230));
}

TEST(TcpOpen, ASegmentThatCannotBeSentStillTimesOut) {
  Peer p(plain());
  p.connect();
  for (int i = 0; i < 7; ++i) {
    ASSERT_NE(p->next_deadline(), Instant::never());
    p->on_deadline(p->next_deadline());
  }
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_EQ(p.error(), Errc::timed_out);
}

// RFC 9293 3.7.1: no segment is longer than either side can take.
TEST(TcpOpen, TheLesserMssCounts) {
  for (auto [peers, ours, text] :
       {std::tuple{1460, 1000, 1000u}, std::tuple{900, 1460, 900u}, std::tuple{1, 1460, 64u}}) {
    Scene s = plain();
    s.birth.mss = static_cast<std::uint16_t>(ours);
    Peer p(s);
    p.connected(65'535, "mss " + std::to_string(peers));
    p.write(5'000);
    EXPECT_EQ(p.take().front().length, text);
  }
}

TEST(TcpOpen, AConnectionIsSmallAndHoldsNoBufferUntilItIsUsed) { EXPECT_LE(sizeof(Connection), 700u); }

}  // namespace
}  // namespace weir::tcp
