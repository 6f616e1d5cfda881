// SPDX-License-Identifier: MIT
// A hybrid listener as a tcp::acceptor holds it: connections of the engine and of the kernel's shadow listener,
// whichever comes first.
#pragma once

#include <boost/asio/posix/stream_descriptor.hpp>
#include <memory>
#include <optional>

#include "weir/asio/connection.h"
#include "weir/asio/core.h"
#include "weir/asio/operation.h"

namespace weir::asio::detail {

// One accepted connection: exactly one of the two, or an error.
struct Accepted {
  error_code error;
  std::unique_ptr<Connection> engine;
  std::optional<KernelSocket> kernel;
};

class Listener : public std::enable_shared_from_this<Listener> {
 public:
  // Throws boost::system::system_error with the kernel's reason.
  static std::shared_ptr<Listener> open(std::shared_ptr<Core> core, const Endpoint& local,
                                        const runtime::ListenOptions& options);
  Listener(std::shared_ptr<Core> core, runtime::HybridListenerId id);
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  runtime::HybridListenerId id() const { return id_; }
  const std::shared_ptr<Core>& core() const { return core_; }
  bool is_open() const { return open_; }
  Endpoint local() const { return local_; }
  // As setsockopt(2) and getsockopt(2): TCP_FASTOPEN.
  error_code set_option(int level, int name, const void* value, std::size_t size);
  error_code get_option(int level, int name, void* value, std::size_t& size) const;

  // Nothing where the caller has to wait.
  std::optional<Accepted> try_accept();
  bool acceptors_wait() const { return !acceptors_.empty(); }
  void wait_to_accept(Operation& op);
  void cancel() { fail_all(acceptors_, net::error::operation_aborted); }
  // Ends what waits with operation_aborted. New connections are refused from now on.
  void close();

  // From the pump.
  void on_acceptable() { attempt_all(acceptors_); }
  void on_gone();

 private:
  std::optional<Accepted> accept_from_engine();
  std::optional<Accepted> accept_from_kernel();
  void await_kernel();

  std::shared_ptr<Core> core_;
  runtime::HybridListenerId id_;
  Endpoint local_;
  net::posix::basic_stream_descriptor<Executor> kernel_;  // the engine's: released, never closed
  OperationQueue acceptors_;
  bool open_ = true;
  bool kernel_ready_ = true;  // accept4() has not said EAGAIN since
  bool kernel_waits_ = false;
  bool kernel_first_ = false;
};

// `Socket` is tcp::socket, which is not known here.
template <class Handler, class Socket>
class AcceptOperation final : public HandlerOperation<AcceptOperation<Handler, Socket>, Handler> {
 public:
  AcceptOperation(Handler&& handler, const Executor& io, Listener& listener)
      : AcceptOperation::HandlerOperation(std::move(handler), io), listener_(listener), core_(listener.core()) {}

  bool attempt() override {
    auto accepted = listener_.try_accept();
    if (!accepted) return false;
    accepted_ = std::move(*accepted);
    this->error_ = accepted_.error;
    return true;
  }
  void finish() override { this->finish_with(this->error_, Socket(core_, std::move(accepted_))); }

 private:
  Listener& listener_;
  std::shared_ptr<Core> core_;
  Accepted accepted_;
};

}  // namespace weir::asio::detail
