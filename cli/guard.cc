// SPDX-License-Identifier: MIT
// weir guard add, del, list; and the caller's own session.
#include "guard.h"

#include <fmt/core.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "values.h"
#include "weir/control/caps.h"
#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"

namespace weir::cli {
namespace {

using control::Capability;
using control::SshSession;

constexpr std::uint16_t kSshPort = 22;

struct Change {
  control::Instance instance;
  control::Lock lock;
};

Outcome<Change> begin(const Context& context) {
  if (const auto allowed = control::require_capabilities("guard", {Capability::bpf, Capability::net_admin}); !allowed)
    return Err(allowed.error());
  auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  auto lock = control::Lock::acquire();
  if (!lock) return Err(lock.error());
  return Change{std::move(*instance), std::move(*lock)};
}

Outcome<IpAddress> typed_address(const Context& context) {
  const std::string text = context.args.get_or("ADDRESS", "");
  const auto address = IpAddress::parse(text);
  if (!address) return fail(fmt::format("'{}' is not an address: write 192.0.2.1 or 2001:db8::1", text), EINVAL);
  return *address;
}

Outcome<std::optional<std::uint16_t>> typed_port(const Context& context) {
  const auto text = context.args.get("port");
  if (!text) return std::optional<std::uint16_t>{};
  const auto port = parse_port(*text);
  if (!port) return Err(port.error());
  return std::optional(*port);
}

Json to_json(const SshSession& s) {
  return {{"remote", s.remote.address.to_string()},
          {"remote_port", s.remote.port == 0 ? Json(nullptr) : Json(s.remote.port)},
          {"port", s.local.port},
          {"found", control::found_name(s.found)}};
}

}  // namespace

Json sessions_json(const std::vector<SshSession>& sessions) {
  Json out = Json::array();
  for (const SshSession& s : sessions) out.push_back(to_json(s));
  return out;
}

Json to_json(const control::GuardedSession& s) {
  return {{"remote", s.remote.to_string()},
          {"port", s.port},
          {"remote_port", s.remote_port == 0 ? Json(nullptr) : Json(s.remote_port)},
          {"uid", s.uid},
          {"age_seconds", s.age.count_ms() / 1000},
          {"heard_seconds_ago", s.last_heard ? Json(s.last_heard->count_ms() / 1000) : Json(nullptr)}};
}

std::string guard_text(const control::GuardedSession& s) {
  return fmt::format("{} -> port {}", s.remote.to_string(), s.port);
}

Outcome<std::vector<SshSession>> guard_caller(const Context& context, const control::Instance& instance) {
  if (context.args.has("--no-guard")) return std::vector<SshSession>{};
  auto sessions = control::ssh_sessions(control::this_process());
  for (const SshSession& s : sessions) {
    if (auto r = control::guard_put(instance.maps(), s, getuid(), control::monotonic_now()); !r) return Err(r.error());
    fmt::print(stderr, "guard: your SSH session {} -> {} stays with the kernel\n", s.remote.to_string(), s.local.port);
  }
  return sessions;
}

Outcome<int> run_guard_add(const Context& context) {
  const auto port = typed_port(context);
  if (!port) return Err(port.error());
  SshSession session;
  const auto address = typed_address(context);
  if (!address) return Err(address.error());
  session.remote.address = *address;
  session.local.port = port->value_or(kSshPort);
  const auto change = begin(context);
  if (!change) return Err(change.error());
  if (auto r = control::guard_put(change->instance.maps(), session, getuid(), control::monotonic_now()); !r)
    return Err(r.error());
  const std::string& interface = change->instance.interface();
  if (context.json)
    print_line({{"interface", interface}, {"remote", address->to_string()}, {"port", session.local.port}});
  else
    print(fmt::format("{}: TCP from {} to port {} stays with the kernel, unfiltered\n", interface, address->to_string(),
                      session.local.port));
  return kOk;
}

Outcome<int> run_guard_del(const Context& context) {
  const auto port = typed_port(context);
  if (!port) return Err(port.error());
  const auto address = typed_address(context);
  if (!address) return Err(address.error());
  const auto change = begin(context);
  if (!change) return Err(change.error());
  const auto removed = control::guard_del(change->instance.maps(), *address, *port);
  if (!removed) return Err(removed.error());
  const std::string& interface = change->instance.interface();
  if (context.json)
    print_line({{"interface", interface}, {"removed", *removed}});
  else
    print(fmt::format("{}: {} is guarded no more\n", interface, address->to_string()));
  return kOk;
}

Outcome<int> run_guard_list(const Context& context) {
  const auto instances = choose_instances(context.args.get("dev"));
  if (!instances) return Err(instances.error());
  Json list = Json::array();
  Columns columns({{"DEV"}, {"FROM"}, {"PORT"}, {"SESSION FROM PORT"}, {"SINCE"}, {"LAST HEARD"}});
  for (const control::Instance& instance : *instances) {
    const auto guards = control::guard_list(instance.maps(), control::monotonic_now());
    if (!guards) return Err(guards.error());
    for (const control::GuardedSession& s : *guards) {
      Json one = {{"interface", instance.interface()}};
      one.update(to_json(s));
      list.push_back(std::move(one));
      columns.row({instance.interface(), s.remote.to_string(), std::to_string(s.port),
                   s.remote_port == 0 ? "typed" : std::to_string(s.remote_port), seconds_text(s.age),
                   s.last_heard ? seconds_text(*s.last_heard) + " ago" : "never"});
    }
  }
  if (context.json)
    print_line({{"guarded", std::move(list)}});
  else
    print(columns.empty() ? "no SSH session is guarded: commands that are typed in one put it here\n" : columns.text());
  return kOk;
}

}  // namespace weir::cli
