// SPDX-License-Identifier: MIT
// Steering entries: the flows whose frames go to the engine.
//
// Life of an entry: free (protocol 0) -> live -> draining -> free. An entry is written before it is linked into its
// chain, and unlinked, and a grace period passed, before it is cleared, so XDP never reads half of one. Every change
// begins by linking what a writer that was killed may have left unlinked, so what it left is whole again.
//
// An engine writes `listeners` and `flows` of an entry only while the entry's protocol and port are those it means.
// When they no longer are (`del --now`, a detach), it aborts the flows it had there; a port that is added again may
// have another index.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "weir/base/time.h"
#include "weir/control/netns.h"
#include "weir/control/steer_selector.h"
#include "weir/control/syn_guard.h"
#include "weir/xdp/maps.h"

namespace weir::control {

struct SteerEntry {
  std::uint32_t index = 0;
  Selector selector;
  Port port;        // the selector's first
  std::string app;  // only an engine of that name has it; empty: any
  bool draining = false;
  bool absent_drop = false;
  bool reserved = false;        // a local port of outgoing connections
  bool kernel_may_own = false;  // the kernel may have connections of this port
  std::uint64_t listeners = 0;  // bit q: queue q's engine accepts
  std::uint32_t flows = 0;
  weir_counter counter{};  // what XDP saw for it
  SynGuardState syn_guard;
};

enum class Absent : std::uint8_t { pass, drop };       // what becomes of SYNs while no engine is there
enum class Purpose : std::uint8_t { serve, reserve };  // an operator's entry; an engine's port for outgoing connections

// All three change the maps: the caller holds the Lock, except that an engine may call them with Purpose::reserve under
// it likewise.

// The index of the entry. A draining entry of the same selector comes to life again. Codes: EEXIST steered already, or
// a port of the engine's own; ENOSPC no free entry, or too many of one port; EINVAL a selector that check_selector()
// refuses, or that overlaps another without being the more specific of the two.
Outcome<std::uint32_t> steer_add(const xdp::Maps& maps, const Selector& selector, Absent absent, Purpose purpose,
                                 Instant now, const std::string& app = {});

enum class Removal : std::uint8_t { drain, now };
struct RemovalReport {
  bool removed = false;     // false: it drains, and goes when its last flow ends
  std::uint32_t flows = 0;  // live then
};
// Code ENOENT: not steered.
Outcome<RemovalReport> steer_del(const xdp::Maps& maps, const Selector& selector, Removal how, Instant now);

// Frees draining entries without flows, and entries of dead engines' outgoing connections; returns how many. Tools call
// it before they list; engines when the last flow of a draining entry ends.
Outcome<std::uint32_t> reap_drained(const xdp::Maps& maps, Instant now);

// Reads only. Sorted by protocol, the first port, and then as they are asked.
Outcome<std::vector<SteerEntry>> steer_list(const xdp::Maps& maps);

}  // namespace weir::control
