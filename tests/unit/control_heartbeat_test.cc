// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <unistd.h>

#include "weir/control/heartbeat.h"

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

TEST(EngineDead, OnlyALateOneWithoutAProcess) {
  // Beyond PID_MAX_LIMIT, which no kernel hands out.
  constexpr std::uint32_t kNobody = 5'000'000;
  const auto self = static_cast<std::uint32_t>(getpid());
  EXPECT_FALSE(engine_dead(Duration::milliseconds(250), kNobody));
  EXPECT_TRUE(engine_dead(Duration::milliseconds(401), kNobody));
  EXPECT_FALSE(engine_dead(Duration::seconds(3600), self));
}

}  // namespace
}  // namespace weir::control
