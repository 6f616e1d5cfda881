// SPDX-License-Identifier: MIT
// How a writer changes the filter: what filter.h and sets.h have in common.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weir/base/time.h"
#include "weir/control/filter.h"
#include "weir/control/set_table.h"
#include "weir/xdp/maps.h"

namespace weir::control {

struct Selection {
  std::uint32_t slot = 0;           // that XDP uses at this instant
  std::optional<Duration> pending;  // its time left
  bool rolled_back = false;
};
Selection selection(const xdp::Maps& maps, Instant now);

// Of that slot; empty where it is.
Outcome<FilterState> read_rules(const xdp::Maps& maps, const Selection& selected);

// What a writer begins with. EBUSY: a change waits to be confirmed.
struct Change {
  std::uint32_t slot = 0;
  FilterState state;
};
Outcome<Change> begin_change(const xdp::Maps& maps, Instant now);

// Builds a generation of these rules and puts it in force, with the table of sets in `table`, whose names are `names`.
Outcome<void> publish(const xdp::Maps& maps, const FilterState& before, std::uint32_t current, std::vector<Rule> rules,
                      std::uint32_t next_name, std::uint32_t table, const SetNames& names,
                      std::optional<Duration> confirm, Instant now, Clock clock = nullptr);

// A table that is in no slot yet.
struct NewTable {
  xdp::SetMemory memory;
  SetNames names;
};
// How many entries a table of these would have: different prefixes, and each once more for each set that it leaves some
// time. It looks at them all: for when a sum that counts some twice is over the limit.
std::size_t entries_with(const SetTable* from, std::uint16_t without, std::span<const WantedSet> wanted,
                         std::uint32_t now);
// The live entries of `from` (none: of no table) but those of the sets in `without`, and for each of `wanted` its items
// as a set of that name, which is among `from`'s that are kept or gets a free number. ENOSPC.
Outcome<NewTable> build_table(const xdp::SetMemory* from, std::uint16_t without, std::span<const WantedSet> wanted,
                              Instant now);
// A slot of `sets` that no generation names.
Outcome<std::uint32_t> free_table(const xdp::Maps& maps);
SetNames names_of(const SetTable& table);

inline std::uint32_t whole_seconds(Instant now) { return static_cast<std::uint32_t>(now.ns() / 1'000'000'000); }

}  // namespace weir::control
