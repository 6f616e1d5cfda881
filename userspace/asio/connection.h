// SPDX-License-Identifier: MIT
// A connection of the engine as a tcp::socket holds it: the calls on it, and those that wait. It stays where it is
// while operations wait; the socket moves a pointer to it.
#pragma once

#include <boost/asio/buffer.hpp>
#include <boost/asio/socket_base.hpp>
#include <memory>
#include <optional>

#include "weir/asio/core.h"
#include "weir/asio/operation.h"
#include "weir/base/bytes.h"
#include "weir/stack/stack.h"

namespace weir::asio::detail {

// How an attempt to read or write ended: nothing where it has to wait.
struct Transfer {
  error_code error;
  std::size_t bytes = 0;
};

class Connection {
 public:
  Connection(std::shared_ptr<Core> core, stack::ConnectionId id);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  // Ends what waits with operation_aborted and closes, as TCP's user does: text not read turns it into a reset.
  ~Connection();

  stack::ConnectionId id() const { return id_; }
  const Endpoint& local() const { return local_; }
  const Endpoint& remote() const { return remote_; }

  template <class Buffers>
  std::optional<Transfer> try_read(const Buffers& buffers);
  template <class Buffers>
  std::optional<Transfer> try_write(const Buffers& buffers);
  std::optional<error_code> try_connect() const;

  // Readers and writers (a connect is one) wait in the order of their calls.
  bool readers_wait() const { return !readers_.empty(); }
  bool writers_wait() const { return !writers_.empty(); }
  void wait_to_read(Operation& op) { readers_.push_back(op); }
  void wait_to_write(Operation& op) { writers_.push_back(op); }

  std::size_t readable_bytes() const;
  bool readable() const;
  bool writable() const;
  bool failed() const;
  // Established once, and not failed since.
  bool connected() const;
  void cancel();
  error_code shutdown(net::socket_base::shutdown_type what);
  // As setsockopt(2) and getsockopt(2); option.h says which.
  error_code set_option(int level, int name, const void* value, std::size_t size);
  error_code get_option(int level, int name, void* value, std::size_t& size) const;
  std::optional<::weir::tcp::Info> info() const;

  // From the pump.
  void on_ready(std::uint8_t readiness);
  void on_gone(error_code why);

 private:
  stack::Stack* stack() const { return gone_ ? nullptr : core_->stack(); }
  std::size_t read(Bytes to);
  std::size_t write(ConstBytes text);
  std::optional<Transfer> end_of_reading() const;
  std::optional<Transfer> end_of_writing() const;

  std::shared_ptr<Core> core_;
  stack::ConnectionId id_;
  Endpoint local_;
  Endpoint remote_;
  OperationQueue readers_;
  OperationQueue writers_;
  error_code gone_;  // set: the stack has no such connection any more
  bool reading_shut_ = false;
  bool writing_shut_ = false;
};

template <class Buffers>
std::optional<Transfer> Connection::try_read(const Buffers& buffers) {
  Transfer done;
  const auto end = net::buffer_sequence_end(buffers);
  for (auto it = net::buffer_sequence_begin(buffers); it != end; ++it) {
    const net::mutable_buffer buffer(*it);
    if (buffer.size() == 0) continue;
    const auto moved = read({static_cast<std::byte*>(buffer.data()), buffer.size()});
    done.bytes += moved;
    if (moved < buffer.size()) break;
  }
  if (done.bytes != 0) return done;
  return end_of_reading();
}

template <class Buffers>
std::optional<Transfer> Connection::try_write(const Buffers& buffers) {
  Transfer done;
  const auto end = net::buffer_sequence_end(buffers);
  for (auto it = net::buffer_sequence_begin(buffers); it != end; ++it) {
    const net::const_buffer buffer(*it);
    if (buffer.size() == 0) continue;
    const auto moved = write({static_cast<const std::byte*>(buffer.data()), buffer.size()});
    done.bytes += moved;
    if (moved < buffer.size()) break;
  }
  if (done.bytes != 0) return done;
  return end_of_writing();
}

template <class Handler, class Buffers>
class ReadOperation final : public HandlerOperation<ReadOperation<Handler, Buffers>, Handler> {
 public:
  ReadOperation(Handler&& handler, const Executor& io, Connection& connection, const Buffers& buffers)
      : ReadOperation::HandlerOperation(std::move(handler), io), connection_(connection), buffers_(buffers) {}

  bool attempt() override {
    const auto done = connection_.try_read(buffers_);
    if (done) this->error_ = done->error, bytes_ = done->bytes;
    return done.has_value();
  }
  void finish() override { this->finish_with(this->error_, bytes_); }

 private:
  Connection& connection_;
  Buffers buffers_;
  std::size_t bytes_ = 0;
};

template <class Handler, class Buffers>
class WriteOperation final : public HandlerOperation<WriteOperation<Handler, Buffers>, Handler> {
 public:
  WriteOperation(Handler&& handler, const Executor& io, Connection& connection, const Buffers& buffers)
      : WriteOperation::HandlerOperation(std::move(handler), io), connection_(connection), buffers_(buffers) {}

  bool attempt() override {
    const auto done = connection_.try_write(buffers_);
    if (done) this->error_ = done->error, bytes_ = done->bytes;
    return done.has_value();
  }
  void finish() override { this->finish_with(this->error_, bytes_); }

 private:
  Connection& connection_;
  Buffers buffers_;
  std::size_t bytes_ = 0;
};

template <class Handler>
class ConnectOperation final : public HandlerOperation<ConnectOperation<Handler>, Handler> {
 public:
  ConnectOperation(Handler&& handler, const Executor& io, Connection& connection)
      : ConnectOperation::HandlerOperation(std::move(handler), io), connection_(connection) {}

  bool attempt() override {
    const auto done = connection_.try_connect();
    if (done) this->error_ = *done;
    return done.has_value();
  }
  void finish() override { this->finish_with(this->error_); }

 private:
  Connection& connection_;
};

// Waits for readiness alone.
template <class Handler>
class WaitOperation final : public HandlerOperation<WaitOperation<Handler>, Handler> {
 public:
  WaitOperation(Handler&& handler, const Executor& io, Connection& connection, bool (Connection::*ready)() const)
      : WaitOperation::HandlerOperation(std::move(handler), io), connection_(connection), ready_(ready) {}

  bool attempt() override { return (connection_.*ready_)(); }
  void finish() override { this->finish_with(this->error_); }

 private:
  Connection& connection_;
  bool (Connection::*ready_)() const;
};

}  // namespace weir::asio::detail
