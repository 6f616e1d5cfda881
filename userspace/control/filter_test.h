// SPDX-License-Identifier: MIT
// What would become of a frame, and why: the attached program's own answer (xdp/explain.h), in the model's words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "weir/common/reasons.h"
#include "weir/control/filter.h"
#include "weir/control/instance.h"
#include "weir/control/steer.h"
#include "weir/xdp/explain.h"
#include "weir/xdp/set_memory.h"

namespace weir::control {

enum class LimitAnswer : std::uint8_t { none, within, beyond };

// Why an address is in a named set, or is so no more.
struct SetAnswer {
  enum class Side : std::uint8_t { source, destination };
  Side side = Side::source;
  std::string set;
  SetItem entry;                // the longest prefix that has the address; its `ttl` is what is left
  std::uint32_t ended_for = 0;  // seconds since it left the set by its time to live; 0: it is in the set
};

struct FrameVerdict {
  // Nothing: a program before weir's in libxdp's dispatcher settled the frame, with the verdict `by_other`.
  std::optional<weir_reason> reason;
  const char* by_other = nullptr;         // "pass", "drop" or "sent"
  std::optional<std::uint32_t> rule;      // that matched: its place in rules()
  LimitAnswer limit = LimitAnswer::none;  // of that rule, had the frame come now; it was not charged
  std::vector<SetAnswer> sets;            // of that rule: the entry of each set that it asks for
  // Of sets that any rule asks for, entries that had the frame's addresses and have ended. A set forgets them when its
  // table is built anew.
  std::vector<SetAnswer> ended;
  std::optional<SteerEntry> steer;  // that was found for it
  bool guarded = false;             // infrastructure or an operator's session: the filter was not asked
  weir_fragment fragment = WEIR_FRAGMENT_NONE;
  bool on_queue = true;  // false: it could not be run as of that queue, and was as of queue 0
};

// The rules and steering entries are those at open(): hold the Lock from there on, so that they are the program's.
class FilterTest {
 public:
  static Outcome<FilterTest> open(const Instance& instance, Instant now);

  // EINVAL: a frame that cannot be run (xdp::kLeastFrame, xdp::kMostFrame). EAGAIN: the rules are no longer those.
  // `now` (monotonic_now) is the time at which entries of sets with a time to live are judged for the answer; the
  // program itself goes by the clock.
  Outcome<FrameVerdict> run(std::span<const std::byte> frame, std::uint32_t queue, Instant now) const;

  const Rule& rule(const FrameVerdict& verdict) const { return rules_[verdict.rule.value()]; }
  const std::vector<Rule>& rules() const { return rules_; }  // of the current generation
  bool shared() const { return explainer_.shared(); }

 private:
  FilterTest(xdp::Explainer explainer, std::uint32_t slot, std::vector<Rule> rules, std::vector<SteerEntry> steered,
             std::optional<xdp::SetMemory> sets);
  void explain_sets(std::span<const std::byte> frame, Instant now, FrameVerdict& out) const;

  xdp::Explainer explainer_;
  std::uint32_t slot_;
  std::vector<Rule> rules_;
  std::vector<SteerEntry> steered_;
  std::optional<xdp::SetMemory> sets_;
  std::vector<std::pair<SetAnswer::Side, std::string>> asked_;  // by the rules, each once
};

}  // namespace weir::control
