// SPDX-License-Identifier: MIT
#include "weir/control/steer.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <tuple>
#include <utility>

#include "weir/base/bytes.h"
#include "weir/control/heartbeat.h"

namespace weir::control {
namespace {

constexpr std::uint32_t kNone = WEIR_MAX_STEER;

bool is_free(const weir_steer& s) { return xdp::load(s.protocol) == 0; }

// Of a chain: its protocol and port, 0 for the ranges.
using ChainKey = std::pair<std::uint8_t, std::uint16_t>;
ChainKey chain_of(const Selector& s) {
  return {static_cast<std::uint8_t>(s.protocol), s.is_range() ? std::uint16_t{0} : s.first};
}

struct Linked {
  std::uint32_t index;
  Selector selector;
};
using Chains = std::map<ChainKey, std::vector<Linked>>;

// As they are to be: all entries that are not free, but `without`.
Chains wanted_chains(const xdp::Maps& maps, std::uint32_t without) {
  Chains chains;
  const auto entries = maps.steer();
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    if (is_free(entries[i]) || i == without) continue;
    Linked one{i, selector_of(entries[i])};
    chains[chain_of(one.selector)].push_back(std::move(one));
  }
  for (auto& [key, chain] : chains) {
    std::stable_sort(chain.begin(), chain.end(),
                     [](const Linked& a, const Linked& b) { return a.selector.before(b.selector); });
  }
  return chains;
}

// Makes the chains as they are to be, and changes nothing that is so already. From the tail to the head: whoever walks
// a chain meanwhile goes on by the old one or by the new one.
Outcome<void> link_entries(const xdp::Maps& maps, std::uint32_t without = kNone) {
  const Chains chains = wanted_chains(maps, without);
  const auto entries = maps.steer();
  bool ranges = false;
  std::map<ChainKey, std::uint32_t> heads;
  for (const xdp::Maps::SteerHead& h : maps.steer_heads()) heads[{h.protocol, h.port}] = h.index;
  for (const auto& [key, chain] : chains) {
    weir_u32 next = 0;
    for (auto at = chain.rbegin(); at != chain.rend(); ++at) {
      weir_steer& entry = entries[at->index];
      if (xdp::load(entry.next) != next) xdp::store(entry.next, next);
      next = at->index + 1;
    }
    ranges = ranges || key.second == 0;
    const auto head = heads.find(key);
    if (head != heads.end() && head->second == chain.front().index) continue;
    if (auto r = maps.publish_steer(key.first, key.second, chain.front().index); !r) return r;
  }
  weir_u32& flags = maps.config().flags;
  if (ranges) xdp::fetch_or(flags, weir_u32{WEIR_CONFIG_STEER_RANGES});
  for (const auto& [key, index] : heads) {
    if (chains.contains(key)) continue;
    if (auto r = maps.withdraw_steer(key.first, key.second); !r) return r;
  }
  if (!ranges) xdp::fetch_and(flags, ~weir_u32{WEIR_CONFIG_STEER_RANGES});
  return {};
}

void clear(weir_steer& entry) {
  xdp::store(entry.protocol, weir_u8{0});
  xdp::store(entry.port_be, weir_u16{0});
  xdp::store(entry.flags, weir_u32{0});
  xdp::store(entry.listeners, weir_u64{0});
  xdp::store(entry.flows, weir_u32{0});
  xdp::store(entry.next, weir_u32{0});
}

// What it has had goes to those it overlaps, if there are any: the kernel's connections among it stay the kernel's.
void drain(const xdp::Maps& maps, weir_steer& entry) {
  const Selector selector = selector_of(entry);
  for (weir_steer& other : maps.steer()) {
    if (&other != &entry && !is_free(other) && selector_of(other).overlaps(selector))
      xdp::fetch_add(other.syns_to_kernel, weir_u32{1});
  }
  xdp::fetch_or(entry.flags, weir_u32{WEIR_STEER_DRAINING});
}

// Unlinks, waits until no program run can still hold the index, and clears.
Outcome<void> free_entry(const xdp::Maps& maps, std::uint32_t index) {
  weir_steer& entry = maps.steer()[index];
  // Whoever kills us leaves an entry that drains, and the next tool takes it out.
  drain(maps, entry);
  if (auto r = link_entries(maps, index); !r) return r;
  if (auto r = xdp::synchronize_programs(); !r) return r;
  clear(entry);
  return {};
}

std::string app_of(const weir_steer& entry) { return {entry.app, strnlen(entry.app, sizeof entry.app)}; }

void set_app(weir_steer& entry, const std::string& app) {
  char octets[WEIR_APP_NAME]{};
  std::memcpy(octets, app.data(), std::min(app.size(), sizeof octets - 1));
  for (std::size_t i = 0; i < sizeof octets; ++i) xdp::store(entry.app[i], octets[i]);
}

Outcome<std::uint32_t> revive(weir_steer& entry, std::uint32_t index, const Selector& selector, weir_u32 flags,
                              const std::string& app) {
  const weir_u32 present = xdp::load(entry.flags);
  if ((present & WEIR_STEER_DRAINING) == 0) {
    const bool reserved = (present & WEIR_STEER_RESERVED) != 0;
    const std::string named = app_of(entry);
    return xdp::fail(
        selector.to_string() + (reserved ? " is the local port of an engine's outgoing connection: choose another"
                                : named.empty() ? " is steered already"
                                                : " is steered already, to app " + named),
        EEXIST);
  }
  set_app(entry, app);
  xdp::store(entry.flags, flags);
  return index;
}

// What stands in the way of a new entry. The index of the one that is it already; kNone where there is none.
Outcome<std::uint32_t> find_or_refuse(const xdp::Maps& maps, const Selector& selector, Purpose purpose) {
  std::size_t in_chain = 0;
  const auto entries = maps.steer();
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    if (is_free(entries[i])) continue;
    const Selector other = selector_of(entries[i]);
    if (other == selector) return i;
    if (chain_of(other) == chain_of(selector)) {
      ++in_chain;
      const bool reserved = (xdp::load(entries[i].flags) & WEIR_STEER_RESERVED) != 0;
      if (!selector.is_range() && (reserved || purpose == Purpose::reserve))
        return xdp::fail(reserved ? selector.port().to_string() +
                                        " is the local port of an engine's outgoing connection: choose another"
                                  : other.to_string() + " is steered",
                         EEXIST);
    }
    if (selector.overlaps(other) && !selector.before(other) && !other.before(selector))
      return xdp::fail("'" + selector.to_string() + "' overlaps '" + other.to_string() +
                           "', and neither is the more specific: take that one out first (weir steer del " +
                           other.to_string() + "), or choose others",
                       EINVAL);
  }
  if (in_chain >= WEIR_MAX_STEER_CHAIN)
    return xdp::fail(
        (selector.is_range() ? std::string("ranges of ports") : "entries for " + selector.port().to_string()) +
            ": there may be " + std::to_string(WEIR_MAX_STEER_CHAIN) + ": take one out first (weir steer del)",
        ENOSPC);
  return kNone;
}

}  // namespace

Outcome<std::uint32_t> steer_add(const xdp::Maps& maps, const Selector& selector, Absent absent, Purpose purpose,
                                 Instant now, const std::string& app) {
  if (auto r = check_selector(selector); !r) return Err(r.error());
  if (!app.empty()) {
    if (auto r = parse_app_name(app); !r) return Err(r.error());
  }
  const weir_u32 flags = (absent == Absent::drop ? weir_u32{WEIR_STEER_ABSENT_DROP} : 0) |
                         (purpose == Purpose::reserve ? weir_u32{WEIR_STEER_RESERVED} : 0);
  if (auto r = link_entries(maps); !r) return Err(r.error());
  const auto entries = maps.steer();
  const auto present = find_or_refuse(maps, selector, purpose);
  if (!present) return present;
  if (*present != kNone) return revive(entries[*present], *present, selector, flags, app);

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
  weir_syn_guard& guard = maps.syn_guard()[index];
  xdp::store(guard.on_until_ns, weir_u64{0});
  xdp::store(guard.count, weir_u32{0});
  xdp::store(guard.last_count, weir_u32{0});
  xdp::store(entry->flags, flags);
  set_app(*entry, app);
  to_map(selector, *entry);
  xdp::store(entry->protocol, static_cast<weir_u8>(selector.protocol));
  if (auto r = link_entries(maps); !r) {
    clear(*entry);
    return Err(r.error());
  }
  return index;
}

Outcome<RemovalReport> steer_del(const xdp::Maps& maps, const Selector& selector, Removal how, Instant now) {
  if (auto r = link_entries(maps); !r) return Err(r.error());
  const auto entries = maps.steer();
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const weir_steer& s) { return !is_free(s) && selector_of(s) == selector; });
  if (found == entries.end())
    return xdp::fail("'" + selector.to_string() + "' is not steered: `weir steer list` shows what is", ENOENT);
  RemovalReport out;
  if (how == Removal::drain) {
    drain(maps, *found);
    // A SYN that was judged before the flag is with the engine after this; a flow that it makes is counted below.
    if (auto r = xdp::synchronize_programs(); !r) return Err(r.error());
  }
  if (any_process(maps, now)) out.flows = xdp::load(found->flows);
  if (how == Removal::drain && out.flows > 0) return out;
  if (auto r = free_entry(maps, static_cast<std::uint32_t>(found - entries.begin())); !r) return Err(r.error());
  out.removed = true;
  return out;
}

Outcome<std::uint32_t> reap_drained(const xdp::Maps& maps, Instant now) {
  const bool gone = engines_gone(maps, now);
  std::uint32_t freed = 0;
  const auto entries = maps.steer();
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    const weir_steer& entry = entries[i];
    if (is_free(entry)) continue;
    const weir_u32 flags = xdp::load(entry.flags);
    const bool drained = (flags & WEIR_STEER_DRAINING) != 0 && (gone || xdp::load(entry.flows) == 0);
    const bool orphaned = (flags & WEIR_STEER_RESERVED) != 0 && gone;
    if (!drained && !orphaned) continue;
    if (auto r = free_entry(maps, i); !r) return Err(r.error());
    ++freed;
  }
  return freed;
}

Outcome<std::vector<SteerEntry>> steer_list(const xdp::Maps& maps) {
  auto counters = maps.steer_counters();
  if (!counters) return Err(counters.error());
  std::vector<SteerEntry> out;
  const Instant now = monotonic_now();
  const bool counted = any_process(maps, now);  // what a dead engine has counted is no flow any more
  const auto entries = maps.steer();
  for (std::uint32_t i = 0; i < entries.size(); ++i) {
    const weir_steer& s = entries[i];
    if (is_free(s)) continue;
    const weir_u32 flags = xdp::load(s.flags);
    SteerEntry e;
    e.index = i;
    e.selector = selector_of(s);
    e.port = e.selector.port();
    e.app = app_of(s);
    e.draining = (flags & WEIR_STEER_DRAINING) != 0;
    e.absent_drop = (flags & WEIR_STEER_ABSENT_DROP) != 0;
    e.reserved = (flags & WEIR_STEER_RESERVED) != 0;
    e.kernel_may_own = xdp::load(s.syns_to_kernel) != xdp::load(s.kernel_clear);
    e.listeners = xdp::load(s.listeners);
    if (counted) e.flows = xdp::load(s.flows);
    e.counter = (*counters)[i];
    e.syn_guard = syn_guard_state(maps, i, now);
    out.push_back(e);
  }
  std::stable_sort(out.begin(), out.end(), [](const SteerEntry& a, const SteerEntry& b) {
    const auto place = [](const SteerEntry& e) { return std::tuple(e.port.protocol, e.port.number); };
    return place(a) != place(b) ? place(a) < place(b) : a.selector.before(b.selector);
  });
  return out;
}

}  // namespace weir::control
