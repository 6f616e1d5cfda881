// SPDX-License-Identifier: MIT
#include "weir/control/steer.h"

#include <algorithm>
#include <cerrno>
#include <tuple>

#include "weir/base/bytes.h"
#include "weir/control/heartbeat.h"

namespace weir::control {
namespace {

Port port_of(const weir_steer& s) {
  return {static_cast<Protocol>(xdp::load(s.protocol)), from_be16(xdp::load(s.port_be))};
}

bool is_free(const weir_steer& s) { return xdp::load(s.protocol) == 0; }

// Withdraws, waits until no program run can still hold the index, and clears.
Outcome<void> free_entry(const xdp::Maps& maps, weir_steer& entry) {
  const Port port = port_of(entry);
  if (auto r = maps.withdraw_steer(static_cast<std::uint8_t>(port.protocol), port.number); !r) return r;
  if (auto r = xdp::synchronize_programs(); !r) return r;
  xdp::store(entry.protocol, weir_u8{0});
  xdp::store(entry.port_be, weir_u16{0});
  xdp::store(entry.flags, weir_u32{0});
  xdp::store(entry.listeners, weir_u64{0});
  xdp::store(entry.flows, weir_u32{0});
  return {};
}

Outcome<std::uint32_t> revive(const xdp::Maps& maps, std::uint32_t index, Port port, weir_u32 flags) {
  weir_steer& entry = maps.steer()[index];
  const weir_u32 present = xdp::load(entry.flags);
  if ((present & WEIR_STEER_DRAINING) == 0)
    return xdp::fail(port.to_string() + ((present & WEIR_STEER_RESERVED) != 0
                                             ? " is the local port of an engine's outgoing connection: choose another"
                                             : " is steered already"),
                     EEXIST);
  xdp::store(entry.flags, flags);
  return index;
}

}  // namespace

const char* protocol_name(Protocol p) { return p == Protocol::tcp ? "tcp" : "udp"; }

std::string Port::to_string() const { return std::string(protocol_name(protocol)) + " " + std::to_string(number); }

Outcome<std::uint32_t> steer_add(const xdp::Maps& maps, Port port, Absent absent, Purpose purpose, Instant now) {
  if (port.number == 0) return xdp::fail("port 0 cannot be steered: give one of 1 to 65535", EINVAL);
  const weir_u32 flags = (absent == Absent::drop ? weir_u32{WEIR_STEER_ABSENT_DROP} : 0) |
                         (purpose == Purpose::reserve ? weir_u32{WEIR_STEER_RESERVED} : 0);
  const auto protocol = static_cast<std::uint8_t>(port.protocol);
  if (const auto index = maps.find_steer(protocol, port.number)) return revive(maps, *index, port, flags);

  const auto entries = maps.steer();
  auto entry = std::find_if(entries.begin(), entries.end(), is_free);
  if (entry == entries.end()) {
    if (auto r = reap_drained(maps, now); !r) return Err(r.error());
    entry = std::find_if(entries.begin(), entries.end(), is_free);
  }
  if (entry == entries.end())
    return xdp::fail(
        "all " + std::to_string(WEIR_MAX_STEER) + " steering entries are in use: remove one (weir steer del)", ENOSPC);
  const auto index = static_cast<std::uint32_t>(entry - entries.begin());
  if (auto r = maps.clear_steer_counter(index); !r) return Err(r.error());
  // The kernel may have connections of this port from before: look-ups are on until the engine has asked sock_diag.
  xdp::store(entry->syns_to_kernel, weir_u32{1});
  xdp::store(entry->kernel_clear, weir_u32{0});
  xdp::store(entry->listeners, weir_u64{0});
  xdp::store(entry->flows, weir_u32{0});
  xdp::store(entry->flags, flags);
  xdp::store(entry->port_be, to_be16(port.number));
  xdp::store(entry->protocol, protocol);
  if (auto r = maps.publish_steer(protocol, port.number, index); !r) {
    xdp::store(entry->protocol, weir_u8{0});
    return Err(r.error());
  }
  return index;
}

Outcome<RemovalReport> steer_del(const xdp::Maps& maps, Port port, Removal how, Instant now) {
  const auto index = maps.find_steer(static_cast<std::uint8_t>(port.protocol), port.number);
  if (!index) return xdp::fail(port.to_string() + " is not steered: `weir steer list` shows what is", ENOENT);
  weir_steer& entry = maps.steer()[*index];
  RemovalReport out;
  if (how == Removal::drain) {
    xdp::fetch_or(entry.flags, weir_u32{WEIR_STEER_DRAINING});
    // A SYN that was judged before the flag is with the engine after this; a flow that it makes is counted below.
    if (auto r = xdp::synchronize_programs(); !r) return Err(r.error());
  }
  if (any_process(maps, now)) out.flows = xdp::load(entry.flows);
  if (how == Removal::drain && out.flows > 0) return out;
  if (auto r = free_entry(maps, entry); !r) return Err(r.error());
  out.removed = true;
  return out;
}

Outcome<std::uint32_t> reap_drained(const xdp::Maps& maps, Instant now) {
  const bool gone = engines_gone(maps, now);
  std::uint32_t freed = 0;
  for (weir_steer& entry : maps.steer()) {
    if (is_free(entry)) continue;
    const weir_u32 flags = xdp::load(entry.flags);
    const bool drained = (flags & WEIR_STEER_DRAINING) != 0 && (gone || xdp::load(entry.flows) == 0);
    const bool orphaned = (flags & WEIR_STEER_RESERVED) != 0 && gone;
    if (!drained && !orphaned) continue;
    if (auto r = free_entry(maps, entry); !r) return Err(r.error());
    ++freed;
  }
  return freed;
}

Outcome<std::vector<SteerEntry>> steer_list(const xdp::Maps& maps) {
  auto counters = maps.steer_counters();
  if (!counters) return Err(counters.error());
  std::vector<SteerEntry> out;
  const auto entries = maps.steer();
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    const weir_steer& s = entries[i];
    if (is_free(s)) continue;
    const weir_u32 flags = xdp::load(s.flags);
    SteerEntry e;
    e.index = i;
    e.port = port_of(s);
    e.draining = (flags & WEIR_STEER_DRAINING) != 0;
    e.absent_drop = (flags & WEIR_STEER_ABSENT_DROP) != 0;
    e.reserved = (flags & WEIR_STEER_RESERVED) != 0;
    e.kernel_may_own = xdp::load(s.syns_to_kernel) != xdp::load(s.kernel_clear);
    e.listeners = xdp::load(s.listeners);
    e.flows = xdp::load(s.flows);
    e.counter = (*counters)[i];
    out.push_back(e);
  }
  std::sort(out.begin(), out.end(), [](const SteerEntry& a, const SteerEntry& b) {
    return std::tuple(a.port.protocol, a.port.number) < std::tuple(b.port.protocol, b.port.number);
  });
  return out;
}

}  // namespace weir::control
