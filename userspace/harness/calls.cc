// SPDX-License-Identifier: MIT
// The socket calls.
#include <algorithm>

#include "weir/harness/host.h"
#include "weir/harness/host_impl.h"

namespace weir::harness {

using Phase = Socket::Phase;

Result<int, std::error_code> Host::socket(Family family) {
  auto descriptor = impl_->open_socket(family);
  if (!descriptor) return fail(std::errc::too_many_files_open);
  return *descriptor;
}

Result<void, std::error_code> Host::bind(int descriptor, const Endpoint& local) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (socket->bound || socket->phase != Phase::idle) return fail(std::errc::invalid_argument);
  IpAddress address = local.address;
  // IpAddress() is "any" of whichever family the socket has.
  if (address == IpAddress()) address = h.any(socket->family);
  if (!h.reaches(*socket, address)) return fail(std::errc::address_family_not_supported);
  if (!address.is_unspecified() && !h.is_local(address)) return fail(std::errc::address_not_available);
  std::uint16_t port = local.port;
  if (port == 0) {
    auto chosen = h.ephemeral_port();
    if (!chosen) return fail(std::errc::address_not_available);
    port = *chosen;
  } else {
    Binding wanted = h.binding(*socket, address);
    if (h.ports.conflicts(port, descriptor, wanted)) return fail(std::errc::address_in_use);
    if (!wanted.reuse && h.connections_on(port, wanted)) return fail(std::errc::address_in_use);
  }
  h.set_bound(descriptor, *socket, {address, port}, false);
  return {};
}

Result<void, std::error_code> Host::listen(int descriptor, int backlog) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  auto most = static_cast<std::uint32_t>(std::max(backlog, 1));
  if (socket->phase == Phase::listening) {
    for (auto id : socket->listeners) h.stack.set_backlog(id, most);
    return {};
  }
  if (socket->phase != Phase::idle) return fail(std::errc::invalid_argument);
  Endpoint local = socket->local;
  if (!socket->bound) {
    auto port = h.ephemeral_port();
    if (!port) return fail(std::errc::address_not_available);
    local = {h.any(socket->family), *port};
  }
  Binding wanted = h.binding(*socket, local.address);
  wanted.listening = true;
  if (h.ports.conflicts(local.port, descriptor, wanted)) return fail(std::errc::address_in_use);

  std::vector<IpAddress> addresses;
  if (!local.address.is_unspecified() || (wanted.has(Family::v4) && wanted.has(Family::v6))) {
    addresses.push_back(local.address);
  } else {
    std::copy_if(h.options.addresses.begin(), h.options.addresses.end(), std::back_inserter(addresses),
                 [&](const IpAddress& a) { return wanted.has(a.family()); });
    if (addresses.empty()) return fail(std::errc::address_not_available);
  }
  const tcp::Config* config = h.config_of(*socket);
  for (const IpAddress& address : addresses) {
    auto made = h.stack.listen({address, local.port}, most, config);
    if (made) {
      socket->listeners.push_back(*made);
      h.stack.set_listener_options(*made, socket->options.tcp);
      h.stack.set_congestion_control(*made, socket->options.congestion);
      h.stack.set_fast_open(*made, socket->options.fast_open);
      continue;
    }
    for (auto id : socket->listeners) h.stack.close_listener(id, h.now);
    socket->listeners.clear();
    return fail(std::errc::address_in_use);
  }
  if (!socket->bound) h.set_bound(descriptor, *socket, local, false);
  h.ports.find(local.port, descriptor)->listening = true;
  socket->phase = Phase::listening;
  return {};
}

Result<int, std::error_code> Host::accept(int descriptor) {
  Impl& h = *impl_;
  Socket* listener = h.find(descriptor);
  if (listener == nullptr) return fail(std::errc::bad_file_descriptor);
  if (listener->phase != Phase::listening) return fail(std::errc::invalid_argument);
  for (auto id : listener->listeners) {
    if (!h.stack.acceptable(id)) continue;
    auto made = h.open_socket(listener->family);
    if (!made) return fail(std::errc::too_many_files_open);
    Socket& socket = h.sockets[static_cast<std::size_t>(*made)];
    socket.base = listener->base;
    socket.options = listener->options;
    socket.phase = Phase::connected;
    socket.connection = *h.stack.accept(id);
    socket.options.tcp = h.stack.options(socket.connection);
    socket.options.fast_open = 0;
    return *made;
  }
  return fail(std::errc::resource_unavailable_try_again);
}

Result<void, std::error_code> Host::connect(int descriptor, const Endpoint& remote) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  switch (socket->phase) {
    case Phase::listening:
      return fail(std::errc::invalid_argument);
    case Phase::connected:
      return fail(std::errc::already_connected);
    case Phase::connecting:
      if (auto error = h.take_error(descriptor, *socket)) return Err(error);
      return fail(std::errc::connection_already_in_progress);
    case Phase::idle:
      break;
  }
  std::error_code outcome = h.begin_connection(descriptor, *socket, remote);
  h.flush();
  if (!outcome) return {};
  return Err(outcome);
}

Result<std::size_t, std::error_code> Host::read(int descriptor, Bytes to) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (!socket->has_connection()) return fail(std::errc::not_connected);
  if (to.empty()) return std::size_t{0};
  if (!socket->shut_read) {
    if (std::size_t n = h.stack.read(socket->connection, to, h.now)) {
      h.flush();
      return n;
    }
  }
  if (auto error = h.take_error(descriptor, *socket)) return Err(error);
  if (socket->error_told || socket->shut_read || h.stack.at_end(socket->connection)) return std::size_t{0};
  return fail(std::errc::resource_unavailable_try_again);
}

Result<std::size_t, std::error_code> Host::write(int descriptor, ConstBytes text) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (!socket->has_connection()) return fail(std::errc::not_connected);
  if (auto error = h.take_error(descriptor, *socket)) return Err(error);
  if (socket->error_told || socket->shut_write) return fail(std::errc::broken_pipe);
  if (text.empty()) return std::size_t{0};
  std::size_t n = h.stack.write(socket->connection, text, h.now);
  h.flush();
  if (n > 0) return n;
  bool over = h.stack.info(socket->connection, h.now).state == tcp::State::closed;
  return fail(over ? std::errc::broken_pipe : std::errc::resource_unavailable_try_again);
}

Result<void, std::error_code> Host::shutdown(int descriptor, Shutdown how) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (socket->phase != Phase::connected || h.stack.info(socket->connection, h.now).state == tcp::State::closed) {
    return fail(std::errc::not_connected);
  }
  if (how != Shutdown::write && !socket->shut_read) {
    socket->shut_read = true;
    h.stack.shutdown_read(socket->connection, h.now);
  }
  if (how != Shutdown::read && !socket->shut_write) {
    socket->shut_write = true;
    h.stack.shutdown_write(socket->connection, h.now);
  }
  h.flush();
  return {};
}

Result<void, std::error_code> Host::close(int descriptor) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  for (auto id : socket->listeners) h.stack.close_listener(id, h.now);
  if (socket->has_connection()) h.stack.close(socket->connection, h.now);
  h.release(descriptor);
  h.flush();
  return {};
}

// --- options ---

Result<void, std::error_code> Host::set_option(int descriptor, Option option, std::int64_t value) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  switch (kind(option)) {
    case OptionKind::read_only:
      return fail(std::errc::no_protocol_option);
    case OptionKind::at_birth:
      if (socket->phase != Phase::idle) return fail(std::errc::invalid_argument);
      if (option == Option::ipv6_only && (socket->bound || socket->family == Family::v4)) {
        return fail(std::errc::invalid_argument);
      }
      break;
    case OptionKind::tcp:
    case OptionKind::socket:
      break;
  }
  if (!store(socket->options, option, value)) return fail(std::errc::invalid_argument);
  if (kind(option) == OptionKind::tcp) {
    for (auto id : socket->listeners) h.stack.set_listener_options(id, socket->options.tcp);
    if (socket->has_connection()) {
      h.stack.set_options(socket->connection, socket->options.tcp, h.now);
      h.flush();
    }
  }
  if (option == Option::fast_open) {
    for (auto id : socket->listeners) h.stack.set_fast_open(id, socket->options.fast_open);
  }
  if (option == Option::reuse_address && socket->bound) {
    if (Binding* binding = h.ports.find(socket->local.port, descriptor)) binding->reuse = socket->options.reuse_address;
  }
  return {};
}

Result<std::int64_t, std::error_code> Host::get_option(int descriptor, Option option) const {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (kind(option) != OptionKind::read_only) return load(socket->options, option);
  if (option == Option::accepting) return std::int64_t{socket->phase == Phase::listening};
  if (!socket->has_connection()) return std::int64_t{0};
  tcp::Info info = h.stack.info(socket->connection, h.now);
  switch (option) {
    case Option::segment_size:
      return std::int64_t{info.send_mss};
    case Option::readable_bytes:
      return std::int64_t{info.receive_queue};
    default:
      return std::int64_t{info.send_queue};
  }
}

Result<void, std::error_code> Host::set_config(int descriptor, const tcp::Config& config) {
  Socket* socket = impl_->find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (socket->phase != Phase::idle) return fail(std::errc::invalid_argument);
  socket->base = &impl_->bases.emplace_back(config);
  socket->options.birth = BirthOptions(config);
  socket->options.tcp = config.options;
  socket->options.congestion = config.congestion;
  return {};
}

Result<void, std::error_code> Host::set_congestion_control(int descriptor, std::string_view name) {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (!socket->base->controllers.find(name)) return fail(std::errc::no_such_file_or_directory);
  for (auto id : socket->listeners) h.stack.set_congestion_control(id, name);
  if (socket->has_connection()) {
    auto change = h.stack.set_congestion_control(socket->connection, name, h.now);
    if (change != tcp::CongestionChange::done) return fail(std::errc::operation_not_permitted);
    h.flush();
  }
  socket->options.congestion = name;
  return {};
}

Result<std::string, std::error_code> Host::congestion_control(int descriptor) const {
  Socket* socket = impl_->find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (socket->has_connection()) {
    std::string_view running = impl_->stack.info(socket->connection, impl_->now).congestion;
    if (!running.empty()) return std::string(running);
  }
  return socket->options.congestion;
}

// --- looking ---

Result<Endpoint, std::error_code> Host::local_address(int descriptor) const {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (socket->has_connection()) return h.stack.local_endpoint(socket->connection);
  return socket->bound ? socket->local : Endpoint{h.any(socket->family), 0};
}

Result<Endpoint, std::error_code> Host::remote_address(int descriptor) const {
  Impl& h = *impl_;
  Socket* socket = h.find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (!socket->has_connection() || socket->error_told) return fail(std::errc::not_connected);
  return h.stack.remote_endpoint(socket->connection);
}

std::error_code Host::error(int descriptor) {
  Socket* socket = impl_->find(descriptor);
  if (socket == nullptr) return std::make_error_code(std::errc::bad_file_descriptor);
  return impl_->take_error(descriptor, *socket);
}

std::uint8_t Host::readiness(int descriptor) const {
  Socket* socket = impl_->find(descriptor);
  return socket != nullptr ? impl_->readiness(*socket) : static_cast<std::uint8_t>(kInvalid);
}

std::size_t Host::poll(std::span<PollEntry> entries) const {
  std::size_t ready = 0;
  for (PollEntry& entry : entries) {
    entry.returned = 0;
    if (entry.descriptor < 0) continue;
    unsigned always = kError | kHangup | kInvalid;
    entry.returned = static_cast<std::uint8_t>(readiness(entry.descriptor) & (entry.wanted | always));
    if (entry.returned != 0) ++ready;
  }
  return ready;
}

Result<tcp::Info, std::error_code> Host::info(int descriptor) const {
  Socket* socket = impl_->find(descriptor);
  if (socket == nullptr) return fail(std::errc::bad_file_descriptor);
  if (!socket->has_connection()) return fail(std::errc::invalid_argument);
  return impl_->stack.info(socket->connection, impl_->now);
}

}  // namespace weir::harness
