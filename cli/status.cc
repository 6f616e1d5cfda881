// SPDX-License-Identifier: MIT
// weir status.
#include "status.h"

#include <fmt/core.h>

#include "engines.h"
#include "guard.h"
#include "table.h"
#include "weir/control/instance.h"
#include "words.h"

namespace weir::cli {
namespace {

Paint colour(const EngineView& engine) {
  if (engine.serving) return Paint::good;
  if (engine.dead) return Paint::bad;
  return engine.here ? Paint::caution : Paint::dim;
}

std::string engine_text(const control::QueueStatus& queue) {
  const EngineView engine = view(queue);
  std::string out = fmt::format("engine {}", paint(colour(engine), engine.name));
  if (queue.engine == control::EngineState::absent) return out;
  if (!engine.serving) out += fmt::format(" for {}", seconds_text(queue.heartbeat_age));
  out += fmt::format(", pid {}", queue.pid);
  if (!queue.app.empty()) out += fmt::format(", app {}", queue.app);
  if (!engine.here) return out;
  out += fmt::format(", {}, up {}", queue.zero_copy ? "zero-copy" : "copy mode", seconds_text(queue.uptime));
  if (queue.loop_lag.count_ns() > 0)
    out += fmt::format(", longest turn {:.2f} ms", static_cast<double>(queue.loop_lag.count_us()) / 1e3);
  return out;
}

Json to_json(const control::QueueStatus& queue) {
  const bool known = queue.engine != control::EngineState::absent;
  Json out = {{"queue", queue.queue}, {"engine", view(queue).name}};
  out["pid"] = known ? Json(queue.pid) : Json(nullptr);
  out["app"] = known && !queue.app.empty() ? Json(queue.app) : Json(nullptr);
  out["zero_copy"] = known ? Json(queue.zero_copy) : Json(nullptr);
  out["heartbeat_age_ms"] = known ? Json(queue.heartbeat_age.count_ms()) : Json(nullptr);
  out["uptime_ms"] = known ? Json(queue.uptime.count_ms()) : Json(nullptr);
  out["loop_lag_us"] = known ? Json(queue.loop_lag.count_us()) : Json(nullptr);
  return out;
}

std::string steered_text(const control::Status& facts) {
  Columns columns({{"ENTRY"}, {"ENGINE"}, {"FLOWS", Columns::Align::right}, {"WHILE NO ENGINE LISTENS"}});
  std::size_t reserved = 0;
  const std::uint64_t serving = serving_queues(facts.queues);
  for (const control::SteerEntry& entry : facts.steered) {
    if (entry.reserved) {
      ++reserved;
      continue;
    }
    const std::string state = listening_name(entry, serving);
    columns.row({entry_text(entry), paint(state == "listening" ? Paint::good : Paint::plain, state),
                 std::to_string(entry.flows), entry.absent_drop ? "new connections are dropped" : "the kernel serves"});
  }
  std::string out = columns.empty() ? "" : columns.text("  ");
  if (reserved > 0)
    out += fmt::format("  and {} of the engine's outgoing connections (`weir steer list`)\n",
                       count_text(reserved, "local port", "local ports"));
  return out;
}

std::string filter_trial(const control::Status& facts) {
  if (facts.filter_pending)
    return fmt::format(", on trial for another {}: `weir filter confirm` keeps them",
                       seconds_text(*facts.filter_pending));
  return facts.filter_rolled_back ? ": the last change was not confirmed in time, and was taken back" : "";
}

std::string guarded_text(const control::Status& facts) {
  std::vector<std::string> sessions;
  for (const auto& session : facts.guarded) sessions.push_back(guard_text(session));
  return "SSH, never filtered: " + join(sessions);
}

struct StaleStatus {
  control::InstanceSummary summary;
};

Json to_json(const StaleStatus& stale) {
  return {{"interface", stale.summary.interface},
          {"ifindex", stale.summary.ifindex},
          {"netns_cookie", stale.summary.netns_cookie},
          {"interrupted", stale.summary.interrupted},
          {"directory", stale.summary.directory}};
}

Outcome<InterfaceStatus> inspect(const control::Instance& instance) {
  reap_if_allowed(instance);
  auto facts = control::read_status(instance, control::monotonic_now());
  if (!facts) return Err(facts.error());
  InterfaceStatus status{std::move(*facts), control::inspect_firewall(instance.interface()), {}};
  status.advice = advise(status.facts, status.firewall);
  return status;
}

}  // namespace

Json to_json(const InterfaceStatus& s) {
  Json queues = Json::array();
  for (const auto& queue : s.facts.queues) queues.push_back(to_json(queue));
  Json steered = Json::array();
  const std::uint64_t serving = serving_queues(s.facts.queues);
  for (const auto& entry : s.facts.steered) steered.push_back(to_json(entry, serving));
  Json guarded = Json::array();
  for (const auto& session : s.facts.guarded) guarded.push_back(to_json(session));
  Json addresses = Json::array();
  for (const auto& address : s.facts.addresses) addresses.push_back(address.to_string());
  Json out;
  out["interface"] = s.facts.interface;
  out["ifindex"] = s.facts.ifindex;
  out["netns_cookie"] = s.facts.netns_cookie;
  out["attached"] = s.facts.attached;
  out["detaching"] = s.facts.detaching;
  out["mode"] = mode_name(s.facts.mode);
  out["program_id"] = s.facts.program_id;
  out["shared"] = s.facts.shared;
  out["beside"] = s.facts.beside;
  out["abi"] = s.facts.abi;
  out["checksums"] = s.facts.partial_checksums ? "partial" : "verify";
  out["mac"] = s.facts.mac.to_string();
  out["addresses"] = std::move(addresses);
  out["firewall"] = {{"state", firewall_name(s.firewall.state)},
                     {"what", s.firewall.what},
                     {"bypassed", s.facts.bypass_firewall},
                     {"text", firewall_line(s.firewall, s.facts.bypass_firewall)}};
  out["queues"] = std::move(queues);
  out["steer"] = std::move(steered);
  out["syn_guard"] = {{"mode", control::syn_guard_name(s.facts.syn_guard.mode)}, {"rate", s.facts.syn_guard.rate}};
  out["rules"] = s.facts.rules ? Json(*s.facts.rules) : Json(nullptr);
  if (s.facts.filter_pending)
    out["filter_confirm_seconds"] = static_cast<double>(s.facts.filter_pending->count_ms()) / 1000;
  else
    out["filter_confirm_seconds"] = nullptr;
  out["filter_rolled_back"] = s.facts.filter_rolled_back;
  out["guarded"] = std::move(guarded);
  out["live_flows"] = s.facts.live_flows;
  out["advice"] = s.advice;
  return out;
}

std::string to_text(const InterfaceStatus& s) {
  const control::Status& facts = s.facts;
  std::vector<std::string> addresses;
  for (const auto& address : facts.addresses) addresses.push_back(address.to_string());
  std::string out = fmt::format("{}: {}, {} mode, program id {}, ABI {}\n", facts.interface,
                                facts.attached ? "attached" : paint(Paint::bad, "detached"), mode_name(facts.mode),
                                facts.program_id, facts.abi);
  if (facts.shared)
    out +=
        fmt::format("  dispatcher  libxdp's; beside weir: {}\n", facts.beside.empty() ? "nothing" : join(facts.beside));
  for (const auto& queue : facts.queues) out += fmt::format("  queue {:<5} {}\n", queue.queue, engine_text(queue));
  out += fmt::format("  firewall    {}\n", firewall_line(s.firewall, facts.bypass_firewall));
  out += fmt::format("  checksums   {}\n",
                     facts.partial_checksums ? "the link delivers partial ones: accepted" : "verified");
  out += fmt::format("  addresses   {}\n", addresses.empty() ? "none" : join(addresses));
  out += fmt::format("  filter      {}{}\n",
                     facts.rules ? count_text(*facts.rules, "rule", "rules") : "not known: it needs CAP_SYS_ADMIN",
                     filter_trial(facts));
  if (!facts.guarded.empty()) out += fmt::format("  guard       {}\n", guarded_text(facts));
  if (facts.syn_guard.mode != control::SynGuardMode::off)
    out += fmt::format("  syn guard   {}\n", syn_guard_text(facts.syn_guard).substr(10));
  out += steered_text(facts);
  for (const std::string& line : s.advice) out += fmt::format("  {} {}\n", paint(Paint::caution, "->"), line);
  return out;
}

std::string to_text(const StaleStatus& one) {
  const auto& s = one.summary;
  if (s.interrupted)
    return fmt::format(
        "{0}: an attach was interrupted, nothing is steered: `weir attach {0}` does it anew, "
        "`weir detach {0}` removes what it left\n",
        s.interface);
  if (s.interface.empty())
    return fmt::format(
        "interface {} of a namespace or device that is gone, by another version of weir: `rm -r {}` removes what is "
        "left\n",
        s.ifindex, s.directory);
  return fmt::format(
      "{0} (interface {1} of a namespace or device that is gone): `weir detach {0}` removes what is left\n",
      s.interface, s.ifindex);
}

Outcome<int> run_status(const Context& context) {
  const auto wanted = context.args.get("IFACE");
  std::vector<InterfaceStatus> found;
  std::vector<StaleStatus> stale;
  std::optional<Error> unreadable;
  if (wanted) {
    auto instance = control::Instance::open(*wanted);
    if (!instance) return Err(instance.error());
    auto status = inspect(*instance);
    if (!status) return Err(status.error());
    found.push_back(std::move(*status));
  } else {
    const auto summaries = control::list();
    if (!summaries) return Err(summaries.error());
    for (const auto& summary : *summaries) {
      if (summary.stale) {
        stale.push_back({summary});
        continue;
      }
      // One that cannot be read (another ABI) is said at the end, and does not hide the others.
      auto instance = control::Instance::open(summary);
      auto status = instance ? inspect(*instance) : Outcome<InterfaceStatus>(Err(instance.error()));
      if (status)
        found.push_back(std::move(*status));
      else
        unreadable = status.error();
    }
  }
  if (context.json) {
    Json interfaces = Json::array();
    for (const auto& status : found) interfaces.push_back(to_json(status));
    Json left = Json::array();
    for (const auto& one : stale) left.push_back(to_json(one));
    Json out;
    out["interfaces"] = std::move(interfaces);
    out["stale"] = std::move(left);
    print_line(out);
    if (unreadable) return Err(*unreadable);
    return kOk;
  }
  bool first = true;
  for (const auto& status : found) {
    if (!first) print("\n");
    first = false;
    print(to_text(status));
  }
  for (const auto& one : stale) print(to_text(one));
  if (unreadable) return Err(*unreadable);
  if (found.empty()) print("weir is attached to no interface of this network namespace: `weir attach IFACE`\n");
  return kOk;
}

}  // namespace weir::cli
