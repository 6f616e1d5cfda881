// SPDX-License-Identifier: MIT
#include "weir/control/heartbeat.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstdio>

#include "weir/xdp/fd.h"

namespace weir::control {
namespace {

EngineState after(Duration age) {
  weir_heartbeat h{};
  const Instant beat = Instant::from_ns(1'000'000'000'000);
  h.monotonic_ns = static_cast<weir_u64>(beat.ns());
  return engine_state(h, beat + age);
}

TEST(EngineState, FollowsTheThresholdsOfTheAbi) {
  EXPECT_EQ(engine_state(weir_heartbeat{}, Instant::from_ns(5)), EngineState::absent);
  EXPECT_EQ(after(Duration()), EngineState::alive);
  EXPECT_EQ(after(Duration::seconds(1)), EngineState::alive);
  EXPECT_EQ(after(Duration::seconds(1) + Duration::nanoseconds(1)), EngineState::silent);
  EXPECT_EQ(after(Duration::seconds(3)), EngineState::silent);
  EXPECT_EQ(after(Duration::seconds(3) + Duration::nanoseconds(1)), EngineState::stopped);
}

TEST(EngineState, ABeatFromTheFutureIsAlive) {
  // The reader took its time before the engine wrote.
  EXPECT_EQ(after(-Duration::milliseconds(5)), EngineState::alive);
}

TEST(EngineDead, OneWithoutAProcessThatIsLateOrHasLeftItsSocket) {
  // Beyond PID_MAX_LIMIT, which no kernel hands out.
  constexpr std::uint32_t kNobody = 5'000'000;
  const auto self = static_cast<std::uint32_t>(getpid());
  EXPECT_FALSE(engine_dead(Duration::milliseconds(250), kNobody, "/nowhere/engine.sock"));
  EXPECT_TRUE(engine_dead(Duration::milliseconds(401), kNobody, "/nowhere/engine.sock"));

  char directory[32] = "/tmp/weir-heartbeat-XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "%s/engine.sock", directory);
  xdp::Fd listener(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 1), 0);
  EXPECT_FALSE(engine_dead(Duration(), kNobody, address.sun_path)) << "one of another pid namespace";
  listener.reset();
  EXPECT_TRUE(engine_dead(Duration(), kNobody, address.sun_path));
  EXPECT_FALSE(engine_dead(Duration::seconds(3600), self, address.sun_path));
  unlink(address.sun_path);
  rmdir(directory);
}

}  // namespace
}  // namespace weir::control
