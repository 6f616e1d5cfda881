// SPDX-License-Identifier: MIT
#include "weir/control/syn_guard.h"

#include <cerrno>

namespace weir::control {

const char* syn_guard_name(SynGuardMode mode) {
  return mode == SynGuardMode::on ? "on" : mode == SynGuardMode::automatic ? "auto" : "off";
}

std::optional<SynGuardMode> parse_syn_guard(std::string_view text) {
  for (const SynGuardMode mode : {SynGuardMode::off, SynGuardMode::on, SynGuardMode::automatic})
    if (text == syn_guard_name(mode)) return mode;
  return std::nullopt;
}

SynGuard read_syn_guard(const xdp::Maps& maps) {
  const weir_config& config = maps.config();
  SynGuard out;
  out.mode = static_cast<SynGuardMode>(xdp::load(config.syn_guard));
  if (const weir_u32 rate = xdp::load(config.syn_guard_rate); rate != 0) out.rate = rate;
  out.engine = xdp::load(maps.syn_answer().valid) != 0;
  return out;
}

Outcome<void> set_syn_guard(const xdp::Maps& maps, SynGuardMode mode, std::uint32_t rate) {
  if (rate == 0) return xdp::fail("rate 0: give the SYNs a second above which the guard goes on, at least 1", EINVAL);
  weir_config& config = maps.config();
  // The rate first: XDP compares with it as soon as the mode says so.
  xdp::store(config.syn_guard_rate, weir_u32{rate});
  xdp::store(config.syn_guard, static_cast<weir_u32>(mode));
  return {};
}

SynGuardState syn_guard_state(const xdp::Maps& maps, std::uint32_t entry, Instant now) {
  const auto mode = static_cast<SynGuardMode>(xdp::load(maps.config().syn_guard));
  SynGuardState out;
  if (mode == SynGuardMode::off) return out;
  const weir_syn_guard& guard = maps.syn_guard()[entry];
  const auto at = static_cast<std::uint64_t>(now.ns());
  out.on = xdp::load(maps.syn_answer().valid) != 0 && (mode == SynGuardMode::on || at < xdp::load(guard.on_until_ns));
  const std::uint64_t age = at - xdp::load(guard.window_ns);
  if (age < WEIR_SYN_GUARD_WINDOW_NS)
    out.syns_per_second = xdp::load(guard.last_count);
  else if (age < 2 * WEIR_SYN_GUARD_WINDOW_NS)
    out.syns_per_second = xdp::load(guard.count);
  return out;
}

}  // namespace weir::control
