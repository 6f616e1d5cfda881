// SPDX-License-Identifier: MIT
#include "weir/control/filter_test.h"

#include <linux/bpf.h>

#include <algorithm>
#include <cerrno>

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
  return FilterTest(std::move(explainer).value(), slot, std::move(state->rules), std::move(steered).value());
}

Outcome<FrameVerdict> FilterTest::run(std::span<const std::byte> frame, std::uint32_t queue) const {
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
  const auto entry =
      std::find_if(steered_.begin(), steered_.end(), [&](const SteerEntry& e) { return e.index == a.steer; });
  if (entry != steered_.end()) out.steer = *entry;
  return out;
}

}  // namespace weir::control
