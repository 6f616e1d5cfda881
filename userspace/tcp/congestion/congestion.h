// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>
#include <variant>

#include "weir/base/time.h"
#include "weir/tcp/congestion/new_reno.h"

namespace weir::tcp {

// The congestion controller of a connection: how much may be in flight. Which segments are lost, and what to send while
// they are mended, is the loss detector's (loss.h); it asks here for the window to come out with.
//
// A controller is a value with NewReno's member functions. Adding one is adding it to Any.
class Congestion {
 public:
  using Any = std::variant<NewReno>;

  // RFC 6928: min(10 * MSS, max(2 * MSS, 14600)).
  static std::uint32_t initial_window(std::uint32_t mss) { return std::min(10 * mss, std::max(2 * mss, 14'600u)); }

  // Bytes.
  std::uint32_t cwnd() const {
    return std::visit([](const auto& c) { return c.cwnd(); }, any_);
  }
  std::uint32_t ssthresh() const {
    return std::visit([](const auto& c) { return c.ssthresh(); }, any_);
  }
  void open(std::uint32_t window) {
    std::visit([&](auto& c) { c.open(window); }, any_);
  }
  void on_ack(const AckEvent& ack) {
    std::visit([&](auto& c) { c.on_ack(ack); }, any_);
  }
  // The loss detector enters recovery, with `in_flight` bytes out.
  void on_loss(std::uint32_t in_flight, std::uint32_t mss) {
    std::visit([&](auto& c) { c.on_loss(in_flight, mss); }, any_);
  }
  void on_recovered(std::uint32_t in_flight, std::uint32_t mss) {
    std::visit([&](auto& c) { c.on_recovered(in_flight, mss); }, any_);
  }
  // `again`: the same segment had timed out before.
  void on_timeout(std::uint32_t in_flight, std::uint32_t mss, bool again) {
    std::visit([&](auto& c) { c.on_timeout(in_flight, mss, again); }, any_);
  }
  // Nothing has been sent for longer than the RTO (RFC 5681 4.1).
  void on_idle(std::uint32_t mss) {
    std::visit([&](auto& c) { c.on_idle(initial_window(mss)); }, any_);
  }

 private:
  Any any_;
};

}  // namespace weir::tcp
