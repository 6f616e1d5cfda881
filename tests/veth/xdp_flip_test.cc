// SPDX-License-Identifier: MIT
// Generations under full load over a veth pair: a sender that never pauses in the client's namespace, a writer that
// never pauses here, and no frame that is judged by half of each.
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <thread>

#include "weir/control/filter.h"
#include "weir/control/heartbeat.h"
#include "weir/control/interface.h"
#include "xdp_fixture.h"

namespace weir::test {
namespace {

using control::Rule;

constexpr std::uint16_t kPort = 9000;
constexpr const char* kServerAddress6 = "fd77::1";
constexpr const char* kClientAddress6 = "fd77::2";

// `by_source` decides about the sender's frames by their address alone, the other one by their port alone, each behind
// rules that do not match them and that lie at other places. What is of one and what is of the other fit nowhere
// together: such a frame meets `third`, or no rule.
std::vector<Rule> generation(bool by_source, std::size_t rules, const std::string& sender) {
  std::vector<Rule> out;
  const auto add = [&](std::string name, control::Action action) -> Rule& {
    out.emplace_back();
    out.back().name = std::move(name);
    out.back().action = action;
    return out.back();
  };
  const auto port = [](Rule& r, std::size_t number) {
    r.protocol = IPPROTO_UDP;
    r.port = {static_cast<std::uint16_t>(number), static_cast<std::uint16_t>(number)};
  };
  const auto never = [](Rule& r) { r.vlan = control::Range{1, 1}; };
  for (std::size_t i = 0; out.size() + 3 < rules; ++i) {
    Rule& r = add("other" + std::to_string(i), control::Action::pass);
    if (by_source)
      r.source = *control::parse_prefix("203.0." + std::to_string(i / 256) + "." + std::to_string(i % 256));
    else
      port(r, 10000 + i);
  }
  Rule& source = add("by-source", control::Action::drop);
  if (by_source)
    source.source = *control::parse_prefix(sender);
  else
    never(source);
  Rule& destination = add("by-port", control::Action::drop);
  if (by_source)
    never(destination);
  else
    port(destination, kPort);
  add("third", control::Action::pass);
  return out;
}

class XdpFlip : public VethTest, public ::testing::WithParamInterface<Family> {
 protected:
  bool v6() const { return GetParam() == Family::v6; }
  std::string sender_address() const { return v6() ? kClientAddress6 : kClientAddress; }

  void SetUp() override {
    VethTest::SetUp();
    if (IsSkipped()) return;
    const auto mac = control::read_interface(kServerDevice)->mac.to_string();
    if (v6()) {
      run("sysctl -qw net.ipv6.conf." + kServerDevice + ".disable_ipv6=0");
      run(std::string("ip addr add ") + kServerAddress6 + "/64 dev " + kServerDevice + " nodad");
    }
    // The neighbour is known, so that no frame waits for it, or is given up.
    in_client([&] {
      if (v6()) {
        run(std::string("sysctl -qw net.ipv6.conf.") + kClientDevice + ".disable_ipv6=0");
        run(std::string("ip addr add ") + kClientAddress6 + "/64 dev " + kClientDevice + " nodad");
      }
      run(std::string("ip neigh replace ") + (v6() ? kServerAddress6 : kServerAddress) + " lladdr " + mac + " dev " +
          kClientDevice + " nud permanent");
    });
    attach(xdp::AttachMode::native);
  }

  // A socket of the client's namespace that is connected to the server.
  xdp::Fd sender() const {
    xdp::Fd out;
    in_client([&] {
      out = xdp::Fd(socket(v6() ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
      if (v6()) {
        sockaddr_in6 to{};
        to.sin6_family = AF_INET6;
        to.sin6_port = htons(kPort);
        inet_pton(AF_INET6, kServerAddress6, &to.sin6_addr);
        EXPECT_EQ(connect(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0) << std::strerror(errno);
        return;
      }
      sockaddr_in to{};
      to.sin_family = AF_INET;
      to.sin_port = htons(kPort);
      inet_pton(AF_INET, kServerAddress, &to.sin_addr);
      EXPECT_EQ(connect(out.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0) << std::strerror(errno);
    });
    return out;
  }

  // Frames that the client's end of the pair gave up because the other's ring was full.
  std::uint64_t given_up() const {
    std::uint64_t out = 0;
    in_client([&] {
      ifaddrs* all = nullptr;
      ASSERT_EQ(getifaddrs(&all), 0);
      for (const ifaddrs* a = all; a != nullptr; a = a->ifa_next)
        if (a->ifa_addr != nullptr && a->ifa_addr->sa_family == AF_PACKET && a->ifa_data != nullptr &&
            std::strcmp(a->ifa_name, kClientDevice) == 0) {
          rtnl_link_stats stats{};
          std::memcpy(&stats, a->ifa_data, sizeof stats);
          out = stats.tx_dropped;
        }
      freeifaddrs(all);
    });
    return out;
  }

  std::map<std::string, std::uint64_t> hits() {
    std::map<std::string, std::uint64_t> out;
    // Held by name: the loop would keep the rules, not the answer that they are in.
    const auto state = control::filter_state(maps(), control::monotonic_now());
    EXPECT_TRUE(state.ok()) << state.error().message;
    if (!state) return out;
    for (const Rule& r : state->rules)
      out[r.name.rfind("other", 0) == 0 ? "other" : r.name] += r.hits.packets;
    return out;
  }
};

TEST_P(XdpFlip, EveryFrameIsJudgedByOneGenerationAndCountedOnce) {
  constexpr int kApplies = 200;
  constexpr int kFlipsAnApply = 50;
  const auto now = [] { return control::monotonic_now(); };
  ASSERT_TRUE(control::filter_apply(maps(), generation(false, 200, sender_address()), std::nullopt, now()).ok());
  const xdp::Fd to = sender();
  const std::uint64_t lost_before = given_up();

  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> sent{0};
  std::thread traffic([&] {
    constexpr unsigned kBatch = 32;
    char text[] = "frame";
    iovec part{text, sizeof text};
    std::array<mmsghdr, kBatch> batch{};
    for (mmsghdr& m : batch) {
      m.msg_hdr.msg_iov = &part;
      m.msg_hdr.msg_iovlen = 1;
    }
    while (!stop.load(std::memory_order_relaxed)) {
      const int n = sendmmsg(to.get(), batch.data(), kBatch, 0);
      if (n > 0) sent.fetch_add(static_cast<std::uint64_t>(n));
    }
  });
  std::uint64_t failed = 0;
  std::uint64_t flips = 0;
  for (int i = 0; i < kApplies; ++i) {
    // Of another size each time, so that nothing lies where it lay before; the one that is current now goes on
    // counting.
    const bool by_source = i % 2 == 0;
    const auto applied = control::filter_apply(
        maps(), generation(by_source, static_cast<std::size_t>(100 + i), sender_address()), std::nullopt, now());
    failed += applied.ok() && *applied ? 0u : 1u;
    // An even number of flips: the generation that was applied is current again at the end.
    for (int flip = 0; flip < kFlipsAnApply; ++flip) {
      const std::uint64_t seen = sent.load();
      const weir_u64 selector = xdp::load(maps().config().filter_selector);
      xdp::store(maps().config().filter_selector, selector ^ 1);
      ++flips;
      while (sent.load() == seen) std::this_thread::yield();
    }
  }
  stop = true;
  traffic.join();
  EXPECT_EQ(failed, 0u);
  EXPECT_EQ(flips, 10'000u);

  const std::uint64_t lost = given_up() - lost_before;
  const auto counted = [&] {
    const auto h = hits();
    std::uint64_t all = 0;
    for (const auto& [name, packets] : h) all += packets;
    return all;
  };
  // What is in the ring yet comes.
  EXPECT_TRUE(eventually([&] { return counted() == sent.load() - lost; }))
      << counted() << " counted, " << sent.load() << " sent, " << lost << " of them given up by the sender's device";
  auto h = hits();
  std::printf("  %llu frames: %llu by source, %llu by port, %llu by neither; %llu flips, %d applies; %llu not sent\n",
              static_cast<unsigned long long>(counted()), static_cast<unsigned long long>(h["by-source"]),
              static_cast<unsigned long long>(h["by-port"]), static_cast<unsigned long long>(h["third"] + h["other"]),
              static_cast<unsigned long long>(flips), kApplies, static_cast<unsigned long long>(lost));
  EXPECT_EQ(h["third"], 0u);
  EXPECT_EQ(h["other"], 0u);
  EXPECT_GT(h["by-source"], 0u);
  EXPECT_GT(h["by-port"], 0u);
}

INSTANTIATE_TEST_SUITE_P(Families, XdpFlip, ::testing::Values(Family::v4, Family::v6),
                         [](const auto& family) { return family.param == Family::v6 ? "v6" : "v4"; });

}  // namespace
}  // namespace weir::test
