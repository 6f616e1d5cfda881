// SPDX-License-Identifier: MIT
// Two network namespaces joined by a veth pair, for one test.
//
// The namespaces have no names: they are held by descriptors of this process, so a test that is killed leaves none
// behind, and tests run beside each other without meeting. What is pinned is keyed by the namespace's cookie; what a
// killed test left pinned is removed by the next one.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "weir/control/instance.h"
#include "weir/control/steer.h"
#include "weir/xdp/fd.h"
#include "weir/xdp/socket.h"

namespace weir::test {

// The server's is the label of what is pinned: it names its owner, so that the next test knows what a killed one left.
inline const std::string kServerDevice = "weirt" + std::to_string(getpid());
inline constexpr const char* kClientDevice = "cli";
inline constexpr const char* kServerAddress = "10.77.0.1";
inline constexpr const char* kClientAddress = "10.77.0.2";

// Every test runs in the server's namespace; in_client() runs its argument in the client's.
class VethTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  // Runs a command by the shell; the test fails where it fails.
  static void run(const std::string& command);
  void in_client(const std::function<void()>& f) const;
  // The client's namespace, as a path that any process can open while this one lives.
  std::string client_path() const;
  // Again until it is true; false after `seconds`.
  static bool eventually(const std::function<bool()>& f, int seconds = 5);

  // An attached instance in generic mode (faster to make), with its maps open.
  void attach(xdp::AttachMode mode = xdp::AttachMode::generic);
  control::Instance& instance() { return *instance_; }
  const xdp::Maps& maps() { return instance_->maps(); }
  std::uint32_t ifindex() const { return ifindex_; }

  // Plays the part of an engine for queue 0: a fresh heartbeat and an acceptor on the port.
  void play_engine(control::Port port);
  void beat();

  // A bound socket on queue 0, in the program's map, with a filled fill ring.
  std::optional<xdp::Socket> open_socket(std::uint32_t completion_ring = 256);

  // Paths under the pin and run directories that belong to this test's namespaces.
  std::vector<std::string> traces() const;

 private:
  bool ready_ = false;
  xdp::Fd home_;
  xdp::Fd server_;
  xdp::Fd client_;
  std::uint32_t ifindex_ = 0;
  std::uint64_t cookie_ = 0;
  std::optional<control::Instance> instance_;
};

// The client's kernel sends one UDP datagram to the server.
void send_udp(std::uint16_t port, const std::string& text);

}  // namespace weir::test
