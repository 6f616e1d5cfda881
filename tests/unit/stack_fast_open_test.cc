// SPDX-License-Identifier: MIT
// TCP Fast Open (RFC 7413): the stack's own side of it. What is said on the wire, tests/script's fast_open_* show.
#include "stack_fixture.h"
#include "weir/stack/fast_open_cache.h"
#include "weir/stack/fast_open_cookies.h"
#include "weir/stack/fast_open_queue.h"

namespace weir::stack {
namespace {

using Verdict = FastOpenCookies::Verdict;

const Instant kStart = Instant::from_ns(1'000'000'000);

FlowKey flow(std::uint8_t local, std::uint8_t remote, std::uint16_t remote_port = 443) {
  return {IpAddress::v4(192, 0, 2, local), IpAddress::v4(198, 51, 100, remote), 50'000, remote_port};
}
tcp::FastOpenCookie cookie(unsigned n) {
  std::array<std::byte, 8> bytes{};
  bytes[7] = static_cast<std::byte>(n);
  return tcp::FastOpenCookie(bytes);
}

// --- cookies that we make ---

TEST(StackFastOpenCookies, AreOfBothAddressesAndNoPort) {
  FastOpenCookies ours({1});
  auto made = ours.make(flow(1, 2), kStart);
  EXPECT_EQ(made.bytes().size(), 8u);
  EXPECT_EQ(ours.check(flow(1, 2, 80), made.bytes(), kStart), Verdict::good);
  EXPECT_EQ(ours.check(flow(1, 3), made.bytes(), kStart), Verdict::bad);
  EXPECT_EQ(ours.check(flow(3, 2), made.bytes(), kStart), Verdict::bad);
  EXPECT_EQ(FastOpenCookies({2}).check(flow(1, 2), made.bytes(), kStart), Verdict::bad) << "another key";
  EXPECT_EQ(ours.check(flow(1, 2), made.bytes().first(6), kStart), Verdict::bad);
  EXPECT_EQ(ours.check(flow(1, 2), {}, kStart), Verdict::bad);
}

TEST(StackFastOpenCookies, ThatOfThePeriodBeforeIsGoodAndOldAndNoOther) {
  FastOpenCookies ours({1});
  auto made = ours.make(flow(1, 2), kStart);
  EXPECT_EQ(ours.check(flow(1, 2), made.bytes(), kStart + FastOpenCookies::kPeriod), Verdict::old);
  EXPECT_EQ(ours.check(flow(1, 2), made.bytes(), kStart + 2 * FastOpenCookies::kPeriod), Verdict::bad);
}

// --- cookies that we were given ---

class StackFastOpenCache : public testing::Test {
 protected:
  void give(const FlowKey& key, unsigned n) {
    cache.on_news(key, {.cookie = cookie(n), .mss = 1'400, .taken = false, .refused = false}, now);
  }
  void refuse(const FlowKey& key) {
    cache.on_news(key, {.cookie = {}, .mss = 0, .taken = false, .refused = true}, now);
  }
  void take(const FlowKey& key) { cache.on_news(key, {.cookie = {}, .mss = 0, .taken = true, .refused = false}, now); }
  bool has(const FlowKey& key, unsigned n) {
    auto advice = cache.advise(key, now);
    return advice && advice->cookie == cookie(n);
  }
  bool asks(const FlowKey& key) {
    auto advice = cache.advise(key, now);
    return advice && advice->cookie.empty();
  }

  FastOpenCache cache{3, {1, 2}};
  Instant now = kStart;
};

TEST_F(StackFastOpenCache, KeepsTheLastCookieOfAPairOfAddresses) {
  EXPECT_TRUE(asks(flow(1, 2)));
  give(flow(1, 2), 7);
  give(flow(1, 2), 8);
  EXPECT_TRUE(has(flow(1, 2, 80), 8));
  EXPECT_EQ(cache.advise(flow(1, 2), now)->mss, 1'400);
  EXPECT_TRUE(asks(flow(2, 2)));
  EXPECT_TRUE(asks(flow(1, 3)));
  EXPECT_EQ(cache.size(), 1u);
}

TEST_F(StackFastOpenCache, IsBoundedAndTheLeastRecentlyUsedGoes) {
  for (std::uint8_t i = 1; i <= 3; ++i) give(flow(1, i), i);
  EXPECT_TRUE(has(flow(1, 1), 1));
  give(flow(1, 4), 4);
  EXPECT_EQ(cache.size(), 3u);
  EXPECT_TRUE(asks(flow(1, 2)));
  for (unsigned i : {1u, 3u, 4u}) EXPECT_TRUE(has(flow(1, static_cast<std::uint8_t>(i)), i)) << i;
  for (int i = 0; i < 1'000; ++i) give(flow(1, static_cast<std::uint8_t>(i)), 1);
  EXPECT_EQ(cache.size(), 3u);
}

TEST_F(StackFastOpenCache, OfNoSizeNothingIsAskedFor) {
  FastOpenCache none{0, {1, 2}};
  EXPECT_FALSE(none.advise(flow(1, 2), now));
  none.on_news(flow(1, 2), {.cookie = cookie(1), .mss = 1'400, .taken = true, .refused = false}, now);
  EXPECT_EQ(none.size(), 0u);
}

TEST_F(StackFastOpenCache, ACookieExpires) {
  give(flow(1, 2), 7);
  now += FastOpenCache::kCookieLife - 1_s;
  EXPECT_TRUE(has(flow(1, 2), 7));
  now += 1_s;
  EXPECT_TRUE(asks(flow(1, 2)));
}

// RFC 7413 4.1.3.1
TEST_F(StackFastOpenCache, ARefusalPausesItForThatServiceLongerEachTime) {
  give(flow(1, 2), 7);
  Duration pause = FastOpenCache::kFirstPause;
  for (int i = 0; i < 10; ++i) {
    refuse(flow(1, 2));
    EXPECT_FALSE(cache.advise(flow(1, 2), now));
    EXPECT_TRUE(has(flow(1, 2, 80), 7)) << "another service of that host";
    now += pause - 1_ms;
    EXPECT_FALSE(cache.advise(flow(1, 2), now)) << i;
    now += 1_ms;
    EXPECT_TRUE(has(flow(1, 2), 7)) << i;
    pause = std::min(2 * pause, FastOpenCache::kLongestPause);
  }
  take(flow(1, 2));
  refuse(flow(1, 2));
  now += FastOpenCache::kFirstPause;
  EXPECT_TRUE(has(flow(1, 2), 7));
}

TEST_F(StackFastOpenCache, RefusalsOfTwoServicesAreThePaths) {
  give(flow(1, 2), 7);
  refuse(flow(1, 2, 443));
  refuse(flow(1, 2, 80));
  for (std::uint16_t port : std::array<std::uint16_t, 3>{443, 80, 25})
    EXPECT_FALSE(cache.advise(flow(1, 2, port), now));
}

// --- what is open before its handshake is over ---

TEST(StackFastOpenQueue, AResetKeepsItsPlaceForAMinuteOrTwo) {
  FastOpenQueue queue;
  EXPECT_FALSE(queue.has_room(kStart)) << "off at first";
  queue.set_limit(2);
  queue.enter();
  queue.enter();
  EXPECT_FALSE(queue.has_room(kStart));
  queue.leave();
  EXPECT_TRUE(queue.has_room(kStart));
  queue.leave_by_reset(kStart);
  queue.enter();
  EXPECT_FALSE(queue.has_room(kStart + 59_s));
  EXPECT_TRUE(queue.has_room(kStart + 121_s));
  queue.leave_by_reset(kStart + 1'000_s);
  queue.enter();
  EXPECT_FALSE(queue.has_room(kStart + 1'059_s));
  EXPECT_TRUE(queue.has_room(kStart + 1'121_s));
  EXPECT_EQ(queue.pending(), 1u);
}

// --- the stack ---

class StackFastOpen : public StackBothFamilies {
 protected:
  void start_listening(std::uint32_t queue, std::uint32_t backlog = 16) {
    start();
    listener = listen(backlog);
    stack->set_fast_open(listener, queue);
    // The peer asks for a cookie once.
    wire::TcpOptions o = with_mss(1'460);
    o.fast_open = ConstBytes{};
    EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 1, .options = o}), WEIR_R_TAKEN_TCP);
    given = only().cookie;
    give({.flags = "R", .seq = 1'001, .port = 1});
    EXPECT_EQ(given.size(), 8u);
  }
  Out knock(std::uint16_t port, std::size_t text = 100) {
    wire::TcpOptions o = with_mss(1'460);
    o.fast_open = ConstBytes(given);
    EXPECT_EQ(give({.flags = "S", .seq = 1'000, .text = text, .port = port, .options = o}), WEIR_R_TAKEN_TCP);
    return only();
  }
  std::uint32_t pending() { return stack->list_listeners()[0].fast_open_pending; }

  ListenerId listener;
  std::vector<std::byte> given;
};
INSTANTIATE_TEST_SUITE_P(Families, StackFastOpen, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackFastOpen, AnOldCookieIsGoodAndANewOneIsGiven) {
  start_listening(4);
  now += FastOpenCookies::kPeriod;
  Out syn_ack = knock(2);
  EXPECT_EQ(syn_ack.ack, 1'101u);
  EXPECT_EQ(syn_ack.cookie.size(), 8u);
  EXPECT_NE(syn_ack.cookie, given);
  given = syn_ack.cookie;
  EXPECT_EQ(knock(3).cookie.size(), 0u) << "this one is new";
  now += 2 * FastOpenCookies::kPeriod;
  syn_ack = knock(4);
  EXPECT_EQ(syn_ack.ack, 1'001u);
  EXPECT_EQ(syn_ack.cookie.size(), 8u);
  EXPECT_EQ(stack->fast_open_counts().passive_failed, 1u);
}

TEST_P(StackFastOpen, ASynWithoutTextIsTakenToo) {
  start_listening(4);
  EXPECT_EQ(knock(2, 0).ack, 1'001u);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  std::vector<std::byte> text(300);
  EXPECT_EQ(stack->write(*id, text, now), 300u);
  EXPECT_EQ(only().text, 300u);
}

TEST_P(StackFastOpen, ItCountsUntilTheHandshakeIsOverWhoeverHasIt) {
  start_listening(3);
  Out first = knock(2);
  Out second = knock(3);
  Out third = knock(4);
  EXPECT_EQ(pending(), 3u);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  auto left = stack->accept(listener);
  ASSERT_TRUE(left);
  std::array<std::byte, 200> to;
  EXPECT_EQ(stack->read(*left, to, now), 100u);
  stack->close(*left, now);
  EXPECT_EQ(pending(), 3u) << "one is the user's, one the stack's, and one waits";
  give({.flags = "A", .seq = 1'101, .ack = first.seq + 1, .port = 2});
  EXPECT_EQ(pending(), 2u);
  give({.flags = "A", .seq = 1'101, .ack = second.seq + 1, .port = 3});
  EXPECT_EQ(pending(), 1u);
  give({.flags = "A", .seq = 1'101, .ack = third.seq + 1, .port = 4});
  EXPECT_EQ(pending(), 0u);
  auto last = stack->accept(listener);
  ASSERT_TRUE(last);
  EXPECT_EQ(stack->info(*last, now).state, tcp::State::established);
}

TEST_P(StackFastOpen, WhoNeverAnswersIsGivenUpAndLeaves) {
  start_listening(1);
  knock(2);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  for (int i = 0; i < 20; ++i) {
    advance(10_s);
    sent();
  }
  EXPECT_EQ(stack->error(*id), tcp::Errc::timed_out);
  EXPECT_EQ(pending(), 0u);
  EXPECT_EQ(knock(3).ack, 1'101u);
}

TEST_P(StackFastOpen, AClosedListenerForgetsWhatItsUsersHave) {
  start_listening(2);
  Out syn_ack = knock(2);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  knock(3);
  stack->close_listener(listener, now);
  EXPECT_EQ(letters(only().flags), "RA") << "nobody had accepted that one";
  ListenerId other = listen();
  stack->set_fast_open(other, 1);
  EXPECT_EQ(pending(), 0u);
  EXPECT_EQ(knock(4).ack, 1'101u);
  EXPECT_EQ(pending(), 1u);
  EXPECT_EQ(give({.flags = "A", .seq = 1'101, .ack = syn_ack.seq + 1, .port = 2}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(stack->info(*id, now).state, tcp::State::established);
  EXPECT_EQ(pending(), 1u) << "it was the other listener's";
  stack->abort(*id, now);
}

TEST_P(StackFastOpen, AFloodWithAGoodCookieIsBoundedByItsQueue) {
  start_listening(4, 8);
  for (std::uint16_t port = 10; port < 200; ++port) {
    wire::TcpOptions o = with_mss(1'460);
    o.fast_open = ConstBytes(given);
    give({.flags = "S", .seq = 1'000, .text = 100, .port = port, .options = o});
    sent();
    while (auto id = stack->accept(listener)) EXPECT_LT(port, 14u) << "more than the queue lets in";
  }
  EXPECT_EQ(pending(), 4u);
  EXPECT_EQ(stack->connections(), 12u) << "and the backlog of those without";
}

TEST_P(StackFastOpen, AbortAllEndsTheEarlyOnesToo) {
  start_listening(4);
  knock(2);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  knock(3);
  stack->abort_all(now);
  EXPECT_EQ(pending(), 0u);
  EXPECT_EQ(stack->error(*id), tcp::Errc::aborted);
  auto resets = sent();
  ASSERT_EQ(resets.size(), 2u);
  for (const Out& out : resets) EXPECT_EQ(letters(out.flags), "RA");
}

}  // namespace
}  // namespace weir::stack
