// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "weir/tcp/congestion/controller.h"
#include "weir/tcp/congestion/new_reno.h"

namespace weir::tcp {

// What a flow has seen since its last report. Sizes are bytes, times nanoseconds, rates bytes a second, in the host's
// byte order: a report may be sent between processes of one host as it stands.
struct FlowReport {
  std::uint64_t flow = 0;
  std::int64_t now_ns = 0;  // the engine's clock
  std::uint64_t acked = 0;  // outside a recovery
  std::uint64_t marked = 0;
  std::uint64_t delivery_rate = 0;  // of the last sample; 0: none
  std::int64_t rtt_ns = 0;          // the last; 0: none
  std::int64_t srtt_ns = 0;
  std::int64_t min_rtt_ns = 0;
  std::uint32_t mss = 0;
  std::uint32_t cwnd = 0;
  std::uint32_t ssthresh = 0;
  std::uint32_t in_flight = 0;
  std::uint32_t acks = 0;
  // What happened, at most once in a report, and then it is sent at once.
  enum Event : std::uint32_t { none, opened, lost, timed_out, timed_out_again, marks, recovered, idle, undone, closed };
  std::uint32_t event = none;
  std::uint32_t window_used = 0;  // 1: the window was the limit, so it may grow
};

// What an algorithm wants of a flow, until it says otherwise.
struct FlowControl {
  std::uint64_t flow = 0;
  std::uint64_t pacing_rate = 0;  // bytes a second; 0: none
  std::uint32_t cwnd = 0;
  std::uint32_t ssthresh = kNoThreshold;
};

// To where the algorithms run and back: a queue to a thread, a socket to a process. Neither call may block.
class Channel {
 public:
  virtual ~Channel() = default;
  // False: there is no room. The report's counts are kept and come with the next.
  virtual bool send(const FlowReport& report) = 0;
  // The latest for this flow that has not been received yet.
  virtual std::optional<FlowControl> receive(std::uint64_t flow) = 0;
};

// A controller that leaves the decisions to an algorithm outside the datapath (Narayan et al., "Restructuring Endpoint
// Congestion Control", SIGCOMM 2018): it reports a few times a round trip, and at once what cannot wait; window and
// rate come back. While nobody answers it is NewReno.
class OffPath final : public Controller {
 public:
  static constexpr std::int64_t kReportsPerRoundTrip = 8;
  static constexpr Duration kLeastInterval = Duration::milliseconds(1);
  // An algorithm that has not answered for so long, or for four round trips, is gone.
  static constexpr Duration kPatience = Duration::milliseconds(250);

  // `flow` names this connection on the channel, which must outlive it.
  OffPath(std::string name, Channel& channel, std::uint64_t flow)
      : name_(std::move(name)), channel_(channel), flow_(flow) {
    report_.flow = flow;
  }
  // Tells that the flow is over, if there is room.
  ~OffPath() override;

  std::string_view name() const override { return name_; }
  void open(std::uint32_t window, const Moment& at) override;
  void take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment& at) override;
  void on_ack(const AckEvent& ack) override;
  void on_loss(const Moment& at) override;
  void on_ecn(const Moment& at) override;
  void on_recovered(const Moment& at) override;
  void on_timeout(const Moment& at, bool again) override;
  void on_timeout_recovered(const Moment& at) override;
  void on_idle(const Moment& at) override;
  void undo() override;
  std::uint32_t cwnd() const override { return answered() ? control_.cwnd : local_.cwnd(); }
  std::uint32_t ssthresh() const override { return answered() ? control_.ssthresh : local_.ssthresh(); }
  std::uint64_t pacing_rate() const override { return answered() ? control_.pacing_rate : 0; }

  // The algorithm outside decides.
  bool answered() const { return control_.cwnd != 0; }

 private:
  void receive(Instant now);
  void send(FlowReport::Event event, const Moment& at);
  void flush(Instant now);

  std::string name_;
  Channel& channel_;
  std::uint64_t flow_;
  NewReno local_;
  FlowReport report_;
  FlowControl control_;
  Instant reported_at_;
  Instant waiting_since_ = Instant::never();  // for an answer to the first report that has had none
};

}  // namespace weir::tcp
