// SPDX-License-Identifier: MIT
// weir's TCP/IP engine as a thing of one io_context. It comes first; sockets and acceptors are made from it:
//
//   boost::asio::io_context context(1);
//   weir::asio::engine engine(context);
//   weir::asio::tcp::acceptor acceptor(engine, {boost::asio::ip::tcp::v6(), 8080});
//
// Where the interface has no weir, or this process no privileges for it, everything made from the engine is served by
// kernel sockets instead, and why_detached() says why.
//
// The engine counts as work of the io_context only through what is made from it: run() returns, as with kernel sockets,
// when no operation is outstanding and what was written to closed sockets has reached the peer (PumpOptions::linger).
// While nobody runs the io_context for more than a second, new connections go to the kernel's listener.
//
// Thread safety: one thread at a time. The engine, its sockets and its acceptors are one implicit strand with the
// thread that runs the io_context; calls from other threads are to be posted there.
#pragma once

#include <memory>
#include <string>

#include "weir/asio/core.h"

namespace weir::asio {

class engine {
 public:
  using executor_type = detail::Executor;

  // Looks for its interface at once, and again by itself later. `context` must outlive the engine.
  explicit engine(net::io_context& context, runtime::EngineOptions options = {}, const PumpOptions& pump = {});
  engine(const engine&) = delete;
  engine& operator=(const engine&) = delete;
  // As stop().
  ~engine();

  executor_type get_executor() const noexcept;

  // Whether packets come here now, and if not, why: one line, empty while attached.
  bool attached() const;
  std::string why_detached() const;
  // The interface served or looked for; may be empty while there is none.
  std::string interface() const;

  // Ends every operation of its sockets and acceptors with operation_aborted and resets their connections. They may
  // live on, and answer every call as closed ones. Close what should end well, and let run() return, before.
  void stop();

  // The engine beneath, for its stack and counters; null after stop().
  using native_handle_type = runtime::Engine*;
  native_handle_type native_handle() const;

  // For what is made from the engine.
  const std::shared_ptr<detail::Core>& core() const { return core_; }

 private:
  std::shared_ptr<detail::Core> core_;
};

}  // namespace weir::asio
