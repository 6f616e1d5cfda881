// SPDX-License-Identifier: MIT
#include "weir/control/filter_diff.h"

#include <algorithm>
#include <map>
#include <string_view>

namespace weir::control {
namespace {

// For each place of `order`, whether it is part of one longest increasing subsequence: those that can stay where they
// are while the others move around them.
std::vector<bool> longest_increasing(const std::vector<std::uint32_t>& order) {
  std::vector<std::size_t> tails;  // place whose value ends the best subsequence of that length
  std::vector<std::optional<std::size_t>> before(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto at = std::lower_bound(tails.begin(), tails.end(), order[i],
                                     [&](std::size_t place, std::uint32_t value) { return order[place] < value; });
    if (at != tails.begin()) before[i] = *(at - 1);
    if (at == tails.end())
      tails.push_back(i);
    else
      *at = i;
  }
  std::vector<bool> stays(order.size());
  if (tails.empty()) return stays;
  for (std::optional<std::size_t> i = tails.back(); i; i = before[*i]) stays[*i] = true;
  return stays;
}

}  // namespace

std::vector<RuleChange> compare_rules(const std::vector<Rule>& before, const std::vector<Rule>& after) {
  std::map<std::string_view, std::uint32_t> old_place;
  for (std::uint32_t i = 0; i < before.size(); ++i) old_place.emplace(before[i].name, i);
  std::map<std::string_view, std::uint32_t> new_place;
  for (std::uint32_t i = 0; i < after.size(); ++i) new_place.emplace(after[i].name, i);

  std::vector<RuleChange> out;
  for (std::uint32_t i = 0; i < before.size(); ++i) {
    if (new_place.count(before[i].name) != 0) continue;
    RuleChange c;
    c.kind = RuleChange::Kind::removed;
    c.name = before[i].name;
    c.index_before = i;
    c.before = before[i].to_string();
    out.push_back(std::move(c));
  }
  std::vector<std::uint32_t> order;
  for (const Rule& r : after)
    if (const auto at = old_place.find(r.name); at != old_place.end()) order.push_back(at->second);
  const std::vector<bool> stays = longest_increasing(order);
  std::size_t common = 0;
  for (std::uint32_t i = 0; i < after.size(); ++i) {
    RuleChange c;
    c.name = after[i].name;
    c.index_after = i;
    c.after = after[i].to_string();
    const auto at = old_place.find(after[i].name);
    if (at != old_place.end()) {
      const bool stayed = stays[common++];
      c.index_before = at->second;
      c.before = before[at->second].to_string();
      if (!before[at->second].same_rule(after[i]))
        c.kind = RuleChange::Kind::changed;
      else if (!stayed)
        c.kind = RuleChange::Kind::moved;
      else
        continue;
    }
    out.push_back(std::move(c));
  }
  return out;
}

}  // namespace weir::control
