// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "weir/base/time.h"
#include "weir/tcp/congestion/registry.h"
#include "weir/tcp/ecn.h"
#include "weir/tcp/options.h"

namespace weir::tcp {

// What all connections of a stack share.
struct Config {
  Options options;  // that a connection begins with
  // Bytes that a connection may hold unread, which bounds its window; and unacknowledged or unsent. Memory is taken as
  // bytes come, and given back after a second without any. Both grow with use, the first to twice what is read in a
  // round trip, the second to twice the congestion window, up to the `most_`; these, where lower than the first, mean
  // no growth. Under memory pressure (stack::Config::max_buffer_memory) both are what a segment or two need.
  std::uint32_t receive_buffer = 256 * 1024;
  std::uint32_t send_buffer = 256 * 1024;
  std::uint32_t most_receive_buffer = 0;
  std::uint32_t most_send_buffer = 0;
  // Under memory pressure, a peer that has held its window shut for so long is reset (RFC 6429 4).
  Duration zero_window_under_pressure = Duration::seconds(60);
  bool window_scale = true;       // RFC 7323 2
  bool timestamps = true;         // RFC 7323 3
  bool sack = true;               // RFC 2018
  bool path_mtu_probing = true;   // RFC 4821, where large segments vanish without a word
  EcnMode ecn = EcnMode::accept;  // RFC 3168

  bool pacing = false;  // spread the window of a controller that names no rate of its own over the round trip
  ControllerRegistry controllers;    // fixed once a stack has it
  std::string congestion = "cubic";  // of new connections; a name that the registry lacks means its first

  Duration initial_rto = Duration::seconds(1);  // RFC 6298 2.1
  // By how much the time-out is longer than the smoothed round trip, at least. RFC 6298 2.4 says 1 s "SHOULD", of the
  // whole; 200 ms is what Linux and the BSDs have used for two decades, with delayed ACKs of at most 40 ms on our side:
  // a spurious timeout costs one segment, a second of silence costs a request its deadline.
  Duration min_rto = Duration::milliseconds(200);
  Duration max_rto = Duration::seconds(120);
  Duration delayed_ack = Duration::milliseconds(40);  // RFC 1122 4.2.3.2: at most 500 ms
  Duration time_wait = Duration::seconds(60);         // 2 MSL with an MSL of 30 s
  Duration fin_wait_2 = Duration::seconds(60);        // for a connection that its user has closed
  std::uint8_t syn_retries = 6;                       // about 127 s
  std::uint8_t syn_ack_retries = 5;                   // about 63 s
  std::uint8_t retries = 15;                          // of text; RFC 1122 4.2.3.5's R2, at least 100 s
};

}  // namespace weir::tcp
