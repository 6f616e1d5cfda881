// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/base/time.h"
#include "weir/tcp/transmissions.h"

namespace weir::tcp {

// RACK (RFC 8985 6): a segment is lost when one that was sent later by a reordering window has been delivered.
class Rack {
 public:
  // --- step 2 and 3: one call for each segment that an ACK is the first to acknowledge ---

  // `rtt` since it was last sent. `spurious`: the ACK is for an earlier copy of it, and tells nothing.
  void on_delivered(const Transmission& t, Duration rtt, bool spurious);
  // Behind the last such call of an ACK.
  void on_ack_over();

  // --- step 4 ---

  // The ACK brought a DSACK. `una` is SND.UNA after it, `nxt` SND.NXT.
  void on_dsack(SeqNum una, SeqNum nxt);
  void on_recovered();
  // A retransmission turned out to have been needless.
  void on_spurious() { reordering_seen_ = true; }
  bool reordering_seen() const { return reordering_seen_; }

  // --- step 5 ---

  struct Detection {
    std::uint32_t lost = 0;          // bytes
    std::uint32_t segments = 0;      // of them
    Duration again_in = Duration{};  // not zero: the next may be lost by then
  };
  // What a caller knows of the connection.
  struct View {
    Instant now;
    Duration min_rtt;
    Duration srtt;
    bool in_recovery;
  };
  // `lost(t, bytes)` for each segment that is marked.
  template <class Lost>
  Detection detect(Transmissions& out, const View& view, Lost&& lost) const;
  // RFC 8985 6.3: the retransmission timer expired. The first is lost whatever its time.
  template <class Lost>
  Detection detect_on_timeout(Transmissions& out, const View& view, Lost&& lost) const;
  Duration reordering_window(const Transmissions& out, const View& view) const;

 private:
  template <class Lost>
  static void mark(Transmissions& out, Transmissions::Id id, Detection& found, Lost& lost) {
    std::uint32_t bytes = out.length(id);
    found.lost += bytes;
    ++found.segments;
    out.mark_lost(id);
    lost(out[id], bytes);
  }

  Tick sent_;    // RACK.xmit_ts: of the segment delivered that was sent the latest
  SeqNum end_;   // RACK.end_seq
  SeqNum fack_;  // RACK.fack: the highest delivered
  SeqNum ack_fack_;
  Duration rtt_;  // RACK.rtt; zero: nothing has been delivered yet
  SeqNum dsack_round_;
  bool dsack_round_open_ = false;
  bool fack_known_ = false;
  bool reordering_seen_ = false;
  std::uint8_t multiplier_ = 1;  // RACK.reo_wnd_mult
  std::uint8_t persist_ = 0;     // RACK.reo_wnd_persist: recoveries for which it stays
};

// RACK_detect_loss(). In the order of transmission, so that it ends at the first that is not lost yet.
template <class Lost>
Rack::Detection Rack::detect(Transmissions& out, const View& view, Lost&& lost) const {
  Detection found;
  if (rtt_ == Duration{}) return found;
  Duration patience = rtt_ + reordering_window(out, view);
  Tick now(view.now);
  for (Transmissions::Id id = out.oldest(); id != out.behind();) {
    const Transmission& t = out[id];
    if (!sent_after(sent_, end_, t.sent, t.end)) break;
    Duration remaining = patience - (now - t.sent);
    if (remaining > Duration{}) {
      found.again_in = Tick::until(view.now, remaining);
      break;
    }
    Transmissions::Id next = out.after(id);
    mark(out, id, found, lost);
    id = next;
  }
  return found;
}

template <class Lost>
Rack::Detection Rack::detect_on_timeout(Transmissions& out, const View& view, Lost&& lost) const {
  Detection found;
  Duration patience = rtt_ + reordering_window(out, view);
  Tick now(view.now);
  for (Transmissions::Id id = out.oldest(); id != out.behind();) {
    Transmissions::Id next = out.after(id);
    if (id == out.first() || now - out[id].sent >= patience) mark(out, id, found, lost);
    id = next;
  }
  return found;
}

}  // namespace weir::tcp
