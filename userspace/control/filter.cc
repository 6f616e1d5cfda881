// SPDX-License-Identifier: MIT
#include "weir/control/filter.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "weir/control/filter_generation.h"

namespace weir::control {
namespace {

struct Selection {
  std::uint32_t slot = 0;           // that XDP uses at this instant
  std::optional<Duration> pending;  // its time left
  bool rolled_back = false;
};

std::uint64_t nanoseconds(Instant t) { return static_cast<std::uint64_t>(t.ns()); }

Selection selection(const xdp::Maps& maps, Instant now) {
  const weir_u64 selector = xdp::load(maps.config().filter_selector);
  Selection out;
  out.slot = weir_selected(selector, nanoseconds(now));
  const weir_u64 deadline_ns = selector >> 1;
  if (deadline_ns == 0) return out;
  out.rolled_back = out.slot != (selector & 1);
  if (!out.rolled_back) out.pending = Duration::nanoseconds(static_cast<std::int64_t>(deadline_ns - nanoseconds(now)));
  return out;
}

void select(const xdp::Maps& maps, std::uint32_t slot, std::optional<Instant> deadline = std::nullopt) {
  const weir_u64 until = deadline ? nanoseconds(*deadline) << 1 : 0;
  xdp::store(maps.config().filter_selector, until | slot);
}

std::string left_text(Duration left) { return std::to_string((left.count_ns() + 999'999'999) / 1'000'000'000) + " s"; }

Outcome<void> not_pending(const Selection& s) {
  if (!s.pending) return {};
  return xdp::fail("a change of the filter waits to be confirmed, " + left_text(*s.pending) +
                       " left: `weir filter confirm` keeps it, `weir filter rollback` takes it back",
                   EBUSY);
}

Outcome<void> check_table(const std::vector<Rule>& rules) {
  if (rules.size() > WEIR_MAX_RULES)
    return xdp::fail("the filter takes " + std::to_string(WEIR_MAX_RULES) + " rules, not " +
                         std::to_string(rules.size()) + ": remove some (weir filter del), or join prefixes",
                     ENOSPC);
  std::set<std::string_view> names;
  for (const Rule& rule : rules) {
    if (auto r = check_rule(rule); !r) return xdp::fail("rule " + rule.name + ": " + r.error().message, r.error().code);
    if (auto r = parse_rule_name(rule.name); !r) return Err(r.error());
    if (!names.insert(rule.name).second) return xdp::fail("two rules have the name " + rule.name, EEXIST);
  }
  return {};
}

// Builds and puts in force. The counters of names that stay go on, in the old generation too, so that those of the
// other names begin at zero and the old generation's rules keep theirs if it comes back.
Outcome<void> publish(const xdp::Maps& maps, const FilterState& before, std::uint32_t current, std::vector<Rule> rules,
                      std::uint32_t next_name, std::optional<Duration> confirm, Instant now, Clock clock = nullptr) {
  if (auto r = check_table(rules); !r) return r;
  std::map<std::string_view, std::uint32_t> kept;
  std::vector<bool> used(WEIR_RULE_COUNTERS);
  for (const Rule& rule : before.rules) {
    kept.emplace(rule.name, rule.counter);
    used[rule.counter] = true;
  }
  std::vector<std::uint32_t> fresh;
  std::uint32_t next = 0;
  std::vector<weir_rule> raw;
  for (Rule& rule : rules) {
    if (const auto at = kept.find(rule.name); at != kept.end()) {
      rule.counter = at->second;
    } else {
      // There are as many as both generations can have.
      while (used[next]) ++next;
      used[next] = true;
      fresh.push_back(next);
      rule.counter = next;
    }
    raw.push_back(to_map(rule));
  }
  const std::uint32_t slot = 1 - current;
  std::vector<weir_row> rows = compile(raw, next_name);
  rows[0].generation.serial = std::max(before.serial + 1, nanoseconds(now));
  if (auto r = maps.put_generation(slot, rows); !r) return r;
  // What was in the slot is read by nobody any more, so nobody counts where its rules did; and what is there now is not
  // current yet.
  for (const std::uint32_t index : fresh)
    if (auto r = maps.clear_rule_counter(index); !r) return r;
  const Instant from = clock != nullptr ? clock() : now;
  select(maps, slot, confirm ? std::optional(from + *confirm) : std::nullopt);
  return {};
}

Outcome<FilterState> read_rules(const xdp::Maps& maps, const Selection& selected) {
  FilterState out;
  out.pending = selected.pending;
  out.rolled_back = selected.rolled_back;
  auto generation = maps.generation(selected.slot);
  if (!generation) return Err(generation.error());
  if (!*generation) return out;
  out.next_name = std::max<std::uint32_t>((*generation)->header().next_name, 1);
  out.serial = (*generation)->header().serial;
  for (const weir_rule& raw : (*generation)->rules()) out.rules.push_back(from_map(raw));
  return out;
}

// What a writer begins with.
struct Change {
  std::uint32_t slot = 0;
  FilterState state;
};
Outcome<Change> begin(const xdp::Maps& maps, Instant now) {
  const Selection selected = selection(maps, now);
  if (auto r = not_pending(selected); !r) return Err(r.error());
  auto state = read_rules(maps, selected);
  if (!state) return Err(state.error());
  return Change{selected.slot, std::move(state).value()};
}

std::string free_name(const FilterState& state, std::uint32_t& next) {
  for (;;) {
    std::string name = "r" + std::to_string(next++);
    if (std::none_of(state.rules.begin(), state.rules.end(), [&](const Rule& r) { return r.name == name; }))
      return name;
  }
}

bool same(const std::vector<Rule>& a, const std::vector<Rule>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const Rule& x, const Rule& y) { return x.same_rule(y); });
}

}  // namespace

Outcome<FilterState> filter_state(const xdp::Maps& maps, Instant now, RuleCounters counters) {
  auto state = read_rules(maps, selection(maps, now));
  if (!state || counters == RuleCounters::leave_out) return state;
  for (Rule& rule : state->rules) {
    auto hits = maps.rule_counter(rule.counter);
    if (!hits) return Err(hits.error());
    rule.hits = *hits;
  }
  return state;
}

Outcome<bool> filter_apply(const xdp::Maps& maps, std::vector<Rule> rules, std::optional<Duration> confirm, Instant now,
                           Clock clock) {
  auto change = begin(maps, now);
  // What does not hold together is replaced; its counters are lost with it.
  if (!change && change.error().code == EPROTO) change = Change{selection(maps, now).slot, FilterState{}};
  if (!change) return Err(change.error());
  if (same(change->state.rules, rules)) return false;
  const std::uint32_t next_name = change->state.next_name;
  if (auto r = publish(maps, change->state, change->slot, std::move(rules), next_name, confirm, now, clock); !r)
    return Err(r.error());
  return true;
}

Outcome<std::string> filter_add(const xdp::Maps& maps, Rule rule, std::optional<std::uint32_t> position, Instant now) {
  if (auto r = check_rule(rule); !r) return Err(r.error());
  auto change = begin(maps, now);
  if (!change) return Err(change.error());
  std::vector<Rule> rules = change->state.rules;
  std::uint32_t next_name = change->state.next_name;
  if (rules.size() >= WEIR_MAX_RULES)
    return xdp::fail("the filter is full with " + std::to_string(WEIR_MAX_RULES) +
                         " rules: remove one (weir filter del), or join prefixes",
                     ENOSPC);
  if (position && *position > rules.size())
    return xdp::fail(
        "there are " + std::to_string(rules.size()) + " rules: the index is 0 to " + std::to_string(rules.size()),
        EINVAL);
  if (rule.name.empty()) rule.name = free_name(change->state, next_name);
  const auto namesake = std::find_if(rules.begin(), rules.end(), [&](const Rule& r) { return r.name == rule.name; });
  if (namesake != rules.end()) {
    if (namesake->same_rule(rule)) return rule.name;
    return xdp::fail("there is another rule " + rule.name + ": " + namesake->to_string() +
                         "; remove it first (weir filter del " + rule.name + "), or choose another name",
                     EEXIST);
  }
  std::string name = rule.name;
  rules.insert(rules.begin() + static_cast<std::ptrdiff_t>(position.value_or(static_cast<std::uint32_t>(rules.size()))),
               std::move(rule));
  if (auto r = publish(maps, change->state, change->slot, std::move(rules), next_name, std::nullopt, now); !r)
    return Err(r.error());
  return name;
}

Outcome<Rule> filter_del(const xdp::Maps& maps, std::string_view name, Instant now) {
  auto change = begin(maps, now);
  if (!change) return Err(change.error());
  std::vector<Rule> rules = change->state.rules;
  const auto at = std::find_if(rules.begin(), rules.end(), [&](const Rule& r) { return r.name == name; });
  if (at == rules.end())
    return xdp::fail("no rule has the name " + std::string(name) + ": `weir filter list` shows them", ENOENT);
  Rule removed = *at;
  rules.erase(at);
  const std::uint32_t next_name = change->state.next_name;
  if (auto r = publish(maps, change->state, change->slot, std::move(rules), next_name, std::nullopt, now); !r)
    return Err(r.error());
  return removed;
}

Outcome<std::uint32_t> filter_flush(const xdp::Maps& maps, Instant now) {
  auto change = begin(maps, now);
  if (!change && change.error().code != EPROTO) return Err(change.error());
  // A generation that does not hold together is no reason to keep it.
  const FilterState before = change ? change->state : FilterState{};
  const std::uint32_t slot = change ? change->slot : selection(maps, now).slot;
  if (change && before.rules.empty()) return 0u;
  if (auto r = publish(maps, before, slot, {}, before.next_name, std::nullopt, now); !r) return Err(r.error());
  return static_cast<std::uint32_t>(before.rules.size());
}

Outcome<void> filter_confirm(const xdp::Maps& maps, Instant now) {
  const Selection s = selection(maps, now);
  if (s.rolled_back)
    return xdp::fail(
        "too late: the time to confirm has passed, and the rules from before the change are in force again", ETIME);
  if (!s.pending) return xdp::fail("no change of the filter waits to be confirmed", ENOENT);
  select(maps, s.slot);
  return {};
}

Outcome<void> filter_rollback(const xdp::Maps& maps, Instant now) {
  const Selection s = selection(maps, now);
  if (!s.pending)
    return xdp::fail(s.rolled_back ? "the change was taken back already: nobody confirmed it in time"
                                   : "no change of the filter waits to be confirmed",
                     ENOENT);
  select(maps, 1 - s.slot);
  return {};
}

}  // namespace weir::control
