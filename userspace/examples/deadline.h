// SPDX-License-Identifier: MIT
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <chrono>

namespace weir::examples {

// A time limit that moves with the progress of a session: `co_await (session(deadline) || deadline.passed())` cancels
// whatever the session waits for when it has made none for too long. Moving it costs one store.
class Deadline {
 public:
  using Clock = std::chrono::steady_clock;

  explicit Deadline(Clock::duration limit) : limit_(limit), at_(Clock::now() + limit) {}
  void progress() { at_ = Clock::now() + limit_; }

  boost::asio::awaitable<void> passed() {
    boost::asio::steady_timer timer(co_await boost::asio::this_coro::executor);
    while (at_ > Clock::now()) {
      timer.expires_at(at_);
      co_await timer.async_wait(boost::asio::use_awaitable);
    }
  }

 private:
  Clock::duration limit_;
  Clock::time_point at_;
};

}  // namespace weir::examples
