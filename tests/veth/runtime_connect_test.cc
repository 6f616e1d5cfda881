// SPDX-License-Identifier: MIT
// Connections out of the engine, and the routes, addresses and neighbours that they follow.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <vector>

#include "runtime_fixture.h"
#include "weir/control/interface.h"
#include "weir/control/steer.h"
#include "weir/runtime/neighbours.h"
#include "weir/runtime/socket_address.h"

namespace weir::testing {
namespace {

using runtime::Engine;
using runtime::EngineEvent;

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
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  pair_->server.run("ip addr add 10.77.0.11/24 dev veth0");
  auto instance = instance_here();
  const IpAddress added = IpAddress::v4(10, 77, 0, 11);
  auto known = [&] {
    auto all = instance.maps().local_addresses();
    const auto at = all->find(added);
    return at != all->end() && at->second == WEIR_LOCAL;
  };
  EXPECT_TRUE(run_until(engine, {&server}, known));
  auto c = client("10.77.0.11", kPort, 1000);
  EXPECT_TRUE(echoes(engine, server, *c));
  EXPECT_EQ(server.by_engine(), 1);
  c.reset();
  pair_->server.run("ip addr del 10.77.0.11/24 dev veth0");
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return !known(); }));
}

TEST_F(RuntimeTest, AConnectionOutlivesItsAddressUntilThatIsBack) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  for (const char* address : {"10.77.0.11", "fd77::11"}) {
    SCOPED_TRACE(address);
    const bool v6 = std::string(address).find(':') != std::string::npos;
    const std::string what = std::string(" ") + address + (v6 ? "/64 dev veth0 nodad" : "/24 dev veth0");
    const IpAddress moved = *IpAddress::parse(address);
    auto instance = instance_here();
    auto local = [&] {
      const auto all = instance.maps().local_addresses().value();
      const auto at = all.find(moved);
      return at != all.end() ? at->second : 0;
    };
    pair_->server.run("ip addr add" + what);
    EXPECT_TRUE(run_until(engine, {&server}, [&] { return local() == WEIR_LOCAL; }));
    auto c = client(address, kPort, 100'000);
    ASSERT_TRUE(echoes(engine, server, *c));
    for (int i = 0; i < 3; ++i) {
      pair_->server.run("ip addr del" + what);
      EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return local() == WEIR_LOCAL_LEFT; }));
      c->extend(100'000);
      c->step();
      // The kernel has it again, and the engine is not asked between this and the peer's next segment.
      pair_->server.run("ip addr add" + what);
      c->step();
      EXPECT_TRUE(echoes(engine, server, *c));
      EXPECT_EQ(c->error(), 0);
    }
    pair_->server.run("ip addr del" + what);
    EXPECT_TRUE(run_until(engine, {&server, c.get()}, [&] { return local() == WEIR_LOCAL_LEFT; }));
  }
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

}  // namespace
}  // namespace weir::testing
