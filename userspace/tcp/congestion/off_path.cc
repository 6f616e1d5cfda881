// SPDX-License-Identifier: MIT
#include "weir/tcp/congestion/off_path.h"

#include <algorithm>

namespace weir::tcp {

OffPath::~OffPath() {
  report_.event = FlowReport::closed;
  channel_.send(report_);
}

void OffPath::open(std::uint32_t window, const Moment& at) {
  local_.open(window, at);
  send(FlowReport::opened, at);
}

void OffPath::take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment& at) {
  local_.take_over(cwnd, ssthresh, at);
  send(FlowReport::opened, at);
}

// Before each event, so that it is judged by the latest decision.
void OffPath::receive(Instant now) {
  if (auto control = channel_.receive(flow_); control && control->cwnd != 0) {
    control_ = *control;
    waiting_since_ = Instant::never();
    return;
  }
  if (!answered() || waiting_since_ == Instant::never()) return;
  Duration patience = std::max(kPatience, Duration::nanoseconds(4 * report_.srtt_ns));
  if (now - waiting_since_ < patience) return;
  Moment at{now, report_.mss, report_.in_flight, Duration::nanoseconds(report_.srtt_ns)};
  local_.take_over(std::max(control_.cwnd, report_.mss), control_.ssthresh, at);
  control_ = {};
}

void OffPath::flush(Instant now) {
  report_.now_ns = now.ns();
  report_.cwnd = cwnd();
  report_.ssthresh = ssthresh();
  if (waiting_since_ == Instant::never()) waiting_since_ = now;
  if (!channel_.send(report_)) return;
  report_.acked = report_.marked = 0;
  report_.acks = report_.window_used = 0;
  report_.event = FlowReport::none;
  reported_at_ = now;
  // One that is quick has answered already.
  receive(now);
}

void OffPath::send(FlowReport::Event event, const Moment& at) {
  // Where there was no room, news of congestion stays before other news.
  bool congestion = event >= FlowReport::lost && event <= FlowReport::marks;
  if (report_.event == FlowReport::none || congestion) report_.event = event;
  report_.mss = at.mss;
  report_.in_flight = at.in_flight;
  if (at.srtt.count_ns() > 0) report_.srtt_ns = at.srtt.count_ns();
  flush(at.now);
}

void OffPath::on_ack(const AckEvent& ack) {
  receive(ack.now);
  if (!answered()) local_.on_ack(ack);
  if (!ack.in_recovery) {
    report_.acked += ack.acked;
    ++report_.acks;
  }
  report_.marked += ack.ece;
  report_.mss = ack.mss;
  report_.in_flight = ack.in_flight;
  if (ack.rtt.count_ns() > 0) report_.rtt_ns = ack.rtt.count_ns();
  report_.srtt_ns = ack.srtt.count_ns();
  report_.min_rtt_ns = ack.min_rtt.count_ns();
  if (ack.rate.valid()) report_.delivery_rate = ack.rate.rate();
  // As NewReno has it: in slow start a window of which half is used may grow.
  bool used = cwnd() < ssthresh() ? cwnd() < 2 * ack.peak_in_flight : cwnd() <= ack.peak_in_flight + ack.mss;
  if (used) report_.window_used = 1;
  Duration interval = std::max(kLeastInterval, ack.srtt / kReportsPerRoundTrip);
  if (ack.now - reported_at_ >= interval || report_.event != FlowReport::none) flush(ack.now);
}

void OffPath::on_loss(const Moment& at) {
  receive(at.now);
  if (!answered()) local_.on_loss(at);
  send(FlowReport::lost, at);
}

void OffPath::on_ecn(const Moment& at) {
  receive(at.now);
  if (!answered()) local_.on_ecn(at);
  send(FlowReport::marks, at);
}

void OffPath::on_recovered(const Moment& at) {
  receive(at.now);
  if (!answered()) local_.on_recovered(at);
  send(FlowReport::recovered, at);
}

void OffPath::on_timeout(const Moment& at, bool again) {
  receive(at.now);
  if (!answered()) local_.on_timeout(at, again);
  // RFC 5681 3.1's loss window waits for nobody.
  if (answered()) control_.cwnd = at.mss;
  send(again ? FlowReport::timed_out_again : FlowReport::timed_out, at);
}

void OffPath::on_timeout_recovered(const Moment& at) {
  receive(at.now);
  send(FlowReport::recovered, at);
}

void OffPath::on_idle(const Moment& at) {
  receive(at.now);
  if (!answered()) local_.on_idle(at);
  send(FlowReport::idle, at);
}

void OffPath::undo() {
  if (!answered()) local_.undo();
  Instant now = std::max(reported_at_, Instant::from_ns(report_.now_ns));
  send(FlowReport::undone, {now, report_.mss, report_.in_flight, Duration::nanoseconds(report_.srtt_ns)});
}

}  // namespace weir::tcp
