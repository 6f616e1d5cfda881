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

// RACK_detect_loss(). In the order of transmission, so that it ends at the first that is not lost yet.
Rack::Detection Rack::detect(Transmissions& out, const View& view) const {
  Detection result;
  if (rtt_ == Duration{}) return result;
  Duration patience = rtt_ + reordering_window(out, view);
  Tick now(view.now);
  for (Transmissions::Id id = out.oldest(); id != out.behind();) {
    const Transmission& t = out[id];
    if (!sent_after(sent_, end_, t.sent, t.end)) break;
    Duration remaining = patience - (now - t.sent);
    if (remaining > Duration{}) {
      result.again_in = remaining;
      break;
    }
    Transmissions::Id next = out.after(id);
    result.lost += out.length(id);
    ++result.segments;
    out.mark_lost(id);
    id = next;
  }
  return result;
}

Rack::Detection Rack::detect_on_timeout(Transmissions& out, const View& view) const {
  Detection result;
  Duration patience = rtt_ + reordering_window(out, view);
  Tick now(view.now);
  for (Transmissions::Id id = out.oldest(); id != out.behind();) {
    Transmissions::Id next = out.after(id);
    if (id == out.first() || now - out[id].sent >= patience) {
      result.lost += out.length(id);
      ++result.segments;
      out.mark_lost(id);
    }
    id = next;
  }
  return result;
}

}  // namespace weir::tcp
