// SPDX-License-Identifier: MIT
#include "weir/control/sets.h"

#include <algorithm>
#include <cerrno>

#include "weir/control/filter_change.h"

namespace weir::control {
namespace {

struct OpenTable {
  std::uint32_t slot = 0;
  xdp::SetMemory memory;
  SetTable table() const { return SetTable(memory.rows()); }
};

Outcome<std::optional<OpenTable>> open_table(const xdp::Maps& maps, std::uint32_t slot) {
  auto memory = maps.set_table(slot);
  if (!memory) return Err(memory.error());
  if (!*memory) return std::optional<OpenTable>{};
  if (!SetTable::whole((*memory)->rows()))
    return xdp::fail("the map of the sets does not hold together: apply the filter's file again (weir filter apply)",
                     EPROTO);
  return std::optional<OpenTable>(OpenTable{slot, std::move(**memory)});
}

struct InForce {
  Selection selected;
  FilterState state;              // of the current generation
  std::vector<OpenTable> tables;  // the current one first; then that to go back to, if it is another
  bool back_to_none = false;      // what there is to go back to has no table
};
Outcome<InForce> in_force(const xdp::Maps& maps, Instant now) {
  InForce out;
  out.selected = selection(maps, now);
  auto state = read_rules(maps, out.selected);
  if (!state) return Err(state.error());
  out.state = std::move(*state);
  const auto take = [&](std::uint32_t slot) -> Outcome<void> {
    auto table = open_table(maps, slot);
    if (!table) return Err(table.error());
    if (*table) out.tables.push_back(std::move(**table));
    return {};
  };
  if (auto r = take(out.state.table); !r) return Err(r.error());
  if (!out.selected.pending) return out;
  Selection other = out.selected;
  other.slot = 1 - other.slot;
  const auto kept = read_rules(maps, other);
  if (!kept) return Err(kept.error());
  if (kept->table == out.state.table) return out;
  out.back_to_none = kept->table == WEIR_NO_SET_TABLE;
  if (auto r = take(kept->table); !r) return Err(r.error());
  return out;
}

Err<Error> no_set(std::string_view name) {
  return xdp::fail("there is no set " + std::string(name) + ": `weir set list` shows them, `weir set add " +
                       std::string(name) + "` makes it",
                   ENOENT);
}

// The current table, and the number that it has for the name.
Outcome<std::pair<OpenTable, unsigned>> find_set(const xdp::Maps& maps, std::string_view name, Instant now) {
  auto all = in_force(maps, now);
  if (!all) return Err(all.error());
  // Without a table there is none.
  if (all->tables.empty() || all->tables[0].slot != all->state.table) return no_set(name);
  const auto number = all->tables[0].table().find(name);
  if (!number) return no_set(name);
  return std::pair{std::move(all->tables[0]), *number};
}

bool by_prefix(const SetItem& a, const SetItem& b) { return a.prefix < b.prefix; }

std::vector<SetItem> items_of(const SetTable& table, unsigned set, Instant now) {
  std::vector<SetItem> out;
  table.each(whole_seconds(now), [&](const SetEntry& e, std::uint16_t sets) {
    if ((unsigned{sets} >> set & 1u) != 0) out.push_back(item_of(e, now));
  });
  std::sort(out.begin(), out.end(), by_prefix);
  return out;
}

// Each prefix once; one that stays rather than one that ends.
std::vector<SetItem> merged(std::vector<SetItem> items) {
  std::sort(items.begin(), items.end(), [](const SetItem& a, const SetItem& b) {
    return a.prefix == b.prefix ? (a.ttl == 0) > (b.ttl == 0) : a.prefix < b.prefix;
  });
  items.erase(
      std::unique(items.begin(), items.end(), [](const SetItem& a, const SetItem& b) { return a.prefix == b.prefix; }),
      items.end());
  return items;
}

std::uint64_t count(const SetTable& table, unsigned set, std::uint32_t seconds) {
  std::uint64_t out = 0;
  table.each(seconds, [&](const SetEntry&, std::uint16_t sets) { out += unsigned{sets} >> set & 1u; });
  return out;
}

// Another table in the place of that one, with all but `without` and with `wanted`.
Outcome<void> replace(const xdp::Maps& maps, OpenTable& table, std::uint16_t without, std::span<const WantedSet> wanted,
                      Instant now) {
  auto built = build_table(&table.memory, without, wanted, now);
  if (!built) return Err(built.error());
  if (auto r = maps.put_set_table(table.slot, built->memory); !r) return r;
  table.memory = std::move(built->memory);
  return {};
}

// The first table: a generation of the same rules that names it.
Outcome<void> publish_first(const xdp::Maps& maps, const WantedSet& set, Instant now) {
  auto change = begin_change(maps, now);
  if (!change) return Err(change.error());
  auto built = build_table(nullptr, 0, std::span(&set, 1), now);
  if (!built) return Err(built.error());
  const auto slot = free_table(maps);
  if (!slot) return Err(slot.error());
  if (auto r = maps.put_set_table(*slot, built->memory); !r) return r;
  std::vector<Rule> rules = change->state.rules;
  return publish(maps, change->state, change->slot, std::move(rules), change->state.next_name, *slot, built->names,
                 std::nullopt, now);
}

std::uint16_t bit(unsigned set) { return static_cast<std::uint16_t>(1u << set); }

bool asks_for(const Rule& rule, std::string_view set) {
  return rule.source_set.name == set || rule.destination_set.name == set;
}

Err<Error> only_after_the_trial(std::string_view name) {
  return xdp::fail(
      "a change of the filter waits to be confirmed, and what there is to go back to has no sets: `weir "
      "filter confirm` or `weir filter rollback` first, then make the set " +
          std::string(name),
      EBUSY);
}

SetEntry entry_of(const SetItem& item, std::uint32_t seconds) {
  return {item.prefix, item.ttl == 0 ? 0 : seconds + 1 + item.ttl};
}

// Whether the items have room there, in place or in a larger table.
Outcome<void> room_for(const SetTable& table, const WantedSet& wanted, std::uint32_t seconds) {
  // Those in use are at least those that live: counting is needed only near the end.
  const weir_set_header& h = table.header();
  if (std::size_t{h.narrow_used} + h.wide_used + wanted.items->size() <= WEIR_MAX_SET_ENTRIES) return {};
  const std::size_t entries = entries_with(&table, 0, std::span(&wanted, 1), seconds);
  if (entries <= WEIR_MAX_SET_ENTRIES) return {};
  return xdp::fail("the sets would have " + std::to_string(entries) + " entries, and all together take " +
                       std::to_string(WEIR_MAX_SET_ENTRIES) +
                       ": none of these was added; remove some (weir set del), or join prefixes",
                   ENOSPC);
}

// In place while there is room, else in a larger table. `changed`: an element for each item, set where that changed
// anything.
Outcome<void> add_to_table(const xdp::Maps& maps, OpenTable& open, unsigned set, const WantedSet& wanted,
                           std::vector<bool>& changed, Instant now) {
  const std::uint32_t seconds = whole_seconds(now);
  const std::vector<SetItem>& items = *wanted.items;
  SetTable table = open.table();
  for (std::size_t i = 0; i < items.size(); ++i) {
    const SetTable::Change change = table.add(set, entry_of(items[i], seconds), seconds);
    if (change == SetTable::Change::done) changed[i] = true;
    if (change != SetTable::Change::full) continue;
    const WantedSet rest{wanted.name,
                         std::vector<SetItem>(items.begin() + static_cast<std::ptrdiff_t>(i), items.end())};
    for (std::size_t left = i; left < items.size(); ++left) {
      const auto there = table.entry(set, items[left].prefix, seconds);
      if (!there || (there->end != 0 && there->end != entry_of(items[left], seconds).end)) changed[left] = true;
    }
    return replace(maps, open, 0, std::span(&rest, 1), now);
  }
  return {};
}

SetChange counted(const std::vector<bool>& changed) {
  SetChange out;
  for (const bool c : changed) ++(c ? out.changed : out.unchanged);
  return out;
}

}  // namespace

SetItem item_of(const SetEntry& e, Instant now) {
  const std::uint32_t seconds = whole_seconds(now);
  // The second that was begun is not counted, as when it was added.
  return {e.prefix, e.end == 0 ? 0 : std::max(e.end - seconds, 2u) - 1};
}

Outcome<std::vector<SetInfo>> list_sets(const xdp::Maps& maps, Instant now) {
  const auto all = in_force(maps, now);
  if (!all) return Err(all.error());
  std::vector<SetInfo> out;
  if (all->tables.empty() || all->tables[0].slot != all->state.table) return out;
  const SetTable table = all->tables[0].table();
  std::array<SetInfo, WEIR_MAX_SETS> by_number;
  table.each(whole_seconds(now), [&](const SetEntry& e, std::uint16_t sets) {
    for (unsigned n = 0; n < WEIR_MAX_SETS; ++n) {
      if ((unsigned{sets} >> n & 1u) == 0) continue;
      ++(e.prefix.v4 ? by_number[n].v4 : by_number[n].v6);
      by_number[n].ending += e.end != 0 ? 1u : 0u;
    }
  });
  for (unsigned n = 0; n < WEIR_MAX_SETS; ++n) {
    if (all->state.sets[n].empty()) continue;
    by_number[n].name = all->state.sets[n];
    for (const Rule& rule : all->state.rules)
      if (asks_for(rule, by_number[n].name)) by_number[n].rules.push_back(rule.name);
    out.push_back(by_number[n]);
  }
  std::sort(out.begin(), out.end(), [](const SetInfo& a, const SetInfo& b) { return a.name < b.name; });
  return out;
}

Outcome<std::vector<SetItem>> show_set(const xdp::Maps& maps, std::string_view name, Instant now) {
  const auto found = find_set(maps, name, now);
  if (!found) return Err(found.error());
  return items_of(found->first.table(), found->second, now);
}

Outcome<std::vector<SetItem>> test_set(const xdp::Maps& maps, std::string_view name, const SetPrefix& address,
                                       Instant now) {
  const auto found = find_set(maps, name, now);
  if (!found) return Err(found.error());
  std::vector<SetItem> out;
  for (const SetEntry& e : found->first.table().covering(found->second, address, whole_seconds(now)))
    out.push_back(item_of(e, now));
  return out;
}

Outcome<bool> make_set(const xdp::Maps& maps, std::string_view name, Instant now) {
  auto all = in_force(maps, now);
  if (!all) return Err(all.error());
  const WantedSet wanted{std::string(name), std::vector<SetItem>{}};
  if (all->state.table == WEIR_NO_SET_TABLE || all->tables.empty()) {
    if (auto r = publish_first(maps, wanted, now); !r) return Err(r.error());
    return true;
  }
  if (all->tables[0].table().find(name)) return false;
  if (all->back_to_none) return only_after_the_trial(name);
  for (const OpenTable& table : all->tables)
    if (!table.table().find(name) && !table.table().free_number())
      return xdp::fail("there are " + std::to_string(WEIR_MAX_SETS) +
                           " sets, and no room for another: remove one (weir set del NAME)",
                       ENOSPC);
  for (const OpenTable& open : all->tables) {
    SetTable table = open.table();
    if (!table.find(name)) table.set_name(*table.free_number(), name);
  }
  return true;
}

Outcome<std::uint64_t> delete_set(const xdp::Maps& maps, std::string_view name, Instant now) {
  auto all = in_force(maps, now);
  if (!all) return Err(all.error());
  if (all->selected.pending)
    return xdp::fail(
        "a change of the filter waits to be confirmed: `weir filter confirm` keeps it, `weir filter "
        "rollback` takes it back; remove the set after that",
        EBUSY);
  for (const Rule& rule : all->state.rules)
    if (asks_for(rule, name))
      return xdp::fail("rule " + rule.name + " asks for the set " + std::string(name) +
                           ": remove the rule first (weir filter del " + rule.name + ")",
                       EBUSY);
  if (all->tables.empty()) return no_set(name);
  const auto number = all->tables[0].table().find(name);
  if (!number) return no_set(name);
  const std::uint64_t removed = count(all->tables[0].table(), *number, whole_seconds(now));
  if (auto r = replace(maps, all->tables[0], bit(*number), {}, now); !r) return Err(r.error());
  return removed;
}

struct SetWriter::State {
  const xdp::Maps& maps;
  std::string name;
  std::vector<OpenTable> tables;  // those that have the set
};

SetWriter::SetWriter(std::unique_ptr<State> state) : state_(std::move(state)) {}
SetWriter::SetWriter(SetWriter&&) noexcept = default;
SetWriter::~SetWriter() = default;

Outcome<SetWriter> SetWriter::open(const xdp::Maps& maps, std::string_view name, Instant now) {
  auto all = in_force(maps, now);
  if (!all) return Err(all.error());
  if (all->tables.empty() || !all->tables[0].table().find(name)) return no_set(name);
  std::erase_if(all->tables, [&](const OpenTable& t) { return !t.table().find(name); });
  return SetWriter(std::unique_ptr<State>(new State{maps, std::string(name), std::move(all->tables)}));
}

Outcome<SetChange> SetWriter::add(std::span<const SetItem> items, Instant now) {
  const WantedSet wanted{state_->name, std::vector<SetItem>(items.begin(), items.end())};
  for (const OpenTable& table : state_->tables)
    if (auto r = room_for(table.table(), wanted, whole_seconds(now)); !r) return Err(r.error());
  std::vector<bool> changed(items.size());
  for (OpenTable& table : state_->tables)
    if (auto r = add_to_table(state_->maps, table, *table.table().find(state_->name), wanted, changed, now); !r)
      return Err(r.error());
  return counted(changed);
}

SetChange SetWriter::remove(std::span<const SetItem> items, Instant now) {
  std::vector<bool> changed(items.size());
  for (const OpenTable& open : state_->tables) {
    SetTable table = open.table();
    const unsigned number = *table.find(state_->name);
    for (std::size_t i = 0; i < items.size(); ++i)
      if (table.remove(number, items[i].prefix, whole_seconds(now)) == SetTable::Change::done) changed[i] = true;
  }
  return counted(changed);
}

Outcome<SetChange> add_to_set(const xdp::Maps& maps, std::string_view name, std::span<const SetPrefix> prefixes,
                              std::uint32_t ttl, Instant now) {
  std::vector<SetItem> items;
  for (const SetPrefix& prefix : prefixes) items.push_back({prefix, ttl});
  auto writer = SetWriter::open(maps, name, now);
  if (!writer) return Err(writer.error());
  return writer->add(items, now);
}

Outcome<SetChange> remove_from_set(const xdp::Maps& maps, std::string_view name, std::span<const SetPrefix> prefixes,
                                   Instant now) {
  std::vector<SetItem> items;
  for (const SetPrefix& prefix : prefixes) items.push_back({prefix, 0});
  auto writer = SetWriter::open(maps, name, now);
  if (!writer) return Err(writer.error());
  return writer->remove(items, now);
}

Outcome<SetLoad> load_set(const xdp::Maps& maps, std::string_view name, std::span<const SetItem> items, Instant now) {
  auto all = in_force(maps, now);
  if (!all) return Err(all.error());
  const WantedSet wanted{std::string(name), std::vector<SetItem>(items.begin(), items.end())};
  SetLoad out;
  if (all->state.table == WEIR_NO_SET_TABLE || all->tables.empty()) {
    out.made = true;
    if (auto r = publish_first(maps, wanted, now); !r) return Err(r.error());
    auto made = find_set(maps, name, now);
    if (!made) return Err(made.error());
    out.after = count(made->first.table(), made->second, whole_seconds(now));
    return out;
  }
  const auto number = all->tables[0].table().find(name);
  out.made = !number;
  if (number) out.before = count(all->tables[0].table(), *number, whole_seconds(now));
  if (out.made && all->back_to_none) return only_after_the_trial(name);
  // All are built before one is put in force: a second that finds no room must not come after a first that did.
  std::vector<std::pair<std::uint32_t, NewTable>> built;
  for (const OpenTable& table : all->tables) {
    const auto here = table.table().find(name);
    if (!here && !out.made) continue;
    // The number stays, as the rules have it: only the entries go.
    auto one = build_table(&table.memory, here ? bit(*here) : std::uint16_t{0}, std::span(&wanted, 1), now);
    if (!one) return Err(one.error());
    built.emplace_back(table.slot, std::move(*one));
  }
  for (const auto& [slot, table] : built)
    if (auto r = maps.put_set_table(slot, table.memory); !r) return Err(r.error());
  const SetTable current(built.front().second.memory.rows());
  out.after = count(current, *current.find(name), whole_seconds(now));
  return out;
}

Outcome<std::vector<SetDifference>> compare_sets(const xdp::Maps& maps, std::span<const WantedSet> wanted,
                                                 Instant now) {
  const auto all = in_force(maps, now);
  if (!all) return Err(all.error());
  const bool present = !all->tables.empty() && all->tables[0].slot == all->state.table;
  const auto find = [&](std::string_view name) {
    return present ? all->tables[0].table().find(name) : std::optional<unsigned>{};
  };
  std::vector<SetDifference> out;
  for (const std::string& name : all->state.sets) {
    if (name.empty()) continue;
    if (std::any_of(wanted.begin(), wanted.end(), [&](const WantedSet& w) { return w.name == name; })) continue;
    out.push_back(
        {SetDifference::Kind::removed, name, 0, count(all->tables[0].table(), *find(name), whole_seconds(now))});
  }
  for (const WantedSet& w : wanted) {
    SetDifference d;
    d.name = w.name;
    const auto number = find(w.name);
    d.kind = number ? SetDifference::Kind::changed : SetDifference::Kind::added;
    if (w.items) {
      const std::vector<SetItem> after = merged(*w.items);
      const std::vector<SetItem> before =
          number ? merged(items_of(all->tables[0].table(), *number, now)) : std::vector<SetItem>{};
      const auto less = [](const SetItem& a, const SetItem& b) {
        return a.prefix == b.prefix ? (a.ttl == 0) > (b.ttl == 0) : a.prefix < b.prefix;
      };
      std::vector<SetItem> only;
      std::set_difference(after.begin(), after.end(), before.begin(), before.end(), std::back_inserter(only), less);
      d.added = only.size();
      only.clear();
      std::set_difference(before.begin(), before.end(), after.begin(), after.end(), std::back_inserter(only), less);
      d.removed = only.size();
    }
    if (!number || d.added != 0 || d.removed != 0) out.push_back(std::move(d));
  }
  return out;
}

}  // namespace weir::control
