// SPDX-License-Identifier: MIT
// The sign of life that XDP reads before it sends a frame our way: one slot for each queue, a plain store each turn.
#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <span>
#include <string>

#include "weir/base/time.h"
#include "weir/common/abi.h"
#include "weir/xdp/maps.h"

namespace weir::runtime {

class Heartbeat {
 public:
  // At least this often, also when idle: four times before XDP calls the engine silent.
  static constexpr Duration kInterval = Duration::milliseconds(200);

  Heartbeat() = default;
  // One slot for each queue. The memory outlives this.
  explicit Heartbeat(std::span<weir_heartbeat> slots) : slots_(slots) {}

  void start(std::uint32_t slot, bool zero_copy, const std::string& app, Instant now) {
    weir_heartbeat& h = slots_[slot];
    for (std::size_t i = 0; i < sizeof h.app; ++i) xdp::store(h.app[i], i < app.size() ? app[i] : '\0');
    xdp::store(h.started_ns, static_cast<weir_u64>(now.ns()));
    xdp::store(h.pid, static_cast<weir_u32>(::getpid()));
    xdp::store(h.zero_copy, static_cast<weir_u32>(zero_copy ? 1 : 0));
    xdp::store(h.loop_lag_ns, weir_u64{0});
  }

  void beat(Instant now) {
    last_ = now;
    for (weir_heartbeat& h : slots_) xdp::store(h.monotonic_ns, static_cast<weir_u64>(now.ns()));
  }

  // So long since the last beat that XDP has been sending new connections to the kernel: what waits in the rings is
  // old.
  bool lapsed(Instant now) const {
    return last_ != Instant{} && (now - last_).count_ns() > static_cast<std::int64_t>(WEIR_SYN_STALE_NS);
  }
  Instant next_due() const { return last_ + kInterval; }

  // How late or how long a turn was; the longest of a second is written at its end.
  void note_lag(Duration lag) { lag_ = std::max(lag_, lag); }
  void write_lag() {
    for (weir_heartbeat& h : slots_) xdp::store(h.loop_lag_ns, static_cast<weir_u64>(lag_.count_ns()));
    lag_ = Duration{};
  }

  // In good order: zero says that no engine is there.
  void stop() {
    for (weir_heartbeat& h : slots_) xdp::store(h.monotonic_ns, weir_u64{0});
  }

 private:
  std::span<weir_heartbeat> slots_;
  Instant last_;
  Duration lag_;
};

}  // namespace weir::runtime
