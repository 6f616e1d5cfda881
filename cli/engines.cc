// SPDX-License-Identifier: MIT
#include "engines.h"

namespace weir::cli {

EngineView view(const control::QueueStatus& queue) {
  if (queue.engine == control::EngineState::absent) return {false, false, false, "absent"};
  // A killed one's last beat would pass for alive until a second is over.
  if (queue.dead) return {false, false, true, "dead"};
  return {true, queue.engine == control::EngineState::alive, false, control::engine_state_name(queue.engine)};
}

std::uint64_t serving_queues(const std::vector<control::QueueStatus>& queues) {
  std::uint64_t bits = 0;
  for (const control::QueueStatus& queue : queues)
    if (queue.queue < 64 && view(queue).serving) bits |= std::uint64_t{1} << queue.queue;
  return bits;
}

const char* listening_name(const control::SteerEntry& entry, std::uint64_t serving) {
  if (entry.draining) return "draining";
  if ((entry.listeners & serving) != 0) return "listening";
  return entry.reserved ? "connecting" : "not listening";
}

}  // namespace weir::cli
