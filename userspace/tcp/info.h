// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/base/time.h"
#include "weir/tcp/state.h"

namespace weir::tcp {

// What a connection says of itself, in the terms of TCP_INFO. Counts are since its birth.
struct Info {
  State state = State::closed;
  Duration srtt;
  Duration rttvar;
  Duration min_rtt;  // zero: not yet measured
  Duration rto;
  std::uint32_t cwnd = 0;  // bytes
  std::uint32_t ssthresh = 0;
  std::uint64_t pacing_rate = 0;     // bytes a second; 0: not paced
  std::string_view congestion;       // the controller: empty before the handshake is over; lives as long as the stack
  std::uint32_t receive_buffer = 0;  // the most that may be unread, as it has grown
  std::uint32_t send_buffer = 0;     // the most that may be unacknowledged or unsent
  std::uint32_t send_mss = 0;
  std::uint32_t receive_mss = 0;     // largest seen
  std::uint32_t send_window = 0;     // SND.WND, scaled
  std::uint32_t receive_window = 0;  // RCV.WND, scaled
  std::uint32_t in_flight = 0;       // sent, and neither acknowledged nor taken for lost
  std::uint32_t sacked = 0;          // selectively acknowledged
  std::uint32_t send_queue = 0;      // bytes written and not acknowledged
  std::uint32_t receive_queue = 0;   // bytes received and not read
  std::uint64_t bytes_acked = 0;
  std::uint64_t bytes_received = 0;
  std::uint64_t segments_out = 0;
  std::uint64_t segments_in = 0;
  std::uint64_t delivered = 0;    // bytes of text acknowledged, selectively too
  std::uint32_t retransmits = 0;  // segments
  std::uint32_t lost = 0;         // segments taken for lost, with SACK
  std::uint32_t dsacks = 0;       // segments that the peer has had twice
  std::uint32_t undos = 0;        // loss episodes that were none
  std::uint32_t timeouts = 0;
  std::uint32_t out_of_order = 0;  // segments
  std::uint8_t send_scale = 0;
  std::uint8_t receive_scale = 0;
  Duration busy_time;               // while something was unacknowledged or unsent
  Duration receive_window_limited;  // of that, while the peer's window held the next segment back
  Duration send_buffer_limited;     // of that, while a full send buffer was all on its way
  std::uint32_t ecn_marks = 0;      // segments that came with CE
  std::uint32_t ecn_echoes = 0;     // ACKs that came with ECE
  bool ecn = false;                 // both sides use it
  bool timestamps = false;
  bool sack = false;
  bool reordering_seen = false;  // since text was last in flight
  bool window_scaling = false;
  bool syn_data = false;  // RFC 7413: the opening SYN's text was taken
};

}  // namespace weir::tcp
