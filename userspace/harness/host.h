// SPDX-License-Identifier: MIT
// A host in virtual time: weir's TCP/IP stack between two queues of bare IP packets, and non-blocking sockets on it.
// It makes no system call, starts no thread and reads no clock: the same seed, packets and calls give the same
// packets.
//
//   PacketQueue to_b, to_a;                     // each is one host's way out and the other's way in
//   Host a({.addresses = {*IpAddress::parse("192.0.2.1")}}, to_a, to_b);
//   Host b({.addresses = {*IpAddress::parse("192.0.2.2")}}, to_b, to_a);
//   int listener = *b.socket(Family::v4);
//   b.bind(listener, {*IpAddress::parse("192.0.2.2"), 80});
//   b.listen(listener, 16);
//   int client = *a.socket(Family::v4);
//   a.connect(client, {*IpAddress::parse("192.0.2.2"), 80});   // operation_in_progress
//   for (Instant t = next(a, b); t <= end; t = next(a, b)) { a.advance_to(t); b.advance_to(t); }
//
// Time. A host's clock stands at now() until advance_to() moves it; calls take no virtual time. On the way each packet
// of the in-queue is received at its own instant, and each deadline of TCP served at its own, rounded up to the 65,536
// ns of the timing wheel. What a call or an event makes due leaves at once, stamped with now() (later where TCP paces:
// at next_event()). A packet whose instant is already past when advance_to() sees it is received at now().
//
// Calls are those of POSIX with O_NONBLOCK, and their errors POSIX's, as std::error_code of std::generic_category():
// compare with std::errc (error == std::errc::connection_refused), or take value() as an errno. Each call says which
// errors it has; `bad_file_descriptor` (EBADF), for a descriptor that is not open, goes without saying. A failed call
// has changed nothing, unless it says so.
//
// Not thread-safe; two hosts share nothing but what their queues are given. No call throws, but for want of memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/base/result.h"
#include "weir/base/time.h"
#include "weir/common/reasons.h"
#include "weir/harness/options.h"
#include "weir/harness/packet_queue.h"
#include "weir/stack/stack.h"
#include "weir/tcp/config.h"
#include "weir/tcp/info.h"
#include "weir/wire/checksum.h"

namespace weir::harness {

struct HostOptions {
  // At least one. A socket that is not bound to an address connects from the first of its peer's family.
  std::vector<IpAddress> addresses;
  std::uint16_t mtu = 1500;  // bytes of an IP packet; for IPv6 at least 1280
  Instant start = Instant::from_ns(1'000'000'000);
  // Of initial sequence numbers, timestamp offsets, ephemeral ports, IP ids and flow labels.
  std::uint64_t seed = 1;
  // What new sockets have; each may change its own before it connects or listens.
  tcp::Config tcp;
  // verify_or_partial also takes TCP checksums that cover only the pseudo-header, as a virtual NIC's peer leaves them.
  wire::ChecksumPolicy checksum = wire::ChecksumPolicy::verify;
  std::uint16_t first_ephemeral_port = 49'152;  // RFC 6335 6
  std::uint16_t last_ephemeral_port = 65'535;
  std::uint32_t max_connections = 65'536;  // in all states, TIME-WAIT and those that nobody has accepted included
  std::size_t max_sockets = 65'536;        // open descriptors
};

// What poll() asks for and tells; as POLLIN and the like. Levels, not edges: a bit is set while its condition holds.
enum Ready : std::uint8_t {
  kReadable = 1 << 0,  // read() would return text, the end of the stream or an error; accept() a connection
  kWritable = 1 << 1,  // write() would take a byte or fail; connect() has ended, well or ill
  kError = 1 << 2,     // error() has one. Told whether asked for or not
  kHangup = 1 << 3,    // both directions are over. Told whether asked for or not
  kInvalid = 1 << 4,   // the descriptor is not open. Told whether asked for or not
};

struct PollEntry {
  int descriptor = -1;        // negative: passed over, as in poll()
  std::uint8_t wanted = 0;    // of Ready
  std::uint8_t returned = 0;  // of Ready; set by poll()
};

enum class Shutdown : std::uint8_t { read, write, both };

class Host {
 public:
  // Packets that arrive are taken from `in`, those that leave are put into `out`; both must outlive the host. The two
  // may not be one.
  Host(HostOptions options, PacketQueue& in, PacketQueue& out);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  // Sends nothing: to the network the host falls silent.
  ~Host();

  // --- time ---

  Instant now() const;
  // When something will happen by itself: a packet of the in-queue, or a deadline. Instant::never() for nothing; never
  // earlier than now().
  Instant next_event() const;
  // Lets all happen that happens until `to`, at its own instants and in order, and what is due at `to` itself. An
  // instant before now() counts as now().
  void advance_to(Instant to);
  void advance(Duration by) { advance_to(now() + by); }
  // Receives what is due now and sends what is due now. Time stands still.
  void run() { advance_to(now()); }

  // --- sockets ---

  // A TCP socket of `family`: the lowest descriptor that is free, from 0 on. An IPv6 socket also reaches and accepts
  // IPv4, with addresses in mapped form, unless Option::ipv6_only; since IpAddress has one form for both, a mapped
  // address is_v4(). too_many_files_open (EMFILE).
  Result<int, std::error_code> socket(Family family);

  // `local.port` 0: an ephemeral port is chosen. `local.address` unspecified: all of the host's. As SO_REUSEADDR has
  // it, two sockets may be bound to one port and overlapping addresses only where both have Option::reuse_address and
  // neither listens; without the option, connections of the port whose sockets are closed stand in the way too,
  // TIME-WAIT included. invalid_argument (EINVAL): bound already; address_in_use; address_not_available: not the
  // host's, or no ephemeral port is free; address_family_not_supported: not the socket's.
  Result<void, std::error_code> bind(int descriptor, const Endpoint& local);

  // A socket that is not bound gets an ephemeral port on all addresses. `backlog` is the most connections that may be
  // in SYN-RECEIVED or wait for accept(), on each address where all of one family alone are listened on; less than 1
  // counts as 1. On a socket that listens it changes the backlog.
  // invalid_argument: connecting or connected; address_in_use: another socket listens there; address_not_available: no
  // ephemeral port is free.
  Result<void, std::error_code> listen(int descriptor, int backlog);

  // A connection whose handshake is complete. resource_unavailable_try_again (EAGAIN): none; invalid_argument: not
  // listening; too_many_files_open (EMFILE): it goes on waiting.
  Result<int, std::error_code> accept(int descriptor);

  // Begins a connection; a socket that is not bound gets an address and an ephemeral port. Of a call that could begin
  // it the result is operation_in_progress (EINPROGRESS): kWritable and error() tell the outcome. It is success only
  // with Option::fast_open_connect and where the peer's cookie is known: then the SYN leaves with what is written
  // first, and read() or write() tell why it came to nothing. Called again: connection_already_in_progress (EALREADY)
  // while it lasts; already_connected (EISCONN) after it has succeeded, whatever came later; where it has failed, the
  // reason, once, and then the call begins a new attempt. invalid_argument: listening; address_in_use: that 4-tuple is
  // taken; address_not_available: the peer is no unicast address of another host, the port is 0, or no ephemeral port
  // or address of ours fits; address_family_not_supported: not the socket's; not_enough_memory: max_connections.
  // Reasons of a failure: connection_refused, timed_out, host_unreachable, network_unreachable.
  Result<void, std::error_code> connect(int descriptor, const Endpoint& remote);

  // Bytes moved to `to`; 0: the end of the stream, or `to` is empty. What was received before an error is read before
  // the error is told; an error is told once, and after it the stream has ended. resource_unavailable_try_again:
  // nothing yet, or still connecting; not_connected (ENOTCONN): never connected, or listening; connection_reset,
  // timed_out, connection_refused and the others of connect().
  Result<std::size_t, std::error_code> read(int descriptor, Bytes to);

  // Bytes taken, at least 1 unless `text` is empty. While the socket connects, text is taken and sent after the
  // handshake. resource_unavailable_try_again: the send buffer is full; broken_pipe (EPIPE): shut down, or the
  // connection is over and its error has been told; not_connected; else as read().
  Result<std::size_t, std::error_code> write(int descriptor, ConstBytes text);

  // read: what is there and what will come is discarded, and read() returns 0. write: FIN after what is queued. The
  // same again is no error. not_connected: not connected (or its connection is over), listening, or still connecting.
  Result<void, std::error_code> shutdown(int descriptor, Shutdown how);

  // The descriptor is free at once; the connection goes on to its orderly end by itself, sending what was written.
  // Unread text, or Option::linger 0, make it a reset (RFC 2525 2.17). Closing a listener resets what nobody has
  // accepted.
  Result<void, std::error_code> close(int descriptor);

  // --- looking ---

  // no_protocol_option (ENOPROTOOPT): read only; invalid_argument: out of range, or too late for an option at birth.
  Result<void, std::error_code> set_option(int descriptor, Option option, std::int64_t value);
  Result<std::int64_t, std::error_code> get_option(int descriptor, Option option) const;
  // TCP_CONGESTION, by the names of HostOptions::tcp.controllers (weir/tcp/congestion/registry.h): of the connection
  // that runs, or of those that will begin. no_such_file_or_directory (ENOENT): no such name; operation_not_permitted
  // (EPERM): not for this connection, as DCTCP where ECN was not negotiated.
  Result<void, std::error_code> set_congestion_control(int descriptor, std::string_view name);
  Result<std::string, std::error_code> congestion_control(int descriptor) const;
  // All that tcp::Config has, for connections that this socket will begin: the way to what has no Option. All
  // options but reuse_address and ipv6_only become the configuration's. It is kept for the host's life.
  // invalid_argument: connecting, connected or listening.
  Result<void, std::error_code> set_config(int descriptor, const tcp::Config& config);

  // Where bound; the unspecified address and port 0 where not.
  Result<Endpoint, std::error_code> local_address(int descriptor) const;
  // not_connected: none, or its connection is over and its error has been told.
  Result<Endpoint, std::error_code> remote_address(int descriptor) const;

  // SO_ERROR: why the connection ended or could not begin, told once by whoever asks first (this, read(), write() or
  // connect()); no error (false) where there is none. bad_file_descriptor comes this way too.
  std::error_code error(int descriptor);

  // Which of Ready hold. kInvalid for a descriptor that is not open.
  std::uint8_t readiness(int descriptor) const;
  // As poll() with a timeout of 0: fills in `returned`; the number of entries that have any.
  std::size_t poll(std::span<PollEntry> entries) const;

  // As TCP_INFO. invalid_argument: listening, or never connected.
  Result<tcp::Info, std::error_code> info(int descriptor) const;

  // Descriptors open.
  std::size_t sockets() const;
  // Connections in the stack, those included that are closed and not yet at their end, and TIME-WAIT.
  std::size_t connections() const;
  // What TCP Fast Open has come to.
  stack::FastOpenCounts fast_open_counts() const;
  // Packets, by what became of them; each that was received is counted once. Of weir/common/reasons.h.
  std::uint64_t count(weir_reason reason) const;
  const HostOptions& options() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::harness
