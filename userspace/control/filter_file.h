// SPDX-License-Identifier: MIT
// The filter as a file: what `weir filter apply` reads and `weir filter export` writes.
//
//   file = { line }
//   line = [ "rule" NAME ACTION { WORD VALUE } | "set" NAME [ "{" LIST "}" | "file" PATH ] ] [ "#" COMMENT ]
//
// Words stand between blanks and tabs; a comment runs from a '#' that begins a word to the end of its line. NAME as
// parse_rule_name() has it, ACTION as parse_action(), WORD and VALUE as set_word(). The order of the lines is the order
// of the rules. LIST is as set_list.h has it and may go over many lines; a set without one keeps the entries that it
// has. A set that a rule asks for stands in the file, before it or after.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/control/filter_rule.h"
#include "weir/control/set_list.h"

namespace weir::control {

inline constexpr std::size_t kMaxFilterLine = 4096;

struct FileSet {
  std::string name;
  std::optional<std::vector<SetItem>> items;
  std::string path;  // of a list, where the file names one: read by who reads the file, from its directory
};

struct FilterFile {
  std::vector<Rule> rules;
  std::vector<FileSet> sets;
};

// Each rule sound and with a name of its own, each set too. Errors (EINVAL) begin with "NAME:LINE:COLUMN: ", both
// counted from 1, columns in octets; `name` is the file's in them.
Outcome<FilterFile> parse_filter_file(std::string_view text, std::string_view name);

// A file that parse_filter_file() reads as the same.
std::string write_filter_file(const std::vector<Rule>& rules, const std::vector<FileSet>& sets = {});

}  // namespace weir::control
