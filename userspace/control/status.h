// SPDX-License-Identifier: MIT
// What `weir status` shows: one instance, judged at one instant.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/control/guard.h"
#include "weir/control/heartbeat.h"
#include "weir/control/instance.h"
#include "weir/control/steer.h"

namespace weir::control {

struct QueueStatus {
  std::uint32_t queue = 0;
  EngineState engine = EngineState::absent;
  bool dead = false;      // engine_dead(): whatever its heartbeat says
  std::uint32_t pid = 0;  // in the engine's own pid namespace
  bool zero_copy = false;
  std::string app;         // the engine's name; empty: none
  Duration heartbeat_age;  // zero where absent
  Duration uptime;         // likewise
  Duration loop_lag;
};

struct Status {
  std::string interface;
  std::uint32_t ifindex = 0;
  std::uint64_t netns_cookie = 0;
  std::uint32_t abi = 0;
  weir_xdp_mode mode = WEIR_XDP_NATIVE;
  std::uint32_t program_id = 0;
  bool attached = false;            // the link is there; false: the pins remain, but the program is gone
  bool shared = false;              // by libxdp's dispatcher
  std::vector<std::string> beside;  // the dispatcher's other programs, in its order
  bool bypass_firewall = false;
  bool partial_checksums = false;
  bool detaching = false;
  SynGuard syn_guard;
  MacAddress mac;
  std::vector<IpAddress> addresses;        // that count as local
  std::vector<QueueStatus> queues;         // one for each queue of the interface
  std::vector<SteerEntry> steered;         // operators' and reserved ones
  std::optional<std::uint32_t> rules;      // of the filter; nothing without CAP_SYS_ADMIN
  std::optional<Duration> filter_pending;  // what is left to confirm the filter's last change
  bool filter_rolled_back = false;         // nobody did: the rules from before it are in force
  bool guard_in_force = true;              // false: `guarded` is not looked at, because somebody changed the flags
  std::vector<GuardedSession> guarded;     // empty also for one who may not read them
  std::uint64_t live_flows = 0;            // 0 where no engine is there to have them
};

// One for each queue that the interface had at attach, and each beyond that has an engine.
std::vector<QueueStatus> read_queues(const xdp::Maps& maps, Instant now);

// Reads only; needs no lock.
Outcome<Status> read_status(const Instance& instance, Instant now);

}  // namespace weir::control
