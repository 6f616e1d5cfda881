// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace weir::tcp {

// RFC 9293 3.3.2. LISTEN belongs to a listener, not to a connection; it is here for the names' sake.
enum class State : std::uint8_t {
  closed,
  listen,
  syn_sent,
  syn_received,
  established,
  fin_wait_1,
  fin_wait_2,
  close_wait,
  closing,
  last_ack,
  time_wait,
};

// As `ss` prints them: "ESTAB", "SYN-RECV", "FIN-WAIT-1", ...
const char* name(State state);

// Whether figure 5 of RFC 9293 3.3.2 (with the resets of 3.10.7) has an edge `from` -> `to`. Events that cross two
// edges at once, such as a FIN that also acknowledges ours in FIN-WAIT-1, are two steps here.
bool is_edge(State from, State to);

// The handshake has completed: RFC 9293 3.4's "synchronized", CLOSED excluded.
constexpr bool is_synchronized(State state) { return state >= State::established; }

// Why a connection ended before its time.
enum class Errc : std::uint8_t {
  none,
  refused,              // RST in SYN-SENT, or a port unreachable: ECONNREFUSED
  reset,                // RST later: ECONNRESET
  timed_out,            // retransmission, keepalive or user time-out: ETIMEDOUT
  host_unreachable,     // ICMP in SYN-SENT, or no neighbour: EHOSTUNREACH
  network_unreachable,  // ICMP in SYN-SENT, or no route: ENETUNREACH
  broken_pipe,          // written after shutdown: EPIPE
  aborted,              // by our own side: ECONNABORTED
};

}  // namespace weir::tcp
