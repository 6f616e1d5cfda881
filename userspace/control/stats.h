// SPDX-License-Identifier: MIT
// All counters of an instance at one instant, and the difference of two such.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/time.h"
#include "weir/common/reasons.h"
#include "weir/control/filter.h"
#include "weir/control/instance.h"
#include "weir/control/status.h"
#include "weir/control/steer.h"

namespace weir::control {

// A reason as people read it; indexed by weir_reason.
struct ReasonFacts {
  weir_reason reason;
  weir_verdict verdict;
  const char* name;  // stable, unique within a verdict
  const char* text;
};
const std::array<ReasonFacts, WEIR_REASON_COUNT>& reasons();
const char* verdict_name(weir_verdict v);
// The XDP program counts it.
bool is_of_xdp(const ReasonFacts& facts);

struct EngineQueueCounters {
  std::uint32_t queue = 0;
  std::array<std::uint64_t, WEIR_REASON_COUNT> by_reason{};  // frames
};

struct Snapshot {
  Instant at;
  std::array<weir_counter, WEIR_REASON_COUNT> xdp{};  // of the XDP program; bytes from the Ethernet header on
  std::vector<EngineQueueCounters> engine;            // one for each queue
  std::vector<SteerEntry> steered;
  std::vector<Rule> rules;
  std::vector<QueueStatus> queues;
  std::optional<Duration> filter_pending;  // as in FilterState
  bool filter_rolled_back = false;

  // XDP's frames of one verdict.
  weir_counter total(weir_verdict v) const;
  // The engine's frames of one reason, over all queues.
  std::uint64_t engine_total(weir_reason r) const;
};

Outcome<Snapshot> take_snapshot(const Instance& instance, Instant now);
// later - earlier, field by field; entries and rules that `earlier` has not (by port, by name) count from zero. A
// counter that went backwards (another instance) counts as its later value.
Snapshot difference(const Snapshot& later, const Snapshot& earlier);

}  // namespace weir::control
