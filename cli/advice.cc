// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "engines.h"
#include "status.h"
#include "words.h"

namespace weir::cli {
namespace {

using Firewall = control::FirewallReport;

void about_guard(const control::Status& facts, std::vector<std::string>& out) {
  if (!facts.guard_in_force)
    out.push_back(fmt::format(
        "the guarded sessions are not in force: somebody else has changed the map `config`; `weir guard add "
        "{}` puts all of them in force again",
        facts.guarded.front().remote.to_string()));
}

bool any_engine(const control::Status& facts) {
  for (const control::QueueStatus& queue : facts.queues)
    if (view(queue).here) return true;
  return false;
}

void about_engine(const control::Status& facts, std::vector<std::string>& out) {
  std::vector<std::string> without;
  for (const control::QueueStatus& queue : facts.queues) {
    const EngineView engine = view(queue);
    if (!engine.here) without.push_back(std::to_string(queue.queue));
    if (engine.dead) {
      out.push_back(
          fmt::format("the engine on queue {} (pid {}) is gone, and did not leave in good order: start it again",
                      queue.queue, queue.pid));
    } else if (engine.here && !engine.serving) {
      const bool stopped = queue.engine == control::EngineState::stopped;
      out.push_back(fmt::format(
          "the engine on queue {0} (pid {1}) has been silent for {2}: the kernel has the new connections{3}; "
          "`kill -CONT {1}` if it was stopped",
          queue.queue, queue.pid, seconds_text(queue.heartbeat_age),
          stopped ? ", frames of old ones are dropped" : ""));
    }
  }
  if (any_engine(facts) && !without.empty())
    out.push_back(
        fmt::format("no engine on queue {}: what arrives there goes to the kernel; `ethtool -L {} combined {}` "
                    "makes the interface use fewer queues",
                    join(without), facts.interface, facts.queues.size() - without.size()));
}

std::string engine_app(const control::Status& facts) {
  for (const control::QueueStatus& queue : facts.queues)
    if (view(queue).here) return queue.app;
  return {};
}

void about_ports(const control::Status& facts, const Firewall& firewall, std::vector<std::string>& out) {
  bool any = false;
  bool serves = false;
  const bool engine = any_engine(facts);
  const std::uint64_t serving = serving_queues(facts.queues);
  for (const control::SteerEntry& entry : facts.steered) {
    if (entry.reserved) continue;
    any = true;
    if (entry.draining) {
      if (entry.flows > 0)
        out.push_back(fmt::format("{0} drains: {1} to go; `weir steer del {0} dev {2} --now` resets them",
                                  entry.selector.to_string(), count_text(entry.flows, "flow", "flows"),
                                  facts.interface));
      continue;
    }
    serves = true;
    if (entry.listeners != 0 || serving == 0) continue;
    const std::string app = engine_app(facts);
    if (!entry.app.empty() && entry.app != app) {
      out.push_back(
          fmt::format("{}: the engine that is there is {}: `weir run --app {} -- SERVER` starts one of that name",
                      entry_text(entry), app.empty() ? "without a name" : "named " + app, entry.app));
      continue;
    }
    const bool closed = firewall.state == Firewall::State::rules && !facts.bypass_firewall;
    out.push_back(fmt::format("{}: no acceptor of the engine listens on it{}: {}", entry_text(entry),
                              closed ? ", because of the firewall" : " (`weir sockets` has those that do)",
                              entry.absent_drop ? "new connections are dropped" : "the kernel has new connections"));
  }
  if (!any) out.push_back(fmt::format("no port is steered: `weir steer add tcp PORT dev {}`", facts.interface));
  if (serves && !engine)
    out.push_back(fmt::format("no engine is there: `weir run --interface {} -- SERVER` starts one", facts.interface));
}

}  // namespace

std::vector<std::string> advise(const control::Status& facts, const Firewall& firewall) {
  std::vector<std::string> out;
  if (!facts.attached) {
    out.push_back(fmt::format("the program is gone, its maps remain: `weir detach {0} --force`, then `weir attach {0}`",
                              facts.interface));
    return out;
  }
  if (facts.detaching) out.push_back("a detach is under way: the engine is resetting its flows");
  if (facts.addresses.empty())
    out.push_back(
        fmt::format("no local address is known, so nothing is steered: `ip addr add ADDRESS dev {}`, and an engine "
                    "follows it",
                    facts.interface));
  about_guard(facts, out);
  about_engine(facts, out);
  about_ports(facts, firewall, out);
  if (firewall.state == Firewall::State::rules && !facts.bypass_firewall)
    out.push_back(fmt::format("to serve steered ports past the firewall: `weir attach {} --replace --bypass-firewall`",
                              facts.interface));
  return out;
}

std::string firewall_line(const Firewall& firewall, bool bypassed) {
  switch (firewall.state) {
    case Firewall::State::open:
      return bypassed ? "no rules on the way in; it would be bypassed" : "no rules on the way in";
    case Firewall::State::not_known:
      return firewall.what;
    case Firewall::State::rules:
      return bypassed ? fmt::format("{}: bypassed, steered frames are not seen by it", firewall.what)
                      : fmt::format("{}: respected, acceptors stay on kernel sockets", firewall.what);
  }
  return {};
}

}  // namespace weir::cli
