// SPDX-License-Identifier: MIT
// NewReno by RFC 5681, DCTCP by RFC 8257, the registry, and the change of a running connection's controller.
#include <gtest/gtest.h>

#include <memory>

#include "congestion_events.h"
#include "tcp_harness.h"
#include "weir/tcp/congestion/dctcp.h"
#include "weir/tcp/congestion/new_reno.h"
#include "weir/tcp/congestion/registry.h"

namespace weir::tcp {
namespace {

using test::ack_of;
using test::at_ms;
using test::kMss;
using test::moment_at;

// --- NewReno ---

TEST(TcpNewReno, UndoBringsBackWindowAndThreshold) {
  NewReno c;
  c.open(40 * kMss, moment_at(at_ms(0), 0));
  c.on_loss(moment_at(at_ms(0), 40 * kMss));
  EXPECT_EQ(c.cwnd(), 20 * kMss);
  EXPECT_EQ(c.ssthresh(), 20 * kMss);
  c.undo();
  EXPECT_EQ(c.cwnd(), 40 * kMss);
  EXPECT_EQ(c.ssthresh(), kNoThreshold);
}

// RFC 3465 2.1, of a window that is not whole segments.
TEST(TcpNewReno, AWindowOfWholeSegmentsIsWhatGrowthWaitsFor) {
  NewReno c;
  c.open(5 * kMss, moment_at(at_ms(0), 0));
  c.on_loss(moment_at(at_ms(0), 5 * kMss));
  ASSERT_EQ(c.cwnd(), 5 * kMss / 2);
  AckEvent ack = ack_of(kMss, at_ms(100));
  ack.peak_in_flight = 2 * kMss;
  c.on_ack(ack);
  EXPECT_EQ(c.cwnd(), 5 * kMss / 2);
  c.on_ack(ack);
  EXPECT_EQ(c.cwnd(), 7 * kMss / 2) << "two segments are all that it lets out";
}

TEST(TcpNewReno, AMarkIsALoss) {
  NewReno c;
  c.open(40 * kMss, moment_at(at_ms(0), 0));
  c.on_ecn(moment_at(at_ms(0), 40 * kMss));
  EXPECT_EQ(c.cwnd(), 20 * kMss);
}

TEST(TcpNewReno, WhatAnotherControllerReducedIsNotUndone) {
  NewReno c;
  c.take_over(20 * kMss, 20 * kMss, moment_at(at_ms(0), 20 * kMss));
  c.undo();
  EXPECT_EQ(c.cwnd(), 20 * kMss);
  EXPECT_EQ(c.ssthresh(), 20 * kMss);
}

// --- DCTCP ---

// A window of data, `marked` of ten parts of which are marked.
void observe(Dctcp& c, std::uint32_t marked) {
  for (std::uint32_t i = 0; i < 10; ++i) {
    AckEvent a = ack_of(kMss, at_ms(0));
    a.ece = i < marked ? kMss : 0;
    a.round_start = i == 9;
    c.on_ack(a);
  }
}

// RFC 8257 3.3, 7: alpha = alpha * (1 - g) + g * M.
TEST(TcpDctcp, AlphaIsTheMovingAverageOfTheMarkedShare) {
  Dctcp c;
  c.open(10 * kMss, moment_at(at_ms(0), 0));
  EXPECT_EQ(c.alpha(), 1) << "3.3, 1: the first mark halves";
  observe(c, 0);
  EXPECT_DOUBLE_EQ(c.alpha(), 15.0 / 16);
  observe(c, 5);
  EXPECT_DOUBLE_EQ(c.alpha(), 15.0 / 16 * 15 / 16 + 0.5 / 16);
  for (int i = 0; i < 400; ++i) observe(c, 3);
  EXPECT_NEAR(c.alpha(), 0.3, 1e-9);
}

// RFC 8257 3.3, 9: cwnd = cwnd * (1 - alpha / 2).
TEST(TcpDctcp, TheWindowFallsByHalfOfAlpha) {
  Dctcp c;
  c.take_over(100 * kMss, 50 * kMss, moment_at(at_ms(0), 0));
  c.on_ecn(moment_at(at_ms(0), 100 * kMss));
  EXPECT_EQ(c.cwnd(), 50 * kMss);
  for (int i = 0; i < 400; ++i) observe(c, 2);
  std::uint32_t before = c.cwnd();
  c.on_ecn(moment_at(at_ms(0), before));
  EXPECT_NEAR(c.cwnd(), before * 0.9, 1);
  EXPECT_EQ(c.ssthresh(), c.cwnd());
}

TEST(TcpDctcp, ALossHalvesWhateverAlphaIs) {
  Dctcp c;
  c.open(100 * kMss, moment_at(at_ms(0), 0));
  for (int i = 0; i < 400; ++i) observe(c, 0);
  c.on_loss(moment_at(at_ms(0), 100 * kMss));
  EXPECT_EQ(c.cwnd(), 50 * kMss);
}

// --- the registry ---

TEST(TcpControllerRegistry, KnowsTheBuiltInOnesByTheirOwnNames) {
  ControllerRegistry registry;
  for (const std::string& name : registry.names()) {
    auto index = registry.find(name);
    ASSERT_TRUE(index) << name;
    EXPECT_EQ(registry.make(*index)->name(), name);
  }
  EXPECT_EQ(registry.names().front(), "cubic") << "what an unknown name means";
  EXPECT_FALSE(registry.find("vegas"));
}

TEST(TcpControllerRegistry, TakesAProgramsOwn) {
  struct Mine final : NewReno {
    std::string_view name() const override { return "mine"; }
  };
  ControllerRegistry registry;
  std::size_t before = registry.names().size();
  ASSERT_TRUE(registry.add("mine", [] { return std::make_unique<Mine>(); }));
  EXPECT_EQ(registry.make(*registry.find("mine"))->name(), "mine");
  ASSERT_TRUE(registry.add("reno", [] { return std::make_unique<Mine>(); })) << "in place of a built-in one";
  EXPECT_EQ(registry.make(*registry.find("reno"))->name(), "mine");
  EXPECT_EQ(registry.names().size(), before + 1);
  for (const char* bad : {"", "two words", "Upper", "0123456789abcdef0123456789abcdef"}) {
    EXPECT_FALSE(registry.add(bad, [] { return std::make_unique<Mine>(); })) << bad;
  }
  EXPECT_FALSE(registry.add("none", nullptr));
}

// --- in a connection ---

TEST(TcpCongestionControl, TheConfigurationNamesTheController) {
  test::Scene scene;
  scene.config = Config{};
  test::Peer p(scene);
  p.connected();
  EXPECT_EQ(p.info().congestion, "cubic");
  scene.config.congestion = "no-such";
  test::Peer q(scene);
  q.connected();
  EXPECT_EQ(q.info().congestion, "cubic");
  scene.config.congestion = "reno";
  test::Peer r(scene);
  r.connected();
  EXPECT_EQ(r.info().congestion, "reno");
}

TEST(TcpCongestionControl, ABirthMayNameAnother) {
  test::Scene scene;
  scene.birth.congestion = *scene.config.controllers.find("cubic");
  test::Peer p(scene);
  p.connected();
  EXPECT_EQ(p.info().congestion, "cubic");
}

TEST(TcpCongestionControl, AChangeOfARunningConnectionKeepsWindowAndThreshold) {
  test::Peer p(test::plain());
  p.connected();
  p.write(20'000);
  p.take();
  p.wait(Duration::seconds(2));  // a time-out leaves a threshold
  p.take();
  p.in(". 1:1(0) ack 1461");
  Info before = p.info();
  ASSERT_NE(before.ssthresh, kNoThreshold);
  ASSERT_EQ(p->set_congestion_control("cubic", p.now()), CongestionChange::done);
  EXPECT_EQ(p.info().congestion, "cubic");
  EXPECT_EQ(p.info().cwnd, before.cwnd);
  EXPECT_EQ(p.info().ssthresh, before.ssthresh);
}

TEST(TcpCongestionControl, AChangeBeforeTheHandshakeIsTheOneThatBegins) {
  test::Peer p(test::plain());
  p.connect();
  ASSERT_EQ(p->set_congestion_control("cubic", p.now()), CongestionChange::done);
  p.out("S 0:0(0)");
  p.in("S. 0:0(0) ack 1 win 65535 <mss 1460>");
  EXPECT_EQ(p.info().congestion, "cubic");
  EXPECT_EQ(p.info().cwnd, 14'600u);
}

TEST(TcpCongestionControl, DctcpWithoutEcnIsRefusedAndALaterDefaultIsReno) {
  test::Peer p(test::plain());
  p.connected();
  EXPECT_EQ(p->set_congestion_control("dctcp", p.now()), CongestionChange::needs_ecn);
  EXPECT_EQ(p.info().congestion, "reno");
  test::Scene scene = test::plain();
  scene.config.congestion = "dctcp";
  test::Peer q(scene);
  q.connected();
  EXPECT_EQ(q.info().congestion, "reno");
}

}  // namespace
}  // namespace weir::tcp
