// SPDX-License-Identifier: MIT
// Explicit congestion notification: RFC 3168, RFC 8257.
#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Peer;
using test::plain;
using test::Scene;

class TcpEcn : public testing::TestWithParam<Family> {
 protected:
  static Scene scene(EcnMode mode = EcnMode::request) {
    Scene s = plain();
    s.birth.family = GetParam();
    s.config.ecn = mode;
    s.config.congestion = "reno";
    return s;
  }
  static void agree(Peer& p) {
    p.connect();
    p.out("SEW 0:0(0)");
    p.in("SE. 0:0(0) ack 1 win 65535 <mss 1000>");
    p.out(". 1:1(0) ack 1");
    ASSERT_TRUE(p.info().ecn);
  }
};
INSTANTIATE_TEST_SUITE_P(Families, TcpEcn, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) { return param.param == Family::v4 ? "v4" : "v6"; });

TEST_P(TcpEcn, ASynAsksWithBothFlagsAndASynAckAgreesWithOne) {
  Peer p(scene());
  agree(p);
  Peer q(scene(EcnMode::accept));
  q.arrive("SEW 0:0(0) win 65535 <mss 1000>");
  q.out("SE. 0:0(0) ack 1");
  q.in(". 1:1(0) ack 1");
  EXPECT_TRUE(q.info().ecn);
}

TEST_P(TcpEcn, NothingElseAgrees) {
  for (const char* answer : {"S.", "SEW.", "SW."}) {
    Peer p(scene());
    p.connect();
    p.take();
    p.in(std::string(answer) + " 0:0(0) ack 1 win 65535 <mss 1000>");
    EXPECT_FALSE(p.info().ecn) << answer;
    p.take();
    p.write(10);
    for (const auto& packet : p.take()) EXPECT_EQ(packet.ecn, wire::Ecn::not_ect);
  }
  for (const char* syn : {"S", "SE", "SW"}) {
    Peer q(scene());
    q.arrive(std::string(syn) + " 0:0(0) win 65535 <mss 1000>");
    q.out("S. 0:0(0) ack 1");
    EXPECT_FALSE(q.info().ecn) << syn;
  }
}

TEST_P(TcpEcn, OffNeitherAsksNorAgreesAndAcceptDoesNotAsk) {
  Peer p(scene(EcnMode::off));
  p.arrive("SEW 0:0(0) win 65535 <mss 1000>");
  p.out("S. 0:0(0) ack 1");
  Peer q(scene(EcnMode::accept));
  q.connect();
  q.out("S 0:0(0)");
  // An answer to what was not asked.
  q.in("SE. 0:0(0) ack 1 win 65535");
  EXPECT_FALSE(q.info().ecn);
}

// RFC 3168 6.1.1.1
TEST_P(TcpEcn, ASynThatIsSentAgainAsksNoMore) {
  Peer p(scene());
  p.connect();
  p.out("SEW 0:0(0)");
  p.wait(Duration::seconds(1));
  p.out("S 0:0(0) again");
}

TEST_P(TcpEcn, NewTextIsCapableAndNothingElseIs) {
  Peer p(scene());
  agree(p);
  p.write(100);
  auto text = p.take();
  ASSERT_EQ(text.size(), 1u);
  EXPECT_EQ(text[0].ecn, wire::Ecn::ect0);
  p.wait(Duration::seconds(2));
  for (const auto& again : p.take()) {
    EXPECT_TRUE(again.retransmission);
    EXPECT_EQ(again.ecn, wire::Ecn::not_ect) << "RFC 3168 6.1.5";
  }
  p.in("P. 1:1001(1000) ack 101");
  for (const auto& ack : p.take()) EXPECT_EQ(ack.ecn, wire::Ecn::not_ect) << "RFC 3168 6.1.4";
  p.in(". 1001:1001(0) ack 101 win 0");
  p.write(100);
  p.wait(Duration::seconds(5));
  auto probes = p.take();
  ASSERT_FALSE(probes.empty());
  for (const auto& probe : probes) EXPECT_EQ(probe.ecn, wire::Ecn::not_ect) << "RFC 3168 6.1.6 ";
  p.read();
  p.close();
  p.in(". 1001:1001(0) ack 102 win 65535");
  p.take();
  p.in(". 1001:1001(0) ack 201 win 65535");
  for (const auto& fin : p.take()) EXPECT_EQ(fin.ecn, wire::Ecn::not_ect);
}

TEST_P(TcpEcn, AMarkIsEchoedUntilTheSenderHasReduced) {
  Peer p(scene());
  agree(p);
  p.in(". 1:1001(1000) ack 1 ect");
  p.out(". 1:1(0) ack 1001");
  p.in(". 1001:2001(1000) ack 1 ce");
  p.out("E. 1:1(0) ack 2001");
  p.in(". 2001:3001(1000) ack 1 ect");
  p.out("E. 1:1(0) ack 3001");
  p.write(10);
  p.out("PE. 1:11(10) ack 3001");
  p.in("W. 3001:4001(1000) ack 11 ect");
  p.out(". 11:11(0) ack 4001");
  // A mark on the very packet that says so counts.
  p.in("W. 4001:5001(1000) ack 11 ce");
  p.out("E. 11:11(0) ack 5001");
  EXPECT_EQ(p.info().ecn_marks, 2u);
}

TEST_P(TcpEcn, AMarkWithoutAgreementIsNotEchoed) {
  Peer p(scene(EcnMode::off));
  p.connected();
  p.in(". 1:1001(1000) ack 1 ce");
  p.out(". 1:1(0) ack 1001");
}

TEST_P(TcpEcn, AnEchoReducesTheWindowOnceARoundTripAndIsAnswered) {
  Peer p(scene());
  agree(p);
  p.write(60'000);
  EXPECT_EQ(p.take().size(), 10u);
  std::uint32_t before = p.info().cwnd;
  p.in("E. 1:1(0) ack 1001");
  std::uint32_t after = p.info().cwnd;
  EXPECT_LE(after, before / 2 + 1'000);
  EXPECT_EQ(p.info().ssthresh, after);
  // The rest of the same window.
  for (int ack = 2'001; ack <= 10'001; ack += 1'000) {
    p.in("E. 1:1(0) ack " + std::to_string(ack));
    EXPECT_GE(p.info().cwnd, after) << ack;
  }
  auto text = p.take();
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(text[0].flags, "W.") << "RFC 3168 6.1.2: the first new text";
  for (std::size_t i = 1; i < text.size(); ++i) EXPECT_EQ(text[i].flags, ".");
  // What was sent behind the reduction has met congestion too: once more.
  after = p.info().cwnd;
  p.in("E. 1:1(0) ack " + std::to_string(text.back().seq + text.back().length));
  EXPECT_LT(p.info().cwnd, after);
  EXPECT_EQ(p.info().retransmits, 0u);
}

TEST_P(TcpEcn, AnEchoWithoutAgreementReducesNothing) {
  Peer p(scene(EcnMode::off));
  p.connected();
  p.write(60'000);
  p.take();
  std::uint32_t before = p.info().cwnd;
  p.in("E. 1:1(0) ack 1461");
  EXPECT_GE(p.info().cwnd, before);
}

TEST_P(TcpEcn, ATimeoutIsToldToo) {
  Peer p(scene());
  agree(p);
  p.write(5'000);
  p.take();
  p.wait(Duration::milliseconds(1'100));
  p.take();
  p.in(". 1:1(0) ack 5001");
  p.take();
  p.write(100);
  auto text = p.take();
  ASSERT_EQ(text.size(), 1u);
  EXPECT_EQ(text[0].flags, "PW.");
}

// RFC 8257 3.2
TEST_P(TcpEcn, DctcpEchoesEachMarkAndAcksAtOnceWhereTheyChange) {
  Scene s = scene(EcnMode::accept);
  s.config.congestion = "dctcp";
  Peer p(s);
  agree(p);
  std::uint32_t seq = 1;
  for (int i = 0; i < 40; ++i) {  // quick ACKs have been used up
    p.in(". " + std::to_string(seq) + ":" + std::to_string(seq + 1'000) + "(1000) ack 1 ect");
    seq += 1'000;
    p.take();
  }
  auto in = [&](const char* mark) {
    p.in(". " + std::to_string(seq) + ":" + std::to_string(seq + 1'000) + "(1000) ack 1 " + mark);
    seq += 1'000;
  };
  auto ack = [](const char* flags, std::uint32_t number) {
    return std::string(flags) + " 1:1(0) ack " + std::to_string(number);
  };
  p.wait(Duration::milliseconds(100));
  p.take();
  in("ect");
  p.silent();
  in("ce");
  p.out({ack(".", seq - 1'000).c_str(), ack("E.", seq).c_str()});
  in("ce");
  in("ce");
  p.out(ack("E.", seq).c_str());
  in("ce");
  p.silent();
  in("ect");
  p.out({ack("E.", seq - 1'000).c_str(), ack(".", seq).c_str()});
  // Several changes before anything could leave.
  in("ce");
  in("ect");
  in("ce");
  p.out({ack("E.", seq - 2'000).c_str(), ack(".", seq - 1'000).c_str(), ack("E.", seq).c_str()});
}

TEST_P(TcpEcn, AControllerThatNeedsMarksAsksForThem) {
  Scene s = scene(EcnMode::accept);
  s.config.congestion = "dctcp";
  Peer p(s);
  agree(p);
  Peer q(s);
  q.connect();
  q.take();
  q.in("S. 0:0(0) ack 1 win 65535");
  EXPECT_FALSE(q.info().ecn) << "and is conventional where there are none";
  EXPECT_EQ(q.state(), State::established);
}

}  // namespace
}  // namespace weir::tcp
