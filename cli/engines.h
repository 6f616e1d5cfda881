// SPDX-License-Identifier: MIT
// An engine as a user should see it: by its heartbeat, and by whether its process is still there.
#pragma once

#include <cstdint>
#include <vector>

#include "weir/control/status.h"

namespace weir::cli {

// "absent", "alive", "silent", "stopped", or "dead": its heartbeat has lapsed and its process is gone. A process in
// another pid namespace cannot be told from a gone one.
struct EngineView {
  bool here = false;     // alive, silent or stopped
  bool serving = false;  // new connections reach it
  bool dead = false;
  const char* name = "";
};
EngineView view(const control::QueueStatus& queue);

// Bit q: the engine of queue q is serving.
std::uint64_t serving_queues(const std::vector<control::QueueStatus>& queues);

// Whether an engine listens there: "listening", "not listening", "draining", "connecting" (an outgoing port).
const char* listening_name(const control::SteerEntry& entry, std::uint64_t serving);

}  // namespace weir::cli
