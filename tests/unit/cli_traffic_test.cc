// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "traffic.h"

namespace weir::cli {
namespace {

Observation at(std::int64_t seconds) {
  Observation o;
  o.snapshot.at = Instant::from_ns(seconds * 1'000'000'000);
  return o;
}

control::Rule rule(const char* name, std::uint64_t packets) {
  control::Rule r;
  r.name = name;
  r.hits = {packets, packets * 100};
  return r;
}

TEST(Traffic, OneObservationHasNoRates) {
  Observation now = at(5);
  now.snapshot.xdp[WEIR_R_PASS_ARP] = {3, 180};
  const Traffic t = make_traffic(now, nullptr);
  EXPECT_FALSE(t.interval);
  EXPECT_EQ(t.reasons[WEIR_R_PASS_ARP].volume.packets, 3u);
  EXPECT_EQ(t.reasons[WEIR_R_PASS_ARP].volume.packets_per_second, 0);
  EXPECT_FALSE(t.reasons[WEIR_R_PASS_ARP].volume.bits_per_second);
  EXPECT_FALSE(t.connections);
  EXPECT_FALSE(t.connections_have_rates);
}

TEST(Traffic, RatesAreOverTheTimeBetweenTheLooks) {
  Observation before = at(10);
  Observation now = at(12);
  before.snapshot.xdp[WEIR_R_DROP_FILTER] = {100, 6400};
  now.snapshot.xdp[WEIR_R_DROP_FILTER] = {300, 19200};
  now.snapshot.xdp[WEIR_R_DROP_LIMIT] = {10, 640};
  before.snapshot.rules = {rule("a", 10)};
  now.snapshot.rules = {rule("new", 4), rule("a", 16)};
  const Traffic t = make_traffic(now, &before);
  EXPECT_EQ(*t.interval, 2);
  EXPECT_EQ(t.reasons[WEIR_R_DROP_FILTER].volume.packets_per_second, 100);
  EXPECT_EQ(*t.reasons[WEIR_R_DROP_FILTER].volume.bits_per_second, 51200);
  EXPECT_EQ(t.verdicts[WEIR_V_DROP].volume.packets, 310u);
  EXPECT_EQ(t.verdicts[WEIR_V_DROP].volume.packets_per_second, 105);
  EXPECT_EQ(t.rules[0].volume.packets_per_second, 2);
  EXPECT_EQ(t.rules[1].volume.packets_per_second, 3);
}

TEST(Traffic, ACounterThatBeganAnewIsNoEnormousRate) {
  Observation before = at(1);
  Observation now = at(2);
  before.snapshot.xdp[WEIR_R_PASS_ARP] = {1000, 60000};
  now.snapshot.xdp[WEIR_R_PASS_ARP] = {5, 300};
  EXPECT_EQ(make_traffic(now, &before).reasons[WEIR_R_PASS_ARP].volume.packets_per_second, 5);
}

TEST(Traffic, TwoLooksAtTheSameInstantDivideByNothing) {
  Observation before = at(1);
  Observation now = at(1);
  now.snapshot.xdp[WEIR_R_PASS_ARP] = {5, 300};
  EXPECT_EQ(make_traffic(now, &before).reasons[WEIR_R_PASS_ARP].volume.packets_per_second, 0);
}

control::QueueStatus queue(std::uint32_t number, std::uint32_t pid, control::EngineState state, std::int64_t lag_us) {
  control::QueueStatus q;
  q.queue = number;
  q.pid = pid;
  q.engine = state;
  q.loop_lag = Duration::microseconds(lag_us);
  return q;
}

TEST(Traffic, AnEngineIsItsProcessWithAllItsQueues) {
  Observation before = at(1);
  Observation now = at(2);
  now.snapshot.queues = {queue(0, 77, control::EngineState::alive, 10), queue(1, 77, control::EngineState::silent, 900),
                         queue(2, 0, control::EngineState::absent, 0)};
  now.applications = {"server", "server", ""};
  control::SteerEntry entry;
  entry.flows = 3;
  now.snapshot.steered = {entry};
  now.snapshot.engine.resize(2);
  now.snapshot.engine[1].queue = 1;
  now.snapshot.engine[0].by_reason[WEIR_R_TAKEN_TCP] = 4;
  now.snapshot.engine[1].by_reason[WEIR_R_TAKEN_TCP] = 6;
  now.snapshot.engine[1].by_reason[WEIR_R_LOST_CHECKSUM] = 1;
  const Traffic t = make_traffic(now, &before);
  ASSERT_EQ(t.engines.size(), 1u);
  const EngineTraffic& e = t.engines[0];
  EXPECT_EQ(e.pid, 77u);
  EXPECT_EQ(e.application, "server");
  EXPECT_EQ(e.state, "silent");
  EXPECT_EQ(e.queues, (std::vector<std::uint32_t>{0, 1}));
  EXPECT_EQ(e.connections, 3u);
  EXPECT_EQ(e.loop_lag.count_us(), 900);
  EXPECT_EQ(e.taken_per_second, 10);
  EXPECT_EQ(e.lost_per_second, 1);
}

TEST(Traffic, ConnectionsAreThoseOfTheSameAddresses) {
  const auto told = [](const char* text, std::int64_t seconds) {
    return read_connections(Json::parse(text), Instant::from_ns(seconds * 1'000'000'000));
  };
  Observation before = at(1);
  Observation now = at(2);
  before.connections =
      told(R"({"connections":[{"local":"a:1","remote":"b:2","bytes_received":100,"bytes_acked":50}]})", 1);
  now.connections = told(R"({"time_wait":7,"connections":[
      {"local":"a:1","remote":"b:3","bytes_received":10},
      {"local":"a:1","remote":"b:2","bytes_received":300,"bytes_acked":150,"state":"ESTAB","retransmits":2}, 5, null,
      {"local":7,"bytes_received":"many"}]})",
                         3);
  const Traffic t = make_traffic(now, &before);
  ASSERT_EQ(t.connections->size(), 3u);
  EXPECT_TRUE(t.connections_have_rates);
  EXPECT_EQ((*t.connections)[0].received_per_second, 40);
  EXPECT_EQ((*t.connections)[1].received_per_second, 800);
  EXPECT_EQ((*t.connections)[1].sent_per_second, 400);
  EXPECT_EQ((*t.connections)[1].retransmits_per_second, 1);
  EXPECT_EQ((*t.connections)[2].connection.local, "");
  EXPECT_EQ(t.time_wait, 7u);
}

TEST(RateText, KeepsThreeDigitsOrSo) {
  EXPECT_EQ(rate_text(0), "0");
  EXPECT_EQ(rate_text(0.25), "0.2");
  EXPECT_EQ(rate_text(12), "12");
  EXPECT_EQ(rate_text(12'345), "12.3k");
  EXPECT_EQ(rate_text(1'234'567), "1.23M");
  EXPECT_EQ(rate_text(2.5e10), "25.00G");
}

}  // namespace
}  // namespace weir::cli
