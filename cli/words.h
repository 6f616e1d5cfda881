// SPDX-License-Identifier: MIT
// Words for what the model calls by number, the same in text and JSON.
#pragma once

#include <string>
#include <vector>

#include "output.h"
#include "weir/common/abi.h"
#include "weir/control/firewall.h"
#include "weir/control/instance.h"
#include "weir/control/steer.h"

namespace weir::cli {

inline const char* mode_name(weir_xdp_mode mode) {
  return mode == WEIR_XDP_NATIVE ? "native" : mode == WEIR_XDP_GENERIC ? "generic" : "unknown";
}

inline const char* firewall_name(control::FirewallReport::State state) {
  using State = control::FirewallReport::State;
  return state == State::open ? "open" : state == State::rules ? "rules" : "not_known";
}

inline std::vector<std::uint32_t> queue_numbers(std::uint64_t bits) {
  std::vector<std::uint32_t> numbers;
  for (std::uint32_t q = 0; q < 64; ++q)
    if ((bits >> q & 1u) != 0) numbers.push_back(q);
  return numbers;
}

// A steering entry, as `status` and `steer list` have it. `serving` are the queues whose engines are there: a
// listener's mark outlives an engine that was killed.
Json to_json(const control::SteerEntry& entry, std::uint64_t serving);
// "tcp 8080 from 192.0.2.0/24 app web": as it is typed.
std::string entry_text(const control::SteerEntry& entry);

// "SYN guard auto: on above 10000 new connections a second of an entry"
std::string syn_guard_text(const control::SynGuard& guard);

// Takes out entries whose last flow has ended, where this process may; one who may only read sees them as draining.
void reap_if_allowed(const control::Instance& instance);

}  // namespace weir::cli
