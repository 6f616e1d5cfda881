// SPDX-License-Identifier: MIT
// Retransmissions that were needless, and what they took is given back: RFC 5682 (F-RTO), RFC 3522 and 4015 (Eifel),
// RFC 3708 with RFC 2883 (DSACK).
#include <string>

#include "tcp_flight.h"

namespace weir::tcp {
namespace {

using test::Flight;
using test::kRtt;
using test::ms;
using test::Numbers;
using test::Scene;
using test::setting;

class TcpSpurious : public testing::TestWithParam<Family> {};
INSTANTIATE_TEST_SUITE_P(Families, TcpSpurious, testing::Values(Family::v4, Family::v6),
                         [](const auto& p) { return p.param == Family::v4 ? "v4" : "v6"; });

// RFC 5682 3.1
TEST_P(TcpSpurious, FRtoTakesASpuriousTimeOutBack) {
  Flight p(setting(GetParam()));
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

TEST_P(TcpSpurious, FRtoLetsATimeOutStandThatWasNone) {
  Flight p(setting(GetParam()));
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
TEST_P(TcpSpurious, EifelTakesASpuriousTimeOutBack) {
  Scene s = setting(GetParam());
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

TEST_P(TcpSpurious, EifelTakesASpuriousFastRetransmitBack) {
  Scene s = setting(GetParam());
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

// The loss that fast recovery mends was one; a time-out meanwhile, needless or not, does not give back what it took.
TEST_P(TcpSpurious, ATimeOutWithinFastRecoveryTakesNothingBackOfIt) {
  Scene s = setting(GetParam());
  s.config.timestamps = true;
  s.birth.mss = 1'012;
  Flight p(s);
  p.fill(10);
  p.wait(kRtt);
  p.ack_segments(0, {{1, 4}});
  EXPECT_EQ(p.leave(), Numbers{0});
  std::uint32_t again = p.last_tsval();
  std::uint32_t reduced = p.info().ssthresh;
  ASSERT_LT(reduced, 10'000u);
  while (p.info().timeouts == 0) p.wait_for_output();
  p.take();
  // The first retransmission arrives after all.
  p.in(". 1:1(0) ack " + p.number(4) + " win 65535 <ts _ " + std::to_string(again) + ">");
  EXPECT_EQ(p.info().ssthresh, reduced);
}

// RFC 3708 3, with RFC 2883
TEST_P(TcpSpurious, DsacksOfAllThatWasSentAgainTakeAnEpisodeBack) {
  Flight p(setting(GetParam()));
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

}  // namespace
}  // namespace weir::tcp
