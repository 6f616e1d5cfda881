// SPDX-License-Identifier: MIT
// Keepalive (RFC 1122 4.2.3.6), user timeout (RFC 5482), linger, cork.
#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Peer;
using test::plain;
using test::Scene;

class TcpOptions : public testing::TestWithParam<Family> {
 protected:
  static Scene scene() {
    Scene s = plain();
    s.birth.family = GetParam();
    return s;
  }
  template <class F>
  static void set(Peer& p, F&& change) {
    Options o = p->options();
    change(o);
    ASSERT_TRUE(p->set_options(o, p.now()));
  }
};
INSTANTIATE_TEST_SUITE_P(Families, TcpOptions, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) { return param.param == Family::v4 ? "v4" : "v6"; });

Scene with_keepalive(Scene s) {
  s.config.options.keepalive = true;
  s.config.options.keepalive_idle = Duration::seconds(60);
  s.config.options.keepalive_interval = Duration::seconds(10);
  s.config.options.keepalive_count = 3;
  return s;
}

TEST_P(TcpOptions, KeepaliveAsksASilentPeerAndIsContentWithAnAck) {
  Peer p(with_keepalive(scene()));
  p.connected();
  EXPECT_EQ(p.wait_for_output(), Duration::seconds(60));
  p.out(". 0:0(0) ack 1");
  p.in(". 1:1(0) ack 1");
  EXPECT_EQ(p.wait_for_output(), Duration::seconds(60));
  p.out(". 0:0(0) ack 1");
  // Unanswered, then answered: the count begins anew.
  EXPECT_EQ(p.wait_for_output(), Duration::seconds(10));
  p.out(". 0:0(0) ack 1");
  p.in(". 1:1(0) ack 1");
  EXPECT_EQ(p.wait_for_output(), Duration::seconds(60));
  EXPECT_EQ(p.state(), State::established);
}

TEST_P(TcpOptions, KeepaliveResetsADeadPeerAfterItsCount) {
  Peer p(with_keepalive(scene()));
  p.connected();
  p.wait(Duration::seconds(60 + 2 * 10));
  p.out({". 0:0(0) ack 1", ". 0:0(0) ack 1", ". 0:0(0) ack 1"});
  p.wait(Duration::milliseconds(9'999));
  EXPECT_EQ(p.state(), State::established);
  p.wait(Duration::milliseconds(1));
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_EQ(p.error(), Errc::timed_out);
  p.out("R. 1:1(0) ack 1");
}

TEST_P(TcpOptions, KeepaliveWaitsForASegmentOfThePeerAndNotForOurs) {
  Peer p(with_keepalive(scene()));
  p.connected();
  p.wait(Duration::seconds(59));
  p.in("P. 1:11(10) ack 1");
  p.take();
  p.wait(Duration::milliseconds(59'900));
  p.silent();
  p.wait(Duration::milliseconds(200));
  p.out(". 0:0(0) ack 11");
}

TEST_P(TcpOptions, KeepaliveLeavesWhatIsOutstandingToItsOwnTimers) {
  Peer p(with_keepalive(scene()));
  p.connected();
  p.write(100);
  p.take();
  p.wait(Duration::seconds(70));
  for (const auto& packet : p.take()) EXPECT_EQ(packet.length, 100u) << packet.to_string();
}

TEST_P(TcpOptions, KeepaliveIsOffUnlessAskedForAndMayBeTurnedOnLater) {
  Peer p(scene());
  p.connected();
  p.wait(Duration::seconds(100'000));
  p.silent();
  set(p, [](Options& o) {
    o.keepalive = true;
    o.keepalive_idle = Duration::seconds(5);
  });
  p.wait(Duration::milliseconds(1));
  p.out(". 0:0(0) ack 1");
  set(p, [](Options& o) { o.keepalive = false; });
  p.wait(Duration::seconds(100'000));
  p.silent();
  EXPECT_EQ(p.state(), State::established);
}

// Linux's TCP_USER_TIMEOUT with SO_KEEPALIVE.
TEST_P(TcpOptions, AUserTimeoutTakesThePlaceOfTheKeepaliveCount) {
  Scene s = with_keepalive(scene());
  s.config.options.user_timeout = Duration::seconds(65);
  Peer p(s);
  p.connected();
  p.wait(Duration::milliseconds(69'999));
  EXPECT_EQ(p.state(), State::established);
  p.wait(Duration::milliseconds(1));
  EXPECT_EQ(p.error(), Errc::timed_out);
}

TEST_P(TcpOptions, AUserTimeoutEndsWhatIsNotAcknowledged) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.user_timeout = Duration::seconds(3); });
  p.wait(Duration::seconds(10));
  p.write(100);
  p.take();
  p.wait(Duration::milliseconds(2'999));
  EXPECT_EQ(p.state(), State::established);
  p.take();
  p.wait(Duration::milliseconds(1));
  EXPECT_EQ(p.state(), State::closed);
  EXPECT_EQ(p.error(), Errc::timed_out);
  p.out("R. 101:101(0) ack 1");
}

TEST_P(TcpOptions, ProgressPutsTheUserTimeoutOff) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.user_timeout = Duration::seconds(3); });
  p.write(4'000);
  p.take();
  for (std::uint32_t at = 101; at < 2'000; at += 100) {
    p.wait(Duration::milliseconds(2'900));
    p.in(". 1:1(0) ack " + std::to_string(at));
    p.take();
    ASSERT_EQ(p.state(), State::established) << at;
  }
  p.wait(Duration::seconds(4));
  EXPECT_EQ(p.error(), Errc::timed_out);
}

TEST_P(TcpOptions, AUserTimeoutMayBeLongerThanTheRetransmissionsAllow) {
  Scene s = scene();
  s.config.retries = 2;
  s.config.options.user_timeout = Duration::seconds(600);
  Peer p(s);
  p.connected();
  p.write(100);
  p.wait(Duration::milliseconds(599'000));
  EXPECT_EQ(p.state(), State::established);
  p.wait(Duration::seconds(2));
  EXPECT_EQ(p.error(), Errc::timed_out);
}

TEST_P(TcpOptions, AUserTimeoutBoundsTheHandshake) {
  Scene s = scene();
  s.config.options.user_timeout = Duration::seconds(5);
  Peer p(s);
  p.connect();
  p.take();
  p.wait(Duration::milliseconds(4'999));
  EXPECT_EQ(p.state(), State::syn_sent);
  p.wait(Duration::milliseconds(1));
  EXPECT_EQ(p.error(), Errc::timed_out);
}

// Sockstress: a peer that acknowledges, answers probes, and never opens its window again.
TEST_P(TcpOptions, AZeroWindowHeldForEverEndsByTheUserTimeout) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.user_timeout = Duration::seconds(30); });
  p.write(100);
  p.take();
  p.in(". 1:1(0) ack 101 win 0");
  p.write(100);
  Instant from = p.now();
  while (p.state() != State::closed && p.now() - from < Duration::seconds(100)) {
    p.wait(Duration::milliseconds(50));
    p.take();
    if (p.state() != State::closed) p.in(". 1:1(0) ack 101 win 0");
  }
  EXPECT_EQ(p.error(), Errc::timed_out);
  EXPECT_LE(p.now() - from, Duration::milliseconds(30'050));
}

TEST_P(TcpOptions, LingerOfZeroResets) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.linger = Duration{}; });
  p.write(100);
  p.take();
  p.close();
  EXPECT_EQ(p.state(), State::closed);
  p.out("R. 101:101(0) ack 1");
  EXPECT_TRUE(p->finished());
}

TEST_P(TcpOptions, LingerOfZeroAfterShutdownResetsToo) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.linger = Duration{}; });
  p.shutdown_write();
  p.out("F. 1:1(0) ack 1");
  p.in(". 1:1(0) ack 2");
  EXPECT_EQ(p.state(), State::fin_wait_2);
  p.close();
  p.out("R. 2:2(0) ack 1");
}

TEST_P(TcpOptions, ALongerLingerSendsAllAndAFin) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.linger = Duration::seconds(10); });
  p.write(100);
  p.close();
  p.out("FP. 1:101(100) ack 1");
  EXPECT_EQ(p->options().linger, Duration::seconds(10));
}

TEST_P(TcpOptions, CorkHoldsBackWhatIsNotFull) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.cork = o.no_delay = true; });
  p.write(10);
  p.silent();
  p.write(1'460);
  p.out(". 1:1461(1460) ack 1");
  p.in(". 1:1(0) ack 1461");
  p.silent();
  set(p, [](Options& o) { o.cork = false; });
  p.out("P. 1461:1471(10) ack 1");
}

TEST_P(TcpOptions, AFinTakesTheCorkOut) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.cork = true; });
  p.write(10);
  p.silent();
  p.close();
  p.out("FP. 1:11(10) ack 1");
}

TEST_P(TcpOptions, ACorkHoldsForOneTimeoutAtMost) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.cork = true; });
  p.write(10);
  Duration waited = p.wait_for_output();
  p.out("P. 1:11(10) ack 1");
  EXPECT_GE(waited, p.scene().config.min_rto);
  EXPECT_LE(waited, Duration::seconds(1));
  p.in(". 1:1(0) ack 11");
  p.wait(Duration::seconds(100));
  p.silent();
  EXPECT_EQ(p.info().retransmits, 0u);
}

TEST_P(TcpOptions, OptionsLikeConfigsTakeNoMemoryOfTheirOwn) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) { o.cork = true; });
  EXPECT_TRUE(p->holds_options());
  set(p, [](Options& o) { o.cork = false; });
  EXPECT_FALSE(p->holds_options());
  set(p, [](Options& o) { o.no_delay = !o.no_delay; });
  EXPECT_FALSE(p->holds_options());
  bool flipped = p->options().no_delay;
  set(p, [](Options& o) { o.cork = true; });
  EXPECT_EQ(p->options().no_delay, flipped);
}

TEST_P(TcpOptions, AKeepaliveWithoutAnIdleTimeDoesNotBurnACpu) {
  Peer p(scene());
  p.connected();
  set(p, [](Options& o) {
    o.keepalive = true;
    o.keepalive_idle = Duration{};
  });
  p.write(10);
  p.out("P. 1:11(10) ack 1");
  p->on_deadline(p.now());
  EXPECT_GT(p->next_deadline(), p.now());
}

}  // namespace
}  // namespace weir::tcp
