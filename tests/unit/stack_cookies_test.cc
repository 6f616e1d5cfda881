// SPDX-License-Identifier: MIT
// SYN cookies: RFC 4987 3.6.
#include "stack_fixture.h"
#include "weir/stack/cookies.h"

namespace weir::stack {
namespace {

class StackCookies : public StackBothFamilies {
 protected:
  void start_with(SynCookies mode) {
    Config c = default_config();
    c.tcp.timestamps = true;
    c.syn_cookies = mode;
    start(c);
  }
  static wire::TcpOptions all_options(std::uint32_t tsval = 50) {
    wire::TcpOptions o = with_mss(1'452);
    o.window_scale = 9;
    o.sack_permitted = true;
    o.timestamps = wire::TcpTimestamps{tsval, 0};
    return o;
  }
  static wire::TcpOptions echo(const Out& syn_ack, std::uint32_t tsval = 51) {
    wire::TcpOptions o;
    if (syn_ack.options.timestamps) o.timestamps = wire::TcpTimestamps{tsval, syn_ack.options.timestamps->tsval};
    return o;
  }
  // A SYN that is answered by a cookie.
  Out offer(const wire::TcpOptions& options, std::uint16_t port = 40'000, std::string_view f = "S") {
    EXPECT_EQ(give({.flags = f, .seq = 1'000, .port = port, .options = options}), WEIR_R_TAKEN_SYN_COOKIE);
    return only();
  }
};
INSTANTIATE_TEST_SUITE_P(Families, StackCookies, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackCookies, ASynBeyondTheBacklogIsAnsweredAndNotKept) {
  start_with(SynCookies::on_overflow);
  ListenerId listener = listen(1);
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 1}), WEIR_R_TAKEN_TCP);
  sent();
  Out syn_ack = offer(all_options());
  EXPECT_EQ(letters(syn_ack.flags), "SA");
  EXPECT_EQ(syn_ack.ack, 1'001u);
  EXPECT_EQ(syn_ack.to, kPeerMac);
  EXPECT_EQ(stack->connections(), 1u) << "a cookie costs no memory";
  EXPECT_FALSE(stack->poll_next_hop_query());

  EXPECT_EQ(give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1, .options = echo(syn_ack)}), WEIR_R_TAKEN_TCP);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  EXPECT_EQ(stack->info(*id, now).state, tcp::State::established);
  EXPECT_EQ(stack->remote_endpoint(*id).port, 40'000);
  EXPECT_EQ(described(), "");
}

TEST_P(StackCookies, MssWindowScaleAndTimestampsOutliveTheCookie) {
  start_with(SynCookies::always);
  ListenerId listener = listen();
  for (std::uint32_t ms = 0; ms < 130; ms += 7) {
    auto port = static_cast<std::uint16_t>(1'000 + ms);
    advance(Duration::milliseconds(7));
    Out syn_ack = offer(all_options(), port);
    EXPECT_TRUE(syn_ack.options.timestamps);
    EXPECT_TRUE(syn_ack.options.window_scale);
    give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1, .window = 3, .port = port, .options = echo(syn_ack)});
    auto id = stack->accept(listener);
    ASSERT_TRUE(id);
    tcp::Info info = stack->info(*id, now);
    EXPECT_EQ(info.send_scale, 9);
    EXPECT_EQ(info.send_window, 3u << 9);
    EXPECT_TRUE(info.timestamps);
    EXPECT_EQ(info.send_mss, 1'440u - 12u) << "1452, rounded down to one of the eight";
    EXPECT_EQ(info.srtt, Duration()) << "what the cookie's timestamp would measure is no round trip";
    // The clock of the timestamps does not step back behind the cookie's.
    std::vector<std::byte> text(100);
    ASSERT_EQ(stack->write(*id, text, now), 100u);
    Out first = only();
    EXPECT_TRUE(
        tcp::SeqNum(first.options.timestamps->tsval).at_or_after(tcp::SeqNum(syn_ack.options.timestamps->tsval)));
    stack->abort(*id, now);
    sent();
  }
}

TEST_P(StackCookies, WithoutTimestampsOnlyTheMssIsKept) {
  start_with(SynCookies::always);
  ListenerId listener = listen();
  wire::TcpOptions options = all_options();
  options.timestamps.reset();
  Out syn_ack = offer(options);
  EXPECT_FALSE(syn_ack.options.window_scale) << "it could not be remembered";
  EXPECT_FALSE(syn_ack.options.sack_permitted);
  EXPECT_FALSE(syn_ack.options.timestamps);
  give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1, .window = 5'000});
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  EXPECT_EQ(stack->info(*id, now).send_mss, 1'440u);
  EXPECT_EQ(stack->info(*id, now).send_window, 5'000u);
}

TEST_P(StackCookies, DataOnTheThirdAckArrives) {
  start_with(SynCookies::always);
  ListenerId listener = listen();
  Out syn_ack = offer(all_options());
  EXPECT_EQ(give({.flags = "PA", .seq = 1'001, .ack = syn_ack.seq + 1, .text = 300, .options = echo(syn_ack)}),
            WEIR_R_TAKEN_TCP);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  EXPECT_EQ(stack->readable_bytes(*id), 300u);
  EXPECT_EQ(only().ack, 1'301u);
}

TEST_P(StackCookies, AForgedOrOldCookieMakesNothing) {
  start_with(SynCookies::always);
  ListenerId listener = listen();
  Out syn_ack = offer(all_options());
  auto lost = [&](In in) {
    EXPECT_EQ(give(in), WEIR_R_LOST_BAD_COOKIE);
    EXPECT_EQ(stack->connections(), 0u);
    EXPECT_EQ(described(), "") << "it may have overtaken the ACK with the cookie";
  };
  In good{.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1, .options = echo(syn_ack)};
  for (unsigned bit = 0; bit < 32; ++bit) {
    In bad = good;
    bad.ack ^= 1u << bit;
    lost(bad);
    bad = good;
    bad.seq ^= 1u << bit;
    lost(bad);
  }
  for (unsigned bit = 0; bit < 6; ++bit) {
    In bad = good;
    bad.options.timestamps->tsecr ^= 1u << bit;
    lost(bad);
  }
  In other_port = good;
  other_port.port = 40'001;
  lost(other_port);
  In no_timestamps = good;
  no_timestamps.options = {};
  lost(no_timestamps);

  advance(Duration::seconds(120));
  offer(all_options(), 7);  // cookies are still out
  advance(Duration::seconds(80));
  lost(good);
  // None has been sent for so long that no ACK can bring one: then an ACK is nobody's.
  advance(Duration::seconds(300));
  EXPECT_EQ(give(good), WEIR_R_LOST_NO_CONNECTION);
  EXPECT_EQ(letters(only().flags), "R");
  EXPECT_FALSE(stack->accept(listener));
}

TEST_P(StackCookies, ACookieLivesForTwoMinutes) {
  start_with(SynCookies::always);
  ListenerId listener = listen();
  Out syn_ack = offer(all_options());
  advance(Duration::seconds(127));
  EXPECT_EQ(give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1, .options = echo(syn_ack)}), WEIR_R_TAKEN_TCP);
  EXPECT_TRUE(stack->accept(listener));
}

TEST_P(StackCookies, AFullAcceptQueueTakesNeitherSynNorCookie) {
  start_with(SynCookies::on_overflow);
  ListenerId listener = listen(1);
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 1}), WEIR_R_TAKEN_TCP);
  Out first = only();
  Out cookie = offer(all_options());
  EXPECT_EQ(give({.flags = "A", .seq = 1'001, .ack = first.seq + 1, .port = 1}), WEIR_R_TAKEN_TCP);
  In third{.flags = "PA", .seq = 1'001, .ack = cookie.seq + 1, .text = 9, .options = echo(cookie)};
  EXPECT_EQ(give(third), WEIR_R_LOST_BACKLOG_FULL);
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = 3}), WEIR_R_LOST_BACKLOG_FULL);
  EXPECT_EQ(described(), "");
  ASSERT_TRUE(stack->accept(listener));
  // The peer's retransmission finds room.
  EXPECT_EQ(give(third), WEIR_R_TAKEN_TCP);
  EXPECT_TRUE(stack->accept(listener));
}

TEST_P(StackCookies, CookiesAreAnsweredWithinTheReplyLimit) {
  start_with(SynCookies::always);
  listen();
  for (std::uint16_t port = 1; port <= config.max_replies; ++port) {
    ASSERT_EQ(give({.flags = "S", .port = port}), WEIR_R_TAKEN_SYN_COOKIE);
  }
  EXPECT_EQ(give({.flags = "S", .port = 9'999}), WEIR_R_LOST_REPLY_LIMIT);
  EXPECT_EQ(sent().size(), config.max_replies);
}

TEST(Cookies, ATimestampIsNeverAheadOfItsClock) {
  for (std::uint32_t clock : {0u, 5u, 63u, 64u, 1'000'037u, 0xffffffffu, 0xffffffc0u}) {
    for (std::uint8_t scale = 0; scale <= 14; ++scale) {
      Cookies::Kept kept{1'460, scale, scale % 2 == 0, scale % 3 == 0};
      std::uint32_t stamp = Cookies::timestamp(kept, clock);
      EXPECT_LT(clock - stamp, 64u);
    }
  }
}

}  // namespace
}  // namespace weir::stack
