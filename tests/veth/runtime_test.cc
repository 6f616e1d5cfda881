// SPDX-License-Identifier: MIT
// The engine between real kernels: attached, steered, detached, beside a firewall, and asked what it does.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "runtime_world.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"
#include "weir/control/steer.h"

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

}  // namespace
}  // namespace weir::testing
