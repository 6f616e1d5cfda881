// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include "weir/tcp/congestion/controller.h"
#include "weir/tcp/congestion/pacer.h"

namespace weir::tcp {

// A connection's congestion controller, from the end of its handshake on, or from a SYN whose text was taken (RFC
// 7413). Before, nothing may be in flight but the SYN and its text.
class Congestion {
 public:
  bool running() const { return controller_ != nullptr; }
  std::uint32_t cwnd() const { return running() ? controller_->cwnd() : 0; }
  std::uint32_t ssthresh() const { return running() ? controller_->ssthresh() : kNoThreshold; }
  std::uint64_t pacing_rate() const { return running() ? controller_->pacing_rate() : 0; }
  std::string_view name() const { return running() ? controller_->name() : std::string_view(); }
  bool needs_ecn() const { return running() && controller_->needs_ecn(); }
  bool governs_recovery() const { return running() && controller_->governs_recovery(); }

  void open(std::unique_ptr<Controller> controller, std::uint32_t window, const Moment& at) {
    controller_ = std::move(controller);
    controller_->open(window, at);
  }
  // Another one goes on where this one stands.
  void change_to(std::unique_ptr<Controller> controller, const Moment& at) {
    controller->take_over(cwnd(), ssthresh(), at);
    controller_ = std::move(controller);
  }

  // The events, as in Controller.
  void on_ack(const AckEvent& ack) { controller_->on_ack(ack); }
  void on_segment_lost(const SegmentLoss& loss) { controller_->on_segment_lost(loss); }
  void on_loss(const Moment& at) { controller_->on_loss(at); }
  void on_ecn(const Moment& at) { controller_->on_ecn(at); }
  void on_recovered(const Moment& at) { controller_->on_recovered(at); }
  void on_timeout(const Moment& at, bool again) { controller_->on_timeout(at, again); }
  void on_timeout_recovered(const Moment& at) { controller_->on_timeout_recovered(at); }
  void on_idle(const Moment& at) { controller_->on_idle(at); }
  void undo() { controller_->undo(); }

  // Of text; see pacer.h.
  Pacer pacer;

 private:
  std::unique_ptr<Controller> controller_;
};

}  // namespace weir::tcp
