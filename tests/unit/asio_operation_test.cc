// SPDX-License-Identifier: MIT
// What an operation owes its handler, without any socket.
#include "weir/asio/operation.h"

#include <gtest/gtest.h>

#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/strand.hpp>
#include <memory>
#include <optional>

namespace weir::asio::detail {
namespace {

// Over when `done` is set.
template <class Handler>
class TestOperation final : public HandlerOperation<TestOperation<Handler>, Handler> {
 public:
  TestOperation(Handler&& handler, const Executor& io, const bool& done)
      : TestOperation::HandlerOperation(std::move(handler), io), done_(done) {}
  bool attempt() override { return done_; }
  void finish() override { this->finish_with(this->error_); }

 private:
  const bool& done_;
};

template <class T>
struct CountingAllocator {
  using value_type = T;
  explicit CountingAllocator(int* count) : live(count) {}
  template <class U>
  CountingAllocator(const CountingAllocator<U>& other) : live(other.live) {}
  T* allocate(std::size_t n) {
    ++*live;
    return std::allocator<T>().allocate(n);
  }
  void deallocate(T* p, std::size_t n) {
    --*live;
    std::allocator<T>().deallocate(p, n);
  }
  template <class U>
  friend bool operator==(const CountingAllocator& a, const CountingAllocator<U>& b) {
    return a.live == b.live;
  }
  int* live;
};

class AsioOperation : public ::testing::Test {
 protected:
  template <class Handler>
  void start(Handler handler) {
    queue_.push_back(TestOperation<Handler>::create(std::move(handler), context_.get_executor(), done_));
  }

  net::io_context context_{1};
  OperationQueue queue_;
  bool done_ = false;
};

TEST_F(AsioOperation, TheLoopRunsWhileItWaitsAndItsHandlerRunsOnceInTheLoop) {
  int calls = 0;
  start([&](error_code error) {
    EXPECT_FALSE(error);
    ++calls;
  });
  EXPECT_EQ(context_.poll(), 0u);
  EXPECT_FALSE(context_.stopped());
  attempt_all(queue_);
  EXPECT_FALSE(queue_.empty());
  done_ = true;
  attempt_all(queue_);
  EXPECT_TRUE(queue_.empty());
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(context_.run(), 1u);
  EXPECT_EQ(calls, 1);
}

TEST_F(AsioOperation, HandlersRunInTheOrderOfTheirCalls) {
  std::string order;
  for (const char name : {'a', 'b', 'c'}) start([&order, name](error_code) { order += name; });
  done_ = true;
  attempt_all(queue_);
  context_.run();
  EXPECT_EQ(order, "abc");
}

TEST_F(AsioOperation, MemoryComesFromTheHandlersAllocatorAndIsFreeBeforeItRuns) {
  int live = 0;
  start(net::bind_allocator(CountingAllocator<void>(&live), [&](error_code) { EXPECT_EQ(live, 0); }));
  EXPECT_EQ(live, 1);
  done_ = true;
  attempt_all(queue_);
  EXPECT_EQ(context_.run(), 1u);
  EXPECT_EQ(live, 0);
}

TEST_F(AsioOperation, TheHandlerRunsOnItsExecutorAndIsItsWork) {
  net::io_context other(1);
  bool ran = false;
  start(net::bind_executor(other.get_executor(), [&](error_code) { ran = true; }));
  EXPECT_EQ(other.poll(), 0u);
  EXPECT_FALSE(other.stopped());
  done_ = true;
  attempt_all(queue_);
  context_.run();
  EXPECT_FALSE(ran);
  other.run();
  EXPECT_TRUE(ran);
}

TEST_F(AsioOperation, CancellationTakesOneOutOfTheMiddle) {
  net::cancellation_signal signal;
  std::optional<error_code> first, second, third;
  start([&](error_code error) { first = error; });
  start(net::bind_cancellation_slot(signal.slot(), [&](error_code error) { second = error; }));
  start([&](error_code error) { third = error; });
  signal.emit(net::cancellation_type::none);
  context_.poll();
  EXPECT_FALSE(second.has_value());
  signal.emit(net::cancellation_type::terminal);
  EXPECT_FALSE(second.has_value());
  context_.poll();
  EXPECT_EQ(second, net::error::operation_aborted);
  EXPECT_FALSE(first || third);
  done_ = true;
  attempt_all(queue_);
  context_.run();
  EXPECT_EQ(first, error_code());
  EXPECT_EQ(third, error_code());
}

TEST_F(AsioOperation, CancellationAfterTheEndDoesNothing) {
  net::cancellation_signal signal;
  int calls = 0;
  start(net::bind_cancellation_slot(signal.slot(), [&](error_code error) {
    EXPECT_FALSE(error);
    ++calls;
  }));
  done_ = true;
  attempt_all(queue_);
  signal.emit(net::cancellation_type::terminal);
  context_.run();
  signal.emit(net::cancellation_type::terminal);
  EXPECT_EQ(calls, 1);
}

TEST_F(AsioOperation, HandlersMayBeMoveOnly) {
  std::unique_ptr<int> got;
  start([&got, held = std::make_unique<int>(7)](error_code) mutable { got = std::move(held); });
  done_ = true;
  attempt_all(queue_);
  context_.run();
  ASSERT_TRUE(got);
  EXPECT_EQ(*got, 7);
}

}  // namespace
}  // namespace weir::asio::detail
