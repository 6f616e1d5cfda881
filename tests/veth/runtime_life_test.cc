// SPDX-License-Identifier: MIT
// The engine comes and goes: attach, detach, fork, sleep, a dead predecessor, an interface that leaves.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <thread>

#include "runtime_fixture.h"
#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"
#include "weir/control/steer.h"
#include "weir/xdp/program.h"

namespace weir::testing {
namespace {

using runtime::Engine;

TEST_F(RuntimeTest, MovesToTheKernelAndBackAsWeirIsDetachedAndAttached) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto before = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *before));
  ASSERT_EQ(server.by_engine(), 1);

  // detach waits for the engine, so it needs another thread; a thread has a network namespace of its own.
  std::optional<control::DetachReport> report;
  std::thread tool([&] {
    auto there = pair_->server.inside();
    report = detach_here();
  });
  EXPECT_TRUE(run_until(engine, {&server, before.get()},
                        [&] { return !engine.attached() && server.lost() == 1 && before->error() != 0; }));
  tool.join();
  EXPECT_FALSE(report->engine_unresponsive);
  EXPECT_EQ(report->flows_reset, 1u);
  EXPECT_EQ(before->error(), ECONNRESET);
  EXPECT_NE(engine.why_detached(), "");

  auto during = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(engine, server, *during));
  EXPECT_EQ(server.by_kernel(), 1);

  steer_port();
  EXPECT_TRUE(run_until(engine, {&server, during.get()}, [&] { return engine.attached(); }));
  auto after = client("fd77::1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, during.get(), after.get()}, [&] { return after->done(); }));
  EXPECT_EQ(server.by_engine(), 2);
  // What the kernel had taken meanwhile stays the kernel's.
  during->extend(1000);
  EXPECT_TRUE(echoes(engine, server, *during));
  EXPECT_EQ(during->error(), 0);
}

TEST_F(RuntimeTest, ASecondEngineSaysWhoHasTheQueuesAndServesByTheKernel) {
  steer_port();
  Engine first(on_veth());
  ASSERT_TRUE(first.attached());
  Engine second(on_veth());
  EXPECT_FALSE(second.attached());
  EXPECT_NE(second.why_detached().find("process " + std::to_string(::getpid())), std::string::npos)
      << second.why_detached();
  EchoServer server(second, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(second, server, *c));
  EXPECT_EQ(server.by_kernel(), 1);
}

TEST_F(RuntimeTest, TheNextEngineTakesTheQueuesWhenTheyAreFree) {
  steer_port();
  auto first = std::make_unique<Engine>(on_veth());
  Engine second(on_veth());
  EchoServer server(second, kAny);
  first.reset();
  EXPECT_TRUE(run_until(second, {&server}, [&] { return second.attached(); }));
  auto c = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(second, server, *c));
  EXPECT_EQ(server.by_engine(), 1);
}

TEST_F(RuntimeTest, GoesOnThroughAReplacedProgramAndAChangedChoice) {
  pair_->server.run("nft 'table ip guard { chain in { type filter hook input priority 0; policy drop; }; }'");
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  EXPECT_FALSE(engine.why_detached().empty());
  control::AttachOptions options;
  options.interface = "veth0";
  options.replace = true;
  options.bypass_firewall = true;
  auto replaced = control::attach(options);
  ASSERT_TRUE(replaced) << replaced.error().message;
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return engine.why_detached().empty(); }));
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *c));
  ASSERT_TRUE(control::attach(options));
  c->extend(100'000);
  EXPECT_TRUE(echoes(engine, server, *c));
  EXPECT_EQ(c->error(), 0);
  EXPECT_EQ(server.by_engine(), 1);
  EXPECT_EQ(server.lost(), 0);
}

TEST_F(RuntimeTest, AFlowOutlivesALinkThatGoesDownAndUp) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *c));
  pair_->server.run("ip link set veth0 down");
  c->extend(50'000);
  engine.turn();
  c->step();
  engine.turn();
  pair_->server.run("ip link set veth0 up");
  EXPECT_TRUE(echoes(engine, server, *c));
  EXPECT_EQ(c->error(), 0);
  EXPECT_EQ(server.lost(), 0);
}

// A child that does nothing, and one that destroys its copy: neither may touch what the parent has.
class ForkTest : public RuntimeTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(TheChild, ForkTest, ::testing::Bool(),
                         [](const auto& child) { return child.param ? "DestroysItsCopy" : "DoesNothing"; });

TEST_P(ForkTest, AForkedChildNeitherHoldsTheQueuesNorTheListener) {
  steer_port();
  // One pipe says that the child runs, the other, by its end, that it may go.
  int running[2];
  int release[2];
  ASSERT_EQ(::pipe2(running, O_CLOEXEC), 0);
  ASSERT_EQ(::pipe2(release, O_CLOEXEC), 0);
  pid_t child = 0;
  char byte = 0;
  {
    auto engine = std::make_unique<Engine>(on_veth());
    ASSERT_TRUE(engine->attached());
    EchoServer server(*engine, kAny);
    child = ::fork();
    if (child == 0) {
      if (GetParam()) engine.reset();
      ::close(release[1]);
      if (::write(running[1], &byte, 1) != 1) ::_exit(1);
      ::_exit(::read(release[0], &byte, 1) == 0 ? 0 : 2);
    }
    ::close(release[0]);
    // The parent goes on with the child alive ...
    auto c = client("10.77.0.1", kPort, 1000);
    EXPECT_TRUE(echoes(*engine, server, *c));
    EXPECT_EQ(server.by_engine(), 1);
    ASSERT_EQ(::read(running[0], &byte, 1), 1);
  }
  // ... and so does its successor.
  {
    Engine engine(on_veth());
    EchoServer server(engine, kAny);
    EXPECT_TRUE(run_until(engine, {&server}, [&] { return engine.attached(); }));
    auto c = client("10.77.0.1", kPort, 1000);
    EXPECT_TRUE(echoes(engine, server, *c));
    EXPECT_EQ(server.by_engine(), 1);
  }
  ::close(running[0]);
  ::close(running[1]);
  ::close(release[1]);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(RuntimeTest, NoticesThatWeirWasDetachedAndAttachedBehindItsBack) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *c));
  ASSERT_TRUE(xdp::unpin_all(instance_here().directory()));
  steer_port();
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return server.lost() == 1 && engine.attached(); }));
  auto again = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(engine, server, *again));
  EXPECT_EQ(server.by_engine(), 2);
}

TEST_F(RuntimeTest, ClearsWhatADeadPredecessorLeft) {
  steer_port();
  auto instance = instance_here();
  weir_steer& entry = instance.maps().steer()[instance.maps().find_steer(IPPROTO_TCP, kPort).value()];
  const pid_t dead = ::fork();
  if (dead == 0) ::_exit(0);
  ASSERT_EQ(::waitpid(dead, nullptr, 0), dead);
  xdp::store(entry.listeners, weir_u64{1});
  xdp::store(entry.flows, weir_u32{7});
  {
    auto lock = control::Lock::acquire();
    ASSERT_TRUE(lock);
    ASSERT_TRUE(control::steer_add(instance.maps(), {control::Protocol::tcp, 40'000}, control::Absent::pass,
                                   control::Purpose::reserve, control::monotonic_now()));
  }
  weir_heartbeat& beat = instance.maps().heartbeats()[0];
  xdp::store(beat.pid, static_cast<weir_u32>(dead));
  xdp::store(beat.monotonic_ns, static_cast<weir_u64>(Engine::now().ns()));

  Engine engine(on_veth());
  EXPECT_TRUE(engine.attached()) << engine.why_detached();
  EXPECT_EQ(xdp::load(entry.listeners), 0u);
  EXPECT_EQ(xdp::load(entry.flows), 0u);
  EXPECT_EQ(xdp::load(beat.pid), static_cast<weir_u32>(::getpid()));
  // At once where the lock was free, else a second later.
  EXPECT_TRUE(run_until(engine, {}, [&] { return !instance.maps().find_steer(IPPROTO_TCP, 40'000); }));
}

TEST_F(RuntimeTest, DiscardsSynsThatWereQueuedWhileItSlept) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  ASSERT_EQ(engine.why_detached(), "");
  auto instance = instance_here();
  auto& lost = instance.maps().engine_counters()[0].by_reason[WEIR_R_LOST_SYN_LAPSED];
  // The SYN comes while the heartbeat is fresh, and nobody reads it. Its retransmission a second later falls to the
  // kernel, whose socket takes the connection.
  engine.turn();
  auto c = client("10.77.0.1", kPort, 1000);
  const auto& beat = instance.maps().heartbeats()[0];
  auto silent = [&] { return control::engine_state(beat, Engine::now()) != control::EngineState::alive; };
  const Instant give_up = Engine::now() + Duration::seconds(10);
  while ((server.by_kernel() == 0 || !silent()) && Engine::now() < give_up) {
    server.step();
    c->step();
  }
  ASSERT_EQ(server.by_kernel(), 1);
  EXPECT_EQ(xdp::load(lost), 0u);
  EXPECT_TRUE(echoes(engine, server, *c));
  EXPECT_EQ(c->error(), 0);
  EXPECT_EQ(xdp::load(lost), 1u);
  EXPECT_EQ(server.by_engine(), 0);
}

TEST_F(RuntimeTest, AClosedAcceptorDrains) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto kept = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *kept));
  ASSERT_EQ(server.by_engine(), 1);
  auto instance = instance_here();
  const std::uint32_t index = instance.maps().find_steer(IPPROTO_TCP, kPort).value();
  engine.close_listener(server.listener());
  EXPECT_EQ(xdp::load(instance.maps().steer()[index].listeners), 0u);
  // New ones are refused by the kernel, which has no listener either; the old one goes on.
  auto refused = client("10.77.0.1", kPort, 1000);
  kept->extend(50'000);
  EXPECT_TRUE(
      run_until(engine, {&server, kept.get(), refused.get()}, [&] { return kept->done() && refused->error() != 0; }));
  EXPECT_EQ(refused->error(), ECONNREFUSED);
  EXPECT_EQ(kept->error(), 0);
}

TEST_F(RuntimeTest, SteerDelNowResetsTheFlowsOfThePort) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *c));
  auto instance = instance_here();
  {
    auto lock = control::Lock::acquire();
    ASSERT_TRUE(lock);
    auto removed = control::steer_del(instance.maps(), {control::Protocol::tcp, kPort}, control::Removal::now,
                                      control::monotonic_now());
    ASSERT_TRUE(removed);
    EXPECT_EQ(removed->flows, 1u);
  }
  EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->error() != 0; }));
  EXPECT_EQ(c->error(), ECONNRESET);
  EXPECT_EQ(engine.stack()->flows(kPort), 0u);
}

TEST_F(RuntimeTest, AnInterfaceThatGoesTakesItsFlowsAndNothingElse) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *c));
  pair_->client.run("ip link del veth0");
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return !engine.attached() && server.lost() == 1; }));
  EchoClient local("127.0.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, &local}, [&] { return local.done(); }));
}

}  // namespace
}  // namespace weir::testing
