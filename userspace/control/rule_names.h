// SPDX-License-Identifier: MIT
// The names of rules, by the generation that judged a frame and the rule's number there: a name is of that generation,
// or there is none.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/time.h"
#include "weir/xdp/maps.h"

namespace weir::control {

class RuleNames {
 public:
  explicit RuleNames(const xdp::Maps& maps) : maps_(maps) {}

  // Learns the generations that are in the map now. Call it before the first frame, and a few times a second: one that
  // was replaced twice in between is not known. CAP_SYS_ADMIN; without it no name is.
  void look();
  // Looks, if it has to and has not done so within some milliseconds. Nothing for a generation that is gone.
  std::optional<std::string> find(std::uint64_t generation, std::uint32_t rule, Instant now);

 private:
  const xdp::Maps& maps_;
  std::map<std::uint64_t, std::vector<std::string>> by_serial_;
  Instant looked_;
};

}  // namespace weir::control
