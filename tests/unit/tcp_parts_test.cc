// SPDX-License-Identifier: MIT
// The parts of a connection, each by itself.
#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "weir/tcp/assembler.h"
#include "weir/tcp/byte_ring.h"
#include "weir/tcp/congestion/window_usage.h"
#include "weir/tcp/loss.h"
#include "weir/tcp/rack.h"
#include "weir/tcp/receiver.h"
#include "weir/tcp/rtt.h"
#include "weir/tcp/sender.h"
#include "weir/tcp/seq_num.h"
#include "weir/tcp/state.h"
#include "weir/tcp/timers.h"
#include "weir/tcp/window.h"

namespace weir::tcp {
namespace {

using Interval = Assembler::Interval;

constexpr SeqNum s(std::uint32_t n) { return SeqNum(n); }

std::vector<Interval> of(const Assembler& a) { return {a.intervals().begin(), a.intervals().end()}; }

// --- sequence numbers ---

TEST(TcpSeqNum, ComparesAcrossTheWrap) {
  EXPECT_TRUE(s(0xffff'fff0).before(s(5)));
  EXPECT_TRUE(s(5).after(s(0xffff'fff0)));
  EXPECT_EQ(s(5) - s(0xffff'fff0), 21);
  EXPECT_EQ(s(0xffff'fff0) + 21, s(5));
  EXPECT_TRUE(s(7).at_or_before(s(7)) && s(7).at_or_after(s(7)));
  EXPECT_EQ(later_of(s(0xffff'fff0), s(5)), s(5));
  EXPECT_EQ(earlier_of(s(0xffff'fff0), s(5)), s(0xffff'fff0));
}

// --- windows ---

TEST(TcpWindow, TheScaleIsTheLeastThatTellsTheBuffer) {
  for (auto [bytes, shift] : {std::pair{0u, 0}, {65'535u, 0}, {65'536u, 1}, {262'144u, 3}, {1u << 30, 14}, {~0u, 14}}) {
    EXPECT_EQ(WindowScale::for_window(bytes).shift(), shift) << bytes;
  }
  EXPECT_EQ(WindowScale(200).shift(), 14);
}

TEST(TcpWindow, CompressionRoundsDownAndSaturates) {
  WindowScale scale(3);
  EXPECT_EQ(scale.compress(WindowSize(15)).raw(), 1);
  EXPECT_EQ(scale.compress(WindowSize(7)).raw(), 0);
  EXPECT_EQ(scale.compress(WindowSize(~0u)).raw(), 0xffff);
  EXPECT_EQ(scale.expand(wire::WireWindow(2)), WindowSize(16));
  EXPECT_EQ(WindowScale(14).expand(wire::WireWindow(0xffff)).bytes(), 0xffffu << 14);
}

// --- the state machine ---

TEST(TcpState, OnlyTheEdgesOfTheDiagram) {
  using enum State;
  const std::vector<std::pair<State, State>> edges = {
      {closed, syn_sent},          {closed, syn_received},    {syn_sent, syn_received},  {syn_sent, established},
      {syn_received, established}, {established, fin_wait_1}, {established, close_wait}, {fin_wait_1, fin_wait_2},
      {fin_wait_1, closing},       {fin_wait_2, time_wait},   {closing, time_wait},      {close_wait, last_ack}};
  for (int from = 0; from <= static_cast<int>(time_wait); ++from) {
    for (int to = 0; to <= static_cast<int>(time_wait); ++to) {
      std::pair<State, State> edge{static_cast<State>(from), static_cast<State>(to)};
      bool listed = std::find(edges.begin(), edges.end(), edge) != edges.end();
      bool end = edge.second == closed && edge.first != closed;
      EXPECT_EQ(is_edge(edge.first, edge.second), listed || end) << name(edge.first) << " -> " << name(edge.second);
    }
  }
}

TEST(TcpState, NamesAreThoseOfSs) {
  EXPECT_STREQ(name(State::established), "ESTAB");
  EXPECT_STREQ(name(State::syn_received), "SYN-RECV");
  EXPECT_STREQ(name(State::fin_wait_1), "FIN-WAIT-1");
}

// --- timers ---

TEST(TcpTimers, TheEarliestIsNextAndEachExpiresOnce) {
  Timers t;
  EXPECT_EQ(t.next(), Instant::never());
  EXPECT_EQ(t.take_expired(Instant::from_ns(1'000)), std::nullopt);
  t.arm(TimerKind::delayed_ack, Instant::from_ns(40));
  t.arm(TimerKind::retransmit, Instant::from_ns(20));
  t.arm(TimerKind::retransmit, Instant::from_ns(30));
  EXPECT_EQ(t.next(), Instant::from_ns(30));
  EXPECT_EQ(t.take_expired(Instant::from_ns(29)), std::nullopt);
  EXPECT_EQ(t.take_expired(Instant::from_ns(40)), TimerKind::retransmit);
  EXPECT_EQ(t.take_expired(Instant::from_ns(40)), TimerKind::delayed_ack);
  EXPECT_EQ(t.take_expired(Instant::from_ns(40)), std::nullopt);
  EXPECT_EQ(t.take_expired(Instant::never()), std::nullopt);
}

// --- the assembler ---

TEST(TcpAssembler, IntervalsAreSortedAndMerged) {
  Assembler a;
  using enum Assembler::Outcome;
  EXPECT_FALSE(a.holds_memory());
  EXPECT_EQ(a.add(s(30), s(40)), added);
  EXPECT_EQ(a.add(s(10), s(20)), added);
  EXPECT_EQ(of(a), (std::vector<Interval>{{s(10), s(20)}, {s(30), s(40)}}));
  EXPECT_EQ(a.add(s(12), s(20)), duplicate);
  EXPECT_EQ(a.add(s(20), s(25)), added) << "touches from behind";
  EXPECT_EQ(a.add(s(27), s(30)), added) << "touches from before";
  EXPECT_EQ(of(a), (std::vector<Interval>{{s(10), s(25)}, {s(27), s(40)}}));
  EXPECT_EQ(a.add(s(24), s(28)), added) << "joins both";
  EXPECT_EQ(of(a), (std::vector<Interval>{{s(10), s(40)}}));
  EXPECT_EQ(a.add(s(5), s(50)), added) << "covers";
  EXPECT_EQ(of(a), (std::vector<Interval>{{s(5), s(50)}}));
  EXPECT_EQ(a.take_in_order(s(4)), s(4));
  EXPECT_EQ(a.take_in_order(s(5)), s(50));
  EXPECT_TRUE(a.empty());
  a.release();
  EXPECT_FALSE(a.holds_memory());
}

TEST(TcpAssembler, TakesSeveralThatHaveBeenOvertaken) {
  Assembler a;
  for (std::uint32_t i = 0; i < 4; ++i) a.add(s(10 * i + 10), s(10 * i + 15));
  EXPECT_EQ(a.take_in_order(s(32)), s(35));
  EXPECT_EQ(of(a), (std::vector<Interval>{{s(40), s(45)}}));
}

TEST(TcpAssembler, RefusesOneTooManyAndChangesNothing) {
  Assembler a;
  for (std::uint32_t i = 0; i < Assembler::kMost; ++i) a.add(s(10 * i), s(10 * i + 5));
  std::vector<Interval> before = of(a);
  EXPECT_EQ(a.add(s(7), s(8)), Assembler::Outcome::full);
  EXPECT_EQ(of(a), before);
  EXPECT_EQ(a.add(s(5), s(10)), Assembler::Outcome::added) << "what joins two makes room";
  EXPECT_EQ(a.add(s(100'000), s(100'001)), Assembler::Outcome::added);
}

// Beside a plain map of bytes, across the wrap.
TEST(TcpAssembler, AgreesWithAMapOfBytes) {
  std::mt19937 engine(7);
  auto random = [&] { return static_cast<std::uint32_t>(engine()); };
  for (int run = 0; run < 200; ++run) {
    SeqNum base(0u - 300);
    Assembler a;
    std::array<bool, 700> have{};
    std::uint32_t nxt = 0;
    for (int i = 0; i < 60; ++i) {
      std::uint32_t begin = nxt + 1 + random() % 600;
      std::uint32_t end = std::min<std::uint32_t>(begin + 1 + random() % 30, 700);
      if (begin >= end) continue;
      bool fresh = std::find(have.begin() + begin, have.begin() + end, false) != have.begin() + end;
      auto outcome = a.add(base + begin, base + end);
      ASSERT_NE(outcome, Assembler::Outcome::full);
      EXPECT_EQ(outcome == Assembler::Outcome::added, fresh);
      std::fill(have.begin() + begin, have.begin() + end, true);
      if (random() % 8 == 0) {
        nxt += 1 + random() % 20;
        SeqNum joined = a.take_in_order(base + nxt);
        while (nxt < have.size() && have[nxt]) ++nxt;
        EXPECT_EQ(joined, base + nxt);
      }
      if (nxt > 600) break;
    }
    std::uint32_t at = nxt;
    for (const Interval& interval : a.intervals()) {
      auto begin = static_cast<std::uint32_t>(interval.begin - base);
      auto end = static_cast<std::uint32_t>(interval.end - base);
      for (; at < begin; ++at) ASSERT_FALSE(have[at]) << at;
      for (; at < end; ++at) ASSERT_TRUE(have[at]) << at;
    }
    for (; at < have.size(); ++at) ASSERT_FALSE(have[at]) << at;
  }
}

// --- the byte ring ---

std::vector<std::byte> bytes(std::size_t n, unsigned seed) {
  std::vector<std::byte> v(n);
  for (std::size_t i = 0; i < n; ++i) v[i] = static_cast<std::byte>(seed + i * 7);
  return v;
}

std::vector<std::byte> joined(const std::array<ConstBytes, 2>& pieces) {
  std::vector<std::byte> v(pieces[0].begin(), pieces[0].end());
  v.insert(v.end(), pieces[1].begin(), pieces[1].end());
  return v;
}

TEST(TcpByteRing, HoldsNothingUntilItIsUsedAndGivesItBack) {
  ByteRing r;
  EXPECT_EQ(r.capacity(), 0u);
  EXPECT_TRUE(r.view(0, 0)[0].empty());
  ASSERT_TRUE(r.reserve(1));
  EXPECT_EQ(r.capacity(), 4'096u);
  r.append(bytes(1, 0));
  r.release();
  EXPECT_EQ(r.capacity(), 0u);
  EXPECT_EQ(r.size(), 0u);
}

TEST(TcpByteRing, WrapsAndGrowsWithWhatIsInIt) {
  ByteRing r;
  ASSERT_TRUE(r.reserve(4'096));
  r.append(bytes(4'000, 1));
  r.consume(3'900);
  auto more = bytes(1'000, 9);
  r.append(more);
  std::vector<std::byte> expected = bytes(4'000, 1);
  expected.erase(expected.begin(), expected.begin() + 3'900);
  expected.insert(expected.end(), more.begin(), more.end());
  EXPECT_FALSE(r.view(0, r.size())[1].empty()) << "it wraps";
  EXPECT_EQ(joined(r.view(0, r.size())), expected);
  auto behind = bytes(500, 77);
  r.place(1'200, behind);  // 100 bytes beyond the end
  ASSERT_TRUE(r.reserve(20'000));
  EXPECT_EQ(r.capacity(), 32'768u);
  EXPECT_EQ(joined(r.view(0, r.size())), expected);
  r.place(1'100, bytes(100, 50));
  r.extend(600);
  EXPECT_EQ(joined(r.view(1'200, 500)), behind);

  ByteRing moved = std::move(r);
  // NOLINTNEXTLINE: what was moved from is empty and may be used again, says its constructor
  EXPECT_EQ(r.capacity(), 0u);
  std::vector<std::byte> out(10'000);
  EXPECT_EQ(moved.read(out), 1'700u);
  EXPECT_TRUE(std::equal(expected.begin(), expected.end(), out.begin()));
  EXPECT_TRUE(moved.empty());
}

TEST(TcpByteRing, RefusesWhatCannotBe) {
  ByteRing r;
  EXPECT_FALSE(r.reserve((std::size_t{1} << 31) + 1));
  EXPECT_EQ(r.capacity(), 0u);
}

// --- the sender ---

TEST(TcpSender, AnOlderSegmentDoesNotMoveTheWindow) {
  Sender snd;
  snd.open(s(100));
  EXPECT_TRUE(snd.on_window(s(10), s(100), WindowSize(500)));
  EXPECT_FALSE(snd.on_window(s(9), s(100), WindowSize(900)));
  EXPECT_FALSE(snd.on_window(s(10), s(99), WindowSize(900)));
  EXPECT_FALSE(snd.on_window(s(10), s(100), WindowSize(500)));
  EXPECT_TRUE(snd.on_window(s(10), s(101), WindowSize(400)));
  EXPECT_EQ(snd.max_wnd, WindowSize(500));
}

TEST(TcpSender, NumbersHoldWhenUnaMeetsTheIssAgain) {
  Sender snd;
  snd.open(s(100));
  snd.on_sent(s(101));
  snd.on_ack(s(101));
  ASSERT_TRUE(snd.text.reserve(10));
  snd.una = snd.nxt = snd.max = s(100);  // 4 GiB later
  snd.text.append(bytes(10, 0));
  EXPECT_EQ(snd.text_begin(), s(100));
  EXPECT_EQ(snd.end(), s(110));
}

// --- the RTT ---

TEST(TcpRtt, BackOffEndsAtTheMost) {
  Config c;
  RttEstimator r(c);
  EXPECT_EQ(r.rto(c), Duration::seconds(1));
  for (int i = 0; i < 100; ++i) r.back_off();
  EXPECT_EQ(r.rto(c), c.max_rto);
  r.on_sample(Duration::microseconds(50), c);
  EXPECT_EQ(r.rto(c), Duration::microseconds(50) + c.min_rto);
  r.on_sample(Duration::seconds(1'000), c);
  r.back_off();
  EXPECT_EQ(r.rto(c), c.max_rto);
}

// --- congestion ---

TEST(TcpWindowUsage, ThePeakIsOfThisRoundTripAndTheLast) {
  WindowUsage u;
  u.open(s(0));
  u.on_sent(5'000);
  u.on_ack(s(0), s(10'000));
  EXPECT_EQ(u.peak(), 5'000u);
  u.on_sent(3'000);
  u.on_ack(s(9'999), s(12'000));
  EXPECT_EQ(u.peak(), 5'000u);
  u.on_ack(s(10'000), s(12'000));
  EXPECT_EQ(u.peak(), 3'000u);
}

// --- loss ---

// RFC 6582 after 2^31 bytes without a loss: the recovery point is still behind.
// Segments know when they left by the microsecond, the round trip has nanoseconds: a timer that went by the difference
// would fire again and again until the next microsecond.
TEST(TcpRack, WhatIsToBeLostIsLostWhenTheTimerSaysSo) {
  for (std::int64_t odd = 0; odd < 3'000; odd += 7) {
    const Instant left = Instant::from_ns(1'000'000 + odd);
    Transmissions out;
    ASSERT_TRUE(out.open(s(0)));
    for (const std::uint32_t end : {100u, 200u}) {
      Transmission t;
      t.end = s(end);
      t.sent = Tick(left);
      out.push(t);
    }
    Rack rack;
    out.sack(s(100), s(200), [&](const Transmission& t, std::uint32_t, bool) {
      rack.on_delivered(t, Duration::nanoseconds(500'000 + odd * 3), false);
    });
    const auto ignored = [](const Transmission&, std::uint32_t) {};
    Rack::View view{left + Duration::nanoseconds(500'000 + odd * 3), Duration::nanoseconds(100'001 + odd),
                    Duration::milliseconds(1), false};
    const Rack::Detection waits = rack.detect(out, view, ignored);
    ASSERT_EQ(waits.lost, 0u);
    ASSERT_GT(waits.again_in, Duration{});
    view.now += waits.again_in;
    ASSERT_EQ(rack.detect(out, view, ignored).lost, 100u) << odd;
  }
}

TEST(TcpLossDetector, RemembersAcrossALongStretchWithoutLoss) {
  LossDetector l;
  l.open(s(0));
  SeqNum una(1);
  for (int i = 0; i < 100; ++i) {
    una += 50'000'000;
    l.on_new_ack(una, 50'000'000, 1'000);
  }
  l.on_duplicate_ack(una, 1'000);
  l.on_duplicate_ack(una, 1'000);
  EXPECT_EQ(l.on_duplicate_ack(una, 1'000), LossDetector::DuplicateAck::lost);
}

}  // namespace
}  // namespace weir::tcp
