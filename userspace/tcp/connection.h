// SPDX-License-Identifier: MIT
// One TCP connection (RFC 9293), sans-IO: segments, time and the user's calls come in; segments, a deadline and
// readiness come out. It does not know addresses or ports, does not allocate per segment, and never calls out.
//
// Not thread-safe: one thread owns a connection. All sizes are bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "weir/base/bytes.h"
#include "weir/base/time.h"
#include "weir/common/reasons.h"
#include "weir/tcp/config.h"
#include "weir/tcp/info.h"
#include "weir/tcp/segment.h"
#include "weir/tcp/state.h"

namespace weir::tcp {

// What the stack knows at the birth of a connection.
struct Birth {
  SeqNum iss;                          // RFC 6528, from the stack's secret and clock
  std::uint32_t timestamp_offset = 0;  // RFC 7323 5.4: added to TS.Val's millisecond clock
  std::uint16_t mss = 536;  // the largest text that the path's MTU lets a segment carry without options, either way
  Family family = Family::v4;
};

// Bits of Connection::readiness(). Each holds until the user's next call consumes it.
enum Readiness : std::uint8_t {
  kConnected = 1 << 0,  // the handshake is complete
  kReadable = 1 << 1,   // read() returns text, the end of the stream, or an error
  kWritable = 1 << 2,   // write() takes at least one byte, or returns an error
  kFailed = 1 << 3,     // error() says why; nothing more will come
};

class Connection {
 public:
  // Both keep a reference to `config`, which must outlive the connection.
  static Connection active_open(const Config& config, const Birth& birth, Instant now);
  // `syn` is an acceptable SYN to a listener (RFC 9293 3.10.7.2, third).
  static Connection passive_open(const Config& config, const Birth& birth, const Segment& syn, Instant now);

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  // --- the network's side ---

  // RFC 9293 3.10.7.3-4, in its order. Records what is owed; emits nothing. Returns what became of the segment:
  // WEIR_R_TAKEN_TCP or one of WEIR_R_LOST_*.
  weir_reason on_segment(const Segment& seg, Instant now);

  // An ICMP error whose quotation named this connection (RFC 5927, 1122 4.2.3.9). `quoted_seq` outside what is in
  // flight is refused with WEIR_R_LOST_ICMP_INVALID.
  weir_reason on_icmp_error(const IcmpError& error, SeqNum quoted_seq, Instant now);

  // The route's MTU changed: `mss` as in Birth.
  void on_path_mss(std::uint16_t mss, Instant now);

  // True while poll_transmit() would fill a segment now.
  bool wants_transmit(Instant now) const;
  // Fills the next segment to send, with the freshest ACK and window; false where nothing is due. `out.text` points
  // into the send buffer: copy it before any other call on this connection.
  bool poll_transmit(OutSegment& out, Instant now);

  // The earliest instant at which on_deadline() would do something; Instant::never() for none.
  Instant next_deadline() const;
  void on_deadline(Instant now);

  // --- the user's side (RFC 9293 3.9.1) ---

  // Takes as much of `text` as the send buffer has room for; 0: full, or see error().
  std::size_t write(ConstBytes text, Instant now);
  // Moves received text to `to`; 0 with at_end(): the peer's FIN has been reached; 0 otherwise: nothing yet, or see
  // error().
  std::size_t read(Bytes to, Instant now);
  std::size_t readable_bytes() const;
  std::size_t writable_bytes() const;
  bool at_end() const;

  // No more text will be written: FIN after what is queued.
  void shutdown_write(Instant now);
  // No more text will be read: what still comes is acknowledged and discarded (as shutdown(SHUT_RD) does in the
  // kernels).
  void shutdown_read(Instant now);
  // The user is gone. Unread text, now or later, turns the close into a reset (RFC 2525 2.17); else as shutdown_write.
  void close(Instant now);
  // RST now, and forget.
  void abort(Instant now);

  void set_no_delay(bool on);

  // --- looking ---

  State state() const;
  Errc error() const;
  std::uint8_t readiness() const;  // of Readiness
  // CLOSED and nothing owed: the stack may free it.
  bool finished() const;
  Info info(Instant now) const;

 private:
  // written by the owner of this file
};

}  // namespace weir::tcp
