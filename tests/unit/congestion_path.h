// SPDX-License-Identifier: MIT
// A controller over a path without a connection: a bottleneck with a rate, a buffer and a delay, segments that leave as
// the controller's window and rate let them, and the ACKs and losses that come of it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

#include "congestion_events.h"
#include "weir/tcp/congestion/controller.h"

namespace weir::tcp::test {

struct PathParameters {
  std::uint64_t rate = 1'250'000;  // bytes a second
  Duration delay = Duration::milliseconds(40);
  std::uint32_t buffer = 1'000'000;  // bytes
};

class Path {
 public:
  Path(Controller& controller, const PathParameters& p) : c_(controller), p_(p) {
    c_.open(initial_window(kMss), {now_, kMss, 0, p_.delay});
  }

  Instant now() const { return now_; }
  std::uint64_t delivered() const { return delivered_; }
  std::uint64_t lost() const { return lost_; }
  std::uint32_t in_flight() const { return in_flight_; }
  void set_rate(std::uint64_t rate) { p_.rate = rate; }

  // Until `watch`, asked after each ACK, returns true, or for `d`. Returns whether it did.
  bool run(
      Duration d, const std::function<bool()>& watch = [] { return false; }) {
    Instant end = now_ + d;
    for (;;) {
      Instant send_at =
          in_flight_ + kMss <= c_.cwnd() || in_flight_ == 0 ? std::max(next_send_, now_) : Instant::never();
      Instant ack_at = flying_.empty() ? Instant::never() : flying_.front().arrives;
      Instant at = std::min(send_at, ack_at);
      if (at > end) {
        now_ = end;
        return false;
      }
      now_ = std::max(now_, at);
      if (ack_at <= send_at) {
        receive();
        if (watch()) return true;
      } else {
        send();
      }
    }
  }

 private:
  struct Segment {
    Instant arrives;  // the ACK
    Instant sent;
    Instant first_sent;
    Instant delivered_at;
    std::uint64_t number = 0;
    std::uint64_t delivered = 0;
    std::uint64_t lost = 0;
    std::uint32_t tx_in_flight = 0;
    bool dropped = false;
  };

  void send() {
    if (in_flight_ == 0) first_sent_ = delivered_at_ = now_;
    in_flight_ += kMss;
    Segment s;
    s.sent = now_;
    s.first_sent = first_sent_;
    s.delivered_at = delivered_at_;
    s.number = next_number_++;
    s.delivered = delivered_;
    s.lost = lost_;
    s.tx_in_flight = in_flight_;
    Instant free = std::max(free_at_, now_);
    auto waiting = static_cast<double>((free - now_).count_ns()) * 1e-9 * static_cast<double>(p_.rate);
    s.dropped = waiting > p_.buffer;
    if (!s.dropped) free_at_ = free + per_segment(p_.rate);
    // A drop is known when the segment behind it would be.
    s.arrives = (s.dropped ? free : free_at_) + p_.delay;
    flying_.push_back(s);
    std::uint64_t rate = c_.pacing_rate();
    next_send_ = rate == 0 ? now_ : std::max(next_send_, now_) + per_segment(rate);
  }

  void receive() {
    Segment s = flying_.front();
    flying_.pop_front();
    in_flight_ -= kMss;
    if (recovering_ && s.number >= recover_) {
      recovering_ = false;
      c_.on_recovered({now_, kMss, in_flight_, p_.delay});
    }
    if (s.dropped) {
      lost_ += kMss;
      newly_lost_ += kMss;
      c_.on_segment_lost(
          {now_, kMss, s.tx_in_flight, static_cast<std::uint32_t>(lost_ - s.lost), delivered_, false, true});
      if (!recovering_) {
        recovering_ = true;
        recover_ = next_number_;
        c_.on_loss({now_, kMss, in_flight_ + kMss, p_.delay});
      }
      return;
    }
    delivered_ += kMss;
    delivered_at_ = now_;
    first_sent_ = s.sent;
    AckEvent a;
    a.now = now_;
    a.acked = a.mss = kMss;
    a.selective = true;
    a.peak_in_flight = std::max(s.tx_in_flight, in_flight_ + kMss);
    a.in_flight = in_flight_;
    a.newly_lost = newly_lost_;
    a.rtt = now_ - s.sent;
    min_rtt_ = std::min(min_rtt_, a.rtt);
    a.min_rtt = min_rtt_;
    a.srtt = a.rtt;
    a.delivered = delivered_;
    a.rate.delivered = delivered_ - s.delivered;
    a.rate.interval = std::max(s.sent - s.first_sent, now_ - s.delivered_at);
    a.rate.prior_delivered = s.delivered;
    a.rate.tx_in_flight = s.tx_in_flight;
    a.rate.lost = static_cast<std::uint32_t>(lost_ - s.lost);
    a.round_start = s.number >= round_;
    if (a.round_start) round_ = next_number_;
    a.in_recovery = recovering_;
    newly_lost_ = 0;
    c_.on_ack(a);
  }

  static Duration per_segment(std::uint64_t rate) {
    return Duration::nanoseconds(static_cast<std::int64_t>(kMss * 1e9 / static_cast<double>(rate)));
  }

  Controller& c_;
  PathParameters p_;
  Instant now_ = Instant::from_ns(1'000'000'000);
  Instant next_send_;
  Instant free_at_;
  Instant first_sent_;
  Instant delivered_at_;
  Duration min_rtt_ = Duration::max();
  std::deque<Segment> flying_;
  std::uint64_t next_number_ = 0;
  std::uint64_t round_ = 0;
  std::uint64_t recover_ = 0;
  std::uint64_t delivered_ = 0;
  std::uint64_t lost_ = 0;
  std::uint32_t in_flight_ = 0;
  std::uint32_t newly_lost_ = 0;
  bool recovering_ = false;
};

}  // namespace weir::tcp::test
