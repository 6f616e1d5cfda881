// SPDX-License-Identifier: MIT
// Pacing by the connection's own deadlines.
#include <gtest/gtest.h>

#include "tcp_harness.h"
#include "weir/tcp/congestion/pacer.h"

namespace weir::tcp {
namespace {

using test::Peer;
using test::Scene;

Instant at_us(std::int64_t us) { return Instant::from_ns(us * 1'000); }

TEST(TcpPacer, ABurstIsTwoSegmentsOrAMillisecond) {
  EXPECT_EQ(Pacer::burst(100'000, 1'000), 2'000u);
  EXPECT_EQ(Pacer::burst(10'000'000, 1'000), 10'000u);
  EXPECT_EQ(Pacer::burst(10'000'000'000, 1'000), 65'536u);
}

TEST(TcpPacer, OverManyBurstsTheRateIsTheRate) {
  for (std::uint64_t rate : {50'000u, 1'000'000u, 12'345'678u, 125'000'000u}) {
    Pacer p;
    Instant now = at_us(1'000'000);
    Instant begin = now;
    std::uint64_t sent = 0;
    while (now - begin < Duration::seconds(2)) {
      if (!p.may_leave(now)) {
        now = p.next() + Duration::microseconds(65);  // a timer is that late
        continue;
      }
      p.on_sent(1'448, rate, 1'448, now);
      sent += 1'448;
    }
    EXPECT_NEAR(static_cast<double>(sent), 2.0 * static_cast<double>(rate), 0.02 * static_cast<double>(rate) + 70'000)
        << rate;
  }
}

TEST(TcpPacer, AnIdleTimeSavesUpNoMoreThanABurst) {
  Pacer p;
  p.on_sent(1'000, 1'000'000, 1'000, at_us(0));
  Instant later = at_us(60'000'000);
  std::uint32_t sent = 0;
  while (p.may_leave(later)) {
    p.on_sent(1'000, 1'000'000, 1'000, later);
    sent += 1'000;
  }
  EXPECT_LE(sent, 3 * 2'000u);
}

// A round trip of 100 ms measured by the handshake.
Peer paced(Scene scene = test::plain()) {
  scene.config.pacing = true;
  Peer p(scene);
  p.connect();
  p.out("S 0:0(0)");
  p.wait(Duration::milliseconds(100));
  p.in("S. 0:0(0) ack 1 win 65535 <mss 1460>");
  p.take();
  return p;
}

TEST(TcpPacing, TheInitialWindowIsSpreadOverTheRoundTrip) {
  Peer p = paced();
  // Slow start: twice ten segments in 100 ms, so two each 10 ms.
  EXPECT_EQ(p.info().pacing_rate, 2u * 14'600 * 10);
  p.write(14'600);
  p.out({". 1:1461(1460)", ". 1461:2921(1460)"});
  EXPECT_FALSE(p->wants_transmit(p.now()));
  Duration waited = p.wait_for_output();
  EXPECT_NEAR(static_cast<double>(waited.count_us()), 9'500, 600);
  p.out({". 2921:4381(1460)", ". 4381:5841(1460)"});
  p.wait(Duration::milliseconds(31));
  p.out({". 5841:7301(1460)", ". 7301:8761(1460)", ". 8761:10221(1460)", ". 10221:11681(1460)", ". 11681:13141(1460)",
         "P. 13141:14601(1460)"});
}

TEST(TcpPacing, AnAckGoesWhileTextWaits) {
  Peer p = paced();
  p.write(14'600);
  p.take();
  p.in("P. 1:501(500) ack 1");
  p.out(". 2921:2921(0) ack 501");
  EXPECT_FALSE(p->wants_transmit(p.now()));
}

TEST(TcpPacing, WithNothingInFlightNothingWaits) {
  Peer p = paced();
  p.write(2'920);
  EXPECT_EQ(p.take().size(), 2u);
  p.in(". 1:1(0) ack 2921");
  p.write(1'460);
  EXPECT_EQ(p.take().size(), 1u);
}

TEST(TcpPacing, IsOffUnlessAskedFor) {
  Scene scene = test::plain();
  Peer p(scene);
  p.connected();
  EXPECT_EQ(p.info().pacing_rate, 0u);
  p.write(14'600);
  EXPECT_EQ(p.take().size(), 10u);
}

TEST(TcpPacing, ARetransmissionWaitsForItsTurnToo) {
  Peer p = paced();
  p.write(14'600);
  p.take();
  p.wait(Duration::milliseconds(50));
  p.take();
  for (int i = 0; i < 3; ++i) p.in(". 1:1(0) ack 1");
  // What leaves is what the rate lets leave: not all at once.
  EXPECT_LE(p.take().size(), 2u);
}

}  // namespace
}  // namespace weir::tcp
