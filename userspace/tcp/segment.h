// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstdint>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/tcp/seq_num.h"
#include "weir/wire/ip_protocol.h"
#include "weir/wire/tcp.h"

namespace weir::tcp {

// A segment that arrived: checked, with its text still in the frame.
struct Segment {
  SeqNum seq;
  SeqNum ack;
  wire::TcpFlags flags;
  wire::WireWindow window;  // unscaled: in a SYN as it stands, later to be scaled by the connection alone
  std::uint16_t urgent = 0;
  wire::Ecn ecn = wire::Ecn::not_ect;  // of the IP header
  wire::TcpOptions options;
  ConstBytes text;

  // RFC 9293 SEG.LEN: SYN and FIN count.
  std::uint32_t len() const {
    return static_cast<std::uint32_t>(text.size()) + (flags.syn() ? 1u : 0u) + (flags.fin() ? 1u : 0u);
  }

  static Segment from(const wire::TcpView& view);
};

// A segment to be sent. The stack adds ports, addresses and the checksum.
struct OutSegment {
  wire::TcpHeader header;          // ports are left 0
  std::array<ConstBytes, 2> text;  // up to two pieces, where the send ring wraps
  bool retransmission = false;
  wire::Ecn ecn = wire::Ecn::not_ect;  // for the IP header

  std::size_t text_size() const { return text[0].size() + text[1].size(); }
};

// What an ICMP or ICMPv6 error says to TCP (RFC 1122 4.2.3.9, RFC 5461, RFC 8201).
struct IcmpError {
  enum class Kind : std::uint8_t {
    soft_unreachable,
    hard_unreachable,
    packet_too_big,
    time_exceeded,
    parameter_problem
  };
  Kind kind;
  bool network = false;   // unreachable: the network rather than the host
  bool port = false;      // unreachable: the port
  std::uint32_t mtu = 0;  // packet_too_big
};

}  // namespace weir::tcp
