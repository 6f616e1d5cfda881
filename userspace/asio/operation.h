// SPDX-License-Identifier: MIT
// A user's call that could not be answered at once, and the way its handler is run.
//
// Asio's rules for the handler: it runs once, never inside the initiating function or inside the pump, on its
// associated executor, with its associated allocator, and the memory of the operation is free again before it runs.
// While it waits, it counts as work of both executors and listens to its associated cancellation slot.
#pragma once

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/defer.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/intrusive/list.hpp>
#include <memory>
#include <tuple>
#include <utility>

#include "weir/asio/net.h"

namespace weir::asio::detail {

// A handler and what it is to be called with.
template <class Handler, class... Args>
class Completion {
 public:
  using allocator_type = net::associated_allocator_t<Handler>;

  explicit Completion(Handler&& handler, Args... args) : handler_(std::move(handler)), args_(std::move(args)...) {}
  allocator_type get_allocator() const noexcept { return net::get_associated_allocator(handler_); }
  void operator()() { std::apply(std::move(handler_), std::move(args_)); }

 private:
  Handler handler_;
  std::tuple<Args...> args_;
};

template <class Handler, class... Args>
void defer_completion(const Executor& io, Handler&& handler, Args... args) {
  auto executor = net::get_associated_executor(handler, io);
  net::defer(executor, Completion<std::decay_t<Handler>, Args...>(std::move(handler), std::move(args)...));
}

class Operation : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  virtual ~Operation() = default;
  // True: it is over, and finish() will report how. Called again whenever that may have become so.
  virtual bool attempt() = 0;
  // Takes the operation out of its queue, frees it, and has its handler run with what attempt() or fail() left.
  virtual void finish() = 0;

  void fail(error_code error) {
    error_ = error;
    finish();
  }

 protected:
  error_code error_;
};

using OperationQueue = boost::intrusive::list<Operation, boost::intrusive::constant_time_size<false>>;

inline void attempt_all(OperationQueue& queue) {
  while (!queue.empty() && queue.front().attempt()) queue.front().finish();
}

inline void fail_all(OperationQueue& queue, error_code error) {
  while (!queue.empty()) queue.front().fail(error);
}

// What all operations share besides their attempt: `Derived` is the operation's class.
template <class Derived, class Handler>
class HandlerOperation : public Operation {
 public:
  // Allocates a `Derived` as the handler wishes. It is freed by finish().
  template <class... Args>
  static Derived& create(Handler&& handler, const Executor& io, Args&&... args) {
    Allocator allocator(net::get_associated_allocator(handler));
    auto* memory = std::allocator_traits<Allocator>::allocate(allocator, 1);
    auto* op = new (memory) Derived(std::move(handler), io, std::forward<Args>(args)...);
    if (op->slot_.is_connected()) {
      op->slot_.assign([op](net::cancellation_type type) {
        using net::cancellation_type;
        // Nothing has been moved while an operation waits, so even `total` can be promised.
        constexpr auto any = cancellation_type::terminal | cancellation_type::partial | cancellation_type::total;
        if ((type & any) != cancellation_type::none) op->fail(net::error::operation_aborted);
      });
    }
    return *op;
  }

 protected:
  HandlerOperation(Handler&& handler, const Executor& io)
      : slot_(net::get_associated_cancellation_slot(handler)),
        io_work_(io),
        handler_work_(net::get_associated_executor(handler, io)),
        handler_(std::move(handler)) {}

  template <class... Args>
  void finish_with(Args... args) {
    unlink();
    slot_.clear();
    auto* self = static_cast<Derived*>(this);
    const auto io_work = std::move(io_work_);
    const auto handler_work = std::move(handler_work_);
    Handler handler(std::move(handler_));
    Allocator allocator(net::get_associated_allocator(handler));
    std::allocator_traits<Allocator>::destroy(allocator, self);
    std::allocator_traits<Allocator>::deallocate(allocator, self, 1);
    defer_completion(io_work.get_executor(), std::move(handler), std::move(args)...);
  }

 private:
  using Allocator =
      typename std::allocator_traits<net::associated_allocator_t<Handler>>::template rebind_alloc<Derived>;

  net::associated_cancellation_slot_t<Handler> slot_;
  net::executor_work_guard<Executor> io_work_;
  net::executor_work_guard<net::associated_executor_t<Handler, Executor>> handler_work_;
  Handler handler_;

  friend Derived;
};

}  // namespace weir::asio::detail
