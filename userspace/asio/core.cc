// SPDX-License-Identifier: MIT
#include "weir/asio/core.h"

#include <algorithm>
#include <boost/asio/defer.hpp>
#include <utility>

#include "weir/asio/connection.h"
#include "weir/asio/listener.h"

#ifdef BOOST_ASIO_NO_TS_EXECUTORS
#error \
    "weir::asio needs io_context's on_work_started() and on_work_finished(): build without BOOST_ASIO_NO_TS_EXECUTORS"
#endif

namespace weir::asio::detail {

namespace {
// Closed connections looked at in a turn that another follows at once; a turn before a sleep looks at all of them, or a
// loop that waits for them alone would wait for a few at each of its four turns a second.
constexpr std::size_t kLingeringPerTurn = 64;
}  // namespace

Core::Core(net::io_context& context, runtime::EngineOptions options, const PumpOptions& pump)
    : context_(context), pump_(pump) {
  engine_ = std::make_unique<runtime::Engine>(std::move(options));
  descriptor_.emplace(context_.get_executor(), engine_->descriptor());
  timer_.emplace(context_.get_executor());
}

Core::~Core() { stop(); }

void Core::start() {
  if (started_ || !engine_) return;
  started_ = true;
  turn_soon();
}

void Core::touch() {
  if (dirty_ || !engine_) return;
  dirty_ = true;
  net::defer(context_, [self = shared_from_this()] {
    if (!std::exchange(self->dirty_, false) || !self->engine_) return;
    self->engine_->flush();
    self->dispatch_events();
    if (self->waiting_) self->arm_timer();
  });
}

void Core::stop() {
  if (!engine_) return;
  // Taken out first, so that whatever is called back finds the engine gone.
  const auto engine = std::exchange(engine_, nullptr);
  for (const auto& [index, connection] : std::exchange(connections_, {})) {
    connection->on_gone(net::error::operation_aborted);
  }
  for (const auto& [id, listener] : std::exchange(listeners_, {})) listener->on_gone();
  lingering_.clear();
  linger_work_.reset();
  descriptor_->release();
  descriptor_.reset();
  timer_.reset();
}

void Core::add(Connection& connection) { connections_[connection.id().index] = &connection; }

void Core::remove(const Connection& connection) {
  const auto it = connections_.find(connection.id().index);
  if (it != connections_.end() && it->second == &connection) connections_.erase(it);
}

void Core::add(Listener& listener) { listeners_[listener.id().value] = &listener; }

void Core::remove(const Listener& listener) { listeners_.erase(listener.id().value); }

void Core::turn() {
  if (!engine_) return;
  dirty_ = false;  // turn() sends what is due
  const bool moved = engine_->turn();
  dispatch_events();
  const bool spins = pump_.spin > Duration();
  if (moved && spins) spin_until_ = runtime::Engine::now() + pump_.spin;
  if (moved || (spins && runtime::Engine::now() < spin_until_)) {
    check_lingering(kLingeringPerTurn);
    turn_soon();
  } else {
    check_lingering(lingering_.size());
    sleep();
  }
}

void Core::dispatch_events() {
  while (const auto event = engine_->poll_event()) {
    switch (event->kind) {
      case runtime::EngineEvent::Kind::connection:
        on_connection_event(*event);
        break;
      case runtime::EngineEvent::Kind::acceptable: {
        const auto it = listeners_.find(event->listener.value);
        if (it != listeners_.end()) it->second->on_acceptable();
        break;
      }
      case runtime::EngineEvent::Kind::lost:
        on_lost();
        break;
    }
  }
}

void Core::on_connection_event(const runtime::EngineEvent& event) {
  const auto it = connections_.find(event.connection.index);
  if (it == connections_.end() || it->second->id() != event.connection) return;
  it->second->on_ready(event.readiness);
}

void Core::on_lost() {
  for (const auto& [index, connection] : std::exchange(connections_, {})) {
    connection->on_gone(net::error::connection_aborted);
  }
  lingering_.clear();
  linger_work_.reset();
}

void Core::sleep() {
  if (!waiting_) {
    waiting_ = true;
    wait_unreferenced(
        [this](auto handler) { descriptor_->async_wait(net::posix::descriptor_base::wait_read, std::move(handler)); },
        [self = shared_from_this()](error_code error) {
          self->waiting_ = false;
          if (!error) self->turn();
        });
  }
  arm_timer();
}

// A timer that is early costs one idle turn; one that is moved costs a system call. So it is moved only to be earlier.
void Core::arm_timer() {
  const auto deadline = engine_->next_deadline();
  if (deadline >= timer_at_) return;
  timer_at_ = deadline;
  timer_->expires_at(std::chrono::steady_clock::time_point(std::chrono::nanoseconds(deadline.ns())));
  wait_unreferenced([this](auto handler) { timer_->async_wait(std::move(handler)); },
                    [self = shared_from_this()](error_code error) {
                      if (error) return;  // moved, or the engine is gone
                      self->timer_at_ = Instant::never();
                      self->turn();
                    });
}

void Core::turn_soon() {
  if (std::exchange(turn_soon_, true)) return;
  wait_unreferenced([this](auto handler) { net::defer(context_, std::move(handler)); },
                    [self = shared_from_this()](error_code) {
                      self->turn_soon_ = false;
                      self->turn();
                    });
}

void Core::linger(stack::ConnectionId id) {
  if (pump_.linger <= Duration()) return;
  lingering_.push_back({id, runtime::Engine::now() + pump_.linger});
  if (!linger_work_) linger_work_.emplace(executor());
  start();
}

void Core::check_lingering(std::size_t most) {
  if (lingering_.empty()) return;
  auto* stack = engine_->stack();
  const auto now = runtime::Engine::now();
  for (std::size_t n = std::min(most, lingering_.size()); n > 0 && !lingering_.empty(); --n) {
    if (next_lingering_ >= lingering_.size()) next_lingering_ = 0;
    auto& entry = lingering_[next_lingering_];
    using enum ::weir::tcp::State;
    const auto state = stack ? stack->info(entry.id, now).state : closed;
    // FIN-WAIT-2 and TIME-WAIT: the peer has acknowledged everything, our FIN included.
    if (state == closed || state == fin_wait_2 || state == time_wait || now >= entry.until) {
      entry = lingering_.back();
      lingering_.pop_back();
    } else {
      ++next_lingering_;
    }
  }
  if (lingering_.empty()) linger_work_.reset();
}

}  // namespace weir::asio::detail
