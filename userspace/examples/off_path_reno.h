// SPDX-License-Identifier: MIT
// Reno outside the datapath: it sees reports and answers with windows, and could as well be another process.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>

#include "weir/tcp/congestion/off_path.h"

namespace weir::examples {

class OffPathReno {
 public:
  // What the flow is to do now; nothing where the flow is over.
  std::optional<tcp::FlowControl> on_report(const tcp::FlowReport& r) {
    if (r.event == tcp::FlowReport::closed) {
      flows_.erase(r.flow);
      return std::nullopt;
    }
    auto [it, fresh] = flows_.try_emplace(r.flow, Flow{r.cwnd, r.ssthresh, r.cwnd, r.ssthresh, 0});
    Flow& f = it->second;
    if (!fresh) grow(f, r);
    react(f, r);
    return tcp::FlowControl{r.flow, 0, f.cwnd, f.ssthresh};
  }

 private:
  struct Flow {
    std::uint32_t cwnd, ssthresh;
    std::uint32_t prior_cwnd, prior_ssthresh;
    std::uint64_t counted;
  };

  // RFC 5681 3.1: all that was acknowledged since the last report, at once.
  static void grow(Flow& f, const tcp::FlowReport& r) {
    if (r.window_used == 0) return;
    std::uint64_t acked = r.acked;
    if (f.cwnd < f.ssthresh) {
      // RFC 3465 2.2
      auto most = std::min<std::uint64_t>(acked, std::uint64_t{2} * r.mss * r.acks);
      auto step = std::min<std::uint64_t>(most, f.ssthresh - f.cwnd);
      f.cwnd += static_cast<std::uint32_t>(step);
      acked -= std::min(acked, step);
      if (f.cwnd < f.ssthresh) return;
    }
    for (f.counted += acked; f.counted >= f.cwnd; f.cwnd += r.mss) f.counted -= f.cwnd;
  }

  static void react(Flow& f, const tcp::FlowReport& r) {
    std::uint32_t half = std::max(r.in_flight / 2, 2 * r.mss);
    switch (r.event) {
      case tcp::FlowReport::timed_out:
      case tcp::FlowReport::lost:
      case tcp::FlowReport::marks:
        f = {half, half, f.cwnd, f.ssthresh, 0};
        if (r.event == tcp::FlowReport::timed_out) f.cwnd = r.mss;
        break;
      case tcp::FlowReport::timed_out_again:
        f.cwnd = r.mss;
        break;
      case tcp::FlowReport::recovered:
        f.cwnd = std::min(f.ssthresh, std::max(r.in_flight, r.mss) + r.mss);
        break;
      case tcp::FlowReport::idle:
        f.cwnd = std::min(f.cwnd, tcp::initial_window(r.mss));
        break;
      case tcp::FlowReport::undone:
        f.cwnd = std::max(f.cwnd, f.prior_cwnd);
        f.ssthresh = f.prior_ssthresh;
        break;
      default:
        break;
    }
  }

  std::map<std::uint64_t, Flow> flows_;
};

}  // namespace weir::examples
