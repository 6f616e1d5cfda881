// SPDX-License-Identifier: MIT
// The stack's own containers, each beside a naive model that cannot be wrong.
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include "weir/stack/flow_key.h"
#include "weir/stack/index_table.h"
#include "weir/stack/initial_numbers.h"
#include "weir/stack/link_list.h"
#include "weir/stack/siphash.h"
#include "weir/stack/timing_wheel.h"

namespace weir::stack {
namespace {

struct TestTag {};
struct Item : Link<TestTag> {
  explicit Item(int v) : value(v) {}
  int value;
};

TEST(StackLinkList, KeepsOrderAndElementsLeaveByThemselves) {
  LinkList<Item, TestTag> list;
  Item a(1);
  Item c(3);
  {
    Item b(2);
    list.push_back(a);
    list.push_back(b);
    list.push_back(c);
    EXPECT_TRUE(b.linked());
  }
  EXPECT_EQ(list.pop_front(), &a);
  EXPECT_FALSE(a.linked());
  list.push_front(a);
  EXPECT_EQ(list.pop_front(), &a);
  EXPECT_EQ(list.pop_front(), &c);
  EXPECT_EQ(list.pop_front(), nullptr);
}

TEST(StackLinkList, TakesAnothersElementsInOrder) {
  LinkList<Item, TestTag> to;
  LinkList<Item, TestTag> from;
  Item a(1);
  Item b(2);
  Item c(3);
  to.push_back(a);
  from.push_back(b);
  from.push_back(c);
  to.take(from);
  EXPECT_TRUE(from.empty());
  std::vector<int> seen;
  to.for_each([&](const Item& item) { seen.push_back(item.value); });
  EXPECT_EQ(seen, (std::vector<int>{1, 2, 3}));
}

// Hashes of few values, so that probes run long and wrap.
TEST(StackIndexTable, AgreesWithAModelUnderRandomOperations) {
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    std::mt19937 generator(seed);
    auto random = [&] { return static_cast<std::uint32_t>(generator()); };
    IndexTable table;
    std::vector<std::uint32_t> hash_of(600);
    for (auto& h : hash_of) h = random() % (seed % 2 == 0 ? 7u : 0xffffffffu);
    std::set<std::uint32_t> model;
    for (int step = 0; step < 4'000; ++step) {
      std::uint32_t index = random() % 600;
      std::uint32_t hash = hash_of[index];
      bool present = model.count(index) != 0;
      ASSERT_EQ(table.find(hash, [&](std::uint32_t i) { return i == index; }), present ? index : IndexTable::kNone);
      if (present) {
        ASSERT_TRUE(table.erase(hash, index));
        model.erase(index);
      } else {
        ASSERT_FALSE(table.erase(hash, index));
        table.insert(hash, index);
        model.insert(index);
      }
      ASSERT_EQ(table.size(), model.size());
    }
    for (std::uint32_t index : model) {
      ASSERT_EQ(table.find(hash_of[index], [&](std::uint32_t i) { return i == index; }), index) << "seed " << seed;
    }
  }
}

struct Alarm : Timer {
  int number = 0;
  Instant deadline;  // of the model; never: none
};

// What the wheel promises: never early, at most a tick late, next_deadline() never after the first due.
TEST(StackTimingWheel, AgreesWithAModelUnderRandomOperations) {
  constexpr std::int64_t kTick = 1 << 16;
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    TimingWheel wheel;
    std::vector<std::unique_ptr<Alarm>> alarms;
    for (int i = 0; i < 100; ++i) {
      alarms.push_back(std::make_unique<Alarm>());
      alarms.back()->deadline = Instant::never();
    }
    Instant now = Instant::from_ns(static_cast<std::int64_t>(random() % 1'000'000'000'000'000));
    auto span = [&] { return static_cast<std::int64_t>(random() % (1ULL << (10 + random() % 38))); };
    for (int step = 0; step < 2'000; ++step) {
      Alarm& alarm = *alarms[random() % alarms.size()];
      switch (random() % 4) {
        case 0:
        case 1:
          alarm.deadline = now + Duration::nanoseconds(span() - 1'000);
          wheel.schedule(alarm, alarm.deadline);
          break;
        case 2:
          alarm.deadline = Instant::never();
          if (random() % 2 == 0) {
            wheel.cancel(alarm);
          } else {
            wheel.schedule(alarm, Instant::never());
          }
          break;
        default:
          now += Duration::nanoseconds(random() % 3 == 0 ? span() : span() % 5'000'000);
          while (auto* due = static_cast<Alarm*>(wheel.pop_due(now))) {
            ASSERT_LE(due->deadline, now) << "early";
            due->deadline = Instant::never();
          }
          for (const auto& a : alarms) {
            ASSERT_GT((a->deadline == Instant::never() ? 0 : a->deadline.ns() - now.ns()) + kTick, 0) << "late";
          }
      }
      Instant first = Instant::never();
      for (const auto& a : alarms) {
        ASSERT_EQ(a->scheduled(), a->deadline != Instant::never());
        first = std::min(first, a->deadline);
      }
      if (first == Instant::never()) {
        ASSERT_EQ(wheel.next_deadline(), Instant::never());
      } else {
        // Rounded up to the tick; a deadline in the past waits for the next pop_due() at the latest.
        ASSERT_LE(wheel.next_deadline().ns(), std::max(first, now).ns() + kTick);
      }
    }
    for (auto& alarm : alarms) wheel.cancel(*alarm);
    EXPECT_EQ(wheel.next_deadline(), Instant::never());
  }
}

// Whoever sleeps until next_deadline() gets there in a few steps, and not by spinning.
TEST(StackTimingWheel, FollowingNextDeadlineReachesATimerInFewSteps) {
  TimingWheel wheel;
  Alarm alarm;
  Instant deadline = Instant::from_ns(200'123'456'789);
  wheel.schedule(alarm, deadline);
  int steps = 0;
  Instant now;
  while (wheel.pop_due(now) == nullptr) {
    ASSERT_LT(++steps, 3);
    ASSERT_GT(wheel.next_deadline(), now);
    now = wheel.next_deadline();
  }
  EXPECT_GE(now, deadline);
  EXPECT_LT(now - deadline, Duration::microseconds(66));
}

TEST(StackTimingWheel, AnEarlyDeadlineAfterACancelIsSpentOnce) {
  TimingWheel wheel;
  Alarm first;
  Alarm second;
  wheel.schedule(first, Instant::from_ns(10'000'000'000));
  wheel.schedule(second, Instant::from_ns(10'500'000'000));
  wheel.cancel(first);
  Instant now;
  int steps = 0;
  while (wheel.pop_due(now) == nullptr) {
    ASSERT_LT(++steps, 8);
    now = wheel.next_deadline();
  }
  EXPECT_GE(now, Instant::from_ns(10'500'000'000));
}

TEST(StackTimingWheel, TheLastInstantCanBeScheduled) {
  TimingWheel wheel;
  Alarm alarm;
  wheel.schedule(alarm, Instant::from_ns(Instant::never().ns() - 1));
  EXPECT_LT(wheel.next_deadline(), Instant::never());
  EXPECT_EQ(wheel.pop_due(Instant::from_ns(1'000'000'000)), nullptr);
  wheel.cancel(alarm);
}

// The vector of the SipHash paper's appendix A.
TEST(StackSipHash, GivesThePapersVector) {
  std::array<std::uint8_t, 16> key{};
  for (std::size_t i = 0; i < 16; ++i) key[i] = static_cast<std::uint8_t>(i);
  std::array<std::uint8_t, 15> message{};
  for (std::size_t i = 0; i < 15; ++i) message[i] = static_cast<std::uint8_t>(i);
  EXPECT_EQ(SipHash(key)(as_const_bytes(message)), 0xa129ca6149be45e5u);
}

FlowKey flow() { return {IpAddress::v4(192, 0, 2, 1), IpAddress::v4(192, 0, 2, 2), 80, 40'000}; }

TEST(StackFlowHash, IsTheSameFromBothSides) {
  FlowKey there{flow().remote, flow().local, flow().remote_port, flow().local_port};
  EXPECT_EQ(flow_hash(flow(), {1, 2}), flow_hash(there, {1, 2}));
  EXPECT_NE(flow_hash(flow(), {1, 2}), flow_hash(flow(), {1, 3}));
}

// RFC 6528 3
TEST(StackInitialNumbers, MoveWithTimeAndDifferByFlowAndKey) {
  std::array<std::uint8_t, 16> key{};
  InitialNumbers numbers(key, key);
  Instant t0 = Instant::from_ns(1'000'000'000);
  tcp::SeqNum first = numbers.isn(flow(), t0);
  EXPECT_EQ(numbers.isn(flow(), t0 + Duration::microseconds(4)) - first, 1);
  EXPECT_EQ(numbers.isn(flow(), t0 + Duration::seconds(1)) - first, 250'000);
  FlowKey other = flow();
  other.remote_port = 40'001;
  EXPECT_NE(numbers.isn(other, t0), first);
  std::array<std::uint8_t, 16> key2{1};
  EXPECT_NE(InitialNumbers(key2, key2).isn(flow(), t0), first);
}

// RFC 7323 5.4
TEST(StackInitialNumbers, TimestampOffsetIsOfThePairOfHosts) {
  std::array<std::uint8_t, 16> key{};
  InitialNumbers numbers(key, key);
  FlowKey other = flow();
  other.remote_port = 40'001;
  EXPECT_EQ(numbers.timestamp_offset(other), numbers.timestamp_offset(flow()));
  other.remote = IpAddress::v4(192, 0, 2, 3);
  EXPECT_NE(numbers.timestamp_offset(other), numbers.timestamp_offset(flow()));
}

}  // namespace
}  // namespace weir::stack
