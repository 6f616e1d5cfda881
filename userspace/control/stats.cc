// SPDX-License-Identifier: MIT
#include "weir/control/stats.h"

#include <algorithm>

namespace weir::control {
namespace {

std::uint64_t since(std::uint64_t later, std::uint64_t earlier) { return later >= earlier ? later - earlier : later; }
weir_counter since(const weir_counter& later, const weir_counter& earlier) {
  return {since(later.packets, earlier.packets), since(later.bytes, earlier.bytes)};
}

template <class List, class Same>
auto find_in(const List& list, Same&& same) {
  const auto at = std::find_if(list.begin(), list.end(), same);
  return at == list.end() ? nullptr : &*at;
}

}  // namespace

const std::array<ReasonFacts, WEIR_REASON_COUNT>& reasons() {
  static const std::array<ReasonFacts, WEIR_REASON_COUNT> all = {{
#define WEIR_X(id, verdict, name, text) {WEIR_R_##id, WEIR_V_##verdict, name, text},
      WEIR_REASONS(WEIR_X)
#undef WEIR_X
  }};
  return all;
}

const char* verdict_name(weir_verdict v) {
  static const std::array<const char*, WEIR_VERDICT_COUNT> names = {{
#define WEIR_X(id, name) name,
      WEIR_VERDICTS(WEIR_X)
#undef WEIR_X
  }};
  return v < WEIR_VERDICT_COUNT ? names[v] : "?";
}

bool is_of_xdp(const ReasonFacts& facts) {
  return facts.verdict == WEIR_V_PASS || facts.verdict == WEIR_V_DROP || facts.verdict == WEIR_V_STEER ||
         facts.verdict == WEIR_V_ANSWER;
}

weir_counter Snapshot::total(weir_verdict v) const {
  weir_counter sum{};
  for (const ReasonFacts& r : reasons()) {
    if (r.verdict != v) continue;
    sum.packets += xdp[r.reason].packets;
    sum.bytes += xdp[r.reason].bytes;
  }
  return sum;
}

std::uint64_t Snapshot::engine_total(weir_reason r) const {
  std::uint64_t sum = 0;
  for (const EngineQueueCounters& q : engine) sum += q.by_reason[r];
  return sum;
}

Outcome<Snapshot> take_snapshot(const Instance& instance, Instant now) {
  const xdp::Maps& maps = instance.maps();
  Snapshot out;
  out.at = now;
  auto counters = maps.counters();
  if (!counters) return Err(counters.error());
  std::copy_n(counters->begin(), WEIR_REASON_COUNT, out.xdp.begin());
  out.queues = read_queues(maps, now);
  const auto engines = maps.engine_counters();
  for (const QueueStatus& q : out.queues) {
    EngineQueueCounters e;
    e.queue = q.queue;
    for (std::size_t r = 0; r < WEIR_REASON_COUNT; ++r) e.by_reason[r] = weir::xdp::load(engines[q.queue].by_reason[r]);
    out.engine.push_back(e);
  }
  auto steered = steer_list(maps);
  if (!steered) return Err(steered.error());
  out.steered = std::move(steered).value();
  auto filter = filter_state(maps, now);
  if (!filter) return Err(filter.error());
  out.rules = std::move(filter->rules);
  out.filter_pending = filter->pending;
  out.filter_rolled_back = filter->rolled_back;
  return out;
}

Snapshot difference(const Snapshot& later, const Snapshot& earlier) {
  Snapshot out = later;
  for (std::size_t r = 0; r < WEIR_REASON_COUNT; ++r) out.xdp[r] = since(later.xdp[r], earlier.xdp[r]);
  for (EngineQueueCounters& q : out.engine) {
    const auto* before = find_in(earlier.engine, [&](const auto& e) { return e.queue == q.queue; });
    if (before == nullptr) continue;
    for (std::size_t r = 0; r < WEIR_REASON_COUNT; ++r) q.by_reason[r] = since(q.by_reason[r], before->by_reason[r]);
  }
  for (SteerEntry& s : out.steered) {
    const auto* before = find_in(earlier.steered, [&](const auto& e) { return e.selector == s.selector; });
    if (before != nullptr) s.counter = since(s.counter, before->counter);
  }
  for (Rule& rule : out.rules) {
    const auto* before = find_in(earlier.rules, [&](const auto& e) { return e.name == rule.name; });
    if (before != nullptr) rule.hits = since(rule.hits, before->hits);
  }
  return out;
}

}  // namespace weir::control
