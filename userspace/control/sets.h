// SPDX-License-Identifier: MIT
// Named sets of prefixes and hosts, which rules of the filter ask for as @NAME.
//
// The entries of all sets stand in one table, outside the generations, and a generation names its table. A change of
// the rules alone takes the table over as it is; what is changed here is changed in the table, and so in every
// generation that has it. `filter apply` of a file that says other entries builds a table of its own for the new
// generation: the two change hands with the rules, at once, and come back with them if nobody confirms. While such a
// change is on trial, what is added, removed or loaded here is so in both tables, where both have the set, and a set
// that is made is made in both: a rollback takes back what the file brought, and nothing else.
//
// One entry is one store into memory that XDP reads. A whole set (load, flush, delete) is a table of its own, which one
// update of the map puts in the place of the old: a writer that is killed leaves one or the other.
//
// CAP_SYS_ADMIN, as Maps::generation(). Who changes holds the Lock.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/time.h"
#include "weir/control/filter.h"
#include "weir/control/set_list.h"
#include "weir/xdp/maps.h"

namespace weir::control {

// As a list has the entry, which lives: `ttl` is what is left.
SetItem item_of(const SetEntry& entry, Instant now);

struct SetInfo {
  std::string name;
  std::uint64_t v4 = 0;
  std::uint64_t v6 = 0;
  std::uint64_t ending = 0;        // of both, those with a time to live
  std::vector<std::string> rules;  // of the current generation, that ask for it
};
// In the order of their names.
Outcome<std::vector<SetInfo>> list_sets(const xdp::Maps& maps, Instant now);
// By address; `ttl` is what is left. ENOENT: no such set (here and below).
Outcome<std::vector<SetItem>> show_set(const xdp::Maps& maps, std::string_view name, Instant now);
// The entries that have the address or prefix in the set, the longest first.
Outcome<std::vector<SetItem>> test_set(const xdp::Maps& maps, std::string_view name, const SetPrefix& address,
                                       Instant now);

// False where the set is there already. ENOSPC: there are WEIR_MAX_SETS.
Outcome<bool> make_set(const xdp::Maps& maps, std::string_view name, Instant now);
// Returns how many entries went with it. EBUSY: a rule asks for it.
Outcome<std::uint64_t> delete_set(const xdp::Maps& maps, std::string_view name, Instant now);

struct SetChange {
  std::uint64_t changed = 0;
  std::uint64_t unchanged = 0;  // added: they were there (one that stays is given no end); removed: they were not.
                                // While a change is on trial: in either table
};
// Changes entries of one set through tables that are opened once. While the Lock is held, and as long as the maps.
class SetWriter {
 public:
  static Outcome<SetWriter> open(const xdp::Maps& maps, std::string_view name, Instant now);
  SetWriter(SetWriter&&) noexcept;
  ~SetWriter();
  // ENOSPC: nothing was changed.
  Outcome<SetChange> add(std::span<const SetItem> items, Instant now);
  // Entries of exactly these prefixes, whatever time they have; others that cover them stay.
  SetChange remove(std::span<const SetItem> items, Instant now);

 private:
  struct State;
  explicit SetWriter(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};
// All with the same time to live; 0: they stay.
Outcome<SetChange> add_to_set(const xdp::Maps& maps, std::string_view name, std::span<const SetPrefix> prefixes,
                              std::uint32_t ttl, Instant now);
Outcome<SetChange> remove_from_set(const xdp::Maps& maps, std::string_view name, std::span<const SetPrefix> prefixes,
                                   Instant now);

struct SetLoad {
  std::uint64_t before = 0;
  std::uint64_t after = 0;  // without what `items` say twice
  bool made = false;        // there was no such set
};
// Exactly these, at once. Makes the set where there is none.
Outcome<SetLoad> load_set(const xdp::Maps& maps, std::string_view name, std::span<const SetItem> items, Instant now);

// What would change if a list of sets took the place of those there are.
struct SetDifference {
  enum class Kind : std::uint8_t { added, removed, changed };
  Kind kind = Kind::added;
  std::string name;
  std::uint64_t added = 0;  // entries
  std::uint64_t removed = 0;
};
// How long an entry has to live is no difference, that it has an end is.
Outcome<std::vector<SetDifference>> compare_sets(const xdp::Maps& maps, std::span<const WantedSet> wanted, Instant now);

}  // namespace weir::control
