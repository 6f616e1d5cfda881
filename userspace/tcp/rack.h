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
  Detection detect(Transmissions& out, const View& view) const;
  // RFC 8985 6.3: the retransmission timer expired. The first is lost whatever its time.
  Detection detect_on_timeout(Transmissions& out, const View& view) const;
  Duration reordering_window(const Transmissions& out, const View& view) const;

 private:
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

}  // namespace weir::tcp
