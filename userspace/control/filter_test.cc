// SPDX-License-Identifier: MIT
#include "weir/control/filter_test.h"

#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>

#include "weir/control/filter_change.h"
#include "weir/control/set_table.h"
#include "weir/control/sets.h"
#include "weir/control/test_packet.h"

namespace weir::control {
namespace {

bool is_guard(weir_reason r) { return r == WEIR_R_PASS_ARP || r == WEIR_R_PASS_INFRA || r == WEIR_R_PASS_GUARD; }

}  // namespace

Outcome<FilterTest> FilterTest::open(const Instance& instance, Instant now) {
  auto explainer = xdp::Explainer::open(instance.directory(), instance.config());
  if (!explainer) return Err(explainer.error());
  auto state = filter_state(instance.maps(), now, RuleCounters::leave_out);
  if (!state) return Err(state.error());
  const std::uint32_t slot =
      weir_selected(xdp::load(instance.config().filter_selector), static_cast<weir_u64>(now.ns()));
  auto steered = steer_list(instance.maps());
  if (!steered) return Err(steered.error());
  std::optional<xdp::SetMemory> sets;
  if (state->table != WEIR_NO_SET_TABLE) {
    auto memory = instance.maps().set_table(state->table);
    if (!memory) return Err(memory.error());
    if (*memory && SetTable::whole((*memory)->rows())) sets = std::move(**memory);
  }
  return FilterTest(std::move(explainer).value(), slot, std::move(state->rules), std::move(steered).value(),
                    std::move(sets));
}

FilterTest::FilterTest(xdp::Explainer explainer, std::uint32_t slot, std::vector<Rule> rules,
                       std::vector<SteerEntry> steered, std::optional<xdp::SetMemory> sets)
    : explainer_(std::move(explainer)),
      slot_(slot),
      rules_(std::move(rules)),
      steered_(std::move(steered)),
      sets_(std::move(sets)) {
  const auto note = [&](SetAnswer::Side side, const std::string& name) {
    const std::pair asked{side, name};
    if (!name.empty() && std::find(asked_.begin(), asked_.end(), asked) == asked_.end()) asked_.push_back(asked);
  };
  for (const Rule& rule : rules_) {
    note(SetAnswer::Side::source, rule.source_set.name);
    note(SetAnswer::Side::destination, rule.destination_set.name);
  }
}

void FilterTest::explain_sets(std::span<const std::byte> frame, Instant now, FrameVerdict& out) const {
  const auto addresses = frame_addresses(frame);
  if (!sets_ || asked_.empty() || !addresses) return;
  const SetTable table(sets_->rows());
  const std::uint32_t seconds = whole_seconds(now);
  for (const auto& [side, name] : asked_) {
    const auto number = table.find(name);
    if (!number) continue;
    const SetPrefix address =
        to_set_prefix(side == SetAnswer::Side::source ? addresses->source : addresses->destination);
    const Rule* rule = out.rule ? &rules_[*out.rule] : nullptr;
    const bool of_rule =
        rule != nullptr && name == (side == SetAnswer::Side::source ? rule->source_set : rule->destination_set).name;
    if (of_rule)
      if (const auto in = table.covering(*number, address, seconds); !in.empty())
        out.sets.push_back({side, name, item_of(in.front(), now), 0});
    // At second 0 nothing had ended.
    for (const SetEntry& e : table.covering(*number, address, 0))
      if (e.end != 0 && e.end <= seconds) out.ended.push_back({side, name, {e.prefix, 0}, seconds - e.end + 1});
  }
}

Outcome<FrameVerdict> FilterTest::run(std::span<const std::byte> frame, std::uint32_t queue, Instant now) const {
  const auto told = explainer_.run(frame, queue);
  if (!told) return Err(told.error());
  FrameVerdict out;
  const auto action = told->action;
  out.by_other = action == XDP_PASS ? "pass" : action == XDP_TX || action == XDP_REDIRECT ? "sent" : "drop";
  out.on_queue = told->on_queue;
  if (!told->answer) return out;
  const weir_explanation& a = *told->answer;
  if (a.reason >= WEIR_REASON_COUNT)
    return xdp::fail(
        "the attached program gives a reason that this weir does not know: put this version's in its place "
        "(weir attach --replace)",
        EPROTO);
  out.reason = static_cast<weir_reason>(a.reason);
  out.guarded = is_guard(*out.reason);
  out.fragment = static_cast<weir_fragment>(std::min<unsigned>(a.fragment, WEIR_FRAGMENT_LATER));
  if (a.rule != WEIR_NONE && (a.slot != slot_ || a.rule >= rules_.size()))
    return xdp::fail("the filter has changed meanwhile: try again", EAGAIN);
  if (a.rule != WEIR_NONE) {
    out.rule = a.rule;
    if (rules_[a.rule].limit) out.limit = *out.reason == WEIR_R_DROP_LIMIT ? LimitAnswer::beyond : LimitAnswer::within;
  }
  if (!out.guarded) explain_sets(frame, now, out);
  const auto entry =
      std::find_if(steered_.begin(), steered_.end(), [&](const SteerEntry& e) { return e.index == a.steer; });
  if (entry != steered_.end()) out.steer = *entry;
  return out;
}

}  // namespace weir::control
