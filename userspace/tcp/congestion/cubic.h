// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/tcp/congestion/controller.h"
#include "weir/tcp/congestion/hystart.h"

namespace weir::tcp {

// CUBIC (RFC 9438), with HyStart++ (RFC 9406) in its first slow start. Names are the RFCs'; windows are in bytes, where
// the RFC counts segments.
class Cubic final : public Controller {
 public:
  static constexpr double kC = 0.4;     // segments per second cubed (RFC 9438 5)
  static constexpr double kBeta = 0.7;  // RFC 9438 4.6
  // RFC 9438 4.3: the increase that makes an AIMD sender with kBeta as fast as Reno.
  static constexpr double kAlpha = 3 * (1 - kBeta) / (1 + kBeta);

  std::string_view name() const override { return "cubic"; }
  void open(std::uint32_t window, const Moment& at) override;
  void take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment& at) override;
  void on_ack(const AckEvent& ack) override;
  void on_loss(const Moment& at) override;
  void on_ecn(const Moment& at) override;
  void on_recovered(const Moment& at) override;
  void on_timeout(const Moment& at, bool again) override;
  void on_idle(const Moment& at) override;
  void undo() override;
  std::uint32_t cwnd() const override { return cwnd_; }
  std::uint32_t ssthresh() const override { return ssthresh_; }

  // W_cubic(t) of the present epoch (RFC 9438 4.2, figure 1), bytes; `t` since it began.
  double w_cubic(Duration t, std::uint32_t mss) const;
  double w_max() const { return w_max_; }
  double k() const { return k_; }  // seconds

 private:
  // RFC 9438 4.9.2: what a spurious congestion event takes away.
  struct Epoch {
    std::uint32_t cwnd = 0;
    std::uint32_t ssthresh = kNoThreshold;
    std::uint32_t w_max = 0;
    std::uint32_t w_est = 0;
    Instant start;
    float k = 0;
    bool running = false;
  };

  void slow_start(const AckEvent& ack);
  void avoid_congestion(const AckEvent& ack);
  void begin_epoch(const AckEvent& ack);
  void reduce(const Moment& at, std::uint32_t least_segments);
  void remember();

  std::uint32_t cwnd_ = 0;
  std::uint32_t ssthresh_ = kNoThreshold;
  std::uint32_t w_max_ = 0;
  float k_ = 0;
  float growth_ = 0;              // bytes below a whole one
  std::uint32_t cwnd_prior_ = 0;  // before the last reduction
  double w_est_ = 0;
  Instant epoch_start_;            // moved on by what time the window was not used
  Instant last_ack_;               // within an epoch
  bool epoch_running_ = false;     // congestion avoidance has begun since the last reduction
  bool plateau_at_start_ = false;  // the next epoch has K = 0: RFC 9438 4.8, 4.10
  bool after_timeout_ = false;
  HyStart hystart_;
  Epoch prior_;
};

}  // namespace weir::tcp
