// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/base/time.h"

namespace weir::tcp {

// How fast the path delivered, as measured from one segment's departure to its acknowledgment
// (draft-ietf-ccwg-bbr, delivery rate samples). All zero: the ACK gave none.
struct RateSample {
  std::uint64_t delivered = 0;        // bytes, over `interval`
  Duration interval;                  // zero: no sample
  std::uint64_t prior_delivered = 0;  // AckEvent::delivered when the sampled segment left
  std::uint32_t tx_in_flight = 0;     // bytes in flight just after it left
  std::uint32_t lost = 0;             // bytes marked lost between its departure and now
  bool app_limited = false;           // the sender had nothing to send for a part of it: the path may be faster

  bool valid() const { return interval.count_ns() > 0; }
  // Bytes a second.
  std::uint64_t rate() const {
    if (!valid()) return 0;
    return static_cast<std::uint64_t>(static_cast<double>(delivered) * 1e9 / static_cast<double>(interval.count_ns()));
  }
};

// What an ACK of new text tells a congestion controller. Sizes are bytes. A field that the connection could not fill is
// zero.
struct AckEvent {
  Instant now;
  std::uint32_t acked = 0;  // of text, that this ACK was the first to report as received
  bool selective = false;   // SACK: none of `acked` has arrived long before, behind a gap
  std::uint32_t mss = 0;
  // The most that was in flight at once in this round trip and the last. A window that was not used says nothing about
  // the path, and does not grow (RFC 7661 4.3).
  std::uint32_t peak_in_flight = 0;
  std::uint32_t in_flight = 0;   // after the ACK
  std::uint32_t newly_lost = 0;  // marked lost by this ACK
  Duration rtt;                  // of this ACK; zero: it could not be measured
  Duration min_rtt;              // over the connection's life
  Duration srtt;
  std::uint64_t delivered = 0;  // over the connection's life
  RateSample rate;
  std::uint32_t ece = 0;     // of `acked`, what an ACK with ECE covers (RFC 8257 3.3)
  bool round_start = false;  // the first ACK of what was sent after the last round's first ACK
  bool in_recovery = false;  // the loss detector is mending a loss, or has a sign of one
};

// By how much slow start may grow for one ACK: with what it acknowledges, up to the L = 8 segments that RFC 9406 4.2
// has for a sender without pacing (RFC 5681 3.1 says one; RFC 3465 2.2 had two in an age of smaller bursts), so that a
// lost or delayed ACK does not cost growth. RFC 3465 2.3: one segment after a time-out, when an ACK may cover what the
// peer had kept from before, which is not so where SACK has told of that.
inline constexpr std::uint32_t kSlowStartBurst = 8;
constexpr std::uint32_t slow_start_growth(const AckEvent& ack, bool after_timeout) {
  std::uint32_t segments = after_timeout && !ack.selective ? 1 : kSlowStartBurst;
  return ack.acked < segments * ack.mss ? ack.acked : segments * ack.mss;
}

// A segment that is taken for lost, and the connection when it left.
struct SegmentLoss {
  Instant now;
  std::uint32_t bytes = 0;
  std::uint32_t tx_in_flight = 0;  // bytes in flight just after it left; zero: not known
  std::uint32_t lost = 0;          // bytes marked lost since then, with it
  std::uint64_t delivered = 0;     // as in AckEvent, now
  bool app_limited = false;
  bool selective = false;  // as in AckEvent
};

// What the events besides an ACK tell.
struct Moment {
  Instant now;
  std::uint32_t mss = 0;
  std::uint32_t in_flight = 0;  // bytes; of a congestion event, in the window that met it, and no more than the window
  Duration srtt;                // zero: not yet measured
  std::uint32_t pipe = 0;       // bytes in flight now, without what is taken for lost
};

}  // namespace weir::tcp
