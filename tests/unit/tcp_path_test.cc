// SPDX-License-Identifier: MIT
// A path whose MTU nobody tells: RFC 4821, RFC 8899.
#include <algorithm>

#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Packet;
using test::Peer;
using test::plain;
using test::Scene;

// A peer behind a path that swallows what is larger than `mss`.
class BlackHole {
 public:
  BlackHole(Peer& p, std::uint32_t mss) : p_(p), mss_(mss) {}

  // The connection sends for `d`; what arrives is acknowledged 20 ms later.
  void run(Duration d) {
    Instant until = p_.now() + d;
    while (p_.now() < until) {
      bool any = false;
      for (const Packet& packet : p_.take()) {
        largest_ = std::max(largest_, packet.length);
        if (packet.length > mss_) {
          ++swallowed_;
          continue;
        }
        any = any || packet.length > 0;
        if (packet.seq <= next_) next_ = std::max(next_, packet.seq + packet.length);
      }
      p_.wait(Duration::milliseconds(20));
      if (any) p_.in(". 1:1(0) ack " + std::to_string(next_));
    }
  }
  std::uint32_t received() const { return next_ - 1; }
  std::uint32_t swallowed() const { return swallowed_; }
  std::uint32_t take_largest() { return std::exchange(largest_, 0); }
  void widen(std::uint32_t mss) { mss_ = mss; }

 private:
  Peer& p_;
  std::uint32_t mss_;
  std::uint32_t next_ = 1;
  std::uint32_t largest_ = 0;
  std::uint32_t swallowed_ = 0;
};

class TcpPath : public testing::TestWithParam<Family> {
 protected:
  static Scene scene() {
    Scene s = plain();
    s.birth.family = GetParam();
    s.birth.mss = GetParam() == Family::v4 ? 1'460 : 1'440;
    s.config.send_buffer = 64 * 1024;
    return s;
  }
  static std::uint32_t base() { return GetParam() == Family::v4 ? 1'160 : 1'220; }
  static std::uint32_t full() { return GetParam() == Family::v4 ? 1'460 : 1'440; }
};
INSTANTIATE_TEST_SUITE_P(Families, TcpPath, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) { return param.param == Family::v4 ? "v4" : "v6"; });
// RFC 8200 5: no path of IPv6 is narrower than 1280.
class TcpNarrowPath : public TcpPath {};
INSTANTIATE_TEST_SUITE_P(Ipv4, TcpNarrowPath, testing::Values(Family::v4), [](const auto&) { return "v4"; });

TEST_P(TcpPath, ABlackHoleIsMetWithSmallerSegments) {
  Peer p(scene());
  p.connected();
  BlackHole path(p, 1'300);
  p.write(30'000);
  path.run(Duration::seconds(10));
  EXPECT_EQ(path.received(), 30'000u);
  EXPECT_GT(path.swallowed(), 0u);
  EXPECT_EQ(p.info().send_mss, base());
}

TEST_P(TcpPath, TheSearchGoesUpToWhatThePathTakes) {
  Peer p(scene());
  p.connected();
  BlackHole path(p, 1'300);
  for (int s = 0; s < 300; ++s) {
    p.write(20'000);
    path.run(Duration::seconds(1));
  }
  EXPECT_LE(p.info().send_mss, 1'300u);
  EXPECT_GE(p.info().send_mss, 1'300u - 16u);
  // The path grows, which is found out after ten minutes.
  path.widen(9'000);
  for (int s = 0; s < 700; ++s) {
    p.write(20'000);
    path.run(Duration::seconds(1));
  }
  EXPECT_EQ(p.info().send_mss, full());
  EXPECT_EQ(p.state(), State::established);
}

TEST_P(TcpPath, AnOutageIsNotTakenForABlackHoleForLong) {
  Peer p(scene());
  p.connected();
  BlackHole path(p, 0);
  p.write(20'000);
  path.run(Duration::seconds(10));
  EXPECT_LE(p.info().send_mss, base());
  path.widen(9'000);
  for (int s = 0; s < 60; ++s) {
    p.write(20'000);
    path.run(Duration::seconds(1));
  }
  EXPECT_EQ(p.info().send_mss, full());
}

TEST_P(TcpPath, SmallSegmentsThatVanishSayNothing) {
  Peer p(scene());
  p.connected();
  p.write(500);
  p.wait(Duration::seconds(20));
  EXPECT_EQ(p.info().send_mss, full());
}

TEST_P(TcpNarrowPath, ASegmentBelowTheFirstStepFallsToTheNext) {
  Peer p(scene());
  p.connected();
  BlackHole path(p, 600);
  p.write(822);
  path.run(Duration::seconds(10));
  EXPECT_EQ(path.received(), 822u);
}

// The time-outs are far apart by then: one of them is enough for the next step.
TEST_P(TcpNarrowPath, ANarrowPathIsFoundByTheNextTimeOut) {
  Peer p(scene());
  p.connected();
  BlackHole path(p, 600);
  p.write(30'000);
  path.run(Duration::seconds(10));
  EXPECT_EQ(path.received(), 30'000u);
}

TEST_P(TcpPath, ProbingMayBeTurnedOff) {
  Scene s = scene();
  s.config.path_mtu_probing = false;
  Peer p(s);
  p.connected();
  BlackHole path(p, 1'300);
  p.write(30'000);
  path.run(Duration::seconds(20));
  EXPECT_EQ(path.received(), 0u);
  EXPECT_EQ(p.info().send_mss, full());
}

TEST_P(TcpPath, AToldMtuEndsTheSearch) {
  Peer p(scene());
  p.connected();
  BlackHole path(p, 1'400);
  p.write(30'000);
  path.run(Duration::seconds(10));
  EXPECT_EQ(p.info().send_mss, base());
  p->on_path_mss(1'390, p.now());
  path.take_largest();
  for (int s = 0; s < 60; ++s) {
    p.write(20'000);
    path.run(Duration::seconds(1));
  }
  EXPECT_EQ(path.take_largest(), 1'390u);
}

// RFC 1191, RFC 8201
TEST_P(TcpPath, PacketTooBigLowersTheMssAndSendsAgain) {
  const std::uint32_t headers = GetParam() == Family::v4 ? 40 : 60;
  Peer p(scene());
  p.connected(65'535, "mss 1460");
  p.write(4 * full());
  p.take();
  IcmpError e{IcmpError::Kind::packet_too_big};
  e.mtu = 1'340;
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1), p.now()), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(p.info().send_mss, 1'340 - headers);
  std::uint32_t next = 1;
  for (const Packet& packet : p.take()) {
    EXPECT_EQ(packet.seq, next);
    EXPECT_LE(packet.length, 1'340 - headers);
    next += packet.length;
  }
  EXPECT_EQ(next, 1 + 4 * full());
  EXPECT_EQ(p.info().timeouts, 0u);
}

// RFC 8201 4: below 1280 is no IPv6 path. RFC 5927 7 for IPv4
TEST_P(TcpPath, AnMtuThatNoPathOfTheFamilyHasIsRefused) {
  Peer p(scene());
  p.connected(65'535, "mss 1460");
  p.write(full());
  p.take();
  IcmpError e{IcmpError::Kind::packet_too_big};
  e.mtu = GetParam() == Family::v4 ? 68 : 1'279;
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1), p.now()), WEIR_R_LOST_ICMP_INVALID);
  EXPECT_EQ(p.info().send_mss, full());
  p.silent();
  e.mtu = GetParam() == Family::v4 ? 1'000 : 1'280;
  EXPECT_EQ(p->on_icmp_error(e, p.ours(1), p.now()), WEIR_R_TAKEN_ICMP);
  EXPECT_EQ(p.info().send_mss, GetParam() == Family::v4 ? 960u : 1'220u);
}

}  // namespace
}  // namespace weir::tcp
