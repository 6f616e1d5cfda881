// SPDX-License-Identifier: MIT
// tcp::socket as a stream: what is read, written, ended and broken off. See asio_place.h.
#include <algorithm>
#include <boost/asio/bind_allocator.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <optional>

#include "asio_place.h"

namespace weir::asio::testing {

using namespace net::experimental::awaitable_operators;

namespace {

net::steady_timer after(net::io_context& context, std::chrono::steady_clock::duration wait) {
  return net::steady_timer(context, wait);
}

// Writes until the other side's window and our buffer are full, so that the next write has to wait. A kernel peer finds
// more room when it is first probed (it collapses its queue), so a second without progress is awaited: some three
// probes.
net::awaitable<void> fill(tcp::socket& socket) {
  const auto block = pattern(64 * 1024);
  for (;;) {
    auto timer = after(socket.get_executor().context(), std::chrono::milliseconds(1000));
    const auto won = co_await (socket.async_write_some(net::buffer(block), kAwait) || timer.async_wait(kAwait));
    if (won.index() == 1) co_return;
  }
}

}  // namespace

class AsioStream : public AsioTest {};

TEST_F(AsioStream, EveryByteArrivesOnceAndInOrderBothWaysAtOnce) {
  for (const auto protocol : {KernelTcp::v4(), KernelTcp::v6()}) {
    play([&]() -> net::awaitable<void> {
      auto [ours, theirs] = co_await accept_one(protocol);
      const auto out = pattern(4 << 20, 1);
      const auto in = pattern(3 << 20, 2);
      std::string got_out(out.size(), '\0');
      std::string got_in(in.size(), '\0');
      co_await (net::async_write(ours, net::buffer(out), kAwait) && net::async_write(theirs, net::buffer(in), kAwait) &&
                net::async_read(ours, net::buffer(got_in), kAwait) &&
                net::async_read(theirs, net::buffer(got_out), kAwait));
      EXPECT_TRUE(got_out == out);
      EXPECT_TRUE(got_in == in);
    });
  }
}

TEST_F(AsioStream, ScatteredReadsAndGatheredWritesKeepTheirOrder) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    const std::string a = "one, ", b, c = "two, ", d = "three";
    const std::vector<net::const_buffer> gathered{net::buffer(a), net::buffer(b), net::buffer(c), net::buffer(d)};
    co_await net::async_write(ours, gathered, kAwait);
    std::string got(15, '\0');
    co_await net::async_read(theirs, net::buffer(got), kAwait);
    EXPECT_EQ(got, "one, two, three");
    co_await net::async_write(theirs, net::buffer(got), kAwait);
    std::string head(4, '\0'), none, tail(11, '\0');
    const std::vector<net::mutable_buffer> scattered{net::buffer(head), net::buffer(none), net::buffer(tail)};
    co_await net::async_read(ours, scattered, kAwait);
    EXPECT_EQ(head, "one,");
    EXPECT_EQ(tail, " two, three");
  });
}

TEST_F(AsioStream, EmptyBuffersCompleteAtOnceAndNotInline) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    bool inside = true;
    int done = 0;
    ours.async_read_some(net::mutable_buffer(), [&](error_code error, std::size_t n) {
      EXPECT_FALSE(inside || error || n);
      ++done;
    });
    ours.async_write_some(net::const_buffer(), [&](error_code error, std::size_t n) {
      EXPECT_FALSE(inside || error || n);
      ++done;
    });
    inside = false;
    while (done < 2) co_await net::post(context_, kAwait);
  });
}

TEST_F(AsioStream, HandlersNeverRunInsideTheCallThatStartedThem) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    co_await net::async_write(theirs, net::buffer("x", 1), kAwait);
    co_await ours.async_wait(tcp::socket::wait_read, kAwait);
    bool inside = true;
    int done = 0;
    char c = 0;
    ours.async_read_some(net::buffer(&c, 1), [&](error_code error, std::size_t n) {
      EXPECT_FALSE(inside || error);
      EXPECT_EQ(n, 1u);
      ++done;
    });
    ours.async_write_some(net::buffer("y", 1), [&](error_code error, std::size_t n) {
      EXPECT_FALSE(inside || error);
      EXPECT_EQ(n, 1u);
      ++done;
    });
    inside = false;
    while (done < 2) co_await net::post(context_, kAwait);
    EXPECT_EQ(c, 'x');
  });
}

TEST_F(AsioStream, HandlersRunOnTheirOwnExecutor) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    auto strand = net::make_strand(context_);
    char c = 0;
    bool waited = false, immediate = false;
    ours.async_read_some(net::buffer(&c, 1), net::bind_executor(strand, [&](error_code error, std::size_t) {
                           EXPECT_FALSE(error);
                           waited = strand.running_in_this_thread();
                         }));
    ours.async_write_some(net::buffer("z", 1), net::bind_executor(strand, [&](error_code error, std::size_t) {
                            EXPECT_FALSE(error);
                            immediate = strand.running_in_this_thread();
                          }));
    co_await net::async_write(theirs, net::buffer("q", 1), kAwait);
    while (!waited || !immediate) co_await net::post(context_, kAwait);
  });
}

TEST_F(AsioStream, OneOperationIsCancelledByItsSlotAndTheStreamGoesOn) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    for (const auto type :
         {net::cancellation_type::terminal, net::cancellation_type::partial, net::cancellation_type::total}) {
      net::cancellation_signal signal;
      std::optional<error_code> read;
      char c = 0;
      ours.async_read_some(net::buffer(&c, 1),
                           net::bind_cancellation_slot(signal.slot(), [&](error_code error, auto) { read = error; }));
      co_await net::post(context_, kAwait);
      EXPECT_FALSE(read.has_value());
      signal.emit(type);
      while (!read) co_await net::post(context_, kAwait);
      EXPECT_EQ(*read, net::error::operation_aborted);
      signal.emit(type);  // nothing is left to cancel
      co_await net::async_write(theirs, net::buffer("k", 1), kAwait);
      co_await net::async_read(ours, net::buffer(&c, 1), kAwait);
      EXPECT_EQ(c, 'k');
    }
  });
}

TEST_F(AsioStream, ATimeLimitIsARace) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    std::string got(4, '\0');
    auto timer = after(context_, std::chrono::milliseconds(20));
    const auto first = co_await (net::async_read(ours, net::buffer(got), kAwait) || timer.async_wait(kAwait));
    EXPECT_EQ(first.index(), 1u);
    co_await net::async_write(theirs, net::buffer("late", 4), kAwait);
    timer.expires_after(std::chrono::seconds(60));
    const auto second = co_await (net::async_read(ours, net::buffer(got), kAwait) || timer.async_wait(kAwait));
    EXPECT_EQ(second.index(), 0u);
    EXPECT_EQ(got, "late");
  });
}

TEST_F(AsioStream, CancelEndsWhatWaitsAndNothingElse) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    std::optional<error_code> read, write;
    char c = 0;
    co_await fill(ours);
    const auto block = pattern(1024);
    ours.async_read_some(net::buffer(&c, 1), [&](error_code error, auto) { read = error; });
    ours.async_write_some(net::buffer(block), [&](error_code error, auto) { write = error; });
    co_await net::post(context_, kAwait);
    ours.cancel();
    while (!read || !write) co_await net::post(context_, kAwait);
    EXPECT_EQ(*read, net::error::operation_aborted);
    EXPECT_EQ(*write, net::error::operation_aborted);
    EXPECT_TRUE(ours.is_open());
    co_await net::async_write(theirs, net::buffer("k", 1), kAwait);
    co_await net::async_read(ours, net::buffer(&c, 1), kAwait);
    EXPECT_EQ(c, 'k');
  });
}

TEST_F(AsioStream, AFullBufferMakesAWriterWaitUntilThePeerReads) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    co_await fill(ours);
    bool written = false;
    const auto block = pattern(1024);
    ours.async_write_some(net::buffer(block), [&](error_code error, std::size_t n) {
      EXPECT_FALSE(error);
      EXPECT_GT(n, 0u);
      written = true;
    });
    co_await net::post(context_, kAwait);
    EXPECT_FALSE(written);
    std::string sink(64 * 1024, '\0');
    while (!written) co_await theirs.async_read_some(net::buffer(sink), kAwait);
  });
}

TEST_F(AsioStream, TheEndOfTheStreamIsEofAndTheOtherHalfStaysOpen) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    co_await net::async_write(theirs, net::buffer("bye", 3), kAwait);
    theirs.shutdown(KernelTcp::socket::shutdown_send);
    std::string got(8, '\0');
    const auto [error, n] = co_await net::async_read(ours, net::buffer(got), kTry);
    EXPECT_EQ(error, net::error::eof);
    EXPECT_EQ(n, 3u);
    const auto [again, none] = co_await ours.async_read_some(net::buffer(got), kTry);
    EXPECT_EQ(again, net::error::eof);
    EXPECT_EQ(none, 0u);
    const auto answer = pattern(300'000);
    std::string received(answer.size(), '\0');
    co_await (net::async_write(ours, net::buffer(answer), kAwait) &&
              net::async_read(theirs, net::buffer(received), kAwait));
    EXPECT_TRUE(received == answer);
  });
}

TEST_F(AsioStream, AfterShutdownTheWriterHasABrokenPipeAndThePeerTheEnd) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    co_await net::async_write(ours, net::buffer("all", 3), kAwait);
    ours.shutdown(tcp::socket::shutdown_send);
    const auto [error, n] = co_await ours.async_write_some(net::buffer("more", 4), kTry);
    EXPECT_EQ(error, net::error::broken_pipe);
    std::string got(8, '\0');
    const auto [end, m] = co_await net::async_read(theirs, net::buffer(got), kTry);
    EXPECT_EQ(end, net::error::eof);
    EXPECT_EQ(m, 3u);
    co_await net::async_write(theirs, net::buffer("answer", 6), kAwait);
    co_await net::async_read(ours, net::buffer(got, 6), kAwait);
    EXPECT_EQ(got.substr(0, 6), "answer");
  });
}

TEST_F(AsioStream, ShutdownOfReadingEndsTheReaderThatWaits) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    char c = 0;
    std::optional<error_code> read;
    ours.async_read_some(net::buffer(&c, 1), [&](error_code error, auto) { read = error; });
    co_await net::post(context_, kAwait);
    ours.shutdown(tcp::socket::shutdown_receive);
    while (!read) co_await net::post(context_, kAwait);
    EXPECT_EQ(*read, net::error::eof);
  });
}

TEST_F(AsioStream, AResetIsReportedToReaderAndWriter) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    theirs.set_option(KernelTcp::socket::linger(true, 0));
    theirs.close();
    char c = 0;
    const auto [error, n] = co_await ours.async_read_some(net::buffer(&c, 1), kTry);
    EXPECT_EQ(error, net::error::connection_reset);
    const auto [after_it, m] = co_await ours.async_write_some(net::buffer("x", 1), kTry);
    EXPECT_TRUE(after_it == net::error::connection_reset || after_it == net::error::broken_pipe) << after_it;
  });
}

TEST_F(AsioStream, UnreadTextMakesTheCloseAReset) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    co_await net::async_write(theirs, net::buffer("unread", 6), kAwait);
    co_await ours.async_wait(tcp::socket::wait_read, kAwait);
    EXPECT_EQ(ours.available(), 6u);
    ours.close();
    char c = 0;
    const auto [error, n] = co_await theirs.async_read_some(net::buffer(&c, 1), kTry);
    EXPECT_EQ(error, net::error::connection_reset);
  });
}

TEST_F(AsioStream, CloseEndsWhatWaitsAndLaterCallsFindNoSocket) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    char c = 0;
    std::optional<error_code> read;
    ours.async_read_some(net::buffer(&c, 1), [&](error_code error, auto) { read = error; });
    co_await net::post(context_, kAwait);
    ours.close();
    EXPECT_FALSE(ours.is_open());
    while (!read) co_await net::post(context_, kAwait);
    EXPECT_EQ(*read, net::error::operation_aborted);
    const auto [error, n] = co_await ours.async_read_some(net::buffer(&c, 1), kTry);
    EXPECT_EQ(error, net::error::bad_descriptor);
    const auto [end, m] = co_await theirs.async_read_some(net::buffer(&c, 1), kTry);
    EXPECT_EQ(end, net::error::eof);
  });
}

TEST_F(AsioStream, DestructionEndsWhatWaits) {
  play([&]() -> net::awaitable<void> {
    char c = 0;
    std::optional<error_code> read;
    {
      auto [ours, theirs] = co_await accept_one();
      ours.async_read_some(net::buffer(&c, 1), [&](error_code error, auto) { read = error; });
      co_await net::post(context_, kAwait);
    }
    while (!read) co_await net::post(context_, kAwait);
    EXPECT_EQ(*read, net::error::operation_aborted);
  });
}

TEST_F(AsioStream, WhatWaitsGoesWithAMovedSocket) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    char c = 0;
    std::optional<error_code> read;
    ours.async_read_some(net::buffer(&c, 1), [&](error_code error, auto) { read = error; });
    co_await net::post(context_, kAwait);
    tcp::socket moved(std::move(ours));
    EXPECT_FALSE(ours.is_open());
    EXPECT_FALSE(read.has_value());
    co_await net::async_write(theirs, net::buffer("m", 1), kAwait);
    while (!read) co_await net::post(context_, kAwait);
    EXPECT_FALSE(*read);
    EXPECT_EQ(c, 'm');
    ours = std::move(moved);
    co_await net::async_write(ours, net::buffer("n", 1), kAwait);
    co_await net::async_read(theirs, net::buffer(&c, 1), kAwait);
    EXPECT_EQ(c, 'n');
  });
}

TEST_F(AsioStream, ItKnowsItsEndsAndItsOptions) {
  play([&]() -> net::awaitable<void> {
    for (const auto protocol : {KernelTcp::v4(), KernelTcp::v6()}) {
      auto [ours, theirs] = co_await accept_one(protocol);
      EXPECT_EQ(ours.local_endpoint(), theirs.remote_endpoint());
      EXPECT_EQ(ours.remote_endpoint(), theirs.local_endpoint());
      EXPECT_EQ(ours.info().has_value(), place().by_engine());
      if (ours.info()) { EXPECT_EQ(ours.info()->state, ::weir::tcp::State::established); }
      KernelTcp::no_delay option;
      ours.set_option(KernelTcp::no_delay(true));
      ours.get_option(option);
      EXPECT_TRUE(option.value());
      ours.set_option(KernelTcp::no_delay(false));
      ours.get_option(option);
      EXPECT_FALSE(option.value());
    }
  });
}

template <class Option, class Value>
void holds(tcp::socket& socket, const Value& value) {
  Option option;
  socket.set_option(Option(value));
  socket.get_option(option);
  EXPECT_EQ(option.value(), value);
}

TEST_F(AsioStream, TheOptionsOfTheKernelsSockets) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    holds<net::socket_base::keep_alive>(ours, true);
    holds<tcp::keep_idle>(ours, 30);
    holds<tcp::keep_interval>(ours, 5);
    holds<tcp::keep_count>(ours, 3);
    holds<tcp::user_timeout>(ours, 12'000);
    holds<tcp::cork>(ours, true);
    holds<tcp::cork>(ours, false);
    ours.set_option(net::socket_base::linger(true, 7));
    net::socket_base::linger linger;
    ours.get_option(linger);
    EXPECT_TRUE(linger.enabled());
    EXPECT_EQ(linger.timeout(), 7);
    tcp::congestion controller;
    ours.set_option(tcp::congestion("cubic"));
    ours.get_option(controller);
    EXPECT_EQ(controller.name(), "cubic");

    error_code error;
    ours.set_option(tcp::keep_count(1'000), error);
    EXPECT_EQ(error, net::error::invalid_argument);
    ours.set_option(tcp::congestion("no-such"), error);
    EXPECT_EQ(error, boost::system::errc::no_such_file_or_directory);
    // What was refused changed nothing.
    tcp::keep_count count;
    ours.get_option(count);
    EXPECT_EQ(count.value(), 3);
    ours.set_option(net::detail::socket_option::integer<IPPROTO_TCP, 9'999>(1), error);
    EXPECT_EQ(error, net::error::no_protocol_option);
  });
}

TEST_F(AsioStream, WaitingMovesNothing) {
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    co_await ours.async_wait(tcp::socket::wait_write, kAwait);
    bool readable = false;
    ours.async_wait(tcp::socket::wait_read, [&](error_code error) { readable = !error; });
    co_await net::post(context_, kAwait);
    EXPECT_FALSE(readable);
    co_await net::async_write(theirs, net::buffer("w", 1), kAwait);
    while (!readable) co_await net::post(context_, kAwait);
    EXPECT_EQ(ours.available(), 1u);
  });
}

TEST_F(AsioStream, AFutureCanBeHad) {
  std::future<std::size_t> written;
  play([&]() -> net::awaitable<void> {
    auto [ours, theirs] = co_await accept_one();
    written = ours.async_write_some(net::buffer("f", 1), net::use_future);
    char c = 0;
    co_await net::async_read(theirs, net::buffer(&c, 1), kAwait);
  });
  EXPECT_EQ(written.get(), 1u);
}

}  // namespace weir::asio::testing
