// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "weir/stack/next_hop_cache.h"

namespace weir::stack {
namespace {

const IpAddress kUs = IpAddress::v4(192, 0, 2, 1);
IpAddress host(std::uint8_t n) { return IpAddress::v4(192, 0, 2, n); }
const MacAddress kMac{{2, 0, 0, 0, 0, 9}};
const MacAddress kOtherMac{{2, 0, 0, 0, 0, 10}};

class StackNextHop : public testing::Test {
 protected:
  std::optional<NextHopCache::Route> find(const IpAddress& destination) {
    NextHopCache::Position fresh;
    return cache_.find(kUs, destination, fresh, now_);
  }
  std::optional<NextHopCache::Route> peek(const IpAddress& destination) {
    NextHopCache::Position fresh;
    return cache_.peek(destination, fresh, now_);
  }
  int queries() {
    int n = 0;
    while (cache_.poll_query()) ++n;
    return n;
  }

  NextHopCache cache_{{4, 2, Duration::seconds(3), {1, 2}}};
  Instant now_ = Instant::from_ns(1'000'000'000);
  HopWaiters woken_;
};

TEST_F(StackNextHop, IsAskedOnceAndAnswered) {
  EXPECT_FALSE(find(host(2)));
  EXPECT_FALSE(find(host(2)));
  auto query = cache_.poll_query();
  ASSERT_TRUE(query);
  EXPECT_EQ(query->source, kUs);
  EXPECT_EQ(query->destination, host(2));
  EXPECT_FALSE(cache_.poll_query());
  EXPECT_FALSE(find(host(2)));
  EXPECT_FALSE(cache_.poll_query());
  cache_.on_answer(host(2), kMac, 1400, woken_);
  auto route = find(host(2));
  ASSERT_TRUE(route);
  EXPECT_EQ(route->mac, kMac);
  EXPECT_EQ(route->mtu, 1400);
  EXPECT_EQ(cache_.next_deadline(), Instant::never());
  EXPECT_EQ(queries(), 0);
}

TEST_F(StackNextHop, PeekAsksNothing) {
  EXPECT_FALSE(peek(host(2)));
  EXPECT_EQ(queries(), 0);
  EXPECT_EQ(cache_.size(), 0u);
}

TEST_F(StackNextHop, WaitersWakeInOrderAndAreBounded) {
  HopWaiter a;
  HopWaiter b;
  HopWaiter c;
  find(host(2));
  EXPECT_TRUE(cache_.wait(host(2), a));
  EXPECT_TRUE(cache_.wait(host(2), b));
  EXPECT_FALSE(cache_.wait(host(2), c));
  b.unlink();
  EXPECT_TRUE(cache_.wait(host(2), c)) << "one has left: there is room again";
  cache_.on_answer(host(2), kMac, 1500, woken_);
  EXPECT_EQ(woken_.pop_front(), &a);
  EXPECT_EQ(woken_.pop_front(), &c);
  EXPECT_EQ(woken_.pop_front(), nullptr);
}

TEST_F(StackNextHop, AFailureWakesAndForgets) {
  HopWaiter a;
  find(host(2));
  cache_.wait(host(2), a);
  cache_.on_failure(host(2), woken_);
  EXPECT_EQ(woken_.pop_front(), &a);
  EXPECT_EQ(cache_.size(), 0u);
  EXPECT_EQ(queries(), 0) << "an open question is withdrawn";
  EXPECT_FALSE(find(host(2)));
  EXPECT_EQ(queries(), 1);
}

TEST_F(StackNextHop, AnUnansweredQuestionTimesOut) {
  HopWaiter a;
  find(host(2));
  cache_.wait(host(2), a);
  EXPECT_EQ(cache_.next_deadline(), now_ + Duration::seconds(3));
  cache_.on_deadline(now_ + Duration::milliseconds(2'999), woken_);
  EXPECT_TRUE(woken_.empty());
  cache_.on_deadline(now_ + Duration::seconds(3), woken_);
  EXPECT_EQ(woken_.pop_front(), &a);
  EXPECT_EQ(cache_.size(), 0u);
}

TEST_F(StackNextHop, FlushAsksAgainAndUsesTheOldMeanwhile) {
  find(host(2));
  cache_.on_answer(host(2), kMac, 1500, woken_);
  cache_.flush();
  EXPECT_EQ(queries(), 0) << "only what is in use is asked for";
  EXPECT_EQ(find(host(2))->mac, kMac);
  EXPECT_EQ(find(host(2))->mac, kMac);
  EXPECT_EQ(queries(), 1);
  cache_.on_answer(host(2), kOtherMac, 1500, woken_);
  EXPECT_EQ(find(host(2))->mac, kOtherMac);
  EXPECT_EQ(queries(), 0);
}

TEST_F(StackNextHop, AnAnswerFromBeforeAFlushIsAskedAgain) {
  find(host(2));
  queries();
  cache_.flush();
  cache_.on_answer(host(2), kMac, 1500, woken_);
  EXPECT_EQ(find(host(2))->mac, kMac);
  EXPECT_EQ(queries(), 1);
}

TEST_F(StackNextHop, AnUnansweredFlushKeepsTheOldAndAsksOnceMore) {
  find(host(2));
  cache_.on_answer(host(2), kMac, 1500, woken_);
  cache_.flush();
  find(host(2));
  EXPECT_EQ(queries(), 1);
  now_ += Duration::seconds(3);
  cache_.on_deadline(now_, woken_);
  EXPECT_EQ(find(host(2))->mac, kMac);
  EXPECT_EQ(queries(), 1);
}

TEST_F(StackNextHop, TheLeastRecentlyUsedGoesFirst) {
  for (std::uint8_t n = 2; n < 6; ++n) {
    find(host(n));
    cache_.on_answer(host(n), kMac, 1500, woken_);
  }
  EXPECT_TRUE(find(host(2)));
  EXPECT_FALSE(find(host(9)));
  EXPECT_EQ(cache_.size(), 4u);
  EXPECT_TRUE(peek(host(2)));
  EXPECT_FALSE(peek(host(3)));
}

TEST_F(StackNextHop, AnAnswerThatNobodyAskedForTakesNobodysPlace) {
  for (std::uint8_t n = 2; n < 5; ++n) {
    find(host(n));
    cache_.on_answer(host(n), kMac, 1500, woken_);
  }
  cache_.on_answer(host(7), kMac, 1500, woken_);
  EXPECT_TRUE(peek(host(7)));
  cache_.on_answer(host(8), kMac, 1500, woken_);
  EXPECT_FALSE(peek(host(8)));
  EXPECT_TRUE(peek(host(2)));
}

TEST_F(StackNextHop, FullOfOpenQuestionsItTakesNoMore) {
  for (std::uint8_t n = 2; n < 6; ++n) find(host(n));
  HopWaiter a;
  EXPECT_FALSE(find(host(9)));
  EXPECT_FALSE(cache_.wait(host(9), a));
  EXPECT_EQ(cache_.size(), 4u);
}

TEST_F(StackNextHop, APositionOutlivesItsEntry) {
  NextHopCache::Position position;
  cache_.find(kUs, host(2), position, now_);
  cache_.on_answer(host(2), kMac, 1500, woken_);
  EXPECT_TRUE(cache_.peek(host(2), position, now_));
  cache_.on_failure(host(2), woken_);
  EXPECT_FALSE(cache_.peek(host(2), position, now_));
  cache_.on_answer(host(3), kOtherMac, 1500, woken_);  // takes the entry
  EXPECT_FALSE(cache_.peek(host(2), position, now_));
}

// RFC 1191 6.3
TEST_F(StackNextHop, ALowerPathMtuIsBelievedForTenMinutes) {
  find(host(2));
  cache_.on_answer(host(2), kMac, 1500, woken_);
  cache_.lower_mtu(host(2), 1400, now_);
  EXPECT_EQ(find(host(2))->mtu, 1400);
  cache_.lower_mtu(host(2), 1450, now_);
  EXPECT_EQ(find(host(2))->mtu, 1400);
  now_ += Duration::seconds(600);
  EXPECT_EQ(find(host(2))->mtu, 1500);
}

}  // namespace
}  // namespace weir::stack
