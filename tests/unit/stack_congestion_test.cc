// SPDX-License-Identifier: MIT
// Congestion control by name: of the stack, of a listener, of a running connection.
#include "stack_fixture.h"

namespace weir::stack {
namespace {

using tcp::CongestionChange;

class StackCongestion : public StackBothFamilies {
 protected:
  std::string_view name_of(const Peer& p) const { return stack->info(p.id, now).congestion; }
};
INSTANTIATE_TEST_SUITE_P(Families, StackCongestion, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackCongestion, TheStacksChoiceIsForNewConnections) {
  start();
  ListenerId listener = listen();
  Peer old = establish(listener, 1);
  EXPECT_EQ(stack->congestion_control(), "cubic");
  EXPECT_EQ(stack->set_congestion_control("reno"), CongestionChange::done);
  EXPECT_EQ(stack->congestion_control(), "reno");
  EXPECT_EQ(stack->set_congestion_control("no-such"), CongestionChange::no_such_controller);
  EXPECT_EQ(stack->congestion_control(), "reno");
  Peer fresh = establish(listener, 2);
  EXPECT_EQ(name_of(old), "cubic");
  EXPECT_EQ(name_of(fresh), "reno");
}

TEST_P(StackCongestion, AListenersChoiceIsForThoseThatItTakes) {
  start();
  ListenerId listener = listen();
  EXPECT_EQ(stack->set_congestion_control(listener, "no-such"), CongestionChange::no_such_controller);
  EXPECT_EQ(stack->set_congestion_control(listener, "reno"), CongestionChange::done);
  EXPECT_EQ(stack->set_congestion_control("cubic"), CongestionChange::done);
  EXPECT_EQ(name_of(establish(listener)), "reno");
  EXPECT_EQ(stack->set_congestion_control(ListenerId{}, "cubic"), CongestionChange::no_such_connection);
}

TEST_P(StackCongestion, AListenerThatAnswersWithCookiesHasItsChoiceToo) {
  Config c = default_config();
  c.tcp.timestamps = true;
  c.syn_cookies = SynCookies::always;
  start(c);
  ListenerId listener = listen();
  stack->set_congestion_control(listener, "reno");
  EXPECT_EQ(give({.flags = "S", .seq = 1'000, .options = with_mss(1'400)}), WEIR_R_TAKEN_SYN_COOKIE);
  Out syn_ack = only();
  EXPECT_EQ(give({.flags = "A", .seq = 1'001, .ack = syn_ack.seq + 1}), WEIR_R_TAKEN_TCP);
  auto id = stack->accept(listener);
  ASSERT_TRUE(id);
  EXPECT_EQ(stack->info(*id, now).congestion, "reno");
}

TEST_P(StackCongestion, ARunningConnectionIsChangedAlone) {
  start();
  ListenerId listener = listen();
  Peer one = establish(listener, 1);
  Peer other = establish(listener, 2);
  EXPECT_EQ(stack->set_congestion_control(one.id, "reno", now), CongestionChange::done);
  EXPECT_EQ(name_of(one), "reno");
  EXPECT_EQ(name_of(other), "cubic");
  EXPECT_EQ(stack->set_congestion_control(one.id, "dctcp", now), CongestionChange::needs_ecn);
  EXPECT_EQ(stack->set_congestion_control(one.id, "no-such", now), CongestionChange::no_such_controller);
  EXPECT_EQ(name_of(one), "reno");
  EXPECT_EQ(stack->set_congestion_control(ConnectionId{}, "cubic", now), CongestionChange::no_such_connection);
}

TEST_P(StackCongestion, DctcpIsRefusedWhereEcnIsOff) {
  Config c = default_config();
  c.tcp.ecn = tcp::EcnMode::off;
  start(c);
  EXPECT_EQ(stack->set_congestion_control("dctcp"), CongestionChange::needs_ecn);
  EXPECT_EQ(stack->congestion_control(), "cubic");
  EXPECT_EQ(stack->set_congestion_control(listen(), "dctcp"), CongestionChange::needs_ecn);
  c.tcp.ecn = tcp::EcnMode::request;
  start(c);
  EXPECT_EQ(stack->set_congestion_control("dctcp"), CongestionChange::done);
}

}  // namespace
}  // namespace weir::stack
