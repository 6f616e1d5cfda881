// SPDX-License-Identifier: MIT
// The harness's queues and clock.
#include "harness_fixture.h"

namespace weir::harness {
namespace {

using std::errc;
constexpr Duration kTick = Duration::nanoseconds(65'536);  // of the stack's timing wheel

class HarnessTime : public Hosts {};
INSTANTIATE_TEST_SUITE_P(Families, HarnessTime, testing::Values(Family::v4, Family::v6), hosts_name);

TEST(PacketQueue, EarliestFirstAndInOrder) {
  PacketQueue q;
  auto text = [](char c) { return std::vector<std::byte>{static_cast<std::byte>(c)}; };
  auto pop = [&] { return static_cast<char>(q.pop()->bytes[0]); };
  EXPECT_EQ(q.next(), Instant::never());
  EXPECT_FALSE(q.pop());
  q.push(Instant::from_ns(20), text('b'));
  q.push(Instant::from_ns(10), text('a'));
  q.push(Instant::from_ns(20), text('c'));
  q.push(Instant::from_ns(10), text('d'));
  EXPECT_EQ(q.next(), Instant::from_ns(10));
  EXPECT_FALSE(q.pop(Instant::from_ns(9)));
  EXPECT_EQ(pop(), 'a');
  EXPECT_EQ(pop(), 'd');
  EXPECT_EQ(pop(), 'b');
  EXPECT_EQ(q.size(), 1u);
  q.clear();
  EXPECT_TRUE(q.empty());
}

TEST_P(HarnessTime, PacketsLeaveAtTheInstantOfTheirCause) {
  Instant start = a.now();
  int c = *a.socket(family());
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  EXPECT_EQ(to_b.next(), start);
  to_b.clear();
  EXPECT_GE(a.next_event(), start + 1_s) << "the SYN's time-out";
  EXPECT_LE(a.next_event(), start + 1_s + kTick);
  a.advance_to(start + 10_s);
  EXPECT_EQ(a.now(), start + 10_s);
  for (Duration at : {1_s, 3_s, 7_s}) {
    Instant left = to_b.pop()->at;
    EXPECT_GE(left, start + at);
    EXPECT_LE(left, start + at + 3 * kTick);
  }
  EXPECT_TRUE(to_b.empty());
}

TEST_P(HarnessTime, PacketsArriveAtTheirOwnInstant) {
  int l = listening();
  int c = *a.socket(family());
  Instant start = b.now();
  EXPECT_EQ(a.connect(c, service()).error(), errc::operation_in_progress);
  auto syn = to_b.pop();
  to_b.push(start + 30_ms, syn->bytes);
  EXPECT_EQ(b.next_event(), start + 30_ms);
  b.advance_to(start + 10_ms);
  EXPECT_TRUE(to_a.empty());
  b.advance_to(start + 50_ms);
  EXPECT_EQ(to_a.next(), start + 30_ms) << "the SYN-ACK, though time went on";
  // What comes from the past is received now.
  b.advance_to(start + 60_ms);
  a.advance_to(start + 60_ms);
  auto ack = to_b.pop();
  to_b.push(start + 1_ms, ack->bytes);
  EXPECT_EQ(b.next_event(), b.now());
  b.run();
  EXPECT_EQ(b.now(), start + 60_ms);
  EXPECT_TRUE(b.accept(l));
}

TEST_P(HarnessTime, TimeDoesNotRunBackwards) {
  Instant start = a.now();
  a.advance(5_s);
  a.advance_to(start);
  EXPECT_EQ(a.now(), start + 5_s);
}

TEST_P(HarnessTime, TheSameSeedGivesTheSamePackets) {
  auto run = [&](std::uint64_t seed) {
    PacketQueue in, out;
    HostOptions o = options(1);
    o.seed = seed;
    Host host(o, in, out);
    EXPECT_EQ(host.connect(*host.socket(family()), service()).error(), errc::operation_in_progress);
    return out.pop()->bytes;
  };
  EXPECT_EQ(run(5), run(5));
  EXPECT_NE(run(5), run(6));
}

TEST_P(HarnessTime, WhatIsNotIpIsCountedAndDropped) {
  std::array<std::byte, 3> junk{};
  to_a.push(a.now(), junk);
  to_a.push(a.now(), ConstBytes());
  a.run();
  EXPECT_EQ(a.count(WEIR_R_LOST_MALFORMED), 2u);
  EXPECT_TRUE(to_b.empty());
}

}  // namespace
}  // namespace weir::harness
