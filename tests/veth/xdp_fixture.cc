// SPDX-License-Identifier: MIT
#include "xdp_fixture.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <stdexcept>
#include <string_view>
#include <thread>

#include "own_mounts.h"
#include "weir/control/heartbeat.h"
#include "weir/control/netns.h"
#include "weir/xdp/program.h"

namespace weir::test {
namespace {

xdp::Fd this_namespace() { return xdp::Fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

// What tests of processes that are gone left pinned.
void sweep() {
  constexpr std::string_view kLabel = "weirt";
  const auto all = control::list();
  if (!all) return;
  for (const auto& s : *all) {
    if (!s.stale || s.interface.substr(0, kLabel.size()) != kLabel) continue;
    const std::string owner = s.interface.substr(kLabel.size());
    if (owner.find_first_not_of("0123456789") == std::string::npos && !std::filesystem::exists("/proc/" + owner))
      static_cast<void>(xdp::unpin_all(s.directory));
  }
}

}  // namespace

void VethTest::run(const std::string& command) {
  const int status = std::system(command.c_str());
  ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << command;
}

void VethTest::SetUp() {
  if (geteuid() != 0) GTEST_SKIP() << "needs root: makes network namespaces and attaches XDP";
  testing::own_mounts();
  sweep();
  home_ = this_namespace();
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  client_ = this_namespace();
  ASSERT_EQ(unshare(CLONE_NEWNET), 0);
  server_ = this_namespace();
  ready_ = true;
  // No duplicate address detection and no router solicitations: nothing moves that a test has not sent.
  run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
  run(std::string("ip link add ") + kServerDevice + " type veth peer name " + kClientDevice + " netns " +
      client_path());
  run(std::string("ip addr add ") + kServerAddress + "/24 dev " + kServerDevice);
  run(std::string("ip link set lo up; ip link set ") + kServerDevice + " up");
  in_client([] {
    run("sysctl -qw net.ipv6.conf.all.disable_ipv6=1");
    run(std::string("ip addr add ") + kClientAddress + "/24 dev " + kClientDevice);
    run(std::string("ip link set lo up; ip link set ") + kClientDevice + " up");
    // Its frames carry whole checksums.
    run(std::string("ethtool -K ") + kClientDevice + " tx off > /dev/null 2>&1");
  });
  ifindex_ = if_nametoindex(kServerDevice.c_str());
  ASSERT_NE(ifindex_, 0u);
  cookie_ = control::netns_cookie().value();
}

void VethTest::TearDown() {
  if (!ready_) return;
  instance_.reset();
  // By whatever name: a test may have renamed or deleted the device.
  if (auto all = control::list())
    for (const auto& s : *all)
      if (s.netns_cookie == cookie_)
        static_cast<void>(control::detach({.interface = s.interface, .force = true, .patience = Duration()}));
  EXPECT_EQ(traces(), std::vector<std::string>());
  ASSERT_EQ(setns(home_.get(), CLONE_NEWNET), 0);
}

void VethTest::in_client(const std::function<void()>& f) const {
  ASSERT_EQ(setns(client_.get(), CLONE_NEWNET), 0);
  f();
  ASSERT_EQ(setns(server_.get(), CLONE_NEWNET), 0);
}

bool VethTest::eventually(const std::function<bool()>& f, int seconds) {
  const Instant until = control::monotonic_now() + Duration::seconds(seconds);
  while (!f()) {
    if (control::monotonic_now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

std::string VethTest::client_path() const {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(client_.get());
}

void VethTest::attach(xdp::AttachMode mode) {
  const auto report = control::attach({.interface = kServerDevice, .mode = mode});
  // What follows in the test would have no maps.
  if (!report) throw std::runtime_error(report.error().message);
  auto opened = control::Instance::open(kServerDevice);
  if (!opened) throw std::runtime_error(opened.error().message);
  instance_.emplace(std::move(opened).value());
}

void VethTest::beat() {
  weir_heartbeat& h = maps().heartbeats()[0];
  xdp::store(h.pid, static_cast<weir_u32>(getpid()));
  xdp::store(h.monotonic_ns, static_cast<weir_u64>(xdp::monotonic_ns()));
}

void VethTest::play_engine(control::Port port) {
  const auto index =
      control::steer_add(maps(), port, control::Absent::pass, control::Purpose::serve, control::monotonic_now());
  ASSERT_TRUE(index.ok()) << index.error().message;
  xdp::store(maps().steer()[*index].listeners, weir_u64{1});
  beat();
}

std::optional<xdp::Socket> VethTest::open_socket(std::uint32_t completion_ring) {
  xdp::SocketConfig config;
  config.ifindex = ifindex_;
  config.rings = {64, completion_ring, 64, 256};
  config.umem = {.frames = 512, .chunk_size = 2048, .headroom = 0, .huge_pages = false};
  auto socket = xdp::Socket::create(config);
  if (!socket) {
    ADD_FAILURE() << socket.error().message;
    return {};
  }
  auto ready = socket->map_rings();
  if (ready) ready = socket->bind(xdp::BindMode::automatic);
  if (ready && instance_) ready = maps().set_xsk(0, socket->fd());
  if (!ready) {
    ADD_FAILURE() << ready.error().message;
    return {};
  }
  socket->refill();
  return std::optional(std::move(socket).value());
}

std::vector<std::string> VethTest::traces() const {
  std::vector<std::string> out;
  for (const char* root : {WEIR_PIN_ROOT, WEIR_RUN_DIR}) {
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(root, error))
      if (entry.path().filename().string().rfind(std::to_string(cookie_) + "-", 0) == 0)
        out.push_back(entry.path().string());
  }
  return out;
}

void send_udp(std::uint16_t port, const std::string& text) {
  const xdp::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  inet_pton(AF_INET, kServerAddress, &to.sin_addr);
  EXPECT_EQ(sendto(socket.get(), text.data(), text.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to),
            static_cast<ssize_t>(text.size()));
}

}  // namespace weir::test
