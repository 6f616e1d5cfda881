// SPDX-License-Identifier: MIT
// The pump between a runtime::Engine and its io_context, and the register of who waits for the engine's events. Shared
// by the engine object and everything opened through it, so that those may outlive it: they then find engine() null.
#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/unordered/unordered_flat_map.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "weir/asio/net.h"
#include "weir/base/time.h"
#include "weir/runtime/engine.h"

namespace weir::asio {

// How the engine is driven by its io_context.
struct PumpOptions {
  // How long the loop keeps looking for frames after the last one before it sleeps. It spends a whole CPU meanwhile,
  // and saves the wake-up, tens of microseconds on an idle CPU.
  Duration spin;
  // How long io_context::run() stays for a socket that was closed while the peer had not yet acknowledged all of its
  // text. The kernel does this for its own sockets after a process has exited; nobody else would for the engine's.
  Duration linger = Duration::seconds(5);
};

namespace detail {

class Connection;
class Listener;

class Core : public std::enable_shared_from_this<Core> {
 public:
  Core(net::io_context& context, runtime::EngineOptions options, const PumpOptions& pump);
  Core(const Core&) = delete;
  Core& operator=(const Core&) = delete;
  ~Core();

  // Null after stop().
  runtime::Engine* engine() { return engine_.get(); }
  // Null while detached, and after stop().
  stack::Stack* stack() { return engine_ ? engine_->stack() : nullptr; }
  net::io_context& context() { return context_; }
  Executor executor() { return context_.get_executor(); }

  // Sets the pump going, if it is not. The caller holds work of the io_context.
  void start();
  // A user's call made something due: it is sent once the handlers that are ready now have run.
  void touch();
  // Ends every operation with operation_aborted, resets the connections and destroys the engine.
  void stop();

  void add(Connection& connection);
  void remove(const Connection& connection);
  void add(Listener& listener);
  void remove(const Listener& listener);

  // The user has closed `id`: keeps the io_context running until the peer has all of its text.
  void linger(stack::ConnectionId id);

  // Waits for `waitable` as async_wait does, without being work of the io_context: run() returns when the users'
  // operations are over, though the pump be waiting. Calls `then(error_code)` in the io_context. To be called only
  // while there is other work, such as the running handler, or run() would stop for good.
  template <class Wait, class Then>
  void wait_unreferenced(Wait&& wait, Then then);

 private:
  struct Lingering {
    stack::ConnectionId id;
    Instant until;
  };

  void turn();
  void dispatch_events();
  void on_connection_event(const runtime::EngineEvent& event);
  void on_lost();
  void sleep();
  void arm_timer();
  void turn_soon();
  void check_lingering(std::size_t most);

  net::io_context& context_;
  PumpOptions pump_;
  std::unique_ptr<runtime::Engine> engine_;
  std::optional<net::posix::basic_stream_descriptor<Executor>> descriptor_;  // the engine's: released, never closed
  std::optional<
      net::basic_waitable_timer<std::chrono::steady_clock, net::wait_traits<std::chrono::steady_clock>, Executor>>
      timer_;
  boost::unordered_flat_map<std::uint32_t, Connection*> connections_;  // by ConnectionId::index
  boost::unordered_flat_map<std::uint32_t, Listener*> listeners_;      // by HybridListenerId
  std::vector<Lingering> lingering_;
  std::size_t next_lingering_ = 0;
  std::optional<net::executor_work_guard<Executor>> linger_work_;
  Instant spin_until_;
  Instant timer_at_ = Instant::never();  // never: not armed
  bool started_ = false;
  bool waiting_ = false;    // for the descriptor
  bool turn_soon_ = false;  // a turn is queued in the io_context
  bool dirty_ = false;      // a flush is queued in the io_context
};

template <class Wait, class Then>
void Core::wait_unreferenced(Wait&& wait, Then then) {
  wait([executor = executor(), then = std::move(then)](error_code error = {}) mutable {
    // The count goes down when this handler returns, as it went up when the wait began: between the two it was ours to
    // take out.
    executor.on_work_started();
    then(error);
  });
  executor().on_work_finished();
}

}  // namespace detail
}  // namespace weir::asio
