// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include "status.h"

namespace weir::cli {
namespace {

using control::EngineState;
using Firewall = control::FirewallReport;

bool present(const control::QueueStatus& queue) { return queue.engine != EngineState::absent; }

void about_engine(const control::Status& facts, std::vector<std::string>& out) {
  std::vector<std::string> without;
  bool any = false;
  for (const control::QueueStatus& queue : facts.queues) {
    any = any || present(queue);
    if (!present(queue)) without.push_back(std::to_string(queue.queue));
    const std::string age = seconds_text(queue.heartbeat_age);
    if (queue.engine == EngineState::silent)
      out.push_back(
          fmt::format("the engine on queue {} (pid {}) has been silent for {}: the kernel has the new connections; "
                      "`kill -CONT {}` if it is stopped",
                      queue.queue, queue.pid, age, queue.pid));
    if (queue.engine == EngineState::stopped)
      out.push_back(
          fmt::format("the engine on queue {} (pid {}) has been silent for {}: the kernel has the new connections, "
                      "frames of old ones are dropped; `kill -CONT {}` if it is stopped, or restart it",
                      queue.queue, queue.pid, age, queue.pid));
  }
  if (any && !without.empty())
    out.push_back(
        fmt::format("no engine on queue {}: what arrives there goes to the kernel; `ethtool -L {} combined {}` "
                    "makes the interface use fewer queues",
                    join(without, ", "), facts.interface, facts.queues.size() - without.size()));
}

void about_ports(const control::Status& facts, const Firewall& firewall, std::vector<std::string>& out) {
  bool serves = false;
  bool engine = false;
  for (const control::QueueStatus& queue : facts.queues) engine = engine || present(queue);
  for (const control::SteerEntry& entry : facts.steered) {
    if (entry.reserved) continue;
    serves = true;
    if (entry.draining) {
      if (entry.flows > 0)
        out.push_back(fmt::format("{} drains: {} to go; `weir steer del {} dev {} --now` resets them",
                                  entry.port.to_string(), count_text(entry.flows, "flow", "flows"),
                                  entry.port.to_string(), facts.interface));
      continue;
    }
    if (entry.listeners != 0 || !engine) continue;
    const bool closed = firewall.state == Firewall::State::rules && !facts.bypass_firewall;
    out.push_back(
        closed ? fmt::format("{}: the engine does not listen, because of the firewall: the kernel serves it",
                             entry.port.to_string())
               : fmt::format("{}: no acceptor of the engine is open on it: {}", entry.port.to_string(),
                             entry.absent_drop ? "new connections are dropped" : "the kernel has new connections"));
  }
  if (!serves) out.push_back(fmt::format("no port is steered: `weir steer add tcp PORT dev {}`", facts.interface));
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
