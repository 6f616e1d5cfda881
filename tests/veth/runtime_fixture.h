// SPDX-License-Identifier: MIT
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "runtime_world.h"

namespace weir::testing {

inline constexpr std::uint16_t kPort = 8080;
inline const Endpoint kAny{IpAddress(), kPort};

// A server's namespace, in which the test runs, and a client's, joined by a veth pair.
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

  // weir is attached to the server's interface, and has kPort.
  static void steer_port() {
    attach_here();
    steer_here(kPort);
  }
  // All that the client has sent comes back.
  static bool echoes(runtime::Engine& engine, EchoServer& server, EchoClient& client) {
    return run_until(engine, {&server, &client}, [&] { return client.done(); });
  }

  std::optional<Pair> pair_;
  std::optional<Host::Inside> inside_;
};

inline runtime::EngineOptions on_veth() {
  runtime::EngineOptions o;
  o.interface = "veth0";
  return o;
}

}  // namespace weir::testing
