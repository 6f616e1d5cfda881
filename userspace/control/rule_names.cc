// SPDX-License-Identifier: MIT
#include "weir/control/rule_names.h"

#include <cstring>

namespace weir::control {
namespace {

constexpr std::size_t kMostKept = 16;
constexpr Duration kPause = Duration::milliseconds(10);

}  // namespace

void RuleNames::look() {
  for (const std::uint32_t slot : {0u, 1u}) {
    const auto generation = maps_.generation(slot);
    if (!generation || !*generation) continue;
    const std::uint64_t serial = (*generation)->header().serial;
    if (serial == 0 || by_serial_.count(serial) != 0) continue;
    std::vector<std::string>& names = by_serial_[serial];
    for (const weir_rule& rule : (*generation)->rules())
      names.emplace_back(rule.name, strnlen(rule.name, sizeof rule.name));
  }
  // Serials grow with time.
  while (by_serial_.size() > kMostKept) by_serial_.erase(by_serial_.begin());
}

std::optional<std::string> RuleNames::find(std::uint64_t generation, std::uint32_t rule, Instant now) {
  if (generation == 0 || rule == WEIR_NONE) return {};
  auto at = by_serial_.find(generation);
  if (at == by_serial_.end() && now - looked_ > kPause) {
    looked_ = now;
    look();
    at = by_serial_.find(generation);
  }
  if (at == by_serial_.end() || rule >= at->second.size()) return {};
  return at->second[rule];
}

}  // namespace weir::control
