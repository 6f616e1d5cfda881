// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>

#include "weir/tcp/congestion/ack_event.h"

namespace weir::tcp {

// RFC 5681's slow start and congestion avoidance, counting bytes (RFC 3465). Loss recovery (RFC 6582) is in loss.h.
class NewReno {
 public:
  std::uint32_t cwnd() const { return cwnd_; }
  std::uint32_t ssthresh() const { return ssthresh_; }

  void open(std::uint32_t window) { cwnd_ = window; }
  void on_ack(const AckEvent& ack);
  void on_loss(std::uint32_t in_flight, std::uint32_t mss);
  void on_recovered(std::uint32_t in_flight, std::uint32_t mss);
  void on_timeout(std::uint32_t in_flight, std::uint32_t mss, bool again);
  void on_idle(std::uint32_t restart_window);

 private:
  std::uint32_t cwnd_ = 0;
  std::uint32_t ssthresh_ = std::numeric_limits<std::uint32_t>::max();
  std::uint32_t counted_ = 0;   // bytes acknowledged towards the next segment of growth
  bool after_timeout_ = false;  // in the slow start that follows one
};

}  // namespace weir::tcp
