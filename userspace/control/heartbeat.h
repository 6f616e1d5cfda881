// SPDX-License-Identifier: MIT
// Which engines live, judged by their heartbeats as XDP judges them.
#pragma once

#include <cstdint>
#include <string>

#include "weir/base/time.h"
#include "weir/common/abi.h"
#include "weir/xdp/maps.h"

namespace weir::control {

// By the age of a queue's heartbeat, with the thresholds that XDP uses.
enum class EngineState : std::uint8_t {
  absent,  // none, or it left in good order
  alive,
  silent,   // older than WEIR_SYN_STALE_NS: new connections go to the kernel
  stopped,  // older than WEIR_FLOW_STALE_NS: its flows' frames are dropped, if it still has a socket
};
const char* engine_state_name(EngineState s);

EngineState engine_state(const weir_heartbeat& heartbeat, Instant now);

// It was killed: its process does not exist, and its heartbeat, which is due every 250 ms, is late by `age`, or nobody
// listens any more at its socket, engine_socket_path(). (One in another pid namespace whose number is free here looks
// the same, should it be that late.)
bool engine_dead(Duration age, std::uint32_t pid, const std::string& socket);

// Some queue's engine is alive or silent, and not dead: it can answer.
bool any_engine(const xdp::Maps& maps, Instant now);

// Some queue's engine has a process that exists, stopped ones among them: its flows are there, whether or not they are
// served now.
bool any_process(const xdp::Maps& maps, Instant now);

// No engine can come back: every heartbeat is zero, or old and its process gone. A process in another pid namespace
// cannot be told from a gone one, and is taken for gone when its heartbeat is old.
bool engines_gone(const xdp::Maps& maps, Instant now);

// CLOCK_MONOTONIC.
Instant monotonic_now();

}  // namespace weir::control
