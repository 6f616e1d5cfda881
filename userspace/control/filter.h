// SPDX-License-Identifier: MIT
// The filter of one interface: an ordered table of rules, first match wins, no match accepts.
//
// A change builds a whole new generation beside the current one, in one map, puts it in the slot that is not current by
// one update, and makes it current by one write of config.filter_selector. XDP reads that word once a frame and reaches
// all of a generation by one pointer, so no frame is judged by half of each, and a writer that is killed at any
// instruction leaves either the old generation current or the new one.
//
// Until it is confirmed, a generation may be on trial: its deadline stands in the same word, and past it XDP itself
// uses the other slot. Nobody has to live for that.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/time.h"
#include "weir/control/filter_rule.h"
#include "weir/control/set_list.h"
#include "weir/xdp/maps.h"

namespace weir::control {

using SetNames = std::array<std::string, WEIR_MAX_SETS>;  // by number; empty: no such set

// Which rules are in force at an instant.
struct FilterState {
  std::vector<Rule> rules;          // in order, with their counters
  std::optional<Duration> pending;  // what is left of the time to confirm them
  bool rolled_back = false;         // the last change was not confirmed in time: these are the rules from before it
  std::uint32_t next_name = 1;
  std::uint64_t serial = 0;                 // of the generation (weir_generation.serial)
  std::uint32_t table = WEIR_NO_SET_TABLE;  // the slot that has the sets (sets.h)
  SetNames sets;
};

// A named set as a file of rules has it.
struct WantedSet {
  std::string name;
  std::optional<std::vector<SetItem>> items;  // none: those it has now
};
enum class RuleCounters : std::uint8_t { read, leave_out };
// CAP_SYS_ADMIN, as Maps::generation().
Outcome<FilterState> filter_state(const xdp::Maps& maps, Instant now, RuleCounters counters = RuleCounters::read);

// The caller holds the Lock for all that follow. While a change waits to be confirmed, all but filter_confirm and
// filter_rollback fail with EBUSY: the other slot holds what to go back to.

// Exactly these rules, in this order, and exactly these sets (without `sets`: those there are); each has a name of its
// own. A rule whose name is there already keeps its counter
// and its token bucket. With `confirm`, until that time has passed, or for good if filter_confirm comes before. Returns
// false where the filter says this already, and nothing was changed. EINVAL, ENOSPC: nothing was changed.
// The time to confirm runs from `now`, or, with `clock` (monotonic_now), from what it says when the rules are put in
// force: the work before that may take its time.
using Clock = Instant (*)();
Outcome<bool> filter_apply(const xdp::Maps& maps, std::vector<Rule> rules, std::optional<Duration> confirm, Instant now,
                           Clock clock = nullptr, std::optional<std::vector<WantedSet>> sets = std::nullopt);
// Before the rule that is at `position` now (0: first); at the end without one. Returns the rule's name: its own, or,
// where it has none, one that is found for it. EEXIST: another rule has the name (the same rule under it is no error).
Outcome<std::string> filter_add(const xdp::Maps& maps, Rule rule, std::optional<std::uint32_t> position, Instant now);
// ENOENT: no rule of that name.
Outcome<Rule> filter_del(const xdp::Maps& maps, std::string_view name, Instant now);
// Returns how many there were.
Outcome<std::uint32_t> filter_flush(const xdp::Maps& maps, Instant now);
// ENOENT: nothing waits to be confirmed. ETIME: the time has passed, and the rules from before are in force again.
Outcome<void> filter_confirm(const xdp::Maps& maps, Instant now);
// Goes back at once. ENOENT likewise.
Outcome<void> filter_rollback(const xdp::Maps& maps, Instant now);

}  // namespace weir::control
