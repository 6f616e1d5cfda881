// SPDX-License-Identifier: MIT
// The SYN guard of an interface: XDP answers new connections of steered ports by SYN cookies while too many come.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "weir/base/time.h"
#include "weir/control/netns.h"
#include "weir/xdp/maps.h"

namespace weir::control {

enum class SynGuardMode : std::uint8_t {
  off = WEIR_SYN_GUARD_OFF,
  on = WEIR_SYN_GUARD_ON,
  automatic = WEIR_SYN_GUARD_AUTO,
};
const char* syn_guard_name(SynGuardMode mode);
std::optional<SynGuardMode> parse_syn_guard(std::string_view text);

inline constexpr std::uint32_t kSynGuardRate = 10'000;  // SYNs a second of an entry, unless something else is asked for

struct SynGuard {
  SynGuardMode mode = SynGuardMode::off;
  std::uint32_t rate = kSynGuardRate;
  bool engine = false;  // one is there whose answers XDP can give
};
SynGuard read_syn_guard(const xdp::Maps& maps);
// The caller holds the Lock. In force with the next frame. EINVAL: rate 0; EOPNOTSUPP: the program is attached by
// libxdp's dispatcher, where it cannot answer.
Outcome<void> set_syn_guard(const xdp::Maps& maps, SynGuardMode mode, std::uint32_t rate);

// Of a steering entry.
struct SynGuardState {
  bool on = false;
  std::uint32_t syns_per_second = 0;  // in the last whole second; counted while the guard is not off
};
SynGuardState syn_guard_state(const xdp::Maps& maps, std::uint32_t entry, Instant now);

}  // namespace weir::control
