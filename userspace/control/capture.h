// SPDX-License-Identifier: MIT
// Copies of frames as XDP judged them (common/capture_abi.h): one listener of up to WEIR_CAPTURE_SLOTS.
//
// A Capture has a slot and a ring of perf events a CPU. XDP makes copies while the lease runs, so renew() has to be
// called more often than WEIR_CAPTURE_LEASE_NS; what passed while it was not is told by totals(), and what found no
// room, too. When the process dies, the rings go with its descriptors and the lease runs out.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include "weir/base/time.h"
#include "weir/common/abi.h"
#include "weir/common/reasons.h"
#include "weir/control/netns.h"
#include "weir/xdp/maps.h"

namespace weir::control {

struct CaptureOptions {
  std::uint64_t reasons = ~std::uint64_t{0};  // bit r: frames of weir_reason r
  std::uint32_t snaplen = WEIR_CAPTURE_MOST;  // octets of each frame, at least 1
  bool sampled = false;                       // only what a rule's `sample` chose
};

struct CaptureTotals {
  std::uint64_t captured = 0;  // frames that were due
  std::uint64_t lost = 0;      // of those: that found no room
  std::uint64_t gaps = 0;      // times that the lease ran out
  Duration unwatched;          // how long that was, in all
};

class Capture {
 public:
  // The caller holds the Lock. EBUSY: as many listen as can, which the message names. EPERM: CAP_BPF and CAP_PERFMON.
  static Outcome<Capture> open(const xdp::Maps& maps, const CaptureOptions& options, Instant now);
  Capture(Capture&&) noexcept;
  Capture& operator=(Capture&&) noexcept;
  ~Capture();

  // Readable when a ring is a quarter full. Fewer frames wake nobody: drain() every few milliseconds.
  int descriptor() const;
  // EOWNERDEAD: the lease had run out, and another listener has the slot.
  Outcome<void> renew(Instant now);
  // What has come, by CPU; at most what the rings hold. The octets are valid within the call.
  using Each = std::function<void(const weir_capture_record&, std::span<const std::byte>)>;
  void drain(const Each& each);
  // No copy is made after it; drain() once more, and totals() are final. Takes some milliseconds.
  Outcome<void> stop(Instant now);
  CaptureTotals totals() const;

 private:
  struct State;
  explicit Capture(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

}  // namespace weir::control
