// SPDX-License-Identifier: MIT
// The filter as a file: what `weir filter apply` reads and `weir filter export` writes.
//
//   file = { line }
//   line = [ "rule" NAME ACTION { WORD VALUE } ] [ "#" COMMENT ]
//
// Words stand between blanks and tabs; a comment runs from a '#' that begins a word to the end of its line. NAME as
// parse_rule_name() has it, ACTION as parse_action(), WORD and VALUE as set_word(). The order of the lines is the order
// of the rules.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "weir/control/filter_rule.h"

namespace weir::control {

inline constexpr std::size_t kMaxFilterLine = 4096;

// The rules, each sound and with a name of its own. Errors (EINVAL) begin with "NAME:LINE:COLUMN: ", both counted from
// 1, columns in octets; `name` is the file's in them.
Outcome<std::vector<Rule>> parse_filter_file(std::string_view text, std::string_view name);

// A file that parse_filter_file() reads as the same rules.
std::string write_filter_file(const std::vector<Rule>& rules);

}  // namespace weir::control
