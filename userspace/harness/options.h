// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>

#include "weir/base/time.h"
#include "weir/tcp/config.h"
#include "weir/tcp/options.h"

namespace weir::harness {

// What set_option() and get_option() name. Yes-or-no options take 0 and 1 and read as such.
//
// "At birth": takes effect on connections that begin later, by connect() on this socket or by a listen() on it; set
// while the socket is connecting, connected or listening, it fails with invalid_argument. All other options may be set
// at any time, and take effect at once. An accepted socket has the options that its listener had when the SYN came.
enum class Option : std::uint8_t {
  no_delay,            // TCP_NODELAY: 1 turns Nagle's algorithm off (RFC 1122 4.2.3.4). Default 0
  cork,                // TCP_CORK: 1 lets only full segments leave (weir/tcp/options.h). Default 0
  keepalive,           // SO_KEEPALIVE (RFC 1122 4.2.3.6). Default 0
  keepalive_idle,      // TCP_KEEPIDLE: ms before the first probe. Default 7,200,000
  keepalive_interval,  // TCP_KEEPINTVL: ms between probes. Default 75,000
  keepalive_count,     // TCP_KEEPCNT: probes without an answer, 1 to 255. Default 9
  user_timeout,        // TCP_USER_TIMEOUT: ms; 0, the default, is none
  linger,              // SO_LINGER: s; 0 has close() send RST; -1, the default, and more are the same: no call waits
  reuse_address,       // SO_REUSEADDR: see bind(). Default 0
  ipv6_only,           // IPV6_V6ONLY: before bind(); a socket on :: takes no IPv4 connections. Default 0
  receive_buffer,      // SO_RCVBUF: bytes, at least 2048, without any doubling. At birth
  send_buffer,         // SO_SNDBUF: bytes, at least 2048, without any doubling. At birth
  window_scale,        // RFC 7323 2 may be used. At birth
  timestamps,          // RFC 7323 3 may be used. At birth
  sack,                // RFC 2018 may be used. At birth
  ecn,                 // RFC 3168: 0 off, 1 where the peer asks for it, 2 asked for. At birth
  syn_retries,         // TCP_SYNCNT: retransmissions of a SYN before connect() times out, 1 to 255. At birth
  // TCP_FASTOPEN: of a listener, before or after listen(): how many connections may be accepted before their handshake
  // is over, because their SYN had a cookie of this host's (RFC 7413). 0, the default: none, and no cookies are given
  fast_open,
  // TCP_FASTOPEN_CONNECT: 1 has connect() succeed at once where the peer's cookie is known, and its SYN leave with the
  // first write()'s text; where it is not known, the SYN asks for it. Default 0. At birth
  fast_open_connect,
  // Read only; set_option() fails with no_protocol_option.
  accepting,       // SO_ACCEPTCONN: the socket listens
  segment_size,    // TCP_MAXSEG: bytes of text that a segment of ours may carry now; 0 where not connected
  readable_bytes,  // FIONREAD: received, in order and not read
  unacknowledged,  // SIOCOUTQ: written and not acknowledged, bytes
};

// Those at birth.
struct BirthOptions {
  std::uint32_t receive_buffer;
  std::uint32_t send_buffer;
  bool window_scale;
  bool timestamps;
  bool sack;
  tcp::EcnMode ecn;
  std::uint8_t syn_retries;

  explicit BirthOptions(const tcp::Config& config);
  void apply(tcp::Config& to) const;
  friend bool operator==(const BirthOptions&, const BirthOptions&) = default;
};

// The options of one socket, as they stand.
struct SocketOptions {
  explicit SocketOptions(const tcp::Config& config)
      : birth(config), tcp(config.options), congestion(config.congestion) {}

  BirthOptions birth;
  tcp::Options tcp;
  std::string congestion;
  bool reuse_address = false;
  bool ipv6_only = false;
  std::uint32_t fast_open = 0;
  bool fast_open_connect = false;
};

// `tcp`: of tcp::Options, which a connection may be told while it lives.
enum class OptionKind : std::uint8_t { tcp, socket, at_birth, read_only };
OptionKind kind(Option option);

// False where `value` is out of range. Read-only options are not theirs.
bool store(SocketOptions& options, Option option, std::int64_t value);
std::int64_t load(const SocketOptions& options, Option option);

}  // namespace weir::harness
