// SPDX-License-Identifier: MIT
// tcp::acceptor, connecting out, and who outlives whom. See asio_place.h.
#include <sys/resource.h>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <set>

#include "asio_place.h"

namespace weir::asio::testing {

using namespace net::experimental::awaitable_operators;

class AsioLife : public AsioTest {};

TEST_F(AsioLife, ManyConnectionsForManyAcceptsThatWait) {
  play([&]() -> net::awaitable<void> {
    constexpr unsigned kMany = 100;
    auto acceptor = open_acceptor();
    std::vector<tcp::socket> ours;
    for (unsigned i = 0; i < kMany; ++i) {
      acceptor.async_accept([&](error_code error, tcp::socket socket) {
        EXPECT_FALSE(error);
        ours.push_back(std::move(socket));
      });
    }
    std::vector<KernelTcp::socket> theirs;
    for (unsigned i = 0; i < kMany; ++i) {
      theirs.push_back(place().peer_socket(context_, KernelTcp::v4()));
      co_await theirs.back().async_connect(acceptor.local_endpoint(), kAwait);
    }
    while (ours.size() < kMany) co_await net::post(context_, kAwait);
    std::set<KernelTcp::endpoint> seen, made;
    for (auto& socket : ours) seen.insert(socket.remote_endpoint());
    for (auto& socket : theirs) made.insert(socket.local_endpoint());
    EXPECT_EQ(seen, made);
  });
}

TEST_F(AsioLife, AnAcceptIsCancelledByItsSlotByCancelAndByClose) {
  play([&]() -> net::awaitable<void> {
    auto acceptor = open_acceptor();
    net::cancellation_signal signal;
    std::optional<error_code> first, second, third;
    acceptor.async_accept(
        net::bind_cancellation_slot(signal.slot(), [&](error_code error, tcp::socket) { first = error; }));
    acceptor.async_accept([&](error_code error, tcp::socket) { second = error; });
    co_await net::post(context_, kAwait);
    signal.emit(net::cancellation_type::total);
    while (!first) co_await net::post(context_, kAwait);
    EXPECT_EQ(*first, net::error::operation_aborted);
    EXPECT_FALSE(second.has_value());
    acceptor.cancel();
    while (!second) co_await net::post(context_, kAwait);
    EXPECT_EQ(*second, net::error::operation_aborted);
    acceptor.async_accept([&](error_code error, tcp::socket) { third = error; });
    acceptor.close();
    while (!third) co_await net::post(context_, kAwait);
    EXPECT_EQ(*third, net::error::operation_aborted);
    const auto [error, none] = co_await acceptor.async_accept(kTry);
    EXPECT_EQ(error, net::error::bad_descriptor);
  });
}

TEST_F(AsioLife, AClosedAcceptorFreesItsPortAndRefuses) {
  play([&]() -> net::awaitable<void> {
    auto acceptor = open_acceptor();
    const auto where = acceptor.local_endpoint();
    EXPECT_THROW(tcp::acceptor(*engine_, where), boost::system::system_error);
    acceptor.close();
    auto refused = place().peer_socket(context_, KernelTcp::v4());
    const auto [error] = co_await refused.async_connect(where, kTry);
    EXPECT_EQ(error, net::error::connection_refused);
    tcp::acceptor again(*engine_, where);
    auto theirs = place().peer_socket(context_, KernelTcp::v4());
    co_await theirs.async_connect(where, kAwait);
    co_await again.async_accept(kAwait);
  });
}

TEST_F(AsioLife, AMovedAcceptorGoesOn) {
  play([&]() -> net::awaitable<void> {
    auto acceptor = open_acceptor();
    std::optional<error_code> accepted;
    acceptor.async_accept([&](error_code error, tcp::socket) { accepted = error; });
    tcp::acceptor moved(std::move(acceptor));
    EXPECT_FALSE(acceptor.is_open());
    auto theirs = place().peer_socket(context_, KernelTcp::v4());
    co_await theirs.async_connect(moved.local_endpoint(), kAwait);
    while (!accepted) co_await net::post(context_, kAwait);
    EXPECT_FALSE(*accepted);
  });
}

TEST_F(AsioLife, ConnectsOutAndTalksAndMayConnectAgainAfterAnError) {
  for (const auto protocol : {KernelTcp::v4(), KernelTcp::v6()}) {
    play([&]() -> net::awaitable<void> {
      auto listener = place().peer_acceptor(context_, place().peer_service(protocol));
      const auto where = listener.local_endpoint();
      listener.close();
      tcp::socket ours(*engine_);
      EXPECT_FALSE(ours.is_open());
      const auto [error] = co_await ours.async_connect(where, kTry);
      EXPECT_EQ(error, net::error::connection_refused);

      listener = place().peer_acceptor(context_, where);
      co_await ours.async_connect(where, kAwait);
      EXPECT_EQ(ours.by_engine(), place().by_engine());
      auto theirs = co_await listener.async_accept(kAwait);
      EXPECT_EQ(ours.remote_endpoint(), where);
      EXPECT_EQ(ours.local_endpoint(), theirs.remote_endpoint());
      const auto [twice] = co_await ours.async_connect(where, kTry);
      EXPECT_EQ(twice, net::error::already_connected);

      const auto text = pattern(1 << 20);
      std::string got(text.size(), '\0');
      co_await (net::async_write(ours, net::buffer(text), kAwait) && net::async_read(theirs, net::buffer(got), kAwait));
      EXPECT_TRUE(got == text);
      co_await (net::async_write(theirs, net::buffer(text), kAwait) && net::async_read(ours, net::buffer(got), kAwait));
      EXPECT_TRUE(got == text);
    });
  }
}

TEST_F(AsioLife, FastOpenIsAnOptionOfAcceptorsAndOfSocketsThatHaveNotConnected) {
  play([&]() -> net::awaitable<void> {
    auto acceptor = open_acceptor();
    acceptor.set_option(tcp::fast_open(5));
    tcp::fast_open queue;
    acceptor.get_option(queue);
    EXPECT_EQ(queue.value(), 5);
    error_code error;
    acceptor.set_option(tcp::fast_open(-1), error);
    EXPECT_EQ(error, net::error::invalid_argument);
    acceptor.set_option(tcp::cork(true), error);
    EXPECT_EQ(error, net::error::no_protocol_option);

    auto listener = place().peer_acceptor(context_, place().peer_service(KernelTcp::v4()));
    for (int i = 0; i < 3; ++i) {
      tcp::socket ours(*engine_);
      ours.set_option(tcp::fast_open_connect(true));
      tcp::fast_open_connect fast;
      ours.get_option(fast);
      EXPECT_TRUE(fast.value());
      ours.set_option(tcp::keep_idle(1), error);
      EXPECT_EQ(error, net::error::bad_descriptor);
      co_await ours.async_connect(listener.local_endpoint(), kAwait);
      co_await net::async_write(ours, net::buffer("text", 4), kAwait);
      auto theirs = co_await listener.async_accept(kAwait);
      std::string got(4, '\0');
      co_await net::async_read(theirs, net::buffer(got), kAwait);
      EXPECT_EQ(got, "text");
    }
  });
}

TEST_F(AsioLife, TheLoopEndsWhenNothingIsOutstanding) {
  auto acceptor = open_acceptor();
  play([&]() -> net::awaitable<void> {
    auto theirs = place().peer_socket(context_, KernelTcp::v4());
    co_await theirs.async_connect(acceptor.local_endpoint(), kAwait);
    auto ours = co_await acceptor.async_accept(kAwait);
    co_await net::async_write(ours, net::buffer("x", 1), kAwait);
  });
  // Reached, although the acceptor is open and the engine alive; and it can go on.
  play([&]() -> net::awaitable<void> {
    auto theirs = place().peer_socket(context_, KernelTcp::v4());
    co_await theirs.async_connect(acceptor.local_endpoint(), kAwait);
    co_await acceptor.async_accept(kAwait);
  });
}

TEST_F(AsioLife, WhatWasWrittenArrivesThoughEverythingIsClosedAndDestroyed) {
  const auto text = pattern(40'000);
  std::optional<KernelTcp::socket> theirs;
  play([&]() -> net::awaitable<void> {
    auto ends = co_await accept_one();
    theirs = std::move(ends.theirs);
    co_await net::async_write(ends.ours, net::buffer(text), kAwait);
  });
  engine_.reset();
  std::string got(text.size() + 1, '\0');
  error_code error;
  const auto n = net::read(*theirs, net::buffer(got), error);
  EXPECT_EQ(error, net::error::eof);
  EXPECT_EQ(n, text.size());
  got.resize(text.size());
  EXPECT_TRUE(got == text);
}

TEST_F(AsioLife, TheEngineMayGoBeforeItsSockets) {
  play([&]() -> net::awaitable<void> {
    auto acceptor = open_acceptor();
    auto theirs = place().peer_socket(context_, KernelTcp::v4());
    co_await theirs.async_connect(acceptor.local_endpoint(), kAwait);
    auto ours = co_await acceptor.async_accept(kAwait);
    tcp::socket unopened(*engine_);
    std::optional<error_code> read, accept;
    char c = 0;
    if (ours.by_engine()) {
      ours.async_read_some(net::buffer(&c, 1), [&](error_code error, auto) { read = error; });
    } else {
      read = net::error::operation_aborted;  // a kernel socket needs no engine
    }
    acceptor.async_accept([&](error_code error, tcp::socket) { accept = error; });
    co_await net::post(context_, kAwait);
    engine_.reset();
    while (!read || !accept) co_await net::post(context_, kAwait);
    EXPECT_EQ(*read, net::error::operation_aborted);
    EXPECT_EQ(*accept, net::error::operation_aborted);
    const auto [no_engine] = co_await unopened.async_connect(theirs.local_endpoint(), kTry);
    EXPECT_EQ(no_engine, net::error::bad_descriptor);
    const auto [no_accept, none] = co_await acceptor.async_accept(kTry);
    EXPECT_EQ(no_accept, net::error::bad_descriptor);
    if (ours.by_engine()) {
      const auto [error, n] = co_await ours.async_write_some(net::buffer("x", 1), kTry);
      EXPECT_EQ(error, net::error::operation_aborted);
      const auto [reset, m] = co_await theirs.async_read_some(net::buffer(&c, 1), kTry);
      EXPECT_EQ(reset, net::error::connection_reset);
    }
    ours.close();
    acceptor.close();
  });
}

TEST_F(AsioLife, AStoppedLoopLeaksNoCoroutine) {
  auto witness = std::make_shared<int>(0);
  const auto accept_forever = [](tcp::acceptor acceptor, std::shared_ptr<int>) -> net::awaitable<void> {
    co_await acceptor.async_accept(kAwait);
  };
  const auto read_forever = [&](std::shared_ptr<int> held) -> net::awaitable<void> {
    auto ends = co_await accept_one();
    net::co_spawn(context_, accept_forever(open_acceptor(), held), net::detached);
    co_await net::post(context_, kAwait);
    context_.stop();
    char c = 0;
    co_await ends.ours.async_read_some(net::buffer(&c, 1), kAwait);
  };
  net::co_spawn(context_, read_forever(witness), net::detached);
  context_.run();
  EXPECT_GT(witness.use_count(), 1);
  engine_.reset();
  owned_context_.reset();
  EXPECT_EQ(witness.use_count(), 1);
}

TEST_F(AsioLife, LackOfDescriptorsIsReportedAndTheConnectionKept) {
  if (place().by_engine()) GTEST_SKIP() << "the engine's connections need no descriptor";
  play([&]() -> net::awaitable<void> {
    auto acceptor = open_acceptor();
    auto theirs = place().peer_socket(context_, KernelTcp::v4());
    rlimit before{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
    auto none = before;
    none.rlim_cur = 3;
    co_await theirs.async_connect(acceptor.local_endpoint(), kAwait);
    setrlimit(RLIMIT_NOFILE, &none);
    const auto [error, nothing] = co_await acceptor.async_accept(kTry);
    setrlimit(RLIMIT_NOFILE, &before);
    EXPECT_EQ(error, net::error::no_descriptors);
    EXPECT_FALSE(nothing.is_open());
    auto ours = co_await acceptor.async_accept(kAwait);
    EXPECT_EQ(ours.remote_endpoint(), theirs.local_endpoint());
  });
}

}  // namespace weir::asio::testing
