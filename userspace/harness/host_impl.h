// SPDX-License-Identifier: MIT
// What a Host is made of. Private to this directory.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <set>
#include <system_error>
#include <vector>

#include "weir/harness/host.h"
#include "weir/harness/port_table.h"
#include "weir/stack/stack.h"

namespace weir::harness {

struct Socket {
  explicit Socket(const tcp::Config& base_in) : base(&base_in), options(base_in) {}

  enum class Phase : std::uint8_t { idle, listening, connecting, connected };

  Family family = Family::v4;
  bool open = false;
  Phase phase = Phase::idle;
  bool bound = false;
  bool bound_by_connect = false;
  bool error_told = false;
  bool shut_read = false;
  bool shut_write = false;
  Endpoint local;           // where bound
  const tcp::Config* base;  // what `options` are changes to: the host's, or set_config()'s
  SocketOptions options;
  stack::ConnectionId connection;
  std::vector<stack::ListenerId> listeners;

  bool has_connection() const { return phase == Phase::connecting || phase == Phase::connected; }
};

struct Host::Impl {
  Impl(HostOptions options_in, PacketQueue& in_queue, PacketQueue& out_queue);

  // --- time (host.cc) ---
  Instant next_event() const;
  void turn();
  void flush();

  // --- sockets (sockets.cc) ---
  // Null where not open.
  Socket* find(int descriptor);
  std::optional<int> open_socket(Family family);
  void release(int descriptor);
  bool is_local(const IpAddress& address) const;
  std::optional<IpAddress> first_address(Family family) const;
  IpAddress any(Family family) const { return family == Family::v4 ? IpAddress::v4(0, 0, 0, 0) : IpAddress(); }
  bool reaches(const Socket& socket, const IpAddress& address) const;
  Binding binding(const Socket& socket, const IpAddress& address) const;
  // Connections of the port that would stand in the way of a bind() without reuse_address.
  bool connections_on(std::uint16_t port, const Binding& wanted) const;
  std::optional<std::uint16_t> ephemeral_port();
  template <class F>
  std::optional<std::uint16_t> scan_ephemeral(F&& fits);
  void set_bound(int descriptor, Socket& socket, const Endpoint& local, bool by_connect);
  void unbind(int descriptor, Socket& socket);
  // What the socket's connections are to have, kept for as long as they may refer to it.
  const tcp::Config* config_of(const Socket& socket);
  std::error_code begin_connection(int descriptor, Socket& socket, const Endpoint& remote);
  // Brings `phase` up to date.
  void look(Socket& socket);
  bool failed(const Socket& socket) const;
  std::error_code pending_error(const Socket& socket) const;
  std::error_code take_error(int descriptor, Socket& socket);
  std::uint8_t readiness(const Socket& socket) const;
  std::uint64_t random();

  HostOptions options;
  PacketQueue& in;
  PacketQueue& out;
  Instant now;
  std::uint64_t random_state;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters{};
  std::deque<tcp::Config> bases;  // set_config()'s
  struct KeptConfig {
    const tcp::Config* base;
    BirthOptions options;
    tcp::Config config;
  };
  std::deque<KeptConfig> configs;  // distinct ones; what connections refer to
  stack::Stack stack;
  std::vector<std::byte> buffer;
  std::deque<Socket> sockets;
  std::set<int> free;  // descriptors below sockets.size() that are not open
  PortTable ports;
};

inline Err<std::error_code> fail(std::errc why) { return Err(std::make_error_code(why)); }

}  // namespace weir::harness
