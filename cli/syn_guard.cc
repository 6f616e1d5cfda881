// SPDX-License-Identifier: MIT
// weir syn-guard: show it, or switch it.
#include "weir/control/syn_guard.h"

#include <fmt/core.h>

#include <cerrno>

#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/caps.h"
#include "weir/control/lock.h"
#include "weir/control/status.h"
#include "words.h"

namespace weir::cli {
namespace {

using control::Capability;
using control::SynGuard;
using control::SynGuardMode;

// XDP_TX out of a veth is lost where the other end has no XDP program; that end may be in a namespace that we do not
// see.
bool loses_answers(const control::Status& status) {
  const auto link = control::read_interface(status.ifindex);
  return link && link->kind == "veth" && status.mode == WEIR_XDP_NATIVE;
}

void show(const std::string& interface, const control::Status& status, bool json) {
  Json entries = Json::array();
  Columns columns({{"ENTRY"}, {"GUARD"}, {"SYN/S", Columns::Align::right}});
  for (const control::SteerEntry& entry : status.steered) {
    if (entry.reserved) continue;
    entries.push_back({{"entry", entry.selector.to_string()},
                       {"on", entry.syn_guard.on},
                       {"syns_per_second", entry.syn_guard.syns_per_second}});
    columns.row(
        {entry_text(entry), entry.syn_guard.on ? "on" : "off", std::to_string(entry.syn_guard.syns_per_second)});
  }
  if (json) {
    print_line({{"interface", interface},
                {"mode", control::syn_guard_name(status.syn_guard.mode)},
                {"rate", status.syn_guard.rate},
                {"engine", status.syn_guard.engine},
                {"entries", std::move(entries)}});
    return;
  }
  print(interface + ": " + syn_guard_text(status.syn_guard) + "\n" + (columns.empty() ? "" : columns.text("  ")));
}

}  // namespace

std::string syn_guard_text(const SynGuard& guard) {
  std::string out = fmt::format("SYN guard {}", control::syn_guard_name(guard.mode));
  if (guard.mode == SynGuardMode::automatic)
    out += fmt::format(": on above {} new connections a second of an entry", guard.rate);
  if (guard.mode == SynGuardMode::on) out += ": XDP answers every new connection by a cookie";
  if (guard.mode != SynGuardMode::off && !guard.engine) out += "; no engine is there to answer for";
  return out;
}

Outcome<int> run_syn_guard(const Context& context) {
  const auto wanted = control::parse_syn_guard(context.args.get_or("mode", ""));
  if (!wanted && context.args.has("rate"))
    return fail("rate goes with on or auto: `weir syn-guard auto rate N`", EINVAL);
  auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  if (wanted) {
    if (const auto allowed = control::require_capabilities("syn-guard", {Capability::bpf, Capability::net_admin});
        !allowed)
      return Err(allowed.error());
    const auto lock = control::Lock::acquire();
    if (!lock) return Err(lock.error());
    std::uint32_t rate = control::read_syn_guard(instance->maps()).rate;
    if (const auto text = context.args.get("rate")) {
      const auto number = parse_number(*text);
      if (!number) return Err(number.error());
      rate = *number;
    }
    const auto before = control::read_status(*instance, control::monotonic_now());
    if (!before) return Err(before.error());
    if (before->shared && *wanted != SynGuardMode::off)
      return fail(
          instance->interface() +
              " is attached by libxdp's dispatcher, where a program may not make a frame longer or shorter: the "
              "SYN guard needs `weir attach` without --shared",
          EOPNOTSUPP);
    if (const auto set = control::set_syn_guard(instance->maps(), *wanted, rate); !set) return Err(set.error());
    if (*wanted != SynGuardMode::off && loses_answers(*before))
      fmt::print(stderr,
                 "weir: {0} is a veth: what native XDP answers is lost unless an XDP program is at the other end; "
                 "`weir attach {0} --mode generic` needs none\n",
                 instance->interface());
  }
  const auto status = control::read_status(*instance, control::monotonic_now());
  if (!status) return Err(status.error());
  show(instance->interface(), *status, context.json);
  return kOk;
}

}  // namespace weir::cli
