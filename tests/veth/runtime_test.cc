// SPDX-License-Identifier: MIT
// The engine between real kernels: who serves what, and what it says of itself.
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

#include "runtime_fixture.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/heartbeat.h"
#include "weir/runtime/shadow_listener.h"

namespace weir::testing {
namespace {

using runtime::Engine;

TEST_F(RuntimeTest, EchoesAMegabyteOverBothFamilies) {
  steer_port();
  Engine engine(on_veth());
  ASSERT_TRUE(engine.attached()) << engine.why_detached();
  EchoServer server(engine, kAny);
  EXPECT_EQ(engine.why_detached(), "");
  auto v4 = client("10.77.0.1", kPort, 1'000'000, 1);
  auto v6 = client("fd77::1", kPort, 1'000'000, 2);
  EXPECT_TRUE(run_until(engine, {&server, v4.get(), v6.get()}, [&] { return v4->done() && v6->done(); }));
  EXPECT_EQ(v4->error(), 0);
  EXPECT_EQ(v6->error(), 0);
  EXPECT_EQ(server.by_engine(), 2);
  EXPECT_EQ(server.by_kernel(), 0);
}

TEST_F(RuntimeTest, ServesThisHostByTheKernelSocket) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  // Over loopback, and to the steered interface's own address.
  EchoClient loopback("127.0.0.1", kPort, 10'000);
  EchoClient own("10.77.0.1", kPort, 10'000);
  EchoClient own6("fd77::1", kPort, 10'000);
  EXPECT_TRUE(run_until(engine, {&server, &loopback, &own, &own6},
                        [&] { return loopback.done() && own.done() && own6.done(); }));
  EXPECT_EQ(server.by_kernel(), 3);
  EXPECT_EQ(server.by_engine(), 0);
  EXPECT_NE(shell("ss -ltn").find(":8080"), std::string::npos);
}

TEST_F(RuntimeTest, LeavesConnectionsThatTheKernelHadBeforeThePortWasSteered) {
  attach_here();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  EXPECT_NE(engine.why_detached().find("steered"), std::string::npos) << engine.why_detached();
  auto old = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *old));
  EXPECT_EQ(server.by_kernel(), 1);

  steer_here(kPort);
  auto instance = instance_here();
  const std::uint32_t index = instance.maps().find_steer(IPPROTO_TCP, kPort).value();
  const weir_steer& entry = instance.maps().steer()[index];
  ASSERT_TRUE(run_until(engine, {&server, old.get()}, [&] { return xdp::load(entry.listeners) != 0; }));
  auto fresh = client("10.77.0.1", kPort, 1000);
  old->extend(100'000);
  ASSERT_TRUE(run_until(engine, {&server, old.get(), fresh.get()}, [&] { return fresh->done() && old->done(); }));
  EXPECT_EQ(old->error(), 0);
  EXPECT_EQ(server.by_engine(), 1);
  EXPECT_EQ(xdp::load(entry.flows), 1u);
  // It is asked twice and more in this time, and still has that connection.
  const Instant asked = Engine::now() + Duration::milliseconds(2500);
  EXPECT_TRUE(run_until(engine, {&server, old.get(), fresh.get()}, [&] { return Engine::now() >= asked; }));
  EXPECT_NE(xdp::load(entry.syns_to_kernel), xdp::load(entry.kernel_clear));

  // Once the kernel has no connection left there, XDP is told to stop looking. The client closes last, so that neither
  // of the kernel's sides waits in TIME-WAIT on the port.
  old.reset();
  EXPECT_TRUE(
      run_until(engine, {&server}, [&] { return xdp::load(entry.syns_to_kernel) == xdp::load(entry.kernel_clear); }));
}

TEST_F(RuntimeTest, StaysOnKernelSocketsWhereTheHostHasAFirewall) {
  pair_->server.run(
      "nft 'table inet guard { chain in { type filter hook input priority 0; policy accept; ct state invalid drop; }; "
      "}'");
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  EXPECT_TRUE(engine.attached());
  EXPECT_NE(engine.why_detached().find("chain inet guard in"), std::string::npos) << engine.why_detached();
  auto kept = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(engine, server, *kept));
  EXPECT_EQ(server.by_kernel(), 1);

  // The rules go, live; and come again.
  pair_->server.run("nft flush ruleset");
  EXPECT_TRUE(run_until(engine, {&server, kept.get()}, [&] { return engine.why_detached().empty(); }));
  auto fast = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(engine, server, *fast));
  EXPECT_EQ(server.by_engine(), 1);
  pair_->server.run("nft 'table ip6 guard { chain in { type filter hook input priority 0; policy drop; }; }'");
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return !engine.why_detached().empty(); }));
  auto again = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(engine, server, *again));
  EXPECT_EQ(server.by_kernel(), 2);
}

TEST_F(RuntimeTest, ServesBesideAFirewallThatTheOperatorBypasses) {
  // It drops the replies to the kernel's own neighbour solicitations, so the peer speaks IPv4.
  pair_->server.run("nft 'table inet guard { chain in { type filter hook input priority 0; policy drop; }; }'");
  attach_here(/*bypass_firewall=*/true);
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  EXPECT_EQ(engine.why_detached(), "");
  auto c = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(engine, server, *c));
  EXPECT_EQ(server.by_engine(), 1);
}

TEST_F(RuntimeTest, AnswersOnItsOwnSocket) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(echoes(engine, server, *c));
  auto instance = instance_here();
  const std::string path = control::engine_socket_path(instance.config().netns_cookie, instance.config().ifindex);
  auto ask = [&](const std::string& request) {
    std::atomic<bool> answered = false;
    std::string text;
    std::thread tool([&] {
      auto answer = control::ask_engine(path, request);
      text = answer ? *answer : answer.error().message;
      answered = true;
    });
    EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return answered.load(); }));
    tool.join();
    return text;
  };
  EXPECT_NE(ask(R"({"cmd":"ping"})").find("\"ok\":true"), std::string::npos);
  const std::string sockets = ask(R"({"cmd":"sockets"})");
  EXPECT_NE(sockets.find("\"local\":\"10.77.0.1:8080\""), std::string::npos) << sockets;
  EXPECT_NE(sockets.find("\"state\":\"ESTAB\""), std::string::npos) << sockets;
  EXPECT_NE(sockets.find("\"mode\":\"engine\""), std::string::npos) << sockets;
  EXPECT_NE(ask("nonsense").find("\"ok\":false"), std::string::npos);
  struct stat st {};
  ASSERT_EQ(::stat(path.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777u, 0600u);
}

TEST_F(RuntimeTest, LeavesThePortToTheKernelWhereAnotherProgramHasItOnAnotherAddress) {
  pair_->server.run("ip addr add 10.77.0.11/24 dev veth0");
  steer_port();
  Engine engine(on_veth());
  EchoServer ours(engine, {IpAddress::v4(10, 77, 0, 1), kPort});
  // Alone on the port, a listener of one address is the engine's.
  auto alone = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(echoes(engine, ours, *alone));
  EXPECT_EQ(ours.by_engine(), 1);
  {
    runtime::EngineOptions nowhere;
    nowhere.interface = "lo";
    Engine another(nowhere);
    EchoServer theirs(another, {IpAddress::v4(10, 77, 0, 11), kPort});
    EXPECT_TRUE(run_until(engine, {&ours}, [&] { return !engine.why_detached().empty(); }));
    auto c = client("10.77.0.11", kPort, 1000);
    EXPECT_TRUE(run_until(engine, {&ours, &theirs, c.get()}, [&] { return c->done(); }));
    EXPECT_EQ(theirs.by_kernel(), 1);
  }
  EXPECT_TRUE(run_until(engine, {&ours}, [&] { return engine.why_detached().empty(); }));
}

TEST_F(RuntimeTest, AListenerOfOneFamilyRefusesTheOther) {
  steer_port();
  Engine engine(on_veth());
  runtime::ListenOptions only_v6;
  only_v6.ipv6_only = true;
  EchoServer server(engine, kAny, only_v6);
  auto v4 = client("10.77.0.1", kPort, 1000);
  auto v6 = client("fd77::1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, v4.get(), v6.get()}, [&] { return v6->done() && v4->error() != 0; }));
  EXPECT_EQ(v4->error(), ECONNREFUSED);
  EXPECT_EQ(server.by_engine(), 1);
}

TEST_F(RuntimeTest, ServesEveryQueue) {
  for (const Host* host : {&pair_->server, &pair_->client}) {
    try {
      host->run("ethtool -L veth0 rx 2 tx 2");
    } catch (const std::exception& e) { GTEST_SKIP() << "this machine's veth has one queue: " << e.what(); }
  }
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto instance = instance_here();
  EXPECT_EQ(control::engine_state(instance.maps().heartbeats()[1], Engine::now()), control::EngineState::alive);
  std::vector<std::unique_ptr<EchoClient>> clients;
  std::vector<Party*> parties{&server};
  // The sender's hash spreads them: that all 32 fall to one queue happens once in two thousand million.
  for (unsigned i = 0; i < 32; ++i) {
    clients.push_back(client(i % 2 == 0 ? "10.77.0.1" : "fd77::1", kPort, 20'000, i));
    parties.push_back(clients.back().get());
  }
  EXPECT_TRUE(run_until(engine, parties, [&] {
    return std::all_of(clients.begin(), clients.end(), [](const auto& c) { return c->done(); });
  }));
  EXPECT_EQ(server.by_engine(), 32);
}

TEST_F(RuntimeTest, TakesAListeningDescriptorThatWasPassedIn) {
  const pid_t child = ::fork();
  if (child == 0) {
    // As a service manager does it: a listening socket as descriptor 3, and two variables.
    auto passed = runtime::open_shadow_listener({IpAddress(), kPort}, {});
    if (!passed) ::_exit(1);
    constexpr int kPassed = 3;
    if (passed->socket.get() == kPassed) {
      ::fcntl(kPassed, F_SETFD, 0);
      (void)passed->socket.release();
    } else {
      ::dup2(passed->socket.get(), kPassed);
      passed->socket.reset();
    }
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", "1", 1);
    runtime::EngineOptions nowhere;
    nowhere.interface = "lo";
    Engine engine(nowhere);
    auto listener = engine.listen({IpAddress(), kPort}, {});
    if (!listener || engine.kernel_descriptor(*listener) != kPassed) ::_exit(2);
    if ((::fcntl(kPassed, F_GETFD) & FD_CLOEXEC) == 0 || (::fcntl(kPassed, F_GETFL) & O_NONBLOCK) == 0) ::_exit(3);
    // It is taken once.
    auto again = engine.listen({IpAddress(), kPort}, {});
    ::_exit(!again && again.error().code == EADDRINUSE ? 0 : 4);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace weir::testing
