// SPDX-License-Identifier: MIT
// Steering entries: the ports whose frames go to the engine.
//
// Life of an entry: free (protocol 0) -> live -> draining -> free. An entry is written before its index is published in
// `steer_index`, and withdrawn there, and a grace period passed, before it is cleared, so XDP never reads half of one.
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
#include "weir/xdp/maps.h"

namespace weir::control {

enum class Protocol : std::uint8_t { tcp = 6, udp = 17 };
const char* protocol_name(Protocol p);

struct Port {
  Protocol protocol = Protocol::tcp;
  std::uint16_t number = 0;       // host order
  std::string to_string() const;  // "tcp 8080"
  friend bool operator==(const Port&, const Port&) = default;
};

struct SteerEntry {
  std::uint32_t index = 0;
  Port port;
  bool draining = false;
  bool absent_drop = false;
  bool reserved = false;        // a local port of outgoing connections
  bool kernel_may_own = false;  // the kernel may have connections of this port
  std::uint64_t listeners = 0;  // bit q: queue q's engine accepts
  std::uint32_t flows = 0;
  weir_counter counter{};  // what XDP saw for it
};

enum class Absent : std::uint8_t { pass, drop };       // what becomes of SYNs while no engine is there
enum class Purpose : std::uint8_t { serve, reserve };  // an operator's entry; an engine's port for outgoing connections

// All three change the maps: the caller holds the Lock, except that an engine may call them with Purpose::reserve under
// it likewise.

// The index of the entry. A draining entry of the same port comes to life again. Codes: EEXIST steered already; ENOSPC
// no free entry; EINVAL port 0.
Outcome<std::uint32_t> steer_add(const xdp::Maps& maps, Port port, Absent absent, Purpose purpose, Instant now);

enum class Removal : std::uint8_t { drain, now };
struct RemovalReport {
  bool removed = false;     // false: it drains, and goes when its last flow ends
  std::uint32_t flows = 0;  // live then
};
// Code ENOENT: not steered.
Outcome<RemovalReport> steer_del(const xdp::Maps& maps, Port port, Removal how, Instant now);

// Frees draining entries without flows, and entries of dead engines' outgoing connections; returns how many. Tools call
// it before they list; engines when the last flow of a draining entry ends.
Outcome<std::uint32_t> reap_drained(const xdp::Maps& maps, Instant now);

// Reads only. Sorted by protocol and port.
Outcome<std::vector<SteerEntry>> steer_list(const xdp::Maps& maps);

}  // namespace weir::control
