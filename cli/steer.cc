// SPDX-License-Identifier: MIT
// weir steer add, del, list.
#include <fmt/core.h>
#include <netinet/in.h>

#include <cerrno>

#include "engines.h"
#include "guard.h"
#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/caps.h"
#include "weir/control/lock.h"
#include "weir/control/status.h"
#include "weir/control/steer.h"
#include "words.h"

namespace weir::cli {
namespace {

using control::Capability;

// The engine serves TCP only: a steered UDP port would be one that nobody answers.
Outcome<control::Selector> wanted_selector(const Context& context) {
  if (context.args.get_or("protocol", "tcp") != "tcp")
    return fail("the engine serves TCP only in this version: UDP ports cannot be steered", EOPNOTSUPP);
  const auto ports = parse_ports(context.args.get_or("PORT", ""));
  if (!ports) return Err(ports.error());
  control::Selector selector;
  selector.first = ports->min;
  selector.last = ports->max;
  for (const auto& [word, prefix] : {std::pair{"to", &selector.to}, {"from", &selector.from}}) {
    const auto text = context.args.get(word);
    if (!text) continue;
    auto parsed = control::parse_prefix(*text);
    if (!parsed) return Err(parsed.error());
    *prefix = *parsed;
  }
  if (const auto whole = control::check_selector(selector); !whole) return Err(whole.error());
  return selector;
}

struct Change {
  control::Instance instance;
  control::Lock lock;
  control::Selector selector;
};

Json prefix_json(const control::Prefix& prefix) { return prefix.any ? Json(nullptr) : Json(prefix.to_string()); }

// What names an entry, in every document that has one.
void put_selector(Json& out, const control::Selector& selector, const std::string& app) {
  out["entry"] = selector.to_string();
  out["protocol"] = control::protocol_name(selector.protocol);
  out["port"] = selector.first;
  out["port_last"] = selector.last;
  out["to"] = prefix_json(selector.to);
  out["from"] = prefix_json(selector.from);
  out["app"] = app.empty() ? Json(nullptr) : Json(app);
}

Outcome<Change> begin(const Context& context) {
  const auto selector = wanted_selector(context);
  if (!selector) return Err(selector.error());
  if (const auto allowed = control::require_capabilities("steer", {Capability::bpf, Capability::net_admin}); !allowed)
    return Err(allowed.error());
  auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  auto lock = control::Lock::acquire();
  if (!lock) return Err(lock.error());
  return Change{std::move(*instance), std::move(*lock), *selector};
}

// The operators' sessions would stay, but nobody else could come by SSH any more.
Outcome<void> refuse_guarded(const Context& context, const control::Instance& instance,
                             const control::Selector& selector) {
  if (context.args.has("--no-guard") || selector.protocol != control::Protocol::tcp) return {};
  const auto guards = control::guard_list(instance.maps(), control::monotonic_now());
  if (!guards) return Err(guards.error());
  for (const control::GuardedSession& s : *guards)
    if (s.port >= selector.first && s.port <= selector.last)
      return fail(
          fmt::format("tcp {} is the port of sshd, by the guarded session of {}: --no-guard steers it all the same",
                      s.port, s.remote.to_string()),
          EPERM);
  return {};
}

}  // namespace

Json to_json(const control::SteerEntry& entry, std::uint64_t serving) {
  Json out;
  put_selector(out, entry.selector, entry.app);
  out["use"] = entry.reserved ? "outgoing" : "serve";
  out["listening"] = (entry.listeners & serving) != 0;
  out["listening_queues"] = queue_numbers(entry.listeners & serving);
  out["flows"] = entry.flows;
  out["draining"] = entry.draining;
  out["absent"] = entry.absent_drop ? "drop" : "pass";
  out["kernel_may_own"] = entry.kernel_may_own;
  out["syn_guard"] = entry.syn_guard.on;
  out["syns_per_second"] = entry.syn_guard.syns_per_second;
  out["packets"] = entry.counter.packets;
  out["bytes"] = entry.counter.bytes;
  return out;
}

std::string entry_text(const control::SteerEntry& entry) {
  return entry.selector.to_string() + (entry.app.empty() ? "" : " app " + entry.app);
}

void reap_if_allowed(const control::Instance& instance) {
  if (!control::has_capability(Capability::bpf)) return;
  const auto lock = control::Lock::acquire(Duration::milliseconds(200));
  if (lock) static_cast<void>(control::reap_drained(instance.maps(), control::monotonic_now()).ok());
}

Outcome<int> run_steer_add(const Context& context) {
  const auto change = begin(context);
  if (!change) return Err(change.error());
  const auto guarded = guard_caller(context, change->instance);
  if (!guarded) return Err(guarded.error());
  if (const auto free = refuse_guarded(context, change->instance, change->selector); !free) return Err(free.error());
  const bool drop = context.args.get_or("absent", "pass") == "drop";
  const std::string app = context.args.get_or("app", "");
  const auto index = control::steer_add(change->instance.maps(), change->selector,
                                        drop ? control::Absent::drop : control::Absent::pass, control::Purpose::serve,
                                        control::monotonic_now(), app);
  if (!index) return Err(index.error());
  const std::string& interface = change->instance.interface();
  if (context.json) {
    Json out{{"interface", interface}};
    put_selector(out, change->selector, app);
    out["absent"] = drop ? "drop" : "pass";
    out["guard"] = sessions_json(*guarded);
    print_line(out);
  } else {
    print(fmt::format(
        "{}: {} is steered: new connections go to the engine{} that listens there; {} while there is none\n", interface,
        change->selector.to_string(), app.empty() ? "" : " named " + app,
        drop ? "they are dropped" : "the kernel has them"));
  }
  return kOk;
}

Outcome<int> run_steer_del(const Context& context) {
  const auto change = begin(context);
  if (!change) return Err(change.error());
  const bool now = context.args.has("--now");
  const auto report =
      control::steer_del(change->instance.maps(), change->selector,
                         now ? control::Removal::now : control::Removal::drain, control::monotonic_now());
  if (!report) return Err(report.error());
  const std::string& interface = change->instance.interface();
  if (context.json) {
    Json out{{"interface", interface}};
    put_selector(out, change->selector, "");
    out.erase("app");
    out["removed"] = report->removed;
    out["flows"] = report->flows;
    print_line(out);
    return kOk;
  }
  const std::string flows = count_text(report->flows, "flow", "flows");
  if (!report->removed)
    print(fmt::format("{}: {} drains: new connections go to the kernel, {} to their end\n", interface,
                      change->selector.to_string(), flows));
  else if (report->flows > 0)
    print(fmt::format("{}: {} is no longer steered; the engine resets {}\n", interface, change->selector.to_string(),
                      flows));
  else
    print(fmt::format("{}: {} is no longer steered\n", interface, change->selector.to_string()));
  return kOk;
}

Outcome<int> run_steer_list(const Context& context) {
  const auto instances = choose_instances(context.args.get("dev"));
  if (!instances) return Err(instances.error());
  Json list = Json::array();
  Columns columns({{"DEV"},
                   {"ENTRY"},
                   {"USE"},
                   {"ENGINE"},
                   {"FLOWS", Columns::Align::right},
                   {"ABSENT"},
                   {"PACKETS", Columns::Align::right},
                   {"BYTES", Columns::Align::right}});
  for (const control::Instance& instance : *instances) {
    reap_if_allowed(instance);
    const auto status = control::read_status(instance, control::monotonic_now());
    if (!status) return Err(status.error());
    const std::uint64_t serving = serving_queues(status->queues);
    for (const control::SteerEntry& entry : status->steered) {
      Json one;
      one["interface"] = instance.interface();
      one.update(to_json(entry, serving));
      list.push_back(std::move(one));
      columns.row({instance.interface(), entry_text(entry), entry.reserved ? "outgoing" : "serve",
                   listening_name(entry, serving), std::to_string(entry.flows), entry.absent_drop ? "drop" : "pass",
                   std::to_string(entry.counter.packets), std::to_string(entry.counter.bytes)});
    }
  }
  if (context.json) {
    Json out;
    out["steer"] = std::move(list);
    print_line(out);
  } else {
    print(columns.empty() ? "no port is steered: `weir steer add tcp PORT`\n" : columns.text());
  }
  return kOk;
}

}  // namespace weir::cli
