// SPDX-License-Identifier: MIT
// Steering entries, filter rules and counters, on real maps and real packets.
#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "weir/control/filter.h"
#include "weir/control/heartbeat.h"
#include "weir/control/interface.h"
#include "weir/control/netns.h"
#include "weir/control/stats.h"
#include "weir/control/status.h"
#include "xdp_fixture.h"

namespace weir::test {
namespace {

using control::Absent;
using control::Port;
using control::Protocol;
using control::Purpose;
using control::Removal;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class XdpPolicy : public VethTest {
 protected:
  void SetUp() override {
    VethTest::SetUp();
    if (!IsSkipped()) attach();
  }
  static Instant now() { return control::monotonic_now(); }
  xdp::Outcome<std::uint32_t> add(Port port, Purpose purpose = Purpose::serve) {
    return control::steer_add(maps(), port, Absent::pass, purpose, now());
  }
};

TEST_F(XdpPolicy, AnEntryLivesDrainsAndIsFreed) {
  const Port port{Protocol::tcp, 8080};
  ASSERT_TRUE(control::steer_add(maps(), port, Absent::drop, Purpose::serve, now()).ok());
  auto list = control::steer_list(maps());
  ASSERT_TRUE(list.ok() && list->size() == 1);
  EXPECT_EQ((*list)[0].port, port);
  EXPECT_TRUE((*list)[0].absent_drop);
  EXPECT_TRUE((*list)[0].kernel_may_own);
  EXPECT_FALSE((*list)[0].draining);

  const auto again = add(port);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, EEXIST);
  EXPECT_THAT(again.error().message, HasSubstr("tcp 8080 is steered already"));

  weir_steer& entry = maps().steer()[(*list)[0].index];
  beat();
  xdp::store(entry.flows, weir_u32{2});
  const auto draining = control::steer_del(maps(), port, Removal::drain, now());
  ASSERT_TRUE(draining.ok()) << draining.error().message;
  EXPECT_FALSE(draining->removed);
  EXPECT_EQ(draining->flows, 2u);
  EXPECT_EQ(control::reap_drained(maps(), now()).value(), 0u);
  EXPECT_TRUE(control::steer_list(maps()).value()[0].draining);
  xdp::store(entry.flows, weir_u32{0});
  EXPECT_EQ(control::reap_drained(maps(), now()).value(), 1u);
  EXPECT_THAT(control::steer_list(maps()).value(), IsEmpty());
  EXPECT_FALSE(maps().find_steer(IPPROTO_TCP, 8080).has_value());

  const auto none = control::steer_del(maps(), port, Removal::drain, now());
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().code, ENOENT);
  xdp::store(maps().heartbeats()[0].monotonic_ns, weir_u64{0});
}

TEST_F(XdpPolicy, ADrainingEntryComesBackToLife) {
  const Port port{Protocol::udp, 53};
  const auto index = add(port);
  ASSERT_TRUE(index.ok());
  beat();
  xdp::store(maps().steer()[*index].flows, weir_u32{1});
  ASSERT_FALSE(control::steer_del(maps(), port, Removal::drain, now()).value().removed);
  EXPECT_EQ(add(port).value(), *index);
  EXPECT_FALSE(control::steer_list(maps()).value()[0].draining);
  EXPECT_TRUE(control::steer_del(maps(), port, Removal::now, now()).value().removed);
  xdp::store(maps().heartbeats()[0].monotonic_ns, weir_u64{0});
}

TEST_F(XdpPolicy, EntriesOfADeadEngineAreReaped) {
  ASSERT_TRUE(add({Protocol::tcp, 40000}, Purpose::reserve).ok());
  beat();
  EXPECT_EQ(control::reap_drained(maps(), now()).value(), 0u);
  EXPECT_THAT(add({Protocol::tcp, 40000}).error().message, HasSubstr("outgoing connection"));
  xdp::store(maps().heartbeats()[0].monotonic_ns, weir_u64{0});
  EXPECT_EQ(control::reap_drained(maps(), now()).value(), 1u);
}

TEST_F(XdpPolicy, TheTableOfEntriesIsBounded) {
  for (std::uint32_t i = 0; i < WEIR_MAX_STEER; ++i)
    ASSERT_TRUE(add({Protocol::tcp, static_cast<std::uint16_t>(1000 + i)}).ok()) << i;
  const auto full = add({Protocol::tcp, 80});
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, ENOSPC);
  EXPECT_EQ(add({Protocol::tcp, 0}).error().code, EINVAL);
}

TEST_F(XdpPolicy, ARuleStopsPacketsCountsThemAndGoes) {
  const xdp::Fd receiver(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in own{};
  own.sin_family = AF_INET;
  own.sin_port = htons(9000);
  ASSERT_EQ(bind(receiver.get(), reinterpret_cast<const sockaddr*>(&own), sizeof own), 0);
  const timeval patience{5, 0};
  setsockopt(receiver.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  auto received = [&] {
    char text[16];
    const ssize_t n = recv(receiver.get(), text, sizeof text, 0);
    return n < 0 ? std::string("nothing") : std::string(text, static_cast<std::size_t>(n));
  };

  control::Rule rule;
  rule.action = control::Action::drop;
  rule.source = *control::parse_prefix("10.77.0.2");
  rule.protocol = IPPROTO_UDP;
  rule.port = {9000, 9000};
  const auto id = control::filter_add(maps(), rule, std::nullopt, now());
  ASSERT_TRUE(id.ok()) << id.error().message;
  EXPECT_EQ(xdp::load(maps().config().filter_selector), 1u);
  const auto before = control::take_snapshot(instance(), now());
  ASSERT_TRUE(before.ok());
  in_client([] {
    send_udp(9000, "stopped");
    send_udp(9000, "stopped");
  });
  EXPECT_TRUE(eventually([&] { return control::filter_state(maps(), now()).value().rules[0].hits.packets == 2; }));
  // A second rule is another table: the first one's counter goes on.
  rule.port = {9001, 9001};
  const auto second = control::filter_add(maps(), rule, 0, now());
  ASSERT_TRUE(second.ok());
  EXPECT_NE(*second, *id);
  // Each change goes into the table that is not current.
  EXPECT_EQ(xdp::load(maps().config().filter_selector), 0u);
  const auto rules = control::filter_state(maps(), now()).value().rules;
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[0].name, *second);
  EXPECT_EQ(rules[0].hits.packets, 0u);
  EXPECT_EQ(rules[1].hits.packets, 2u);
  EXPECT_EQ(rules[1].hits.bytes, 2u * (14 + 20 + 8 + 7));

  const auto after = control::take_snapshot(instance(), now());
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(control::difference(*after, *before).total(WEIR_V_DROP).packets, 2u);
  EXPECT_EQ(control::difference(*after, *before).xdp[WEIR_R_DROP_FILTER].packets, 2u);

  EXPECT_EQ(control::filter_del(maps(), *id, now()).value().to_string(), "drop proto udp from 10.77.0.2/32 port 9000");
  in_client([] { send_udp(9000, "passed"); });
  EXPECT_EQ(received(), "passed");
  EXPECT_EQ(control::filter_del(maps(), *id, now()).error().code, ENOENT);
  EXPECT_EQ(control::filter_flush(maps(), now()).value(), 1u);
  EXPECT_THAT(control::filter_state(maps(), now()).value().rules, IsEmpty());
}

TEST_F(XdpPolicy, ACounterThatIsUsedAgainBeginsAtZero) {
  control::Rule rule;
  rule.action = control::Action::accept;
  rule.protocol = IPPROTO_UDP;
  const auto first = control::filter_add(maps(), rule, std::nullopt, now());
  ASSERT_TRUE(first.ok());
  in_client([] { send_udp(9, "x"); });
  ASSERT_TRUE(eventually([&] { return control::filter_state(maps(), now()).value().rules[0].hits.packets == 1; }));
  ASSERT_TRUE(control::filter_del(maps(), *first, now()).ok());
  const auto second = control::filter_add(maps(), rule, std::nullopt, now());
  ASSERT_TRUE(second.ok());
  EXPECT_NE(*second, *first);
  EXPECT_EQ(control::filter_state(maps(), now()).value().rules[0].hits.packets, 0u);
}

TEST_F(XdpPolicy, TheFilterIsBoundedAndKeepsOrder) {
  std::vector<control::Rule> rules;
  control::Rule rule;
  rule.protocol = IPPROTO_TCP;
  for (std::uint32_t i = 0; i + 1 < WEIR_MAX_RULES; ++i) {
    rule.name = "p" + std::to_string(i + 1);
    rule.port = {static_cast<std::uint16_t>(i + 1), static_cast<std::uint16_t>(i + 1)};
    rules.push_back(rule);
  }
  EXPECT_TRUE(control::filter_apply(maps(), rules, std::nullopt, now()).value());
  EXPECT_FALSE(control::filter_apply(maps(), rules, std::nullopt, now()).value()) << "it says so already";
  rule.name.clear();
  rule.port = {60000, 60000};
  const auto name = control::filter_add(maps(), rule, 1000, now());
  ASSERT_TRUE(name.ok()) << name.error().message;
  EXPECT_EQ(control::filter_add(maps(), rule, std::nullopt, now()).error().code, ENOSPC);
  rules.push_back(rule);
  rules.push_back(rule);
  EXPECT_EQ(control::filter_apply(maps(), rules, std::nullopt, now()).error().code, ENOSPC);
  const auto found = control::filter_state(maps(), now()).value().rules;
  ASSERT_EQ(found.size(), std::size_t{WEIR_MAX_RULES});
  EXPECT_EQ(found[999].name, "p1000");
  EXPECT_EQ(found[1000].name, *name);
  EXPECT_EQ(found[1001].name, "p1001");
  std::set<std::uint32_t> counters;
  for (const auto& r : found) counters.insert(r.counter);
  EXPECT_EQ(counters.size(), std::size_t{WEIR_MAX_RULES});
}

TEST_F(XdpPolicy, ARuleOfTheSameNameKeepsItsCounterThroughAnyChange) {
  const auto rule = [](const char* name, std::uint16_t port) {
    control::Rule r;
    r.name = name;
    r.protocol = IPPROTO_UDP;
    r.port = {port, port};
    return r;
  };
  const auto hits = [&](std::size_t i) { return control::filter_state(maps(), now()).value().rules[i].hits.packets; };
  ASSERT_TRUE(control::filter_apply(maps(), {rule("a", 9), rule("b", 10)}, std::nullopt, now()).ok());
  in_client([] {
    send_udp(9, "x");
    send_udp(10, "x");
    send_udp(10, "x");
  });
  ASSERT_TRUE(eventually([&] { return hits(0) == 1 && hits(1) == 2; }));
  // Another order, another port, a rule more and one less.
  ASSERT_TRUE(control::filter_apply(maps(), {rule("c", 11), rule("b", 12)}, std::nullopt, now()).ok());
  EXPECT_EQ(hits(0), 0u);
  EXPECT_EQ(hits(1), 2u);
  in_client([] { send_udp(12, "x"); });
  EXPECT_TRUE(eventually([&] { return hits(1) == 3; }));
}

TEST_F(XdpPolicy, WhatNobodyConfirmsIsTakenBackByXdpItself) {
  control::Rule drop;
  drop.name = "everything";
  drop.action = control::Action::drop;
  control::Rule keep;
  keep.name = "keep";
  ASSERT_TRUE(control::filter_apply(maps(), {keep}, std::nullopt, now()).ok());
  // The writer's clock is the test's: a deadline in the past is what the program sees when time has gone by.
  const Instant long_ago = now() - Duration::seconds(100);
  ASSERT_TRUE(control::filter_apply(maps(), {drop}, Duration::seconds(60), long_ago).ok());
  EXPECT_EQ(control::filter_state(maps(), long_ago).value().rules[0].name, "everything");
  EXPECT_EQ(control::filter_state(maps(), long_ago).value().pending, Duration::seconds(60));
  const auto state = control::filter_state(maps(), now()).value();
  EXPECT_EQ(state.rules[0].name, "keep");
  EXPECT_TRUE(state.rolled_back);
  EXPECT_FALSE(state.pending);
  in_client([] { send_udp(9, "x"); });
  EXPECT_TRUE(eventually([&] { return control::filter_state(maps(), now()).value().rules[0].hits.packets > 0; }))
      << "the program uses the rules from before";
  EXPECT_EQ(control::filter_confirm(maps(), now()).error().code, ETIME);
  EXPECT_EQ(control::filter_rollback(maps(), now()).error().code, ENOENT);
  // The next change is one of the rules that are in force.
  ASSERT_TRUE(control::filter_del(maps(), "keep", now()).ok());
  EXPECT_FALSE(control::filter_state(maps(), now()).value().rolled_back);
}

TEST_F(XdpPolicy, TheTimeToConfirmBeginsWhenTheRulesAreInForce) {
  control::Rule drop;
  drop.name = "everything";
  drop.action = control::Action::drop;
  // The work took a hundred seconds: the trial has all of its sixty left.
  const Instant began = now() - Duration::seconds(100);
  ASSERT_TRUE(control::filter_apply(maps(), {drop}, Duration::seconds(60), began, control::monotonic_now).ok());
  const auto state = control::filter_state(maps(), now()).value();
  EXPECT_FALSE(state.rolled_back);
  ASSERT_TRUE(state.pending);
  EXPECT_GT(*state.pending, Duration::seconds(0));
  ASSERT_TRUE(control::filter_rollback(maps(), now()).ok());
}

TEST_F(XdpPolicy, AChangeOnTrialIsConfirmedOrTakenBackAndNothingElse) {
  control::Rule one;
  one.name = "one";
  control::Rule two = one;
  two.name = "two";
  const auto names = [&] {
    std::string out;
    const auto state = control::filter_state(maps(), now());
    for (const auto& r : state->rules) out += r.name + " ";
    return out;
  };
  EXPECT_EQ(control::filter_confirm(maps(), now()).error().code, ENOENT);
  ASSERT_TRUE(control::filter_apply(maps(), {one}, Duration::seconds(600), now()).ok());
  EXPECT_EQ(names(), "one ");
  EXPECT_EQ(control::filter_apply(maps(), {two}, std::nullopt, now()).error().code, EBUSY);
  EXPECT_EQ(control::filter_add(maps(), two, std::nullopt, now()).error().code, EBUSY);
  EXPECT_EQ(control::filter_del(maps(), "one", now()).error().code, EBUSY);
  EXPECT_EQ(control::filter_flush(maps(), now()).error().code, EBUSY);
  ASSERT_TRUE(control::filter_rollback(maps(), now()).ok());
  EXPECT_EQ(names(), "");
  ASSERT_TRUE(control::filter_apply(maps(), {two}, Duration::seconds(600), now()).ok());
  ASSERT_TRUE(control::filter_confirm(maps(), now()).ok());
  EXPECT_EQ(names(), "two ");
  EXPECT_FALSE(control::filter_state(maps(), now()).value().pending);
  EXPECT_EQ(control::filter_confirm(maps(), now()).error().code, ENOENT);
}

TEST_F(XdpPolicy, LocalAddressesFollowWhatTheyAreSetTo) {
  const IpAddress a = *IpAddress::parse("10.77.0.1");
  const IpAddress b = *IpAddress::parse("2001:db8::1");
  using Addresses = std::map<IpAddress, weir_u32>;
  EXPECT_EQ(maps().local_addresses().value(), (Addresses{{a, WEIR_LOCAL}}));
  ASSERT_TRUE(maps().set_local_addresses(std::vector{a, b}).ok());
  EXPECT_EQ(maps().local_addresses().value(), (Addresses{{a, WEIR_LOCAL}, {b, WEIR_LOCAL}}));
  ASSERT_TRUE(maps().set_local_addresses(std::vector{b}, std::vector{a}).ok());
  EXPECT_EQ(maps().local_addresses().value(), (Addresses{{a, WEIR_LOCAL_LEFT}, {b, WEIR_LOCAL}}));
  ASSERT_TRUE(maps().set_local_addresses(std::vector{b}).ok());
  EXPECT_EQ(maps().local_addresses().value(), (Addresses{{b, WEIR_LOCAL}}));
  ASSERT_TRUE(maps().set_local_addresses({}).ok());
  EXPECT_EQ(maps().local_addresses().value(), Addresses{});
}

TEST_F(XdpPolicy, StatusShowsAnEngineAsXdpSeesIt) {
  using control::EngineState;
  play_engine({Protocol::tcp, 8080});
  weir_heartbeat& h = maps().heartbeats()[0];
  const auto at = Instant::from_ns(static_cast<std::int64_t>(h.monotonic_ns));
  const auto status = [&](Duration later) { return control::read_status(instance(), at + later).value(); };
  xdp::store(maps().steer()[*maps().find_steer(IPPROTO_TCP, 8080)].flows, weir_u32{4});
  EXPECT_EQ(status(Duration()).queues[0].engine, EngineState::alive);
  EXPECT_EQ(status(Duration()).queues[0].pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_EQ(status(Duration()).live_flows, 4u);
  EXPECT_EQ(status(Duration::seconds(2)).queues[0].engine, EngineState::silent);
  EXPECT_EQ(status(Duration::seconds(4)).queues[0].engine, EngineState::stopped);
  // Its process exists: the flows wait for it.
  EXPECT_EQ(status(Duration::seconds(4)).live_flows, 4u);
  xdp::store(h.monotonic_ns, weir_u64{0});
  EXPECT_EQ(status(Duration()).queues[0].engine, EngineState::absent);
  EXPECT_EQ(status(Duration()).live_flows, 0u);
}

TEST_F(XdpPolicy, AnInterfaceIsDescribed) {
  const auto i = control::read_interface(kServerDevice);
  ASSERT_TRUE(i.ok()) << i.error().message;
  EXPECT_EQ(i->ifindex, ifindex());
  EXPECT_EQ(i->driver, "veth");
  EXPECT_EQ(i->kind, "veth");
  EXPECT_EQ(i->mtu, 1500u);
  EXPECT_TRUE(i->up);
  EXPECT_TRUE(i->ethernet);
  EXPECT_FALSE(i->mac.is_zero());
  EXPECT_TRUE(control::may_carry_partial_checksums(*i));
  EXPECT_TRUE(control::read_interface("lo")->loopback);
  const auto names = control::interface_names();
  ASSERT_TRUE(names.ok());
  EXPECT_THAT(*names, ElementsAre("lo", kServerDevice));
  const auto addresses = control::interface_addresses(ifindex());
  ASSERT_TRUE(addresses.ok());
  ASSERT_EQ(addresses->size(), 1u);
  EXPECT_EQ((*addresses)[0].address.to_string(), kServerAddress);
  EXPECT_EQ((*addresses)[0].prefix_length, 24);
}

TEST_F(XdpPolicy, ANamespaceIsEnteredAndLeft) {
  const auto own = control::netns_cookie().value();
  EXPECT_FALSE(control::NetnsScope::enter("no-such-namespace").ok());
  EXPECT_FALSE(control::NetnsScope::enter("").ok());
  {
    const auto scope = control::NetnsScope::enter(client_path());
    ASSERT_TRUE(scope.ok()) << scope.error().message;
    EXPECT_NE(control::netns_cookie().value(), own);
    EXPECT_EQ(if_nametoindex(kServerDevice.c_str()), 0u);
  }
  EXPECT_EQ(control::netns_cookie().value(), own);
  in_client([&] {
    // By process id: this process's first thread is the one that runs here.
    const auto client = control::netns_cookie().value();
    const auto scope = control::NetnsScope::enter(std::to_string(getpid()));
    ASSERT_TRUE(scope.ok()) << scope.error().message;
    EXPECT_EQ(control::netns_cookie().value(), client);
  });
  EXPECT_EQ(control::netns_cookie().value(), own);
  const auto file = control::NetnsScope::enter("/proc/self/status");
  ASSERT_FALSE(file.ok());
  EXPECT_THAT(file.error().message, HasSubstr("is it a network namespace?"));
}

}  // namespace
}  // namespace weir::test
