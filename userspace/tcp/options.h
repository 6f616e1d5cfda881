// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>

#include "weir/base/time.h"

namespace weir::tcp {

// What a connection's user may choose, at any time. Config::options is what a connection is born with.
struct Options {
  bool no_delay = false;  // true: Nagle's algorithm (RFC 1122 4.2.3.4) is off
  // True: only full segments leave. What is left over follows when it is set to false, before a FIN, or after one
  // retransmission time-out (at least min_rto) without anything in flight.
  bool cork = false;

  // RFC 1122 4.2.3.6: whether a silent peer is asked if it is still there: first after `keepalive_idle` without a
  // segment from it, then every `keepalive_interval`. After `keepalive_count` questions without an answer (or, where
  // there is a user timeout, when that has passed) the connection is reset and ends with Errc::timed_out.
  bool keepalive = false;
  std::uint8_t keepalive_count = 9;
  Duration keepalive_idle = Duration::seconds(7'200);
  Duration keepalive_interval = Duration::seconds(75);

  // RFC 9293 3.9.1.2, RFC 5482: how long what is written may stay unacknowledged, or unsent because the peer's window
  // is closed, until the connection is reset and ends with Errc::timed_out. It takes the place of the limits on
  // retransmissions in Config, of the SYN's too. Zero: these, and a peer that answers window probes is waited for
  // without end while its user is. RFC 5482's option is not sent, and a peer's not obeyed: the wait is ours to choose.
  Duration user_timeout{};

  // What close() does with what is not yet acknowledged. Nothing: it is sent, and the call does not wait. Zero: it is
  // discarded, and the peer is reset. Longer: as nothing, and an API that can block waits up to so long for Info::state
  // to leave those that send; the core stores it for that API.
  std::optional<Duration> linger{};

  friend bool operator==(const Options&, const Options&) = default;
};

}  // namespace weir::tcp
