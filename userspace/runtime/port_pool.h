// SPDX-License-Identifier: MIT
// Local ports of outgoing connections. Each is held by a kernel socket that is bound and nothing else, so that no other
// program gets it, and has a steering entry of its own; connections to different peers share one.
#pragma once

#include <cstdint>
#include <vector>

#include "weir/base/time.h"
#include "weir/runtime/steering.h"
#include "weir/xdp/fd.h"
#include "weir/xdp/maps.h"

namespace weir::runtime {

class PortPool {
 public:
  // Both must outlive this.
  PortPool(const xdp::Maps& maps, Steering& steering) : maps_(maps), steering_(steering) {}

  // A port to try: the n-th of the pool for n = 0, 1, ..., which grows by one where n is its size. Errors: EWOULDBLOCK
  // where a tool holds the lock of the maps, ENOSPC where the pool or the steering table is full, EPERM without the
  // right to write the maps.
  xdp::Outcome<std::uint16_t> port(std::size_t n, Instant now);
  // That very port. EADDRINUSE where somebody has it.
  xdp::Outcome<std::uint16_t> reserve(std::uint16_t port, Instant now);

  // Takes the entries out of the maps for as long as `patience` lasts: each costs a grace period. What is left is
  // reaped by the next engine or tool.
  void withdraw(Duration patience);
  // Entries that a dead engine had reserved on this interface, where the lock is free.
  void reap_orphans(Instant now);
  // In a fork's child.
  void close();

 private:
  struct Reserved {
    xdp::Fd socket;
    std::uint16_t port = 0;
  };
  xdp::Outcome<std::uint16_t> add(std::uint16_t wanted, Instant now);

  static constexpr std::size_t kMaxPorts = 256;                           // a quarter of the steering table
  static constexpr Duration kLockPatience = Duration::milliseconds(100);  // an attach holds it for some 40
  static constexpr std::size_t kReapAtOnce = 4;

  const xdp::Maps& maps_;
  Steering& steering_;
  std::vector<Reserved> ports_;
};

}  // namespace weir::runtime
