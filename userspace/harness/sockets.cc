// SPDX-License-Identifier: MIT
// What stands behind a descriptor: ports, phases, errors.
#include <algorithm>

#include "weir/harness/host_impl.h"

namespace weir::harness {
namespace {

std::error_code code_of(tcp::Errc error) {
  switch (error) {
    case tcp::Errc::none:
      return {};
    case tcp::Errc::refused:
      return std::make_error_code(std::errc::connection_refused);
    case tcp::Errc::reset:
      return std::make_error_code(std::errc::connection_reset);
    case tcp::Errc::timed_out:
      return std::make_error_code(std::errc::timed_out);
    case tcp::Errc::host_unreachable:
      return std::make_error_code(std::errc::host_unreachable);
    case tcp::Errc::network_unreachable:
      return std::make_error_code(std::errc::network_unreachable);
    case tcp::Errc::broken_pipe:
      return std::make_error_code(std::errc::broken_pipe);
    case tcp::Errc::aborted:
      break;
  }
  return std::make_error_code(std::errc::connection_aborted);
}

}  // namespace

Socket* Host::Impl::find(int descriptor) {
  if (descriptor < 0 || static_cast<std::size_t>(descriptor) >= sockets.size()) return nullptr;
  Socket& socket = sockets[static_cast<std::size_t>(descriptor)];
  if (!socket.open) return nullptr;
  look(socket);
  return &socket;
}

std::optional<int> Host::Impl::open_socket(Family family) {
  int descriptor = 0;
  if (!free.empty()) {
    descriptor = *free.begin();
    free.erase(free.begin());
  } else if (sockets.size() < options.max_sockets) {
    descriptor = static_cast<int>(sockets.size());
    sockets.emplace_back(options.tcp);
  } else {
    return std::nullopt;
  }
  Socket& socket = sockets[static_cast<std::size_t>(descriptor)];
  socket = Socket(options.tcp);
  socket.family = family;
  socket.open = true;
  return descriptor;
}

void Host::Impl::release(int descriptor) {
  Socket& socket = sockets[static_cast<std::size_t>(descriptor)];
  unbind(descriptor, socket);
  socket.open = false;
  socket.listeners.clear();
  free.insert(descriptor);
}

bool Host::Impl::is_local(const IpAddress& address) const {
  return std::find(options.addresses.begin(), options.addresses.end(), address) != options.addresses.end();
}

std::optional<IpAddress> Host::Impl::first_address(Family family) const {
  for (const IpAddress& address : options.addresses) {
    if (address.family() == family) return address;
  }
  return std::nullopt;
}

bool Host::Impl::reaches(const Socket& socket, const IpAddress& address) const {
  if (address.is_v6()) return socket.family == Family::v6;
  return socket.family == Family::v4 || !socket.options.ipv6_only;
}

Binding Host::Impl::binding(const Socket& socket, const IpAddress& address) const {
  Binding b;
  b.address = address;
  b.ipv6_only = socket.options.ipv6_only;
  b.reuse = socket.options.reuse_address;
  return b;
}

bool Host::Impl::connections_on(std::uint16_t port, const Binding& wanted) const {
  auto all = stack.list_connections(now);
  return std::any_of(all.begin(), all.end(), [&](const stack::ConnectionSummary& c) {
    Binding its;
    its.address = c.local.address;
    return c.local.port == port && c.info.state != tcp::State::closed && its.overlaps(wanted);
  });
}

// RFC 6056 3.3.1: from a random port on, the first that fits.
template <class F>
std::optional<std::uint16_t> Host::Impl::scan_ephemeral(F&& fits) {
  std::uint32_t count = options.last_ephemeral_port - options.first_ephemeral_port + 1u;
  auto offset = static_cast<std::uint32_t>(random() % count);
  for (std::uint32_t i = 0; i < count; ++i) {
    auto port = static_cast<std::uint16_t>(options.first_ephemeral_port + (offset + i) % count);
    if (fits(port)) return port;
  }
  return std::nullopt;
}

std::optional<std::uint16_t> Host::Impl::ephemeral_port() {
  return scan_ephemeral([&](std::uint16_t port) { return ports.free(port) && stack.flows(port) == 0; });
}

void Host::Impl::set_bound(int descriptor, Socket& socket, const Endpoint& local, bool by_connect) {
  socket.bound = true;
  socket.bound_by_connect = by_connect;
  socket.local = local;
  Binding b = binding(socket, local.address);
  b.by_connect = by_connect;
  ports.add(local.port, descriptor, b);
}

void Host::Impl::unbind(int descriptor, Socket& socket) {
  if (!socket.bound) return;
  ports.remove(socket.local.port, descriptor);
  socket.bound = socket.bound_by_connect = false;
  socket.local = {};
}

const tcp::Config* Host::Impl::config_of(const Socket& socket) {
  const BirthOptions& wanted = socket.options.birth;
  auto at = std::find_if(configs.begin(), configs.end(),
                         [&](const KeptConfig& k) { return k.base == socket.base && k.options == wanted; });
  if (at != configs.end()) return &at->config;
  KeptConfig& kept = configs.emplace_back(KeptConfig{socket.base, wanted, *socket.base});
  wanted.apply(kept.config);
  return &kept.config;
}

std::error_code Host::Impl::begin_connection(int descriptor, Socket& socket, const Endpoint& remote) {
  if (!reaches(socket, remote.address)) return std::make_error_code(std::errc::address_family_not_supported);
  if (remote.port == 0 || is_local(remote.address)) return std::make_error_code(std::errc::address_not_available);
  IpAddress source = socket.local.address;
  if (!socket.bound || source.is_unspecified()) {
    auto first = first_address(remote.address.family());
    if (!first) return std::make_error_code(std::errc::address_not_available);
    source = *first;
  }
  const tcp::Config* config = config_of(socket);
  auto opening = socket.options.fast_open_connect ? stack::Opening::fast : stack::Opening::handshake;
  std::optional<stack::Errc> why;
  auto attempt = [&](std::uint16_t port) {
    auto made = stack.connect({source, port}, remote, now, config, opening);
    if (!made) {
      why = made.error();
      return false;
    }
    why.reset();
    socket.connection = *made;
    return true;
  };
  if (socket.bound) {
    attempt(socket.local.port);
  } else {
    // A port of its own, or else one that other connections have, to other peers.
    auto port = scan_ephemeral([&](std::uint16_t p) {
      return why.value_or(stack::Errc::address_in_use) == stack::Errc::address_in_use && ports.free(p) && attempt(p);
    });
    if (!port && why.value_or(stack::Errc::address_in_use) == stack::Errc::address_in_use) {
      port = scan_ephemeral([&](std::uint16_t p) {
        return why.value_or(stack::Errc::address_in_use) == stack::Errc::address_in_use && ports.shareable(p) &&
               attempt(p);
      });
    }
    if (port) {
      set_bound(descriptor, socket, {source, *port}, true);
    } else if (!why || *why == stack::Errc::address_in_use) {
      why = stack::Errc::address_unavailable;
    }
  }
  if (why) {
    switch (*why) {
      case stack::Errc::address_in_use:
        return std::make_error_code(std::errc::address_in_use);
      case stack::Errc::address_unavailable:
        return std::make_error_code(std::errc::address_not_available);
      default:
        return std::make_error_code(std::errc::not_enough_memory);
    }
  }
  socket.phase = Socket::Phase::connecting;
  socket.error_told = socket.shut_read = socket.shut_write = false;
  stack.set_options(socket.connection, socket.options.tcp, now);
  stack.set_congestion_control(socket.connection, socket.options.congestion, now);
  look(socket);
  if (socket.phase == Socket::Phase::connected) return {};  // Fast Open: the SYN waits for text
  return std::make_error_code(std::errc::operation_in_progress);
}

void Host::Impl::look(Socket& socket) {
  if (socket.phase == Socket::Phase::connecting && (stack.readiness(socket.connection) & tcp::kConnected) != 0) {
    socket.phase = Socket::Phase::connected;
  }
}

bool Host::Impl::failed(const Socket& socket) const {
  return socket.has_connection() && (stack.readiness(socket.connection) & tcp::kFailed) != 0;
}

std::error_code Host::Impl::pending_error(const Socket& socket) const {
  if (!failed(socket) || socket.error_told) return {};
  return code_of(stack.error(socket.connection));
}

std::error_code Host::Impl::take_error(int descriptor, Socket& socket) {
  std::error_code error = pending_error(socket);
  if (!error) return {};
  socket.error_told = true;
  if (socket.phase == Socket::Phase::connecting) {
    // As it was before connect().
    stack.close(socket.connection, now);
    socket.connection = {};
    socket.phase = Socket::Phase::idle;
    if (socket.bound_by_connect) unbind(descriptor, socket);
  }
  return error;
}

std::uint8_t Host::Impl::readiness(const Socket& socket) const {
  using Phase = Socket::Phase;
  switch (socket.phase) {
    case Phase::idle:
      return kWritable | kHangup;
    case Phase::listening: {
      bool any = std::any_of(socket.listeners.begin(), socket.listeners.end(),
                             [&](stack::ListenerId id) { return stack.acceptable(id); });
      return static_cast<std::uint8_t>(any ? kReadable : 0);
    }
    default:
      break;
  }
  std::uint8_t of = stack.readiness(socket.connection);
  if ((of & tcp::kFailed) != 0) {
    return static_cast<std::uint8_t>(kReadable | kWritable | kHangup | (socket.error_told ? 0 : kError));
  }
  if ((of & tcp::kConnected) == 0) return 0;
  unsigned bits = 0;
  if ((of & tcp::kReadable) != 0 || socket.shut_read) bits |= kReadable;
  if ((of & tcp::kWritable) != 0 || socket.shut_write) bits |= kWritable;
  tcp::State state = stack.info(socket.connection, now).state;
  bool both_over = state == tcp::State::closed || state == tcp::State::closing || state == tcp::State::last_ack ||
                   state == tcp::State::time_wait;
  if (both_over) bits |= kHangup;
  return static_cast<std::uint8_t>(bits);
}

}  // namespace weir::harness
