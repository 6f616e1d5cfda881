// SPDX-License-Identifier: MIT
#include "weir/tcp/rack.h"

#include <algorithm>

namespace weir::tcp {
namespace {

constexpr std::uint32_t kDupThresh = 3;
constexpr std::uint8_t kPersist = 16;
constexpr std::uint8_t kMostMultiplier = 64;  // SRTT is the limit in any case

}  // namespace

void Rack::on_delivered(const Transmission& t, Duration rtt, bool spurious) {
  // Step 3: what lies before something that the peer has reported before, and was sent once, came late.
  if (!fack_known_ || t.end.after(ack_fack_)) {
    ack_fack_ = t.end;
    if (!fack_known_) fack_ = t.end;
    fack_known_ = true;
  } else if (t.end.before(fack_) && !t.resent) {
    reordering_seen_ = true;
  }
  // Step 2
  if (spurious) return;
  if (rtt_ != Duration{} && !sent_after(t.sent, t.end, sent_, end_)) return;
  rtt_ = std::max(rtt, Duration::nanoseconds(1));
  sent_ = t.sent;
  end_ = t.end;
}

void Rack::on_ack_over() { fack_ = ack_fack_; }

void Rack::on_dsack(SeqNum una, SeqNum nxt) {
  if (dsack_round_open_ && una.before(dsack_round_)) return;
  dsack_round_ = nxt;
  dsack_round_open_ = true;
  if (multiplier_ < kMostMultiplier) ++multiplier_;
  persist_ = kPersist;
}

void Rack::on_recovered() {
  if (persist_ > 0 && --persist_ == 0) multiplier_ = 1;
}

// RACK_update_reo_wnd()
Duration Rack::reordering_window(const Transmissions& out, const View& view) const {
  if (!reordering_seen_ && (view.in_recovery || out.sacked_segments() >= kDupThresh)) return Duration{};
  return std::min(multiplier_ * (view.min_rtt / 4), view.srtt);
}

}  // namespace weir::tcp
