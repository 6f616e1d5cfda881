// SPDX-License-Identifier: MIT
#include "weir/control/filter.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "weir/control/filter_change.h"
#include "weir/control/filter_generation.h"
#include "weir/control/sets.h"

namespace weir::control {
namespace {

std::uint64_t nanoseconds(Instant t) { return static_cast<std::uint64_t>(t.ns()); }

}  // namespace

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

namespace {

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

// The numbers that the table has for the rules' sets.
Outcome<void> number_sets(std::vector<Rule>& rules, const SetNames& names) {
  for (Rule& rule : rules)
    for (SetName* set : {&rule.source_set, &rule.destination_set}) {
      if (set->name.empty()) continue;
      const auto at = std::find(names.begin(), names.end(), set->name);
      if (at == names.end())
        return xdp::fail("rule " + rule.name + " asks for the set " + set->name +
                             ", which there is not: `weir set add " + set->name +
                             "` makes it, and in a file a line `set " + set->name + "`",
                         ENOENT);
      set->number = static_cast<std::uint8_t>(at - names.begin());
    }
  return {};
}

}  // namespace

// Builds and puts in force. The counters of names that stay go on, in the old generation too, so that those of the
// other names begin at zero and the old generation's rules keep theirs if it comes back.
Outcome<void> publish(const xdp::Maps& maps, const FilterState& before, std::uint32_t current, std::vector<Rule> rules,
                      std::uint32_t next_name, std::uint32_t table, const SetNames& names,
                      std::optional<Duration> confirm, Instant now, Clock clock) {
  if (auto r = check_table(rules); !r) return r;
  if (auto r = number_sets(rules, names); !r) return r;
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
  std::vector<weir_chunk> chunks = compile(raw, next_name, table);
  chunks[0].generation.serial = std::max(before.serial + 1, nanoseconds(now));
  if (auto r = maps.put_generation(slot, chunks); !r) return r;
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
  out.table = (*generation)->header().sets;
  auto table = maps.set_table(out.table);
  if (!table) return Err(table.error());
  if (*table) {
    if (!SetTable::whole((*table)->rows()))
      return xdp::fail("the map of the sets does not hold together: empty the filter (weir filter flush)", EPROTO);
    out.sets = names_of(SetTable((*table)->rows()));
  }
  for (const weir_rule& raw : (*generation)->rules()) {
    out.rules.push_back(from_map(raw));
    for (SetName* set : {&out.rules.back().source_set, &out.rules.back().destination_set})
      if (!set->name.empty() && !out.sets[set->number].empty()) set->name = out.sets[set->number];
  }
  return out;
}

Outcome<Change> begin_change(const xdp::Maps& maps, Instant now) {
  const Selection selected = selection(maps, now);
  if (auto r = not_pending(selected); !r) return Err(r.error());
  auto state = read_rules(maps, selected);
  if (!state) return Err(state.error());
  return Change{selected.slot, std::move(state).value()};
}

namespace {

std::string free_name(const FilterState& state, std::uint32_t& next) {
  for (;;) {
    std::string name = "r" + std::to_string(next++);
    if (std::none_of(state.rules.begin(), state.rules.end(), [&](const Rule& r) { return r.name == name; }))
      return name;
  }
}

// The sets of a file, and of those that it names without entries what they have.
Outcome<NewTable> wanted_table(const xdp::Maps& maps, const FilterState& before, const std::vector<WantedSet>& sets,
                               Instant now) {
  auto table = maps.set_table(before.table);
  if (!table) return Err(table.error());
  std::uint16_t without = 0;
  for (unsigned n = 0; n < WEIR_MAX_SETS; ++n) {
    const bool kept =
        std::any_of(sets.begin(), sets.end(), [&](const WantedSet& s) { return s.name == before.sets[n] && !s.items; });
    if (!kept) without = static_cast<std::uint16_t>(without | 1u << n);
  }
  return build_table(*table ? &**table : nullptr, without, sets, now);
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
                           Clock clock, std::optional<std::vector<WantedSet>> sets) {
  auto change = begin_change(maps, now);
  // What does not hold together is replaced; its counters and sets are lost with it.
  const bool broken = !change && change.error().code == EPROTO;
  if (broken) change = Change{selection(maps, now).slot, FilterState{}};
  if (!change) return Err(change.error());
  const FilterState& before = change->state;
  std::vector<SetDifference> differences;
  if (sets && broken) {
    for (const WantedSet& set : *sets) differences.push_back({SetDifference::Kind::added, set.name, 0, 0});
  } else if (sets) {
    auto compared = compare_sets(maps, *sets, now);
    if (!compared) return Err(compared.error());
    differences = std::move(*compared);
  }
  if (same(before.rules, rules) && differences.empty()) return false;
  std::uint32_t table = before.table;
  SetNames names = before.sets;
  if (!differences.empty()) {
    auto built = wanted_table(maps, before, *sets, now);
    if (!built) return Err(built.error());
    // Before anything is put anywhere.
    if (auto r = number_sets(rules, built->names); !r) return Err(r.error());
    if (auto r = check_table(rules); !r) return Err(r.error());
    const auto slot = free_table(maps);
    if (!slot) return Err(slot.error());
    if (auto r = maps.put_set_table(*slot, built->memory); !r) return Err(r.error());
    table = *slot;
    names = built->names;
  }
  if (auto r =
          publish(maps, before, change->slot, std::move(rules), before.next_name, table, names, confirm, now, clock);
      !r)
    return Err(r.error());
  return true;
}

Outcome<std::string> filter_add(const xdp::Maps& maps, Rule rule, std::optional<std::uint32_t> position, Instant now) {
  if (auto r = check_rule(rule); !r) return Err(r.error());
  auto change = begin_change(maps, now);
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
  if (auto r = publish(maps, change->state, change->slot, std::move(rules), next_name, change->state.table,
                       change->state.sets, std::nullopt, now);
      !r)
    return Err(r.error());
  return name;
}

Outcome<Rule> filter_del(const xdp::Maps& maps, std::string_view name, Instant now) {
  auto change = begin_change(maps, now);
  if (!change) return Err(change.error());
  std::vector<Rule> rules = change->state.rules;
  const auto at = std::find_if(rules.begin(), rules.end(), [&](const Rule& r) { return r.name == name; });
  if (at == rules.end())
    return xdp::fail("no rule has the name " + std::string(name) + ": `weir filter list` shows them", ENOENT);
  Rule removed = *at;
  rules.erase(at);
  const std::uint32_t next_name = change->state.next_name;
  if (auto r = publish(maps, change->state, change->slot, std::move(rules), next_name, change->state.table,
                       change->state.sets, std::nullopt, now);
      !r)
    return Err(r.error());
  return removed;
}

Outcome<std::uint32_t> filter_flush(const xdp::Maps& maps, Instant now) {
  auto change = begin_change(maps, now);
  if (!change && change.error().code != EPROTO) return Err(change.error());
  // A generation that does not hold together is no reason to keep it.
  const FilterState before = change ? change->state : FilterState{};
  const std::uint32_t slot = change ? change->slot : selection(maps, now).slot;
  if (change && before.rules.empty()) return 0u;
  if (auto r = publish(maps, before, slot, {}, before.next_name, before.table, before.sets, std::nullopt, now); !r)
    return Err(r.error());
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
