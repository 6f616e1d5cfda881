// SPDX-License-Identifier: MIT
// What would become of a frame, and why: the attached program's own answer (xdp/explain.h), in the model's words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weir/common/reasons.h"
#include "weir/control/filter.h"
#include "weir/control/instance.h"
#include "weir/control/steer.h"
#include "weir/xdp/explain.h"

namespace weir::control {

enum class LimitAnswer : std::uint8_t { none, within, beyond };

struct FrameVerdict {
  // Nothing: a program before weir's in libxdp's dispatcher settled the frame, with the verdict `by_other`.
  std::optional<weir_reason> reason;
  const char* by_other = nullptr;         // "pass", "drop" or "sent"
  std::optional<std::uint32_t> rule;      // that matched: its place in rules()
  LimitAnswer limit = LimitAnswer::none;  // of that rule, had the frame come now; it was not charged
  std::optional<SteerEntry> steer;        // that was found for it
  bool guarded = false;                   // infrastructure or an operator's session: the filter was not asked
  weir_fragment fragment = WEIR_FRAGMENT_NONE;
  bool on_queue = true;  // false: it could not be run as of that queue, and was as of queue 0
};

// The rules and steering entries are those at open(): hold the Lock from there on, so that they are the program's.
class FilterTest {
 public:
  static Outcome<FilterTest> open(const Instance& instance, Instant now);

  // EINVAL: a frame that cannot be run (xdp::kLeastFrame, xdp::kMostFrame). EAGAIN: the rules are no longer those.
  Outcome<FrameVerdict> run(std::span<const std::byte> frame, std::uint32_t queue) const;

  const Rule& rule(const FrameVerdict& verdict) const { return rules_[verdict.rule.value()]; }
  const std::vector<Rule>& rules() const { return rules_; }  // of the current generation
  bool shared() const { return explainer_.shared(); }

 private:
  FilterTest(xdp::Explainer explainer, std::uint32_t slot, std::vector<Rule> rules, std::vector<SteerEntry> steered)
      : explainer_(std::move(explainer)), slot_(slot), rules_(std::move(rules)), steered_(std::move(steered)) {}
  xdp::Explainer explainer_;
  std::uint32_t slot_;
  std::vector<Rule> rules_;
  std::vector<SteerEntry> steered_;
};

}  // namespace weir::control
