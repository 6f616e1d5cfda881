// SPDX-License-Identifier: MIT
#include "weir/control/filter.h"

#include <algorithm>
#include <array>
#include <cerrno>

namespace weir::control {
namespace {

constexpr std::uint32_t kCounters = 2 * WEIR_MAX_RULES;

std::uint32_t current_table(const xdp::Maps& maps) { return xdp::load(maps.config().filter_selector) & 1; }

weir_rule* end_of(weir_filter& filter) { return filter.rules + filter.count; }

// Writes the table that is not current and makes it so. `fresh`: a counter that begins at zero, if any.
Outcome<void> publish(const xdp::Maps& maps, const weir_filter& filter, std::optional<std::uint32_t> fresh) {
  const std::uint32_t slot = 1 - current_table(maps);
  // Waits before it writes, and not after the last switch, so that a writer killed in between cannot leave the slot
  // unsafe.
  if (auto r = xdp::synchronize_programs(); !r) return r;
  if (fresh)
    if (auto r = maps.clear_rule_counter(*fresh); !r) return r;
  if (auto r = maps.write_filter(slot, filter); !r) return r;
  xdp::store(maps.config().filter_selector, weir_u32{slot});
  return {};
}

// One that no rule of the current table uses. There are twice as many as rules.
std::uint32_t free_counter(const weir_filter& filter) {
  std::array<bool, kCounters> used{};
  for (std::uint32_t i = 0; i < filter.count; ++i)
    if (filter.rules[i].counter < kCounters) used[filter.rules[i].counter] = true;
  return static_cast<std::uint32_t>(std::find(used.begin(), used.end(), false) - used.begin());
}

}  // namespace

Outcome<std::vector<Rule>> filter_list(const xdp::Maps& maps) {
  auto filter = maps.read_filter(current_table(maps));
  if (!filter) return Err(filter.error());
  auto counters = maps.rule_counters();
  if (!counters) return Err(counters.error());
  std::vector<Rule> out;
  for (std::uint32_t i = 0; i < filter->count; ++i) {
    Rule rule = from_map(filter->rules[i]);
    if (rule.counter < counters->size()) rule.hits = (*counters)[rule.counter];
    out.push_back(rule);
  }
  return out;
}

Outcome<std::uint32_t> filter_add(const xdp::Maps& maps, Rule rule, std::optional<std::uint32_t> position) {
  if (auto r = check_rule(rule); !r) return Err(r.error());
  auto filter = maps.read_filter(current_table(maps));
  if (!filter) return Err(filter.error());
  if (filter->count >= WEIR_MAX_RULES)
    return xdp::fail("the filter is full with " + std::to_string(WEIR_MAX_RULES) +
                         " rules: remove one (weir filter del), or join prefixes",
                     ENOSPC);
  if (position && *position > filter->count)
    return xdp::fail(
        "there are " + std::to_string(filter->count) + " rules: the position is 0 to " + std::to_string(filter->count),
        EINVAL);
  // 0 names no rule.
  rule.id = std::max<weir_u32>(filter->next_id, 1);
  rule.counter = free_counter(*filter);
  filter->next_id = rule.id + 1;
  weir_rule* at = filter->rules + position.value_or(filter->count);
  std::copy_backward(at, end_of(*filter), end_of(*filter) + 1);
  *at = to_map(rule);
  ++filter->count;
  if (auto r = publish(maps, *filter, rule.counter); !r) return Err(r.error());
  return rule.id;
}

Outcome<Rule> filter_del(const xdp::Maps& maps, std::uint32_t id) {
  auto filter = maps.read_filter(current_table(maps));
  if (!filter) return Err(filter.error());
  weir_rule* at = std::find_if(filter->rules, end_of(*filter), [&](const weir_rule& r) { return r.id == id; });
  if (at == end_of(*filter))
    return xdp::fail("no rule of id " + std::to_string(id) + ": `weir filter list` shows them", ENOENT);
  const Rule rule = from_map(*at);
  std::copy(at + 1, end_of(*filter), at);
  --filter->count;
  *end_of(*filter) = {};
  if (auto r = publish(maps, *filter, std::nullopt); !r) return Err(r.error());
  return rule;
}

Outcome<std::uint32_t> filter_flush(const xdp::Maps& maps) {
  auto filter = maps.read_filter(current_table(maps));
  if (!filter) return Err(filter.error());
  const std::uint32_t count = filter->count;
  weir_filter empty{};
  empty.next_id = filter->next_id;
  if (auto r = publish(maps, empty, std::nullopt); !r) return Err(r.error());
  return count;
}

}  // namespace weir::control
