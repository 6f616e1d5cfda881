// SPDX-License-Identifier: MIT
// Text and windows: RFC 9293 3.8.6 and 3.10.7.4's seventh step, RFC 1122 4.2.3, RFC 5681 4.2, RFC 7323 2.
#include <algorithm>
#include <numeric>
#include <string>
#include <vector>

#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Packet;
using test::Peer;
using test::plain;
using test::Scene;

std::string text(std::uint32_t from, std::uint32_t bytes, const char* rest = " ack 1") {
  return ". " + std::to_string(from) + ":" + std::to_string(from + bytes) + "(" + std::to_string(bytes) + ")" + rest;
}

// Behind the first sixteen segments, so that ACKs are delayed.
void spend_quick_acks(Peer& p) {
  for (std::uint32_t i = 0; i < 16; ++i) {
    p.in(text(1 + i, 1));
    EXPECT_EQ(p.take().size(), 1u) << "segment " << i;
  }
  EXPECT_EQ(p.read(), 16u);
}

// --- receiving ---

TEST(TcpData, EveryOrderOfFiveSegmentsGivesTheSameText) {
  std::vector<std::uint32_t> order = {0, 1, 2, 3, 4};
  do {
    Peer p(plain());
    p.connected();
    for (std::uint32_t i : order) {
      p.in(text(1 + 100 * i, 100));
      p.take();
    }
    EXPECT_EQ(p.read(), 500u);
    p.in(". 501:501(0) ack 1");
    p.silent();
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(TcpData, OverlapsAreReadOnce) {
  struct Row {
    std::uint32_t from, bytes;
  };
  const std::vector<Row> rows = {{101, 100}, {151, 100}, {51, 300}, {1, 60}, {301, 100}, {1, 401}};
  std::vector<std::size_t> order(rows.size());
  std::iota(order.begin(), order.end(), 0u);
  do {
    Peer p(plain());
    p.connected();
    for (std::size_t i : order) {
      p.deliver(text(rows[i].from, rows[i].bytes));  // refused where it is all old
      p.take();
    }
    EXPECT_EQ(p.read(), 401u);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST(TcpData, TextOutOfOrderIsAckedAtOnceAndSoIsWhatFillsTheGap) {
  Peer p(plain());
  p.connected();
  spend_quick_acks(p);
  p.in(text(117, 100));
  p.out(". 1:1(0) ack 17");
  p.in(text(317, 100));
  p.out(". 1:1(0) ack 17");
  p.in(text(17, 100));
  p.out(". 1:1(0) ack 217");
  p.in(text(217, 100));
  p.out(". 1:1(0) ack 417");
  EXPECT_EQ(p.info().out_of_order, 2u);
  EXPECT_EQ(p.read(), 400u);
}

TEST(TcpData, TheSameTextOutOfOrderTwiceIsADuplicate) {
  Peer p(plain());
  p.connected();
  p.in(text(101, 100));
  p.in(text(101, 100), WEIR_R_LOST_DUPLICATE);
  p.in(text(121, 20), WEIR_R_LOST_DUPLICATE);
  p.out(". 1:1(0) ack 1");
}

TEST(TcpData, TheAssemblerHasALimitThatOrderlyTextDoesNotKnow) {
  Peer p(plain());
  p.connected();
  for (std::uint32_t i = 0; i < Assembler::kMost; ++i) p.in(text(3 + 2 * i, 1));
  p.in(text(3 + 2 * Assembler::kMost, 1), WEIR_R_LOST_OOO_LIMIT);
  p.in(text(1, 2));
  EXPECT_EQ(p.read(), 3u);
  p.in(text(3 + 2 * Assembler::kMost, 1));
}

// As above, where the segments are too short for an ACK of every second.
TEST(TcpData, AShortSegmentNearAGapIsAckedAtOnce) {
  Peer p(plain());
  p.connected();
  spend_quick_acks(p);
  p.in(text(17, 1'460));
  p.in(text(1'477, 1'460));
  p.out(". 1:1(0) ack 2937");
  p.in(text(2'987, 10));
  p.out(". 1:1(0) ack 2937");
  p.in(text(2'937, 10));
  p.out(". 1:1(0) ack 2947");
  p.in(text(2'947, 40));
  p.out(". 1:1(0) ack 2997");
  p.in(text(2'997, 10));
  p.silent();
}

// RFC 1122 4.2.3.2, RFC 5681 4.2
TEST(TcpData, AcksAreDelayedButNotPastTheSecondFullSegment) {
  Peer p(plain());
  p.connected();
  spend_quick_acks(p);
  p.in(text(17, 1'460));
  p.silent();
  p.in(text(1'477, 1'460));
  p.out(". 1:1(0) ack 2937");
  EXPECT_GT(p->next_deadline() - p.now(), Duration::milliseconds(40)) << "the ACK has been sent";
  p.in(text(2'937, 1'460));
  p.silent();
  EXPECT_EQ(p.wait_for_output(), Duration::milliseconds(40));
  p.out(". 1:1(0) ack 4397");
  EXPECT_EQ(p.read(), 3u * 1'460);
}

TEST(TcpData, TwoSegmentsInOneAreAckedAtOnce) {
  Peer p(plain());
  p.connected();
  spend_quick_acks(p);
  p.in(text(17, 2'920));
  p.out(". 1:1(0) ack 2937");
}

TEST(TcpData, ADelayedAckRidesOnText) {
  Peer p(plain());
  p.connected();
  spend_quick_acks(p);
  p.in(text(17, 100));
  p.write(10);
  p.out("P. 1:11(10) ack 117");
  p.wait(Duration::milliseconds(100));
  p.silent();
}

TEST(TcpData, AFinIsAckedAtOnce) {
  Peer p(plain());
  p.connected();
  spend_quick_acks(p);
  p.in("F. 17:17(0) ack 1");
  p.out(". 1:1(0) ack 18");
}

// RFC 9293 3.8.6.2.2: the right edge moves by a segment or half the buffer, not by what was read.
TEST(TcpData, TheWindowClosesAsTextIsLeftAndOpensInSteps) {
  Scene s = plain();
  s.config.receive_buffer = 4'000;
  Peer p(s);
  p.connected();
  p.in(text(1, 1'000));
  p.out(". 1:1(0) ack 1001 win 3000");
  p.in(text(1'001, 1'000));
  p.in(text(2'001, 1'000));
  p.in(text(3'001, 1'000));
  p.out(". 1:1(0) ack 4001 win 0");
  EXPECT_EQ(p.read(1'000), 1'000u);
  p.silent();
  EXPECT_EQ(p.read(459), 459u);
  p.silent();
  EXPECT_EQ(p.read(1), 1u);
  p.out(". 1:1(0) ack 4001 win 1460");
  EXPECT_EQ(p.read(), 2'540u);
  p.out(". 1:1(0) ack 4001 win 4000");
}

// A reader of pieces a little over a segment would else have each of them filled by a segment and a sliver.
TEST(TcpData, AFullBufferOpensByASixteenthAtLeast) {
  Scene s = plain();
  s.config.receive_buffer = 64'000;
  Peer p(s);
  p.connected();
  for (std::uint32_t at = 1; at < 64'001; at += 1'000) {
    p.in(text(at, 1'000));
    p.take();
  }
  EXPECT_EQ(p.info().receive_window, 0u);
  EXPECT_EQ(p.read(1'536), 1'536u);
  EXPECT_EQ(p.read(2'463), 2'463u);
  p.silent();
  EXPECT_EQ(p.read(1), 1u);
  p.out(". 1:1(0) ack 64001 win 4000");
}

TEST(TcpData, TheRightEdgeNeverMovesLeft) {
  Scene s = plain();
  s.config.receive_buffer = 65'535;
  Peer p(s);
  p.connected();
  std::uint32_t edge = 65'536;
  std::uint32_t at = 1;
  for (std::uint32_t n : {1u, 1'000u, 3u, 1'459u, 1'461u, 77u, 30'000u, 5u, 1'460u, 20'000u}) {
    p.in(text(at, n));
    at += n;
    for (const Packet& packet : p.take()) {
      EXPECT_GE(*packet.ack + *packet.window, edge);
      edge = *packet.ack + *packet.window;
    }
    if (n % 2 != 0) p.read(n);
    for (const Packet& packet : p.take()) {
      EXPECT_GE(*packet.ack + *packet.window, edge);
      edge = *packet.ack + *packet.window;
    }
  }
}

// RFC 7323 2.4: rounding down may show a smaller window; what an earlier ACK allowed is still taken.
TEST(TcpData, AScaledWindowHonoursWhatWasOfferedBeforeItWasRounded) {
  Scene s;
  s.config.timestamps = false;
  s.config.receive_buffer = 1u << 20;  // scale 5
  Peer p(s);
  p.connected(65'535, "mss 1460,wscale 0");
  p.in(text(1, 1));
  p.out(". 1:1(0) ack 2 win 32767");  // of 1 MiB - 1
  std::uint32_t edge = 2 + ((1u << 20) - 1);
  EXPECT_EQ(p.info().receive_window, edge - 2);
  p.in(text(edge - 1, 1));
  p.out(". 1:1(0) ack 2");
  EXPECT_EQ(p.info().out_of_order, 1u);
}

TEST(TcpData, AZeroWindowProbeIsAnsweredAndItsAckTaken) {
  Scene s = plain();
  s.config.receive_buffer = 1'000;
  Peer p(s);
  p.connected();
  p.write(10);
  p.take();
  p.in(text(1, 1'000));
  p.out(". 11:11(0) ack 1001 win 0");
  p.in(text(1'001, 1, " ack 11"), WEIR_R_LOST_OUT_OF_WINDOW);
  p.out(". 11:11(0) ack 1001 win 0");
  EXPECT_EQ(p.info().send_queue, 0u);
  p.in(text(1'000, 0, " ack 11"), WEIR_R_LOST_OUT_OF_WINDOW);  // as Linux probes
  p.out(". 11:11(0) ack 1001 win 0");
}

TEST(TcpData, AFinIsTakenAtAZeroWindow) {
  Scene s = plain();
  s.config.receive_buffer = 1'000;
  Peer p(s);
  p.connected();
  p.in(text(1, 1'000));
  p.out(". 1:1(0) ack 1001 win 0");
  p.in("F. 1001:1001(0) ack 1");
  EXPECT_EQ(p.state(), State::close_wait);
  p.out(". 1:1(0) ack 1002 win 0");
  EXPECT_EQ(p.read(), 1'000u);
  EXPECT_TRUE(p->at_end());
}

TEST(TcpData, ReceivedSequenceNumbersWrap) {
  Scene s = plain();
  s.peer_iss = 0xffff'ff00u;
  s.birth.iss = SeqNum(0xffff'fff0u);
  Peer p(s);
  p.connected();
  p.in(text(201, 200));
  p.in(text(1, 200));
  p.out(". 1:1(0) ack 401");
  EXPECT_EQ(p.read(), 400u);
  p.write(100);
  p.out("P. 1:101(100) ack 401");
  p.in(". 401:401(0) ack 101");
  EXPECT_EQ(p.info().send_queue, 0u);
}

// --- sending ---

TEST(TcpData, TextIsCutIntoFullSegmentsAndTheLastIsPushed) {
  Peer p(plain());
  p.connected();
  EXPECT_EQ(p.write(4'000), 4'000u);
  p.out({". 1:1461(1460) ack 1", ". 1461:2921(1460) ack 1", "P. 2921:4001(1080) ack 1"});
}

// RFC 6691 2
TEST(TcpData, OptionsCountAgainstTheMss) {
  Peer p;
  p.connected(65'535, "mss 1460,ts 1 _");
  p.write(2'896);
  p.out({". 1:1449(1448)", "P. 1449:2897(1448)"});
}

TEST(TcpData, TheSendBufferHasALimit) {
  Scene s = plain();
  s.config.send_buffer = 5'000;
  Peer p(s);
  p.connected(100);
  EXPECT_EQ(p->readiness() & kWritable, kWritable);
  EXPECT_EQ(p.write(8'000), 5'000u);
  EXPECT_EQ(p.write(1), 0u);
  EXPECT_EQ(p.error(), Errc::none);
  EXPECT_EQ(p->readiness() & kWritable, 0);
  p.take();
  p.in(". 1:1(0) ack 101 win 100");
  EXPECT_EQ(p->writable_bytes(), 100u);
  EXPECT_EQ(p->readiness() & kWritable, kWritable);
}

// RFC 1122 4.2.3.4, with Minshall's amendment
TEST(TcpData, NagleHoldsAShortSegmentBehindAnother) {
  Peer p(plain());
  p.connected();
  p.write(10);
  p.out("P. 1:11(10) ack 1");
  p.write(10);
  p.write(10);
  p.silent();
  p.in(". 1:1(0) ack 11");
  p.out("P. 11:31(20) ack 1");
  p.in(". 1:1(0) ack 31");
  p.write(1'470);
  p.out({". 31:1491(1460) ack 1", "P. 1491:1501(10) ack 1"});
}

TEST(TcpData, NagleCanBeSwitchedOff) {
  Peer p(plain());
  p.connected();
  p.write(10);
  p.take();
  p.write(10);
  p.silent();
  p->set_no_delay(true);
  p.out("P. 11:21(10) ack 1");
  p.write(10);
  p.out("P. 21:31(10) ack 1");
}

TEST(TcpData, TextBeforeAFinDoesNotWaitForNagle) {
  Peer p(plain());
  p.connected();
  p.write(10);
  p.take();
  p.write(10);
  p.shutdown_write();
  p.out("FP. 11:21(10) ack 1");
}

TEST(TcpData, ThePeersWindowIsKept) {
  Peer p(plain());
  p.connected(4'000);
  p.write(10'000);
  p.out({". 1:1461(1460) ack 1", ". 1461:2921(1460) ack 1"});
  p.in(". 1:1(0) ack 1461 win 4000");
  p.out(". 2921:4381(1460) ack 1");
}

TEST(TcpData, TheScaleOfThePeersWindowIsApplied) {
  Scene s;
  s.config.timestamps = false;
  Peer p(s);
  p.connected(1'000, "mss 1460,wscale 2");
  EXPECT_EQ(p.info().send_window, 1'000u);
  p.in(". 1:1(0) ack 1 win 1000");
  EXPECT_EQ(p.info().send_window, 4'000u);
}

// RFC 9293 3.8.6.2.1, (3): less than half of the greatest window is not worth a segment.
TEST(TcpData, ASillyWindowIsLeftAloneUntilThePersistTimer) {
  Peer p(plain());
  p.connected(3'000);
  p.write(3'000);
  p.take();
  p.in(". 1:1(0) ack 3001 win 700");
  p.write(2'000);
  p.silent();
  EXPECT_EQ(p.wait_for_output(), p.info().rto);
  p.out(". 3001:3701(700) ack 1");
}

TEST(TcpData, HalfOfASmallWindowIsWorthASegment) {
  Peer p(plain());
  p.connected(1'000);
  p.write(3'000);
  p.out(". 1:1001(1000) ack 1");
  p.in(". 1:1(0) ack 1001 win 500");
  p.out(". 1001:1501(500) ack 1");
}

// RFC 9293 3.8.6.1
TEST(TcpData, AClosedWindowIsProbedWithBackOff) {
  Peer p(plain());
  p.connected(0);
  p.write(1'000);
  for (int ms : {200, 400, 800, 1'600}) {
    EXPECT_EQ(p.wait_for_output(), Duration::milliseconds(ms));
    p.out(". 1:2(1) ack 1");
    p.in(". 1:1(0) ack 1 win 0");
  }
  p.in(". 1:1(0) ack 1 win 1000");
  p.out("P. 1:1001(1000) ack 1");
  EXPECT_EQ(p.info().timeouts, 0u);
}

TEST(TcpData, AProbeThatIsTakenMovesOn) {
  Peer p(plain());
  p.connected(0);
  p.write(10);
  p.wait_for_output();
  p.out(". 1:2(1) ack 1");
  p.in(". 1:1(0) ack 2 win 0");
  p.wait_for_output();
  p.out(". 2:3(1) ack 1");
  p.in(". 1:1(0) ack 3 win 100");
  p.out("P. 3:11(8) ack 1");
}

TEST(TcpData, APersistentPeerIsWaitedForAndASilentOneIsNot) {
  Peer p(plain());
  p.connected(0);
  p.write(10);
  for (int i = 0; i < 100; ++i) {
    p.wait_for_output();
    p.out(". 1:2(1) ack 1");
    p.in(". 1:1(0) ack 1 win 0");
  }
  EXPECT_EQ(p.state(), State::established);
  for (int i = 0; i < 15; ++i) {
    p.wait_for_output();
    p.out(". 1:2(1) ack 1");
  }
  p.wait_for_output();
  p.out("R. 1:1(0) ack 1");
  EXPECT_EQ(p.error(), Errc::timed_out);
}

// An attack by zero windows on a server that has closed (CERT-FI 2008): it ends.
TEST(TcpData, AClosedWindowDoesNotHoldAClosedConnectionForEver) {
  Peer p(plain());
  p.connected(0);
  p.write(10);
  p.close();
  for (int i = 0; i < 15; ++i) {
    p.wait_for_output();
    p.out(". 1:2(1) ack 1");
    p.in(". 1:1(0) ack 1 win 0");
  }
  p.wait_for_output();
  p.out("R. 1:1(0) ack 1");
  EXPECT_TRUE(p->finished());
}

TEST(TcpData, AFinBehindAClosedWindowIsTheProbe) {
  Peer p(plain());
  p.connected(100);
  p.write(100);
  p.take();
  p.in(". 1:1(0) ack 101 win 0");
  p.shutdown_write();
  p.silent();
  p.wait_for_output();
  p.out("F. 101:101(0) ack 1");
  p.in(". 1:1(0) ack 102 win 0");
  EXPECT_EQ(p.state(), State::fin_wait_2);
  p.wait(Duration::seconds(300));
  p.silent();
}

TEST(TcpData, AFinStaysWithinTheWindow) {
  Peer p(plain());
  p.connected(100);
  p.write(100);
  p.shutdown_write();
  p.out("P. 1:101(100) ack 1");
  p.in(". 1:1(0) ack 101 win 1");
  p.out("F. 101:101(0) ack 1");
}

// RFC 9293 3.8.6
TEST(TcpData, AWindowThatShrinksOverWhatIsInFlightIsSurvived) {
  Peer p(plain());
  p.connected(4'000);
  p.write(4'000);
  p.out({". 1:1461(1460)", ". 1461:2921(1460)", "P. 2921:4001(1080)"});
  p.in(". 1:1(0) ack 1461 win 0");
  // Nothing lies within the window, so an ACK does not claim to.
  p.in("P. 1:2(1) ack 1461 win 0");
  p.out(". 1461:1461(0) ack 2");
  for (int i = 0; i < 40; ++i) {
    p.wait_for_output();
    p.out(". 1461:1462(1) ack 2");
    p.in(". 2:2(0) ack 1461 win 0");
  }
  EXPECT_EQ(p.state(), State::established);
  EXPECT_EQ(p.info().timeouts, 0u) << "nothing was lost to congestion";
  p.in(". 2:2(0) ack 1461 win 2000");
  p.out(". 1461:2921(1460) ack 2 again");
  p.in(". 2:2(0) ack 2921 win 2000");
  p.out("P. 2921:4001(1080) ack 2 again");
  p.in(". 2:2(0) ack 4001 win 2000");
  EXPECT_EQ(p.info().send_queue, 0u);
}

TEST(TcpData, AnOldSegmentDoesNotTakeTheWindowBack) {
  Peer p(plain());
  p.connected(1'000);
  p.in("P. 11:21(10) ack 1 win 5000");
  p.take();
  EXPECT_EQ(p.info().send_window, 5'000u);
  p.in("P. 1:11(10) ack 1 win 300");
  EXPECT_EQ(p.info().send_window, 5'000u);
}

// --- memory ---

TEST(TcpData, AnIdleConnectionHoldsNoBuffers) {
  Peer p(plain());
  p.connected();
  EXPECT_EQ(p->buffer_memory(), 0u);
  EXPECT_EQ(p->next_deadline(), Instant::never());
  p.write(10'000);
  p.in(text(101, 100));
  p.in(text(1, 100));
  EXPECT_EQ(p.read(), 200u);
  p.take();
  p.in(text(201, 0, " ack 10001"));
  EXPECT_GT(p->buffer_memory(), 10'000u);
  p.wait(Duration::seconds(3));
  EXPECT_EQ(p->buffer_memory(), 0u);
  EXPECT_EQ(p->next_deadline(), Instant::never());
  p.write(100);
  p.out("P. 10001:10101(100) ack 201");
}

TEST(TcpData, BuffersThatHoldTextAreKept) {
  Peer p(plain());
  p.connected();
  p.in(text(1, 100));
  p.in(text(201, 100));
  p.take();
  p.wait(Duration::seconds(30));
  p.in(text(101, 100));
  EXPECT_EQ(p.read(), 300u);
}

}  // namespace
}  // namespace weir::tcp
