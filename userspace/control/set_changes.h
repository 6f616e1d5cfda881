// SPDX-License-Identifier: MIT
// Changes of a set as a feed writes them, a line each.
//
//   line   = [ "add" | "del" ] { ENTRY | SEPARATOR } [ COMMENT ]        in the words of set_list.h
//
// A line without a verb says what the command says. A removal takes the entry whatever time it has left: what is said
// of that is not looked at, so that what `weir set show` writes can be removed.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "weir/control/set_list.h"

namespace weir::control {

enum class SetVerb : std::uint8_t { add, del };

// Of lines that follow each other and say the same.
struct SetChanges {
  SetVerb verb = SetVerb::add;
  std::vector<SetItem> items;  // in their order; those of a removal without a time to live
  friend bool operator==(const SetChanges&, const SetChanges&) = default;
};

// Of whole lines; the last may be without its end. `ttl` is of entries that say none. EINVAL: "NAME:LINE:COLUMN: " and
// what is wrong; `out` has what the lines before it said.
Outcome<void> parse_set_changes(std::string_view lines, const ListPlace& place, SetVerb verb, std::uint32_t ttl,
                                std::vector<SetChanges>& out);

}  // namespace weir::control
