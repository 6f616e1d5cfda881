// SPDX-License-Identifier: MIT
// Lists of prefixes as publishers of blocklists make them, and as the tools write a set's entries.
//
//   list  = { ENTRY | SEPARATOR | COMMENT }
//   ENTRY = ( ADDRESS [ "/" LENGTH ] | ADDRESS "-" ADDRESS | ADDRESS " - " ADDRESS ) [ BLANK "ttl" BLANK TIME ]
//   TIME  = NUMBER [ "s" | "m" | "h" | "d" ]        1 s to 3650 d; a bare number is seconds
//
// Entries stand between blanks, line ends and commas; '#' and ';' begin a comment that ends with its line. Both
// families may stand in one list. A range stands for the fewest prefixes that cover it and nothing else. A byte order
// mark before the first is no part of it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/control/filter_rule.h"
#include "weir/control/set_table.h"

namespace weir::control {

// A prefix that is to be in a set.
struct SetItem {
  SetPrefix prefix;
  std::uint32_t ttl = 0;  // seconds; 0: it stays
  friend bool operator==(const SetItem&, const SetItem&) = default;
};

struct ListPlace {
  std::string_view name;  // of the file, in errors
  std::size_t line = 1;   // of the first character
  std::size_t column = 1;
};
// `progress` is told the octets that are done, now and then; where it says false, the end is ECANCELED. EINVAL:
// "NAME:LINE:COLUMN: " and what is wrong. ENOSPC: more than a table takes.
Outcome<std::vector<SetItem>> parse_set_list(std::string_view text, const ListPlace& place,
                                             const std::function<bool(std::size_t)>& progress = {});
// One prefix, one address, or the prefixes of a range.
Outcome<std::vector<SetPrefix>> parse_set_prefixes(std::string_view text);
// Seconds.
Outcome<std::uint32_t> parse_ttl(std::string_view text);

SetPrefix to_set_prefix(const Prefix& prefix);
SetPrefix to_set_prefix(const IpAddress& host);
// "192.0.2.0/24", and a host without its length.
std::string to_string(const SetPrefix& prefix);
// As a list has it: "192.0.2.7 ttl 60s".
std::string to_string(const SetItem& item);

}  // namespace weir::control
