// SPDX-License-Identifier: MIT
#include "weir/control/status.h"

#include <cerrno>
#include <cstring>

#include "weir/control/engine_protocol.h"
#include "weir/control/filter.h"
#include "weir/xdp/dispatcher.h"

namespace weir::control {

std::vector<QueueStatus> read_queues(const xdp::Maps& maps, Instant now) {
  std::vector<QueueStatus> out;
  const auto beats = maps.heartbeats();
  const std::uint32_t queues = maps.config().queues;
  for (std::uint32_t q = 0; q < beats.size(); ++q) {
    const weir_heartbeat& h = beats[q];
    QueueStatus s;
    s.queue = q;
    s.engine = engine_state(h, now);
    // A queue beyond the count at attach is shown where an engine is on it.
    if (q >= queues && s.engine == EngineState::absent) continue;
    if (s.engine != EngineState::absent) {
      auto age = [&](const weir_u64& then) {
        const Duration d = now - Instant::from_ns(static_cast<std::int64_t>(xdp::load(then)));
        return d < Duration() ? Duration() : d;
      };
      s.pid = xdp::load(h.pid);
      s.zero_copy = xdp::load(h.zero_copy) != 0;
      s.app.assign(h.app, ::strnlen(h.app, sizeof h.app));
      s.heartbeat_age = age(h.monotonic_ns);
      s.dead =
          engine_dead(s.heartbeat_age, s.pid, engine_socket_path(maps.config().netns_cookie, maps.config().ifindex));
      s.uptime = age(h.started_ns);
      s.loop_lag = Duration::nanoseconds(static_cast<std::int64_t>(xdp::load(h.loop_lag_ns)));
    }
    out.push_back(s);
  }
  return out;
}

Outcome<Status> read_status(const Instance& instance, Instant now) {
  const xdp::Maps& maps = instance.maps();
  const weir_config& config = maps.config();
  Status out;
  out.interface = instance.interface();
  out.ifindex = config.ifindex;
  out.netns_cookie = config.netns_cookie;
  out.abi = config.abi_version;
  out.mode = static_cast<weir_xdp_mode>(config.xdp_mode);
  const weir_u32 flags = xdp::load(config.flags);
  out.bypass_firewall = (flags & WEIR_CONFIG_BYPASS_FIREWALL) != 0;
  out.partial_checksums = (flags & WEIR_CONFIG_PARTIAL_CSUM) != 0;
  out.detaching = (flags & WEIR_CONFIG_DETACHING) != 0;
  out.syn_guard = read_syn_guard(maps);
  out.mac = MacAddress::load(reinterpret_cast<const std::byte*>(config.mac));
  if (!instance.directory().empty()) {
    if (auto link = xdp::read_link(instance.directory())) {
      out.program_id = link->program_id;
      out.attached = link->ifindex != 0 && (!link->shared || xdp::is_dispatched(link->ifindex, link->program_id));
      if (link->shared)
        for (const xdp::DispatchedProgram& p : xdp::dispatched_programs(out.ifindex))
          if (p.id != out.program_id) out.beside.push_back(p.name);
      out.shared = link->shared;
    }
  }
  auto addresses = maps.local_addresses();
  if (!addresses) return Err(addresses.error());
  for (const auto& [address, local] : *addresses) {
    if (local == WEIR_LOCAL) out.addresses.push_back(address);
  }
  out.queues = read_queues(maps, now);
  auto steered = steer_list(maps);
  if (!steered) return Err(steered.error());
  out.steered = std::move(steered).value();
  auto filter = filter_state(maps, now, RuleCounters::leave_out);
  if (!filter && filter.error().code != EPERM) return Err(filter.error());
  if (filter) {
    out.rules = static_cast<std::uint32_t>(filter->rules.size());
    out.filter_pending = filter->pending;
    out.filter_rolled_back = filter->rolled_back;
  }
  if (auto guarded = guard_list(maps, now)) out.guarded = std::move(guarded).value();
  out.guard_in_force = out.guarded.empty() || (flags & WEIR_CONFIG_GUARDED) != 0;
  if (any_process(maps, now))
    for (const SteerEntry& e : out.steered) out.live_flows += e.flows;
  return out;
}

}  // namespace weir::control
