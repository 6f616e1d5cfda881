// SPDX-License-Identifier: MIT
// Closing: RFC 9293 3.6, 3.10.4, 3.10.5 and the FIN steps of 3.10.7.4.
#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Packet;
using test::Peer;
using test::plain;

// RFC 9293 3.6, figure 12
TEST(TcpClose, ActiveClose) {
  Peer p(plain());
  p.connected();
  p.close();
  EXPECT_EQ(p.state(), State::fin_wait_1);
  p.out("F. 1:1(0) ack 1");
  p.in(". 1:1(0) ack 2");
  EXPECT_EQ(p.state(), State::fin_wait_2);
  p.silent();
  p.in("F. 1:1(0) ack 2");
  EXPECT_EQ(p.state(), State::time_wait);
  p.out(". 2:2(0) ack 2");
  EXPECT_EQ(p.wait_for_output(Duration::seconds(59)), Duration::seconds(59));
  EXPECT_EQ(p.state(), State::time_wait);
  p.wait(Duration::seconds(1));
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_TRUE(p->finished());
  EXPECT_EQ(p.error(), Errc::none);
}

TEST(TcpClose, PassiveClose) {
  Peer p(plain());
  p.accepted();
  p.in("F. 1:1(0) ack 1");
  EXPECT_EQ(p.state(), State::close_wait);
  EXPECT_TRUE(p->at_end());
  EXPECT_EQ(p->readiness() & kReadable, kReadable);
  p.out(". 1:1(0) ack 2");
  p.close();
  EXPECT_EQ(p.state(), State::last_ack);
  p.out("F. 1:1(0) ack 2");
  p.in(". 2:2(0) ack 2");
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_TRUE(p->finished());
  p.silent();
}

// RFC 9293 3.6, figure 13
TEST(TcpClose, SimultaneousClose) {
  Peer p(plain());
  p.connected();
  p.close();
  p.out("F. 1:1(0) ack 1");
  p.in("F. 1:1(0) ack 1");
  EXPECT_EQ(p.state(), State::closing);
  p.out(". 2:2(0) ack 2");
  p.in(". 2:2(0) ack 2");
  EXPECT_EQ(p.state(), State::time_wait);
}

TEST(TcpClose, AFinThatAcksOursCrossesTwoEdges) {
  Peer p(plain());
  p.connected();
  p.close();
  p.take();
  p.in("F. 1:1(0) ack 2");
  EXPECT_EQ(p.state(), State::time_wait);
  p.out(". 2:2(0) ack 2");
}

TEST(TcpClose, TheFinGoesWithTheLastText) {
  Peer p(plain());
  p.connected();
  p.write(2'000);
  p.close();
  p.out({". 1:1461(1460) ack 1", "FP. 1461:2001(540) ack 1"});
  p.in(". 1:1(0) ack 2002");
  EXPECT_EQ(p.state(), State::fin_wait_2);
}

TEST(TcpClose, TheFinIsRetransmittedWithBackOff) {
  Peer p(plain());
  p.connected();
  p.close();
  p.out("F. 1:1(0) ack 1");
  for (int ms : {200, 400, 800}) {
    EXPECT_EQ(p.wait_for_output(), Duration::milliseconds(ms));
    p.out("F. 1:1(0) ack 1 again");
  }
  p.in(". 1:1(0) ack 2");
  EXPECT_EQ(p.state(), State::fin_wait_2);
}

TEST(TcpClose, TheTextUnderALostFinIsRetransmittedWithIt) {
  Peer p(plain());
  p.connected();
  p.write(100);
  p.close();
  p.out("FP. 1:101(100) ack 1");
  p.in(". 1:1(0) ack 101");
  EXPECT_EQ(p.state(), State::fin_wait_1);
  p.wait_for_output();
  p.out("F. 101:101(0) ack 1 again");
  p.in(". 1:1(0) ack 102");
  EXPECT_EQ(p.state(), State::fin_wait_2);
}

TEST(TcpClose, HalfCloseGoesOnReading) {
  Peer p(plain());
  p.connected();
  p.shutdown_write();
  p.out("F. 1:1(0) ack 1");
  p.in(". 1:1(0) ack 2");
  p.wait(Duration::seconds(3'600));
  EXPECT_EQ(p.state(), State::fin_wait_2) << "a user who still reads may wait as long as they like";
  p.in("P. 1:1001(1000) ack 2");
  EXPECT_EQ(p.read(), 1'000u);
  p.out(". 2:2(0) ack 1001");
  EXPECT_EQ(p.write(1), 0u);
  EXPECT_EQ(p.error(), Errc::broken_pipe);
  p.in("F. 1001:1001(0) ack 2");
  EXPECT_EQ(p.state(), State::time_wait);
  EXPECT_TRUE(p->at_end());
}

TEST(TcpClose, HalfCloseByThePeerGoesOnWriting) {
  Peer p(plain());
  p.connected();
  p.in("F. 1:1(0) ack 1");
  p.out(". 1:1(0) ack 2");
  p.write(100);
  p.out("P. 1:101(100) ack 2");
  p.in(". 2:2(0) ack 101");
  EXPECT_EQ(p.state(), State::close_wait);
  EXPECT_EQ(p.info().send_queue, 0u);
}

TEST(TcpClose, FinWait2EndsSomeTimeAfterTheUserHasGone) {
  Peer p(plain());
  p.connected();
  p.close();
  p.take();
  p.in(". 1:1(0) ack 2");
  p.wait(Duration::milliseconds(59'999));
  EXPECT_EQ(p.state(), State::fin_wait_2);
  p.wait(Duration::milliseconds(1));
  EXPECT_EQ(p.state(), State::closed);
  p.silent();

  Peer q(plain());
  q.connected();
  q.shutdown_write();
  q.take();
  q.in(". 1:1(0) ack 2");
  q.wait(Duration::seconds(500));
  q.close();
  q.wait(Duration::milliseconds(59'999));
  EXPECT_EQ(q.state(), State::fin_wait_2);
  q.wait(Duration::milliseconds(1));
  EXPECT_EQ(q.state(), State::closed);
}

// RFC 9293 3.10.7.4, eighth, TIME-WAIT
TEST(TcpClose, TimeWaitAcksTheFinAgainAndStartsAnew) {
  Peer p(plain());
  p.connected();
  p.close();
  p.take();
  p.in("F. 1:1(0) ack 2");
  p.take();
  p.wait(Duration::seconds(50));
  p.in("F. 1:1(0) ack 2", WEIR_R_LOST_OUT_OF_WINDOW);
  p.out(". 2:2(0) ack 2");
  p.wait(Duration::seconds(59));
  EXPECT_EQ(p.state(), State::time_wait);
  p.wait(Duration::seconds(1));
  EXPECT_EQ(p.state(), State::closed);
}

TEST(TcpClose, TimeWaitOutlivesOldDuplicatesAndHoldsNoBuffers) {
  Peer p(plain());
  p.connected();
  p.write(1'000);
  p.in("P. 1:101(100) ack 1");
  EXPECT_EQ(p.read(), 100u);
  p.close();
  p.take();
  p.in("F. 101:101(0) ack 1002");
  p.take();
  EXPECT_EQ(p.state(), State::time_wait);
  p.in("P. 1:101(100) ack 1", WEIR_R_LOST_DUPLICATE);
  p.out(". 1002:1002(0) ack 102");
  p.in(". 102:102(0) ack 1002");
  p.silent();
  EXPECT_EQ(p.state(), State::time_wait);
  EXPECT_EQ(p->buffer_memory(), 0u);
}

TEST(TcpClose, WhatCameBeforeTimeWaitCanBeReadInIt) {
  Peer p(plain());
  p.connected();
  p.shutdown_write();
  p.take();
  p.in("FP. 1:101(100) ack 2");
  EXPECT_EQ(p.state(), State::time_wait);
  EXPECT_FALSE(p->at_end());
  EXPECT_EQ(p.read(60), 60u);
  EXPECT_EQ(p.read(), 40u);
  EXPECT_TRUE(p->at_end());
}

// RFC 9293 3.6.1, RFC 6191
TEST(TcpClose, TimeWaitGivesWayToANewerSyn) {
  auto time_wait = [](Peer& p) {
    p.connected(65'535, p.scene().config.timestamps ? "mss 1460,ts 500 _" : "mss 1460");
    p.close();
    p.take();
    p.in("F. 1:1(0) ack 2");
    p.take();
    ASSERT_EQ(p.state(), State::time_wait);
  };
  Peer p(plain());
  time_wait(p);
  Segment syn;
  syn.flags = wire::kSyn;
  syn.seq = SeqNum(p.scene().peer_iss + 3);
  EXPECT_TRUE(p->time_wait()->may_be_replaced_by(syn));
  syn.seq = SeqNum(p.scene().peer_iss + 2);
  EXPECT_FALSE(p->time_wait()->may_be_replaced_by(syn));
  syn.flags = wire::kSyn | wire::kAck;
  syn.seq = SeqNum(p.scene().peer_iss + 3);
  EXPECT_FALSE(p->time_wait()->may_be_replaced_by(syn));

  Peer q;
  time_wait(q);
  syn.flags = wire::kSyn;
  syn.seq = SeqNum(q.scene().peer_iss - 1'000);
  syn.options.timestamps = wire::TcpTimestamps{q.peer_clock() + 1, 0};
  EXPECT_TRUE(q->time_wait()->may_be_replaced_by(syn)) << "a later timestamp will do";
  syn.options.timestamps->tsval = q.peer_clock() - 1;
  EXPECT_FALSE(q->time_wait()->may_be_replaced_by(syn));
  EXPECT_EQ(q->next_iss(), q.ours(3));

  Peer r(plain());
  r.connected();
  EXPECT_FALSE(r->time_wait()) << "not in TIME-WAIT";
}

// RFC 2525 2.17
TEST(TcpClose, UnreadTextTurnsACloseIntoAReset) {
  Peer p(plain());
  p.connected();
  p.in("P. 1:101(100) ack 1");
  p.take();
  p.write(10);
  p.close();
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_FALSE(p->finished()) << "an RST is owed";
  p.out("R. 1:1(0) ack 101");
  EXPECT_TRUE(p->finished());
}

TEST(TcpClose, TextThatWaitsForAGapCountsAsUnread) {
  Peer p(plain());
  p.connected();
  p.in("P. 101:201(100) ack 1");
  p.take();
  p.close();
  p.out("R. 1:1(0) ack 1");
}

// RFC 1122 4.2.2.13
TEST(TcpClose, TextAfterCloseIsAnsweredWithRst) {
  Peer p(plain());
  p.connected();
  p.close();
  p.out("F. 1:1(0) ack 1");
  p.in(". 1:1(0) ack 2");
  p.in("P. 1:11(10) ack 2", WEIR_R_LOST_AFTER_CLOSE);
  p.out("R. 2:2(0) ack 1");
  EXPECT_TRUE(p->finished());
}

TEST(TcpClose, OldTextAfterCloseIsOnlyADuplicate) {
  Peer p(plain());
  p.connected();
  p.in("P. 1:11(10) ack 1");
  p.take();
  EXPECT_EQ(p.read(), 10u);
  p.close();
  p.take();
  p.in("P. 1:11(10) ack 1", WEIR_R_LOST_DUPLICATE);
  p.out(". 2:2(0) ack 11");
  p.in("FP. 1:11(10) ack 2");
  EXPECT_EQ(p.state(), State::time_wait);
}

TEST(TcpClose, TextBehindShutdownReadIsAcknowledgedAndForgotten) {
  Peer p(plain());
  p.connected();
  p.in("P. 1:11(10) ack 1");
  p.take();
  p.shutdown_read();
  EXPECT_TRUE(p->at_end());
  EXPECT_EQ(p.read(), 0u);
  for (int i = 0; i < 1'000; ++i) {
    std::uint32_t from = 11 + static_cast<std::uint32_t>(i) * 1'000;
    p.in(". " + std::to_string(from) + ":" + std::to_string(from + 1'000) + "(1000) ack 1");
    p.take();
  }
  EXPECT_EQ(p.info().receive_queue, 0u);
  EXPECT_EQ(p.info().bytes_received, 1'000'010u);
  p.in("F. 1000011:1000011(0) ack 1");
  p.out(". 1:1(0) ack 1000012");
  EXPECT_EQ(p.state(), State::close_wait);
}

TEST(TcpClose, AnOutOfOrderFinWaitsForItsText) {
  Peer p(plain());
  p.connected();
  p.in("F. 21:21(0) ack 1");
  p.out(". 1:1(0) ack 1");
  p.in("P. 11:21(10) ack 1");
  p.out(". 1:1(0) ack 1");
  EXPECT_EQ(p.state(), State::established);
  p.in("P. 1:11(10) ack 1");
  p.out(". 1:1(0) ack 22");
  EXPECT_EQ(p.state(), State::close_wait);
  EXPECT_EQ(p.read(), 20u);
  EXPECT_TRUE(p->at_end());
}

TEST(TcpClose, AFinInFrontOfTextThatHasComeIsNone) {
  Peer p(plain());
  p.connected();
  p.in("P. 11:21(10) ack 1");
  p.in("F. 6:6(0) ack 1");
  p.in("P. 1:11(10) ack 1");
  EXPECT_EQ(p.state(), State::established);
  EXPECT_EQ(p.read(), 20u);
}

TEST(TcpClose, TextBehindAFinThatWaitsIsIgnored) {
  Peer p(plain());
  p.connected();
  p.in("F. 21:21(0) ack 1");
  p.in("P. 21:31(10) ack 1", WEIR_R_LOST_DUPLICATE);
  p.in("P. 1:21(20) ack 1");
  EXPECT_EQ(p.state(), State::close_wait);
  EXPECT_EQ(p.read(), 20u);
}

TEST(TcpClose, TextBehindTheFinIsIgnored) {
  Peer p(plain());
  p.connected();
  p.in("F. 1:1(0) ack 1");
  p.take();
  p.in("P. 2:12(10) ack 1", WEIR_R_LOST_OUT_OF_WINDOW);
  EXPECT_EQ(p->readable_bytes(), 0u);
  EXPECT_EQ(p.state(), State::close_wait);
}

// RFC 9293 3.10.5
TEST(TcpClose, AbortSendsRstWhereThePeerMustKnow) {
  struct Row {
    const char* name;
    void (*reach)(Peer&);
    const char* rst;
  };
  const Row rows[] = {
      {"SYN-RECEIVED",
       [](Peer& p) {
         p.arrive("S 0:0(0)");
         p.take();
       },
       "R. 1:1(0) ack 1"},
      {"ESTABLISHED", [](Peer& p) { p.connected(); }, "R. 1:1(0) ack 1"},
      {"ESTABLISHED, with text out",
       [](Peer& p) {
         p.connected();
         p.write(100);
         p.take();
       },
       "R. 101:101(0) ack 1"},
      {"FIN-WAIT-1",
       [](Peer& p) {
         p.connected();
         p.shutdown_write();
         p.take();
       },
       "R. 2:2(0) ack 1"},
      {"FIN-WAIT-2",
       [](Peer& p) {
         p.connected();
         p.shutdown_write();
         p.take();
         p.in(". 1:1(0) ack 2");
       },
       "R. 2:2(0) ack 1"},
      {"CLOSE-WAIT",
       [](Peer& p) {
         p.connected();
         p.in("F. 1:1(0) ack 1");
         p.take();
       },
       "R. 1:1(0) ack 2"},
      {"CLOSING",
       [](Peer& p) {
         p.connected();
         p.shutdown_write();
         p.take();
         p.in("F. 1:1(0) ack 1");
         p.take();
       },
       nullptr},
      {"LAST-ACK",
       [](Peer& p) {
         p.connected();
         p.in("F. 1:1(0) ack 1");
         p.shutdown_write();
         p.take();
       },
       nullptr},
      {"TIME-WAIT",
       [](Peer& p) {
         p.connected();
         p.shutdown_write();
         p.take();
         p.in("F. 1:1(0) ack 2");
         p.take();
       },
       nullptr},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Peer p(plain());
    row.reach(p);
    p.abort();
    EXPECT_EQ(p.state(), State::closed);
    EXPECT_EQ(p.error(), Errc::aborted);
    if (row.rst != nullptr) {
      p.out(row.rst);
    } else {
      p.silent();
    }
    EXPECT_TRUE(p->finished());
    EXPECT_EQ(p->next_deadline(), Instant::never());
  }
}

// RFC 9293 3.10.7.4, second
TEST(TcpClose, RstEndsEachStateInItsWay) {
  struct Row {
    const char* name;
    void (*reach)(Peer&);
    const char* rst;
    Errc error;
  };
  const Row rows[] = {
      {"ESTABLISHED", [](Peer& p) { p.connected(); }, "R 1:1(0)", Errc::reset},
      {"FIN-WAIT-1",
       [](Peer& p) {
         p.connected();
         p.close();
         p.take();
       },
       "R. 1:1(0) ack 2", Errc::reset},
      {"CLOSE-WAIT",
       [](Peer& p) {
         p.connected();
         p.in("F. 1:1(0) ack 1");
         p.take();
       },
       "R 2:2(0)", Errc::reset},
      {"LAST-ACK",
       [](Peer& p) {
         p.connected();
         p.in("F. 1:1(0) ack 1");
         p.close();
         p.take();
       },
       "R 2:2(0)", Errc::none},
      {"TIME-WAIT",
       [](Peer& p) {
         p.connected();
         p.close();
         p.take();
         p.in("F. 1:1(0) ack 2");
         p.take();
       },
       "R 2:2(0)", Errc::none},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.name);
    Peer p(plain());
    row.reach(p);
    p.in(row.rst);
    p.silent();
    EXPECT_EQ(p.state(), State::closed);
    EXPECT_EQ(p.error(), row.error);
  }
}

TEST(TcpClose, WhatCameBeforeAResetCanBeRead) {
  Peer p(plain());
  p.connected();
  p.in("P. 1:101(100) ack 1");
  p.in("R 101:101(0)");
  EXPECT_EQ(p.error(), Errc::reset);
  EXPECT_EQ(p.read(), 100u);
  EXPECT_EQ(p.read(), 0u);
  EXPECT_FALSE(p->at_end());
}

// RFC 7323 3.2
TEST(TcpClose, RstAndFinCarryTimestamps) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 500 _");
  p.shutdown_write();
  p.out("F. 1:1(0) ack 1 <ts 7001000 500>");
  p.abort();
  p.out("R. 2:2(0) ack 1 <ts 7001000 500>");
}

// RFC 9293 3.10.7.1, for a stack that has not yet taken it out of its table.
TEST(TcpClose, AClosedConnectionAnswersAsNoneWouldAndNeverAnRst) {
  Peer p(plain());
  p.connected();
  p.abort();
  p.take();
  p.in("P. 1:11(10) ack 7", WEIR_R_LOST_NO_CONNECTION);
  p.out("R 7:7(0)");
  p.in("S 50:50(0)", WEIR_R_LOST_NO_CONNECTION);
  std::vector<Packet> left = p.take();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].flags, "R.");
  EXPECT_EQ(left[0].ack, 51u);
  p.in("R 1:1(0)", WEIR_R_LOST_STRAY_RST);
  p.silent();
}

}  // namespace
}  // namespace weir::tcp
