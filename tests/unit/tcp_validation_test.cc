// SPDX-License-Identifier: MIT
// What is refused, and how it is answered: RFC 9293 3.10.7.4's first to fifth steps, RFC 5961, RFC 7323 5.
#include <vector>

#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Peer;
using test::plain;
using test::Scene;

constexpr const char* kAck = ". 1:1(0) ack 1";

// RFC 5961 3.2. The window is [1, 65536).
TEST(TcpValidation, OnlyAnRstWithTheExactNumberResets) {
  struct Row {
    const char* rst;
    weir_reason reason;
    bool challenged;
    State state;
  };
  const Row rows[] = {
      {"R 1:1(0)", WEIR_R_TAKEN_TCP, false, State::closed},
      {"R. 1:1(0) ack 1", WEIR_R_TAKEN_TCP, false, State::closed},
      {"R. 1:1(0) ack 999", WEIR_R_TAKEN_TCP, false, State::closed},  // RFC 9293 looks at SEG.SEQ alone
      {"R 2:2(0)", WEIR_R_LOST_CHALLENGED, true, State::established},
      {"R. 65535:65535(0) ack 1", WEIR_R_LOST_CHALLENGED, true, State::established},
      {"R 0:0(0)", WEIR_R_LOST_OUT_OF_WINDOW, false, State::established},
      {"R. 70000:70000(0) ack 1", WEIR_R_LOST_OUT_OF_WINDOW, false, State::established},
      {"R 4000000000:4000000000(0)", WEIR_R_LOST_OUT_OF_WINDOW, false, State::established},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.rst);
    Peer p(plain());
    p.connected();
    p.in(row.rst, row.reason);
    EXPECT_EQ(p->owes_challenge_ack(), row.challenged);
    if (row.challenged) {
      p.out(kAck);
    } else {
      p.silent();
    }
    EXPECT_EQ(p.state(), row.state);
  }
}

// RFC 5961 4.2
TEST(TcpValidation, ASynInASynchronizedStateIsChallenged) {
  for (const char* syn : {"S 1:1(0)", "S. 1:1(0) ack 1", "S 500:500(0)", "SF 1:1(0)"}) {
    SCOPED_TRACE(syn);
    Peer p(plain());
    p.connected();
    p.in(syn, WEIR_R_LOST_CHALLENGED);
    p.out(kAck);
    EXPECT_EQ(p.state(), State::established);
  }
  Peer p(plain());
  p.connected();
  p.in("S 100000:100000(0)", WEIR_R_LOST_OUT_OF_WINDOW);
  p.out(kAck);
  p.in("S. 0:0(0) ack 1", WEIR_R_LOST_OUT_OF_WINDOW);  // our ACK of it was lost
  p.out(kAck);
}

// RFC 5961 5.2
TEST(TcpValidation, OnlyAnAckInItsRangeIsTaken) {
  Peer p(plain());
  p.connected(1'000);
  p.write(3'000);
  p.out(". 1:1001(1000) ack 1");
  p.in(". 1:1(0) ack 1001 win 1000");
  p.out(". 1001:2001(1000) ack 1");
  p.in(". 1:1(0) ack 2001 win 100");
  p.silent();

  p.in("P. 1:11(10) ack 1001");  // SND.UNA - MAX.SND.WND
  EXPECT_EQ(p.read(), 10u);
  p.take();
  p.in("P. 11:21(10) ack 1000", WEIR_R_LOST_BAD_ACK);
  p.out(". 2001:2001(0) ack 11");
  p.in("P. 11:21(10) ack 3002", WEIR_R_LOST_BAD_ACK);
  p.out(". 2001:2001(0) ack 11");
  EXPECT_EQ(p->readable_bytes(), 0u);
}

TEST(TcpValidation, ASegmentWithoutAckIsDropped) {
  Peer p(plain());
  p.connected();
  p.in("- 1:1(0)", WEIR_R_LOST_BAD_FLAGS);
  p.in("P 1:11(10)", WEIR_R_LOST_BAD_FLAGS);
  p.in("F 1:1(0)", WEIR_R_LOST_BAD_FLAGS);
  p.silent();
  EXPECT_EQ(p.state(), State::established);
  EXPECT_EQ(p->readable_bytes(), 0u);
}

// RFC 9293 3.4, with a window of [2001, 2001 + 65535).
TEST(TcpValidation, TheWindowDecidesWhichSegmentsAreTaken) {
  struct Row {
    const char* segment;
    weir_reason reason;
    std::uint32_t readable;
  };
  const Row rows[] = {
      {"P. 2001:2101(100) ack 1", WEIR_R_TAKEN_TCP, 100},
      {"P. 1501:2101(600) ack 1", WEIR_R_TAKEN_TCP, 100},
      {"P. 1501:2001(500) ack 1", WEIR_R_LOST_DUPLICATE, 0},
      {"P. 1:1001(1000) ack 1", WEIR_R_LOST_DUPLICATE, 0},
      {". 2000:2000(0) ack 1", WEIR_R_LOST_OUT_OF_WINDOW, 0},  // a keepalive
      {"P. 67535:67635(100) ack 1", WEIR_R_TAKEN_TCP, 0},      // one byte of it, for later
      {"P. 67536:67636(100) ack 1", WEIR_R_LOST_OUT_OF_WINDOW, 0},
      {"P. 90000:90100(100) ack 1", WEIR_R_LOST_OUT_OF_WINDOW, 0},
      {". 67536:67536(0) ack 1", WEIR_R_TAKEN_TCP, 0},
      {". 67537:67537(0) ack 1", WEIR_R_LOST_OUT_OF_WINDOW, 0},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.segment);
    Peer p(plain());
    p.connected();
    p.in(". 1:2001(2000) ack 1");
    EXPECT_EQ(p.read(), 2'000u);
    p.out(". 1:1(0) ack 2001 win 65535");
    p.in(row.segment, row.reason);
    EXPECT_EQ(p->readable_bytes(), row.readable);
    if (row.reason != WEIR_R_TAKEN_TCP) p.out(". 1:1(0) ack 2001");
    EXPECT_EQ(p.read(), row.readable);
  }
}

TEST(TcpValidation, TextBeyondTheWindowIsCutOff) {
  Scene s = plain();
  s.config.receive_buffer = 2'000;
  Peer p(s);
  p.connected();
  p.in("FP. 1:3001(3000) ack 1");
  EXPECT_EQ(p->readable_bytes(), 2'000u);
  EXPECT_EQ(p.state(), State::established) << "the FIN was beyond it";
  p.out(". 1:1(0) ack 2001 win 0");
}

// RFC 7323 5.3 R1
TEST(TcpValidation, PawsRefusesOldTimestamps) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 1000 _");
  p.in("P. 1:11(10) ack 1 <ts 1005 _>");
  p.out(". 1:1(0) ack 11 <ts _ 1005>");
  p.in("P. 11:21(10) ack 1 <ts 1004 _>", WEIR_R_LOST_PAWS);
  p.out(". 1:1(0) ack 11 <ts _ 1005>");
  p.in("P. 11:21(10) ack 1 <ts 1005 _>");
  p.out(". 1:1(0) ack 21 <ts _ 1005>");
  p.in("R 21:21(0) <ts 3 0>");
  EXPECT_EQ(p.state(), State::closed) << "an RST is not judged by its age";
}

TEST(TcpValidation, PawsHoldsAcrossTheWrapOfTheClock) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 4294967290 _");
  p.in("P. 1:11(10) ack 1 <ts 4 _>");
  p.take();
  p.in("P. 11:21(10) ack 1 <ts 4294967290 _>", WEIR_R_LOST_PAWS);
}

// RFC 7323 5.5
TEST(TcpValidation, PawsForgetsATimestampOf24Days) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 1000 _");
  p.wait(Duration::seconds(25 * 24 * 3'600));
  p.in("P. 1:11(10) ack 1 <ts 5 _>");
  EXPECT_EQ(p.read(), 10u);
  p.out(". 1:1(0) ack 11 <ts _ 5>");
}

// RFC 7323 3.2
TEST(TcpValidation, ASegmentWithoutTheAgreedTimestampIsDropped) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 1000 _");
  p.in("P. 1:11(10) ack 1 <nots>", WEIR_R_LOST_PAWS);
  p.silent();
  p.in("R 1:1(0) <nots>");
  EXPECT_EQ(p.state(), State::closed);
}

// RFC 7323 4.3 (2)
TEST(TcpValidation, OnlyTextThatIsDueSetsTheEcho) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 1000 _");
  p.in("P. 11:21(10) ack 1 <ts 1009 _>");
  p.out(". 1:1(0) ack 1 <ts _ 1000>");
  p.in("P. 1:11(10) ack 1 <ts 1008 _>");
  p.out(". 1:1(0) ack 21 <ts _ 1008>");
  p.in("P. 21:31(10) ack 7 <ts 9999 _>", WEIR_R_LOST_BAD_ACK);
  p.out(". 1:1(0) ack 21 <ts _ 1008>");
}

// RFC 7323 4.3: with delayed ACKs the echo is the earliest unacknowledged segment's.
TEST(TcpValidation, ADelayedAckEchoesTheFirstOfItsSegments) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 1000 _");
  for (std::uint32_t i = 0; i < 16; ++i) {
    p.in("P. " + std::to_string(1 + i) + ":" + std::to_string(2 + i) + "(1) ack 1 <ts 1000 _>");
    p.take();
  }
  p.in(". 17:1017(1000) ack 1 <ts 1001 _>");
  p.silent();
  p.in(". 1017:2017(1000) ack 1 <ts 1002 _>");
  p.out(". 1:1(0) ack 2017 <ts _ 1001>");
}

// RFC 5961 7
TEST(TcpValidation, ChallengesHaveABudget) {
  Peer p(plain());
  p.connected();
  auto challenges = [&](int packets) {
    int n = 0;
    for (int i = 0; i < packets; ++i) {
      p.in("S 1:1(0)", WEIR_R_LOST_CHALLENGED);
      n += static_cast<int>(p.take().size());
    }
    return n;
  };
  EXPECT_EQ(challenges(100), 10);
  p.wait(Duration::milliseconds(4'999));
  EXPECT_EQ(challenges(100), 0);
  p.wait(Duration::milliseconds(1));
  EXPECT_EQ(challenges(100), 10);
}

// A burst that one ACK answers leaves the rest of the budget for whoever asks next.
TEST(TcpValidation, ABurstCostsTheBudgetOneChallenge) {
  Peer p(plain());
  p.connected();
  for (int i = 0; i < 1'000; ++i) p.in("R 2:2(0)", WEIR_R_LOST_CHALLENGED);
  EXPECT_EQ(p.take().size(), 1u);
  p.in("S 1:1(0)", WEIR_R_LOST_CHALLENGED);
  EXPECT_EQ(p.take().size(), 1u);
}

TEST(TcpValidation, AStackMayWithholdAChallenge) {
  Peer p(plain());
  p.connected();
  p.in("S 1:1(0)", WEIR_R_LOST_CHALLENGED);
  ASSERT_TRUE(p->owes_challenge_ack());
  p->withhold_challenge_ack();
  p.silent();
}

TEST(TcpValidation, TwoConnectionsDoNotAckEachOtherForEver) {
  Peer p(plain());
  p.connected();
  int answers = 0;
  for (int i = 0; i < 1'000; ++i) {
    p.in(". 400000:400000(0) ack 1", WEIR_R_LOST_OUT_OF_WINDOW);
    answers += static_cast<int>(p.take().size());
  }
  EXPECT_EQ(answers, 10);
}

TEST(TcpValidation, AnAckOfUnsentTextIsAnsweredAndNotTaken) {
  Peer p(plain());
  p.connected();
  p.in(". 1:1(0) ack 5000", WEIR_R_LOST_BAD_ACK);
  p.out(kAck);
  p.write(100);
  p.out("P. 1:101(100) ack 1");
}

// RFC 6093 6: urgent text is text.
TEST(TcpValidation, UrgentTextIsReadInLine) {
  Peer p(plain());
  p.connected();
  p.in("PU. 1:11(10) ack 1 urg 5");
  EXPECT_EQ(p.read(), 10u);
}

// Every combination of control bits, at the expected number: none but an exact RST ends an established connection.
TEST(TcpValidation, EveryCombinationOfFlags) {
  for (unsigned raw = 0; raw < 256; ++raw) {
    SCOPED_TRACE(raw);
    Peer p(plain());
    p.connected();
    Segment seg;
    seg.flags = wire::TcpFlags(static_cast<std::uint8_t>(raw));
    seg.seq = SeqNum(p.scene().peer_iss + 1);
    seg.ack = p.ours(1);
    seg.window = wire::WireWindow(1'000);
    p->on_segment(seg, p.now());
    p.take();
    State expected = seg.flags.rst()                                          ? State::closed
                     : seg.flags.fin() && seg.flags.ack() && !seg.flags.syn() ? State::close_wait
                                                                              : State::established;
    EXPECT_EQ(p.state(), expected);
  }
}

// RFC 6093 3.1, 6: wherever the pointer points, every byte is read once and in its place.
TEST(TcpValidation, NoUrgentPointerCostsAByte) {
  Peer p;
  p.connected();
  std::uint32_t seq = 1;
  for (int pointer : {0, 1, 2, 9, 10, 11, 1'000, 65'535}) {
    std::string at = std::to_string(seq) + ":" + std::to_string(seq + 10) + "(10)";
    p.in("PU. " + at + " ack 1 urg " + std::to_string(pointer));
    EXPECT_EQ(p.read(), 10u) << pointer;
    seq += 10;
  }
  // A pointer without the flag, a flag without text, and one that repeats.
  p.in("P. 81:91(10) ack 1 urg 3");
  EXPECT_EQ(p.read(), 10u);
  p.in("U. 91:91(0) ack 1 urg 1");
  EXPECT_EQ(p.read(), 0u);
  p.in("PU. 81:91(10) ack 1 urg 3", WEIR_R_LOST_DUPLICATE);
  p.in("PU. 91:101(10) ack 1 urg 3");
  EXPECT_EQ(p.read(), 10u);
  EXPECT_EQ(p.state(), State::established);
}

}  // namespace
}  // namespace weir::tcp
