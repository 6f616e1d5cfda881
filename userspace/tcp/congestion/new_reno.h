// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/tcp/congestion/controller.h"

namespace weir::tcp {

// RFC 5681's slow start and congestion avoidance, counting bytes (RFC 3465). Loss recovery (RFC 6582) is the loss
// detector's.
class NewReno : public Controller {
 public:
  std::string_view name() const override { return "reno"; }
  void open(std::uint32_t window, const Moment& at) override;
  void take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment& at) override;
  void on_ack(const AckEvent& ack) override;
  void on_loss(const Moment& at) override;
  void on_recovered(const Moment& at) override;
  void on_timeout(const Moment& at, bool again) override;
  void on_idle(const Moment& at) override;
  void undo() override;
  std::uint32_t cwnd() const override { return cwnd_; }
  std::uint32_t ssthresh() const override { return ssthresh_; }

 protected:
  // A congestion event leaves this window; undo() takes it back.
  void reduce_to(std::uint32_t window);

 private:
  void remember();

  std::uint32_t cwnd_ = 0;
  std::uint32_t ssthresh_ = kNoThreshold;
  std::uint32_t counted_ = 0;   // bytes acknowledged towards the next segment of growth
  bool after_timeout_ = false;  // in the slow start that follows one
  // As before the last reduction, for undo().
  std::uint32_t prior_cwnd_ = 0;
  std::uint32_t prior_ssthresh_ = kNoThreshold;
};

}  // namespace weir::tcp
