// SPDX-License-Identifier: MIT
// The TCP/IP stack of one link, sans-IO: frames and time in, frames and a deadline out, and socket-like calls for the
// user.
//
// Whoever drives it does, in a loop: on_frame() for each frame that came; poll_event() until empty, serving the user;
// poll_next_hop_query() until empty, answering from the kernel's routes; poll_transmit() while it fills frames; then
// sleeps until a frame, a call, or next_deadline(), upon which on_deadline(). Time never runs backwards.
//
// Not thread-safe. No call blocks, throws on input, or calls back.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/base/result.h"
#include "weir/base/time.h"
#include "weir/common/abi.h"
#include "weir/common/reasons.h"
#include "weir/tcp/config.h"
#include "weir/tcp/info.h"
#include "weir/tcp/readiness.h"
#include "weir/wire/checksum.h"

namespace weir::stack {

// What carries the packets. `ip`: frames are bare IP packets, and there are no next hops to resolve.
enum class Medium : std::uint8_t { ethernet, ip };

// When a SYN is answered by a cookie (RFC 4987 3.6) instead of being kept. A cookie keeps an MSS (rounded down to one
// of eight) and, with timestamps, window scale, SACK and ECN. While cookies are out, an ACK that belongs to nothing is
// dropped with LOST_BAD_COOKIE rather than answered by a RST: it may have overtaken the ACK with the cookie.
enum class SynCookies : std::uint8_t {
  never,        // beyond the backlog SYNs are dropped with LOST_BACKLOG_FULL
  on_overflow,  // while handshakes fill the backlog; where connections that nobody accepts do, SYNs are dropped
  always,
};

struct Config {
  Medium medium = Medium::ethernet;
  MacAddress mac;            // ours
  std::uint16_t mtu = 1500;  // of the link, at the IP layer
  // What is accepted as a checksum; ::verify_or_partial where the link is known to deliver partial ones.
  wire::ChecksumPolicy checksum = wire::ChecksumPolicy::verify;
  std::array<std::uint64_t, 2> hash_key{};  // of weir_flow_hash; the XDP program's, where there is one
  std::uint32_t max_connections = 65'536;   // beyond it SYNs are refused with LOST_NO_MEMORY
  // Connections in TIME-WAIT that nobody reads from any more: besides the others, some ninety bytes each. Beyond it the
  // oldest gives way.
  std::uint32_t max_time_wait = 65'536;
  std::uint32_t max_next_hops = 16'384;  // cached
  std::uint32_t next_hop_queue = 64;  // connections that may wait for one next hop's answer; beyond it LOST_NO_NEXT_HOP
  Duration next_hop_timeout = Duration::seconds(3);
  // Bytes of all connections' buffers. Beyond it windows close to what a reader at work needs, writes are taken in
  // small pieces, SYNs are refused with LOST_MEMORY_LIMIT and connects with no_memory, until it is less again. What has
  // been promised to peers may still come, so the limit may be passed by that.
  std::uint64_t max_buffer_memory = std::uint64_t{1} << 30;
  std::uint32_t max_replies = 256;  // connectionless RSTs and SYN-ACKs waiting to leave; beyond it LOST_REPLY_LIMIT
  SynCookies syn_cookies = SynCookies::on_overflow;
  // Pairs of addresses whose TCP Fast Open cookies are remembered, some hundred bytes each, the least recently used
  // giving way; 0: Opening::fast is as ::handshake.
  std::uint32_t max_fast_open_peers = 4'096;
  std::uint32_t reassembly_bytes = 1024 * 1024;  // of fragments, in all
  std::uint32_t reassembly_bytes_per_source = 128 * 1024;
  tcp::Config tcp;
};

// Keys of the keyed functions (RFC 6528, RFC 7323 5.4); the same after a restart.
struct Secrets {
  std::array<std::uint8_t, 16> isn_key{};
  std::array<std::uint8_t, 16> timestamp_key{};
  std::array<std::uint8_t, 16> cookie_key{};  // of SYN cookies and Fast Open's
};

// Frames by reason, indexed by weir_reason; the memory is the caller's (the runtime hands in a mapped BPF array).
using Counters = std::span<std::uint64_t, WEIR_REASON_COUNT>;

// What is known of a frame besides its bytes.
struct RxInfo {
  std::optional<std::uint32_t> flow_hash;  // from XDP's metadata; computed where absent or of no use
  bool discard_syn = false;                // the engine's heartbeat had lapsed: count LOST_SYN_LAPSED
};

// A frame to be filled: `buffer` is the caller's, at least mtu + 14 bytes; `length` is set by poll_transmit().
struct TxFrame {
  Bytes buffer;
  std::uint32_t length = 0;
};

// Names a connection; never reused for another while the stack lives.
struct ConnectionId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;  // 0 names none
  explicit operator bool() const { return generation != 0; }
  friend bool operator==(const ConnectionId&, const ConnectionId&) = default;
};
struct ListenerId {
  std::uint32_t index = 0;
  std::uint32_t generation = 0;
  explicit operator bool() const { return generation != 0; }
  friend bool operator==(const ListenerId&, const ListenerId&) = default;
};

// Something the user may be waiting for became true. One event is queued at a time for each connection or listener; its
// bits gather until it is polled. Bits are edges: a bit that still holds is not reported again until a call has
// consumed it.
struct Event {
  ConnectionId connection;     // or
  ListenerId listener;         // accept() has something
  std::uint8_t readiness = 0;  // of tcp::Readiness
};

enum class Errc : std::uint8_t {
  address_in_use,       // a listener has that port, or a connection that 4-tuple
  address_unavailable,  // the local address is not one of ours, or the remote one is no host's
  no_memory,            // a limit of Config is reached
};

struct NextHopQuery {
  IpAddress source;
  IpAddress destination;
};
struct NextHop {
  MacAddress mac;
  std::uint16_t mtu = 1500;  // of the route
};

using FlowClassifier = std::function<std::uint16_t(const Endpoint& local, const Endpoint& remote)>;

// A line of `weir sockets`.
struct ConnectionSummary {
  ConnectionId id;  // none: it is in TIME-WAIT, and most of its Info is forgotten
  Endpoint local;
  Endpoint remote;
  tcp::Info info;
};
struct ListenerSummary {
  ListenerId id;
  Endpoint local;
  std::uint32_t queued = 0;   // accepted by TCP, not yet by the user
  std::uint32_t pending = 0;  // in SYN-RECEIVED
  std::uint32_t backlog = 0;
  std::uint32_t fast_open = 0;          // the limit of its queue; 0: off
  std::uint32_t fast_open_pending = 0;  // in SYN-RECEIVED, and open to their users
};

// What TCP Fast Open (RFC 7413) has come to since the stack began.
struct FastOpenCounts {
  std::uint64_t active = 0;          // our SYN's text was taken
  std::uint64_t active_failed = 0;   // it was not, or no answer came in time
  std::uint64_t passive = 0;         // SYNs that came with a good cookie
  std::uint64_t passive_failed = 0;  // and with one that is not, or no longer, ours
  std::uint64_t cookies_given = 0;   // asked for
  std::uint64_t overflows = 0;       // a good cookie, and the listener's Fast Open queue was full
};

// How connect() begins.
enum class Opening : std::uint8_t {
  handshake,
  // TCP Fast Open, as TCP_FASTOPEN_CONNECT has it: where the peer's cookie is known, the connection is kConnected at
  // once and its SYN leaves with the first write's text; where it is not, the SYN asks for it.
  fast,
};

class Stack {
 public:
  // `seed` feeds the generator of what need not be secret (ports, jitter); `counters` must outlive the stack.
  Stack(const Config& config, const Secrets& secrets, std::uint64_t seed, Counters counters);
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;
  ~Stack();

  // --- the link ---

  // The frame is read during the call and not kept. Exactly one counter is raised; of a packet in fragments, the last
  // one to come has the packet's reason. Two reasons are raised elsewhere: LOST_FRAG_TIMEOUT, for a packet whose rest
  // did not come, and LOST_NO_NEXT_HOP, for a segment of ours that could not leave.
  void on_frame(ConstBytes frame, const RxInfo& info, Instant now);
  // Fills up to frames.size() frames with what is due, and returns how many. The only way out for anything.
  std::size_t poll_transmit(std::span<TxFrame> frames, Instant now);
  bool wants_transmit(Instant now) const;
  // The earliest instant at which on_deadline() has work; Instant::never() for none. May be early, is never late.
  Instant next_deadline() const;
  void on_deadline(Instant now);

  // --- what the kernel knows ---

  void set_local_addresses(std::span<const IpAddress> addresses);
  void set_link_mtu(std::uint16_t mtu, Instant now);
  void set_mac(const MacAddress& mac);
  // A destination whose next hop is wanted; each is asked once until answered or timed out.
  std::optional<NextHopQuery> poll_next_hop_query();
  void on_next_hop(const IpAddress& destination, const NextHop& hop, Instant now);
  // No route, or the neighbour did not answer: connections in SYN-SENT fail with `reason`, others keep trying until
  // they time out.
  void on_no_next_hop(const IpAddress& destination, tcp::Errc reason, Instant now);
  // Routes, rules or neighbours changed: ask again for whatever is still in use, meanwhile using what was known.
  void flush_next_hops();

  // --- the user's calls ---

  // `local.address` unspecified: any of our addresses, of both families. `tcp`, here and in connect(), is what the
  // connections have in place of Config::tcp, and must outlive the stack.
  Result<ListenerId, Errc> listen(const Endpoint& local, std::uint32_t backlog, const tcp::Config* tcp = nullptr);
  void set_backlog(ListenerId listener, std::uint32_t backlog);
  // accept() has something.
  bool acceptable(ListenerId listener) const;
  // An established connection, or nothing. What it is ready for already is told by its first event.
  std::optional<ConnectionId> accept(ListenerId listener);
  // Resets connections in SYN-RECEIVED and those that nobody accepted (RFC 9293 3.10.4).
  void close_listener(ListenerId listener, Instant now);

  // The caller chose (and reserved) the local port. Completion: kConnected or kFailed.
  Result<ConnectionId, Errc> connect(const Endpoint& local, const Endpoint& remote, Instant now,
                                     const tcp::Config* tcp = nullptr, Opening opening = Opening::handshake);

  // As in tcp::Connection. A stale id reads 0, writes 0 and is otherwise ignored.
  std::size_t read(ConnectionId id, Bytes to, Instant now);
  std::size_t write(ConnectionId id, ConstBytes text, Instant now);
  std::size_t readable_bytes(ConnectionId id) const;
  bool at_end(ConnectionId id) const;
  tcp::Errc error(ConnectionId id) const;
  std::uint8_t readiness(ConnectionId id) const;
  void shutdown_write(ConnectionId id, Instant now);
  void shutdown_read(ConnectionId id, Instant now);
  // After close() or abort() the id is the stack's: no events come for it, and it is freed when TCP is done with it.
  void close(ConnectionId id, Instant now);
  void abort(ConnectionId id, Instant now);
  // Every connection: RST now. For detach --force and for a program that goes away. Users keep their ids, are told by
  // kFailed (tcp::Errc::aborted), and close them.
  void abort_all(Instant now);
  // False for a stale id, and where there is no memory to keep them.
  bool set_options(ConnectionId id, const tcp::Options& options, Instant now);
  // Of a stale id: Config's.
  tcp::Options options(ConnectionId id) const;
  // What connections to it begin with, from the next SYN on; Config's where it is never called. False for a stale id.
  bool set_listener_options(ListenerId id, const tcp::Options& options);
  tcp::Options listener_options(ListenerId id) const;
  void set_no_delay(ConnectionId id, bool on);
  // TCP Fast Open (RFC 7413): SYNs with a cookie of ours and text are connections to accept() at once, up to `queue`
  // whose handshake is not over; 0, as it is at first: off. It is off as well while SYN cookies are in use. Text in a
  // SYN may arrive twice, on two connections: only for services that can bear that.
  void set_fast_open(ListenerId id, std::uint32_t queue);

  // --- congestion control, by the names of tcp::Config::controllers ---

  // Of new connections; those of a listener with a choice or a tcp::Config of its own keep theirs.
  tcp::CongestionChange set_congestion_control(std::string_view name);
  // Of the connections that this listener takes from now on.
  tcp::CongestionChange set_congestion_control(ListenerId listener, std::string_view name);
  // Of a running connection: its window and threshold are carried over.
  tcp::CongestionChange set_congestion_control(ConnectionId id, std::string_view name, Instant now);
  // Those of Config::tcp, and the one that new connections have.
  std::vector<std::string> congestion_controllers() const;
  std::string_view congestion_control() const;

  std::optional<Event> poll_event();

  // --- looking ---

  Endpoint local_endpoint(ConnectionId id) const;
  Endpoint remote_endpoint(ConnectionId id) const;
  tcp::Info info(ConnectionId id, Instant now) const;
  // Bytes of connections' buffers.
  std::uint64_t buffer_memory() const;
  // Connections with that local port, without those in TIME-WAIT.
  std::uint32_t flows(std::uint16_t local_port) const;
  // XDP's SYN guard. `cells` count the connections by hash; `answered_ns` is when it last answered a SYN with a cookie
  // of ours (0: never), upon which an ACK may bring one. Both outlive the stack; before its first connection.
  void guard_by(std::span<weir_flow_cell> cells, const std::uint64_t* answered_ns);
  // What a SYN-ACK of ours says to a SYN that offers everything, and is a cookie's.
  struct SynAnswer {
    std::uint16_t mss4 = 0;
    std::uint16_t mss6 = 0;
    std::uint16_t window = 0;
    std::optional<std::uint8_t> scale;
    bool timestamps = false;
    bool sack = false;
    bool ecn = false;
  };
  SynAnswer syn_answer(Instant now) const;
  // The same by classes, of which there are `classes`: `classifier` says which a connection is of by its endpoints,
  // ours first; any other number is none. Those that are there are classified at once. An empty function: no classes.
  void set_flow_classes(std::uint16_t classes, FlowClassifier classifier);
  std::uint32_t class_flows(std::uint16_t flow_class) const;
  // All of them, TIME-WAIT included.
  std::size_t connections() const;
  std::size_t time_waits() const;
  // Those in TIME-WAIT, and the others. A walk over either may pause for as long as it likes, so that it holds up
  // nothing: a connection that is made or ends meanwhile is met or not, the others once.
  enum class Walked : std::uint8_t { running, time_wait };
  struct Walk {
    Walked over = Walked::running;
    std::uint32_t next = 0;
  };
  // The next `most`, or fewer; false when there are no more.
  bool visit_connections(Walk& walk, std::size_t most, Instant now,
                         const std::function<void(const ConnectionSummary&)>& visit) const;
  // All that run, at once. A visitor may abort and change them.
  void for_each_connection(Instant now, const std::function<void(const ConnectionSummary&)>& visit) const;
  // All of them, TIME-WAIT included.
  std::vector<ConnectionSummary> list_connections(Instant now) const;
  std::vector<ListenerSummary> list_listeners() const;
  FastOpenCounts fast_open_counts() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::stack
