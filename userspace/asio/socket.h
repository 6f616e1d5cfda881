// SPDX-License-Identifier: MIT
// A TCP connection as Asio users know it, carried by the engine or by a kernel socket; the interface is the same, and
// by_engine() tells which.
//
// It satisfies AsyncReadStream and AsyncWriteStream, so boost::asio::async_read and async_write, ssl::stream and Beast
// work over it unchanged (for Beast's WebSocket include weir/asio/websocket.h). Tokens of any kind: callbacks,
// use_awaitable, use_future, deferred. Each operation honours its handler's executor, allocator and cancellation slot;
// all three kinds of cancellation are supported, as an operation that still waits has moved nothing. A time limit is a
// race: `co_await (socket.async_read_some(...) || timer.async_wait(...))`, with experimental/awaitable_operators.hpp.
//
// Errors are those of kernel sockets: error::eof, connection_reset, connection_refused, timed_out, host_unreachable,
// network_unreachable, broken_pipe; operation_aborted after cancel(), close() or destruction; connection_aborted when
// the engine loses its interface or its program; bad_descriptor on a socket that is not open.
//
// Thread safety: as its engine, one thread at a time.
#pragma once

#include <boost/asio/async_result.hpp>
#include <memory>
#include <optional>
#include <variant>

#include "weir/asio/connection.h"
#include "weir/asio/engine.h"
#include "weir/asio/listener.h"
#include "weir/asio/option.h"
#include "weir/tcp/info.h"

namespace weir::asio::tcp {

class socket : public net::socket_base {
 public:
  using executor_type = detail::Executor;
  using protocol_type = net::ip::tcp;
  using endpoint_type = net::ip::tcp::endpoint;
  using lowest_layer_type = socket;

  // Not open; async_connect() opens it.
  explicit socket(engine& owner);
  // Of an acceptor.
  socket(std::shared_ptr<detail::Core> core, detail::Accepted accepted);
  // Operations that wait go with the connection. `other` is then as if newly made from the same engine.
  socket(socket&& other) noexcept;
  socket& operator=(socket&& other) noexcept;
  // As close().
  ~socket();

  executor_type get_executor() const noexcept { return executor_; }
  lowest_layer_type& lowest_layer() { return *this; }
  const lowest_layer_type& lowest_layer() const { return *this; }

  bool is_open() const;
  // True: the engine carries it. False: a kernel socket does, or it is not open.
  bool by_engine() const;
  // What the engine's TCP knows of the connection; nothing for a kernel socket (ask TCP_INFO there).
  std::optional<::weir::tcp::Info> info() const;

  // Ends what waits with operation_aborted and closes: what was written is still delivered, what was received and not
  // read makes it a reset (RFC 2525 2.17).
  void close();
  void close(error_code& error);
  // Ends what waits with operation_aborted.
  void cancel();
  void cancel(error_code& error);
  void shutdown(shutdown_type what);
  void shutdown(shutdown_type what, error_code& error);

  endpoint_type local_endpoint() const;
  endpoint_type local_endpoint(error_code& error) const;
  endpoint_type remote_endpoint() const;
  endpoint_type remote_endpoint(error_code& error) const;
  // Bytes that a read would return at once.
  std::size_t available() const;
  std::size_t available(error_code& error) const;

  // On the engine those of option.h, by whatever type has their level and name (ip::tcp::no_delay,
  // socket_base::keep_alive, ...), and no_protocol_option for others; on a kernel socket all that it takes. On a socket
  // that is not open, fast_open_connect alone, which holds for all later connects.
  template <class Option>
  void set_option(const Option& option);
  template <class Option>
  void set_option(const Option& option, error_code& error);
  template <class Option>
  void get_option(Option& option) const;
  template <class Option>
  void get_option(Option& option, error_code& error) const;

  // Opens and connects, through the engine where the route leaves by its interface, else by a kernel socket. Completes
  // with void(error_code). The socket may connect again unless it is connected (already_connected); an attempt that is
  // still under way, cancelled or not, is given up by the next one and by close().
  template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
  auto async_connect(const endpoint_type& peer, Token&& token) {
    return net::async_initiate<Token, void(error_code)>(Initiate{{this}}, token, endpoint_type(peer));
  }

  // Reads at least one byte, or completes with an error; void(error_code, std::size_t). The memory must stay valid
  // until the handler runs. Empty buffers complete at once.
  template <class MutableBuffers, BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, std::size_t)) Token>
  requires net::is_mutable_buffer_sequence<MutableBuffers>::value auto async_read_some(const MutableBuffers& buffers,
                                                                                       Token&& token) {
    return net::async_initiate<Token, void(error_code, std::size_t)>(InitiateRead{{this}}, token, buffers);
  }

  // Hands over at least one byte, or completes with an error; void(error_code, std::size_t). What was handed over is
  // the engine's to deliver. Writes of one loop turn leave together.
  template <class ConstBuffers, BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code, std::size_t)) Token>
  requires net::is_const_buffer_sequence<ConstBuffers>::value auto async_write_some(const ConstBuffers& buffers,
                                                                                    Token&& token) {
    return net::async_initiate<Token, void(error_code, std::size_t)>(InitiateWrite{{this}}, token, buffers);
  }

  // Until a read or a write would not wait (wait_error: until the connection has failed); void(error_code).
  template <BOOST_ASIO_COMPLETION_TOKEN_FOR(void(error_code)) Token>
  auto async_wait(wait_type what, Token&& token) {
    return net::async_initiate<Token, void(error_code)>(Initiate{{this}}, token, what);
  }

 private:
  using ByEngine = std::unique_ptr<detail::Connection>;
  using ByKernel = detail::KernelSocket;

  struct InitiateBase {
    using executor_type = socket::executor_type;
    socket* self;
    executor_type get_executor() const noexcept { return self->executor_; }
  };
  // What lies between a token and the connection: run with the handler that the token made.
  struct Initiate : InitiateBase {
    template <class Handler>
    void operator()(Handler&& handler, const endpoint_type& peer) const;
    template <class Handler>
    void operator()(Handler&& handler, wait_type what) const;
  };
  struct InitiateRead : InitiateBase {
    template <class Handler, class Buffers>
    void operator()(Handler&& handler, const Buffers& buffers) const;
  };
  struct InitiateWrite : InitiateBase {
    template <class Handler, class Buffers>
    void operator()(Handler&& handler, const Buffers& buffers) const;
  };

  detail::Connection* connection() const;
  ByKernel* kernel();
  const ByKernel* kernel() const;
  // fast_open_connect, which is the socket's own; true where that was meant.
  bool put_own_option(int level, int name, const void* value, std::size_t size, error_code& error);
  bool get_own_option(int level, int name, void* value, std::size_t& size, error_code& error) const;
  // Chooses what carries a connection to `peer`; a kernel socket has still to connect.
  error_code open_towards(const endpoint_type& peer);

  std::shared_ptr<detail::Core> core_;
  executor_type executor_;
  std::variant<std::monostate, ByEngine, ByKernel> backing_;
  bool fast_open_connect_ = false;
};

template <class Handler>
void socket::Initiate::operator()(Handler&& handler, const endpoint_type& peer) const {
  if (const auto error = self->open_towards(peer)) {
    detail::defer_completion(self->executor_, std::move(handler), error);
  } else if (auto* kernel = self->kernel()) {
    kernel->async_connect(peer, std::forward<Handler>(handler));
  } else {
    using Operation = detail::ConnectOperation<std::decay_t<Handler>>;
    auto* connection = self->connection();
    auto& op = Operation::create(std::move(handler), self->executor_, *connection);
    connection->wait_to_write(op);
    self->core_->start();
    self->core_->touch();
  }
}

template <class Handler>
void socket::Initiate::operator()(Handler&& handler, wait_type what) const {
  if (auto* kernel = self->kernel()) {
    kernel->async_wait(what, std::forward<Handler>(handler));
    return;
  }
  auto* connection = self->connection();
  if (connection == nullptr) {
    detail::defer_completion(self->executor_, std::move(handler), error_code(net::error::bad_descriptor));
    return;
  }
  using detail::Connection;
  const auto ready = what == wait_read    ? &Connection::readable
                     : what == wait_write ? &Connection::writable
                                          : &Connection::failed;
  if ((connection->*ready)()) {
    detail::defer_completion(self->executor_, std::move(handler), error_code());
    return;
  }
  using Operation = detail::WaitOperation<std::decay_t<Handler>>;
  auto& op = Operation::create(std::move(handler), self->executor_, *connection, ready);
  if (what == wait_write) {
    connection->wait_to_write(op);
  } else {
    connection->wait_to_read(op);
  }
  self->core_->start();
}

template <class Handler, class Buffers>
void socket::InitiateRead::operator()(Handler&& handler, const Buffers& buffers) const {
  if (auto* kernel = self->kernel()) {
    kernel->async_read_some(buffers, std::forward<Handler>(handler));
    return;
  }
  auto* connection = self->connection();
  std::optional<detail::Transfer> done;
  if (net::buffer_size(buffers) == 0) {
    done.emplace();
  } else if (connection == nullptr) {
    done.emplace(detail::Transfer{net::error::bad_descriptor});
  } else if (!connection->readers_wait()) {
    done = connection->try_read(buffers);
  }
  if (done) {
    detail::defer_completion(self->executor_, std::move(handler), done->error, done->bytes);
    return;
  }
  using Operation = detail::ReadOperation<std::decay_t<Handler>, Buffers>;
  connection->wait_to_read(Operation::create(std::move(handler), self->executor_, *connection, buffers));
  self->core_->start();
}

template <class Handler, class Buffers>
void socket::InitiateWrite::operator()(Handler&& handler, const Buffers& buffers) const {
  if (auto* kernel = self->kernel()) {
    kernel->async_write_some(buffers, std::forward<Handler>(handler));
    return;
  }
  auto* connection = self->connection();
  std::optional<detail::Transfer> done;
  if (net::buffer_size(buffers) == 0) {
    done.emplace();
  } else if (connection == nullptr) {
    done.emplace(detail::Transfer{net::error::bad_descriptor});
  } else if (!connection->writers_wait()) {
    done = connection->try_write(buffers);
  }
  if (done) {
    detail::defer_completion(self->executor_, std::move(handler), done->error, done->bytes);
    return;
  }
  using Operation = detail::WriteOperation<std::decay_t<Handler>, Buffers>;
  connection->wait_to_write(Operation::create(std::move(handler), self->executor_, *connection, buffers));
  self->core_->start();
}

template <class Option>
void socket::set_option(const Option& option, error_code& error) {
  if (auto* kernel = this->kernel()) {
    kernel->set_option(option, error);
    return;
  }
  const auto protocol = net::ip::tcp::v4();  // no option of TCP's depends on it
  const int level = option.level(protocol);
  const int name = option.name(protocol);
  const void* const value = option.data(protocol);
  const std::size_t size = option.size(protocol);
  if (put_own_option(level, name, value, size, error)) return;
  error = connection() == nullptr ? error_code(net::error::bad_descriptor)
                                  : connection()->set_option(level, name, value, size);
}

template <class Option>
void socket::set_option(const Option& option) {
  error_code error;
  set_option(option, error);
  if (error) throw boost::system::system_error(error, "set_option");
}

template <class Option>
void socket::get_option(Option& option, error_code& error) const {
  if (const auto* kernel = this->kernel()) {
    kernel->get_option(option, error);
    return;
  }
  const auto protocol = net::ip::tcp::v4();
  void* const value = option.data(protocol);  // which may make room
  std::size_t size = option.size(protocol);
  if (!get_own_option(option.level(protocol), option.name(protocol), value, size, error)) {
    error = connection() == nullptr
                ? error_code(net::error::bad_descriptor)
                : connection()->get_option(option.level(protocol), option.name(protocol), value, size);
  }
  if (!error) option.resize(protocol, size);
}

template <class Option>
void socket::get_option(Option& option) const {
  error_code error;
  get_option(option, error);
  if (error) throw boost::system::system_error(error, "get_option");
}

}  // namespace weir::asio::tcp
