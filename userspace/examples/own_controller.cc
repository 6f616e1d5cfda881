// SPDX-License-Identifier: MIT
// A program's own congestion controller: it leaves room for others as soon as a queue builds up behind its segments, in
// the manner of TCP Vegas (Brakmo and Peterson, 1995). Beside it run the built-in ones, over the same path, in virtual
// time.
//
//   weir-own-controller
#include <algorithm>
#include <cstdio>
#include <memory>

#include "virtual_path.h"

using namespace weir;

namespace {

class Gentle final : public tcp::Controller {
 public:
  std::string_view name() const override { return "gentle"; }
  void open(std::uint32_t window, const tcp::Moment&) override { cwnd_ = window; }
  void take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const tcp::Moment&) override {
    cwnd_ = cwnd;
    ssthresh_ = ssthresh;
  }

  // Once a round trip: how many segments of ours wait in the queue?
  void on_ack(const tcp::AckEvent& ack) override {
    if (ack.rtt.count_ns() > 0) shortest_ = std::min(shortest_, ack.rtt);
    if (ack.in_recovery || !ack.round_start) return;
    Duration round = shortest_;
    shortest_ = Duration::max();
    if (round == Duration::max() || cwnd_ > 2 * ack.peak_in_flight) return;
    double empty = static_cast<double>(ack.min_rtt.count_ns()) / static_cast<double>(round.count_ns());
    double waiting = cwnd_ * (1 - empty) / ack.mss;
    if (cwnd_ < ssthresh_ && waiting < 1) {
      cwnd_ *= 2;
    } else if (waiting < 2) {
      cwnd_ += ack.mss;
    } else if (waiting > 4) {
      cwnd_ = ssthresh_ = std::max(cwnd_ - ack.mss, 2 * ack.mss);
    }
  }
  void on_loss(const tcp::Moment& at) override {
    before_ = cwnd_;
    cwnd_ = ssthresh_ = std::max(at.in_flight / 2, 2 * at.mss);
  }
  void on_recovered(const tcp::Moment&) override { cwnd_ = ssthresh_; }
  void on_timeout(const tcp::Moment& at, bool again) override {
    if (!again) on_loss(at);
    cwnd_ = at.mss;
  }
  void on_idle(const tcp::Moment& at) override { cwnd_ = std::min(cwnd_, tcp::initial_window(at.mss)); }
  void undo() override { cwnd_ = ssthresh_ = std::max(cwnd_, before_); }
  std::uint32_t cwnd() const override { return cwnd_; }
  std::uint32_t ssthresh() const override { return ssthresh_; }

 private:
  std::uint32_t cwnd_ = 0;
  std::uint32_t ssthresh_ = tcp::kNoThreshold;
  std::uint32_t before_ = 0;
  Duration shortest_ = Duration::max();
};

}  // namespace

int main() {
  tcp::Config config;
  config.controllers.add("gentle", [] { return std::make_unique<Gentle>(); });
  for (const char* name : {"gentle", "reno", "cubic", "bbr"}) {
    config.congestion = name;
    double goodput = examples::transfer(config, examples::Path{}, 20'000'000);
    std::printf("%-8s %.2f Mb/s of 10\n", name, goodput / 1e6);
    if (goodput == 0) return 1;
  }
  return 0;
}
