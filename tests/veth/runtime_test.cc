// SPDX-License-Identifier: MIT
// The engine between real kernels: attached, steered, detached, beside a firewall, and asked what it does.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "runtime_world.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/heartbeat.h"
#include "weir/control/interface.h"
#include "weir/control/lock.h"
#include "weir/control/steer.h"
#include "weir/runtime/neighbours.h"
#include "weir/runtime/shadow_listener.h"
#include "weir/runtime/socket_address.h"
#include "weir/xdp/program.h"

namespace weir::testing {
namespace {

using runtime::Engine;
using runtime::EngineEvent;

class RuntimeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (auto why = why_no_lab(); !why.empty()) GTEST_SKIP() << why;
    pair_.emplace();
    inside_.emplace(pair_->server);
  }
  void TearDown() override {
    inside_.reset();
    pair_.reset();
  }

  std::unique_ptr<EchoClient> client(const std::string& remote, std::uint16_t port, std::size_t size,
                                     unsigned seed = 1) {
    auto there = pair_->client.inside();
    return std::make_unique<EchoClient>(remote, port, size, seed);
  }

  std::optional<Pair> pair_;
  std::optional<Host::Inside> inside_;
};

constexpr std::uint16_t kPort = 8080;
const Endpoint kAny{IpAddress(), kPort};
runtime::EngineOptions on_veth() {
  runtime::EngineOptions o;
  o.interface = "veth0";
  return o;
}

TEST_F(RuntimeTest, EchoesAMegabyteOverBothFamilies) {
  attach_here();
  steer_here(kPort);
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
  attach_here();
  steer_here(kPort);
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

TEST_F(RuntimeTest, MovesToTheKernelAndBackAsWeirIsDetachedAndAttached) {
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto before = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, before.get()}, [&] { return before->done(); }));
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
  EXPECT_TRUE(run_until(engine, {&server, during.get()}, [&] { return during->done(); }));
  EXPECT_EQ(server.by_kernel(), 1);

  attach_here();
  steer_here(kPort);
  EXPECT_TRUE(run_until(engine, {&server, during.get()}, [&] { return engine.attached(); }));
  auto after = client("fd77::1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, during.get(), after.get()}, [&] { return after->done(); }));
  EXPECT_EQ(server.by_engine(), 2);
  // What the kernel had taken meanwhile stays the kernel's.
  during->extend(1000);
  EXPECT_TRUE(run_until(engine, {&server, during.get()}, [&] { return during->done(); }));
  EXPECT_EQ(during->error(), 0);
}

TEST_F(RuntimeTest, LeavesConnectionsThatTheKernelHadBeforeThePortWasSteered) {
  attach_here();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  EXPECT_NE(engine.why_detached().find("steered"), std::string::npos) << engine.why_detached();
  auto old = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, old.get()}, [&] { return old->done(); }));
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
  shell("command -v nft");
  pair_->server.run(
      "nft 'table inet guard { chain in { type filter hook input priority 0; policy accept; ct state invalid drop; }; "
      "}'");
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  EXPECT_TRUE(engine.attached());
  EXPECT_NE(engine.why_detached().find("chain inet guard in"), std::string::npos) << engine.why_detached();
  auto kept = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, kept.get()}, [&] { return kept->done(); }));
  EXPECT_EQ(server.by_kernel(), 1);

  // The rules go, live; and come again.
  pair_->server.run("nft flush ruleset");
  EXPECT_TRUE(run_until(engine, {&server, kept.get()}, [&] { return engine.why_detached().empty(); }));
  auto fast = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, fast.get()}, [&] { return fast->done(); }));
  EXPECT_EQ(server.by_engine(), 1);
  pair_->server.run("nft 'table ip6 guard { chain in { type filter hook input priority 0; policy drop; }; }'");
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return !engine.why_detached().empty(); }));
  auto again = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, again.get()}, [&] { return again->done(); }));
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
  EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  EXPECT_EQ(server.by_engine(), 1);
}

// The other way round: a kernel's echo server in the peer's namespace, and connections out of the engine.
std::optional<stack::ConnectionId> connect_by_engine(Engine& engine, const Endpoint& local, const Endpoint& remote) {
  // While a tool of another test holds the lock, no port can be reserved, and a kernel socket would be the answer.
  const Instant give_up = Engine::now() + Duration::seconds(10);
  while (Engine::now() < give_up) {
    auto plan = engine.connect(local, remote);
    if (!plan || plan->connection) return plan ? plan->connection : std::nullopt;
  }
  return std::nullopt;
}

class KernelEcho : public Party {
 public:
  explicit KernelEcho(std::uint16_t port) {
    auto address = runtime::to_socket_address({IpAddress(), port});
    listener_ = xdp::Fd(::socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::bind(listener_.get(), address.get(), address.size), 0);
    EXPECT_EQ(::listen(listener_.get(), 16), 0);
  }
  void step() override {
    for (;;) {
      xdp::Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
      if (!fd) break;
      clients_.push_back(std::move(fd));
    }
    std::array<std::byte, 4096> buffer;
    for (xdp::Fd& c : clients_) {
      const ssize_t n = ::recv(c.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n <= 0) continue;
      EXPECT_EQ(::send(c.get(), buffer.data(), static_cast<std::size_t>(n), MSG_NOSIGNAL), n);
    }
  }
  std::vector<int> descriptors() const override {
    std::vector<int> fds{listener_.get()};
    for (const xdp::Fd& c : clients_) fds.push_back(c.get());
    return fds;
  }
  std::size_t clients() const { return clients_.size(); }

 private:
  xdp::Fd listener_;
  std::vector<xdp::Fd> clients_;
};

constexpr std::uint16_t kPeerPort = 9000;

TEST_F(RuntimeTest, ConnectsOutThroughThePoolOfPorts) {
  attach_here();
  Engine engine(on_veth());
  std::optional<KernelEcho> peer;
  {
    auto there = pair_->client.inside();
    peer.emplace(kPeerPort);
  }
  std::vector<stack::ConnectionId> ids;
  for (const char* to : {"10.77.0.2", "fd77::2", "10.77.0.2"}) {
    auto id = connect_by_engine(engine, {}, {IpAddress::parse(to).value(), kPeerPort});
    ASSERT_TRUE(id) << to;
    ids.push_back(*id);
  }
  stack::Stack& stack = *engine.stack();
  // The first two go to different peers and share a port; the third needs another.
  EXPECT_EQ(stack.local_endpoint(ids[0]).port, stack.local_endpoint(ids[1]).port);
  EXPECT_NE(stack.local_endpoint(ids[0]).port, stack.local_endpoint(ids[2]).port);
  EXPECT_EQ(stack.local_endpoint(ids[0]).address, IpAddress::v4(10, 77, 0, 1));

  int connected = 0;
  auto count = [&](const EngineEvent& e) {
    if (e.kind == EngineEvent::Kind::connection && (e.readiness & tcp::kConnected) != 0) ++connected;
  };
  EXPECT_TRUE(run_until(
      engine, {&*peer}, [&] { return connected == 3 && peer->clients() == 3; }, count));
  const std::string text = "hello";
  for (auto id : ids) EXPECT_EQ(stack.write(id, as_const_bytes(text), Engine::now()), text.size());
  EXPECT_TRUE(run_until(engine, {&*peer}, [&] {
    return std::all_of(ids.begin(), ids.end(), [&](auto id) { return stack.readable_bytes(id) == text.size(); });
  }));
}

TEST_F(RuntimeTest, ReservedPortsAreNobodyElsesAndGoWithTheEngine) {
  attach_here();
  auto instance = instance_here();
  auto reserved = [&] {
    auto list = control::steer_list(instance.maps());
    return std::count_if(list->begin(), list->end(), [](const control::SteerEntry& e) { return e.reserved; });
  };
  {
    Engine engine(on_veth());
    auto id = connect_by_engine(engine, {}, {IpAddress::v4(10, 77, 0, 2), kPeerPort});
    ASSERT_TRUE(id);
    EXPECT_EQ(reserved(), 1);
    const std::uint16_t port = engine.stack()->local_endpoint(*id).port;
    auto taken = engine.listen({IpAddress(), port}, {});
    ASSERT_FALSE(taken);
    EXPECT_EQ(taken.error().code, EADDRINUSE);
  }
  EXPECT_EQ(reserved(), 0);
}

TEST_F(RuntimeTest, UsesKernelSocketsForThisHostAndForOtherRoutes) {
  attach_here();
  pair_->server.run("ip link add other0 type veth peer name other1");
  pair_->server.run("ip addr add 10.78.0.1/24 dev other0 && ip link set other0 up && ip link set other1 up");
  Engine engine(on_veth());
  for (const char* to : {"127.0.0.1", "10.77.0.1", "fd77::1", "10.78.0.9", "10.78.0.1", "8.8.8.8", "224.0.0.1"}) {
    auto plan = engine.connect({}, {IpAddress::parse(to).value(), kPeerPort});
    ASSERT_TRUE(plan) << to;
    EXPECT_FALSE(plan->connection) << to;
  }
  auto elsewhere = engine.connect({IpAddress::v4(10, 77, 0, 1), 0}, {IpAddress::v4(10, 78, 0, 9), kPeerPort});
  EXPECT_TRUE(elsewhere && !elsewhere->connection);
  pair_->server.run("ip route add default via 10.77.0.2");
  EXPECT_TRUE(connect_by_engine(engine, {}, {IpAddress::v4(8, 8, 8, 8), kPeerPort}));
}

TEST_F(RuntimeTest, AConnectionToNobodyFailsAsTheKernelFindsOut) {
  attach_here();
  Engine engine(on_veth());
  auto id = connect_by_engine(engine, {}, {IpAddress::v4(10, 77, 0, 99), kPeerPort});
  ASSERT_TRUE(id);
  bool failed = false;
  auto seen = [&](const EngineEvent& e) { failed = failed || (e.readiness & tcp::kFailed) != 0; };
  EXPECT_TRUE(run_until(
      engine, {}, [&] { return failed; }, seen));
  EXPECT_EQ(engine.stack()->error(*id), tcp::Errc::host_unreachable);
}

TEST_F(RuntimeTest, FollowsAddressesLive) {
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  pair_->server.run("ip addr add 10.77.0.11/24 dev veth0");
  auto instance = instance_here();
  const IpAddress added = IpAddress::v4(10, 77, 0, 11);
  auto known = [&] {
    auto all = instance.maps().local_addresses();
    return all && std::find(all->begin(), all->end(), added) != all->end();
  };
  EXPECT_TRUE(run_until(engine, {&server}, known));
  auto c = client("10.77.0.11", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  EXPECT_EQ(server.by_engine(), 1);
  c.reset();
  pair_->server.run("ip addr del 10.77.0.11/24 dev veth0");
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return !known(); }));
}

TEST_F(RuntimeTest, ASecondEngineSaysWhoHasTheQueuesAndServesByTheKernel) {
  attach_here();
  steer_here(kPort);
  Engine first(on_veth());
  ASSERT_TRUE(first.attached());
  Engine second(on_veth());
  EXPECT_FALSE(second.attached());
  EXPECT_NE(second.why_detached().find("process " + std::to_string(::getpid())), std::string::npos)
      << second.why_detached();
  EchoServer server(second, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(second, {&server, c.get()}, [&] { return c->done(); }));
  EXPECT_EQ(server.by_kernel(), 1);
}

TEST_F(RuntimeTest, TheNextEngineTakesTheQueuesWhenTheyAreFree) {
  attach_here();
  steer_here(kPort);
  auto first = std::make_unique<Engine>(on_veth());
  Engine second(on_veth());
  EchoServer server(second, kAny);
  first.reset();
  EXPECT_TRUE(run_until(second, {&server}, [&] { return second.attached(); }));
  auto c = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(second, {&server, c.get()}, [&] { return c->done(); }));
  EXPECT_EQ(server.by_engine(), 1);
}

TEST_F(RuntimeTest, GoesOnThroughAReplacedProgramAndAChangedChoice) {
  pair_->server.run("nft 'table ip guard { chain in { type filter hook input priority 0; policy drop; }; }'");
  attach_here();
  steer_here(kPort);
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
  ASSERT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  ASSERT_TRUE(control::attach(options));
  c->extend(100'000);
  EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  EXPECT_EQ(c->error(), 0);
  EXPECT_EQ(server.by_engine(), 1);
  EXPECT_EQ(server.lost(), 0);
}

TEST_F(RuntimeTest, AFlowOutlivesALinkThatGoesDownAndUp) {
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  pair_->server.run("ip link set veth0 down");
  c->extend(50'000);
  engine.turn();
  c->step();
  engine.turn();
  pair_->server.run("ip link set veth0 up");
  EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  EXPECT_EQ(c->error(), 0);
  EXPECT_EQ(server.lost(), 0);
}

TEST_F(RuntimeTest, ANeighbourIsResolvedWithoutPrivilegesToo) {
  const std::uint32_t ifindex = control::read_interface("veth0")->ifindex;
  const pid_t child = ::fork();
  if (child == 0) {
    if (::setresuid(65534, 65534, 65534) != 0) ::_exit(1);
    control::NetlinkSocket requests;
    if (requests.open(NETLINK_ROUTE) != 0) ::_exit(2);
    const IpAddress peer = IpAddress::v4(10, 77, 0, 2);
    if (runtime::find_neighbour(requests, ifindex, peer).state != runtime::Neighbour::State::absent) ::_exit(3);
    if (runtime::use_neighbour(requests, ifindex, peer) != 0) ::_exit(4);
    const Instant give_up = Engine::now() + Duration::seconds(10);
    while (Engine::now() < give_up) {
      if (runtime::find_neighbour(requests, ifindex, peer).state == runtime::Neighbour::State::usable) ::_exit(0);
    }
    ::_exit(5);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// A child that does nothing, and one that destroys its copy: neither may touch what the parent has.
class ForkTest : public RuntimeTest, public ::testing::WithParamInterface<bool> {};
INSTANTIATE_TEST_SUITE_P(TheChild, ForkTest, ::testing::Bool(),
                         [](const auto& child) { return child.param ? "DestroysItsCopy" : "DoesNothing"; });

TEST_P(ForkTest, AForkedChildNeitherHoldsTheQueuesNorTheListener) {
  attach_here();
  steer_here(kPort);
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
    EXPECT_TRUE(run_until(*engine, {&server, c.get()}, [&] { return c->done(); }));
    EXPECT_EQ(server.by_engine(), 1);
    ASSERT_EQ(::read(running[0], &byte, 1), 1);
  }
  // ... and so does its successor.
  {
    Engine engine(on_veth());
    EchoServer server(engine, kAny);
    EXPECT_TRUE(run_until(engine, {&server}, [&] { return engine.attached(); }));
    auto c = client("10.77.0.1", kPort, 1000);
    EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
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
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  ASSERT_TRUE(xdp::unpin_all(instance_here().directory()));
  attach_here();
  steer_here(kPort);
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return server.lost() == 1 && engine.attached(); }));
  auto again = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, again.get()}, [&] { return again->done(); }));
  EXPECT_EQ(server.by_engine(), 2);
}

TEST_F(RuntimeTest, ClearsWhatADeadPredecessorLeft) {
  attach_here();
  steer_here(kPort);
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
  attach_here();
  steer_here(kPort);
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
  EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  EXPECT_EQ(c->error(), 0);
  EXPECT_EQ(xdp::load(lost), 1u);
  EXPECT_EQ(server.by_engine(), 0);
}

TEST_F(RuntimeTest, AnswersOnItsOwnSocket) {
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
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

TEST_F(RuntimeTest, AClosedAcceptorDrains) {
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto kept = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, kept.get()}, [&] { return kept->done(); }));
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
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
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
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  auto c = client("10.77.0.1", kPort, 1000);
  ASSERT_TRUE(run_until(engine, {&server, c.get()}, [&] { return c->done(); }));
  pair_->client.run("ip link del veth0");
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return !engine.attached() && server.lost() == 1; }));
  EchoClient local("127.0.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&server, &local}, [&] { return local.done(); }));
}

TEST_F(RuntimeTest, LeavesThePortToTheKernelWhereAnotherProgramHasItOnAnotherAddress) {
  pair_->server.run("ip addr add 10.77.0.11/24 dev veth0");
  attach_here();
  steer_here(kPort);
  Engine engine(on_veth());
  EchoServer ours(engine, {IpAddress::v4(10, 77, 0, 1), kPort});
  // Alone on the port, a listener of one address is the engine's.
  auto alone = client("10.77.0.1", kPort, 1000);
  EXPECT_TRUE(run_until(engine, {&ours, alone.get()}, [&] { return alone->done(); }));
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
  attach_here();
  steer_here(kPort);
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
  attach_here();
  steer_here(kPort);
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
