// SPDX-License-Identifier: MIT
#include "engines.h"

#include <cerrno>
#include <csignal>

namespace weir::cli {

EngineView view(const control::QueueStatus& queue) {
  if (queue.engine == control::EngineState::absent) return {false, false, false, "absent"};
  // An engine writes its heartbeat at least every 250 ms. One that is late, and whose process does not exist, was
  // killed; a killed one's last beat would pass for alive until a second is over.
  constexpr Duration kLate = Duration::milliseconds(400);
  const bool gone = queue.heartbeat_age > kLate &&
                    (queue.pid == 0 || (kill(static_cast<pid_t>(queue.pid), 0) != 0 && errno == ESRCH));
  if (gone) return {false, false, true, "dead"};
  return {true, queue.engine == control::EngineState::alive, false, control::engine_state_name(queue.engine)};
}

std::uint64_t serving_queues(const std::vector<control::QueueStatus>& queues) {
  std::uint64_t bits = 0;
  for (const control::QueueStatus& queue : queues)
    if (queue.queue < 64 && view(queue).serving) bits |= std::uint64_t{1} << queue.queue;
  return bits;
}

}  // namespace weir::cli
