// SPDX-License-Identifier: MIT
// A table of named sets as it stands in its map (common/set_abi.h): found, changed in place, built anew. Pure: it works
// on memory that it is given, which may be a map that XDP reads at the same time.
//
// A change in place is one store, so a reader sees it whole or not at all, and a writer that is killed leaves it done
// or not done. One writer at a time; readers need nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/common/abi.h"

namespace weir::control {

// A prefix as the table has it: host order, host bits zero, IPv4 as ::ffff:a.b.c.d.
struct SetPrefix {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  std::uint8_t length = 0;  // of the family: 0..32, 0..128
  bool v4 = false;
  friend bool operator==(const SetPrefix&, const SetPrefix&) = default;
};
// IPv4 before IPv6, then by address, the shorter prefix first.
bool operator<(const SetPrefix& a, const SetPrefix& b);
bool covers(const SetPrefix& prefix, const SetPrefix& other);

// One prefix in one set, or as a file has it.
struct SetEntry {
  SetPrefix prefix;
  std::uint32_t end = 0;  // second of CLOCK_MONOTONIC from which on it is out of the set; 0: it stays
  friend bool operator==(const SetEntry&, const SetEntry&) = default;
};

// Slots of which at most half are filled, and what it takes for them.
struct SetTableSize {
  std::uint8_t guide_bits = 3;
  std::uint8_t narrow_bits = 3;
  std::uint8_t wide_bits = 3;
  static SetTableSize for_entries(std::size_t narrow, std::size_t wide);
  SetTableSize doubled() const;
  std::size_t rows() const;
};

class SetTable {
 public:
  // A view of rows that stay the caller's. It must hold together: whole() below.
  explicit SetTable(std::span<weir_set_row> rows) : rows_(rows) {}
  // Makes zeroed rows, of size.rows(), an empty table.
  static SetTable format(std::span<weir_set_row> rows, SetTableSize size, std::uint64_t seed);
  // Whether a look-up stays within the rows, and names end.
  static bool whole(std::span<const weir_set_row> rows);

  // Empty where the number is free.
  std::string name(unsigned set) const;
  std::optional<unsigned> find(std::string_view name) const;
  std::optional<unsigned> free_number() const;
  // The number is free.
  void set_name(unsigned set, std::string_view name);

  enum class Change : std::uint8_t { done, none, full };
  // full: nothing was changed, and a larger table is wanted. An entry that stays is not given an end by it: none.
  Change add(unsigned set, const SetEntry& entry, std::uint32_t now);
  Change remove(unsigned set, const SetPrefix& prefix, std::uint32_t now);
  // Whether any of the sets has exactly that prefix without an end.
  bool stays(std::uint16_t sets, const SetPrefix& prefix) const;
  // The entry of exactly that prefix, if it lives.
  std::optional<SetEntry> entry(unsigned set, const SetPrefix& prefix, std::uint32_t now) const;
  // Those that cover the address, the longest first.
  std::vector<SetEntry> covering(unsigned set, const SetPrefix& address, std::uint32_t now) const;
  // What lives: each prefix with the sets that it stays in, and with each that it leaves. In no order.
  void each(std::uint32_t now, const std::function<void(const SetEntry&, std::uint16_t sets)>& see) const;

  const weir_set_header& header() const { return rows_[0].header; }

 private:
  std::uint64_t* narrow_slot(const SetPrefix& prefix) const;
  std::uint64_t* free_narrow_slot(const SetPrefix& prefix) const;
  template <class See>
  std::uint64_t* wide_slot(const SetPrefix& prefix, See see) const;
  Change add_narrow(unsigned set, const SetPrefix& prefix);
  Change add_wide(unsigned set, const SetEntry& entry, std::uint32_t now);
  weir_set_guide& guide_row(std::uint64_t upper) const;
  void guide(const SetPrefix& prefix, bool narrow);
  void guide_v4(std::uint32_t address, unsigned length, bool narrow);
  void guide_v6(const SetPrefix& prefix);

  std::span<weir_set_row> rows_;
};

// What a table needs to hold the live entries of another.
SetTableSize size_of_live(const SetTable& table, std::uint32_t now);
// Copies live entries but those of the sets in `without`; false where `to` is too small.
bool copy_live(const SetTable& from, SetTable& to, std::uint16_t without, std::uint32_t now);

}  // namespace weir::control
