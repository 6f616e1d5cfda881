// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/base/ip_address.h"
#include "weir/base/time.h"
#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// The search for a path's MTU once a black hole has been met: large segments vanish, and no ICMP message says so
// (RFC 2923 2.1). RFC 4821 and RFC 8899's manner: down to a size that every path takes, and from there up again by
// segments of text that are larger than the others. Sizes are MSSs: of text, without options.
//
// One that is lost costs the congestion window what any loss does; RFC 4821 7.5 would spare it.
class PathSearch {
 public:
  // RFC 8899 5.1.1's PROBE_TIMER and RAISE_TIMER.
  static constexpr Duration kProbeEvery = Duration::seconds(15);
  static constexpr Duration kRaiseAfter = Duration::seconds(600);
  // Closer than that the search is over (RFC 4821 7.3).
  static constexpr std::uint16_t kClose = 16;

  // The next size to fall to from `mss`: RFC 8899 5.1.2's BASE_PLPMTU (1200, and IPv6's least MTU), then RFC 791's 576;
  // `mss` where there is none.
  static std::uint16_t below(std::uint16_t mss, Family family) {
    if (family == Family::v6) return std::min<std::uint16_t>(mss, 1'280 - 60);
    if (mss > 1'200 - 40) return 1'200 - 40;
    return std::min<std::uint16_t>(mss, 576 - 40);
  }

  // Large segments of `mss` have vanished; now it is `low`.
  void fall(std::uint16_t mss, std::uint16_t low, Instant now) {
    top_ = std::max(top_, mss);
    low_ = low;
    high_ = top_;
    first_ = true;
    probing_ = in_flight_ = failed_ = false;
    next_at_ = now + kProbeEvery;
  }

  // The size of the segment to be sent now, or 0.
  std::uint16_t due() const { return probing_ && !in_flight_ ? size_ : std::uint16_t{0}; }
  void on_sent(SeqNum begin, SeqNum end) {
    begin_ = begin;
    end_ = end;
    in_flight_ = true;
  }
  // [begin, end) has been sent again.
  void on_resent(SeqNum begin, SeqNum end) {
    if (in_flight_ && begin.before(end_) && begin_.before(end)) failed_ = true;
  }
  // SND.UNA after an ACK. The size that the path has shown it takes, or 0 where there is no news.
  std::uint16_t on_ack(SeqNum una, Instant now) {
    std::uint16_t proven = 0;
    if (in_flight_ && (failed_ || una.at_or_after(end_))) {
      if (failed_) {
        high_ = static_cast<std::uint16_t>(size_ - 1);
      } else {
        low_ = proven = size_;
      }
      in_flight_ = probing_ = failed_ = false;
      // What works is built on at once; what does not is not tried again soon.
      next_at_ = proven != 0 ? now : now + kProbeEvery;
      if (high_ - low_ < kClose) {
        // RFC 8899 5.1.1: the path may change.
        high_ = top_;
        first_ = true;
        next_at_ = now + kRaiseAfter;
      }
    }
    if (!probing_ && now >= next_at_ && low_ < high_) {
      // The whole way first: it may have been an outage.
      size_ = first_ ? high_ : static_cast<std::uint16_t>((low_ + high_ + 1) / 2);
      first_ = false;
      probing_ = true;
    }
    return proven;
  }
  // Nothing is left to search for.
  bool done() const { return low_ >= top_; }

 private:
  std::uint16_t top_ = 0;   // where it fell from
  std::uint16_t low_ = 0;   // known to work
  std::uint16_t high_ = 0;  // not known not to
  std::uint16_t size_ = 0;  // of the probe
  bool first_ = false;
  bool probing_ = false;  // a probe is due, or in flight
  bool in_flight_ = false;
  bool failed_ = false;
  SeqNum begin_;
  SeqNum end_;
  Instant next_at_;
};

}  // namespace weir::tcp
