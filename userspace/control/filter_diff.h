// SPDX-License-Identifier: MIT
// What would change if one list of rules took the place of another.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/control/filter_rule.h"

namespace weir::control {

struct RuleChange {
  enum class Kind : std::uint8_t { added, removed, changed, moved };
  Kind kind = Kind::added;
  std::string name;
  // Places in the two lists, from 0, and the rules there; without one where the list has no rule of that name. A rule
  // that is changed may have another place, too.
  std::optional<std::uint32_t> index_before;
  std::optional<std::uint32_t> index_after;
  std::string before;
  std::string after;
};

// The fewest moves that explain the new order. In the order of `after`; what is removed comes first.
std::vector<RuleChange> compare_rules(const std::vector<Rule>& before, const std::vector<Rule>& after);

}  // namespace weir::control
