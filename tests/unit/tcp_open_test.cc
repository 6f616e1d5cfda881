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

}  // namespace
}  // namespace weir::tcp
