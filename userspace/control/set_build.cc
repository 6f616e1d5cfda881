// SPDX-License-Identifier: MIT
// Tables of sets built anew, and where they go.
#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "weir/control/filter_change.h"

namespace weir::control {
namespace {

// So many prefixes of one list may fall into few buckets only by a list made for the seed, which nobody can know.
constexpr int kAttempts = 4;

Err<Error> too_many(std::size_t entries) {
  return xdp::fail("the sets would have " + std::to_string(entries) + " entries, and all together take " +
                       std::to_string(WEIR_MAX_SET_ENTRIES) + ": nothing was changed; join prefixes, or remove some",
                   ENOSPC);
}

Outcome<std::uint64_t> random_seed() {
  std::uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, 0) != static_cast<ssize_t>(sizeof seed))
    return Err(xdp::system_error(errno, "drawing a random number"));
  return seed;
}

// Which number each of `wanted` has; a name for each.
Outcome<std::vector<unsigned>> number(SetTable& table, std::span<const WantedSet> wanted) {
  std::vector<unsigned> out;
  for (const WantedSet& set : wanted) {
    auto at = table.find(set.name);
    if (!at) {
      at = table.free_number();
      if (!at)
        return xdp::fail("there are " + std::to_string(WEIR_MAX_SETS) +
                             " sets, and no room for another: remove one (weir set del NAME)",
                         ENOSPC);
      table.set_name(*at, set.name);
    }
    out.push_back(*at);
  }
  return out;
}

// A set keeps its number, by which rules know it, also where all of its entries go.
void keep_names(const SetTable& from, SetTable& to, std::uint16_t without, std::span<const WantedSet> wanted) {
  for (unsigned n = 0; n < WEIR_MAX_SETS; ++n) {
    const std::string name = from.name(n);
    const bool again =
        std::any_of(wanted.begin(), wanted.end(), [&](const WantedSet& set) { return set.name == name; });
    if ((unsigned{without} >> n & 1u) == 0 || again) to.set_name(n, name);
  }
}

bool add_all(SetTable& table, unsigned set, const std::vector<SetItem>& items, Instant now) {
  const std::uint32_t seconds = whole_seconds(now);
  for (const SetItem& item : items) {
    // A second is begun: an entry lives for its time at least.
    const SetEntry entry{item.prefix, item.ttl == 0 ? 0 : seconds + 1 + item.ttl};
    if (table.add(set, entry, seconds) == SetTable::Change::full) return false;
  }
  return true;
}

}  // namespace

std::size_t entries_with(const SetTable* from, std::uint16_t without, std::span<const WantedSet> wanted,
                         std::uint32_t now) {
  const auto kept = static_cast<std::uint16_t>(~without);
  std::size_t out = 0;
  if (from != nullptr)
    from->each(now, [&](const SetEntry&, std::uint16_t sets) { out += (sets & kept) != 0 ? 1u : 0u; });
  // The second: 0 for an entry that stays, whichever sets have it; else one more than the number of the set that has
  // it.
  using Slot = std::pair<SetPrefix, unsigned>;
  std::vector<Slot> slots;
  unsigned unnamed = WEIR_MAX_SETS + 1;
  for (const WantedSet& set : wanted) {
    const auto number = from != nullptr ? from->find(set.name) : std::nullopt;
    const unsigned holder = number && (kept >> *number & 1u) != 0 ? *number + 1 : unnamed++;
    if (set.items)
      for (const SetItem& item : *set.items) slots.emplace_back(item.prefix, item.ttl == 0 ? 0u : holder);
  }
  std::sort(slots.begin(), slots.end(),
            [](const Slot& a, const Slot& b) { return a.first == b.first ? a.second < b.second : a.first < b.first; });
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  for (const auto& [prefix, holder] : slots) {
    const bool there = from != nullptr && (holder == 0               ? from->stays(kept, prefix)
                                           : holder <= WEIR_MAX_SETS ? from->entry(holder - 1, prefix, now).has_value()
                                                                     : false);
    out += there ? 0u : 1u;
  }
  return out;
}

SetNames names_of(const SetTable& table) {
  SetNames out;
  for (unsigned n = 0; n < WEIR_MAX_SETS; ++n) out[n] = table.name(n);
  return out;
}

Outcome<NewTable> build_table(const xdp::SetMemory* from, std::uint16_t without, std::span<const WantedSet> wanted,
                              Instant now) {
  std::size_t narrow = 0, wide = 0;
  const std::uint32_t seconds = whole_seconds(now);
  if (from != nullptr)
    SetTable(from->rows()).each(seconds, [&](const SetEntry& e, std::uint16_t sets) {
      if ((sets & ~unsigned{without}) != 0) ++(e.prefix.v4 && e.end == 0 ? narrow : wide);
    });
  for (const WantedSet& set : wanted)
    if (set.items)
      for (const SetItem& item : *set.items) ++(item.prefix.v4 && item.ttl == 0 ? narrow : wide);
  if (narrow + wide > WEIR_MAX_SET_ENTRIES) {
    const auto table = from != nullptr ? std::optional(SetTable(from->rows())) : std::nullopt;
    const std::size_t entries = entries_with(table ? &*table : nullptr, without, wanted, seconds);
    if (entries > WEIR_MAX_SET_ENTRIES) return too_many(entries);
  }
  // Either kind has room for some beside many of the other: what fills it is paid for by a whole table.
  const std::size_t some = std::min<std::size_t>(narrow + wide, WEIR_MAX_SET_ENTRIES) / 16;
  const auto room = [&](std::size_t n) { return std::clamp<std::size_t>(n, some, WEIR_MAX_SET_ENTRIES); };
  SetTableSize size = SetTableSize::for_entries(room(narrow), room(wide));
  for (int attempt = 0; attempt < kAttempts; ++attempt, size = size.doubled()) {
    const auto seed = random_seed();
    if (!seed) return Err(seed.error());
    auto memory = xdp::SetMemory::make(size.rows());
    if (!memory) return Err(memory.error());
    SetTable table = SetTable::format(memory->rows(), size, *seed);
    if (from != nullptr) keep_names(SetTable(from->rows()), table, without, wanted);
    if (from != nullptr && !copy_live(SetTable(from->rows()), table, without, seconds)) continue;
    const auto numbers = number(table, wanted);
    if (!numbers) return Err(numbers.error());
    bool fits = true;
    for (std::size_t i = 0; i < wanted.size() && fits; ++i)
      if (wanted[i].items) fits = add_all(table, (*numbers)[i], *wanted[i].items, now);
    if (!fits) continue;
    SetNames names = names_of(table);
    return NewTable{std::move(*memory), std::move(names)};
  }
  return xdp::fail("the entries found no place in a table four times their size: this is an error of weir's", ENOSPC);
}

Outcome<std::uint32_t> free_table(const xdp::Maps& maps) {
  std::array<bool, WEIR_SET_TABLES> used{};
  for (const std::uint32_t slot : {0u, 1u}) {
    const auto generation = maps.generation(slot);
    // One that does not hold together names no table that anybody can use.
    if (!generation && generation.error().code != EPROTO) return Err(generation.error());
    if (generation && *generation && (*generation)->header().sets < WEIR_SET_TABLES)
      used[(*generation)->header().sets] = true;
  }
  return static_cast<std::uint32_t>(std::find(used.begin(), used.end(), false) - used.begin());
}

}  // namespace weir::control
