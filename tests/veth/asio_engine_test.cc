// SPDX-License-Identifier: MIT
// What only an engine can show; the cases that it shares with the kernel's sockets are in tests/unit.
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <thread>

#include "asio_veth.h"
#include "weir/control/instance.h"

namespace weir::asio::testing {

using namespace net::experimental::awaitable_operators;

class AsioEngine : public AsioTest {};

TEST_F(AsioEngine, OneAcceptorHasThePeersConnectionsAndItsOwnHosts) {
  play([&]() -> net::awaitable<void> {
    tcp::acceptor acceptor(*engine_, {KernelTcp::v6(), Veth::kServicePort});
    for (const auto protocol : {KernelTcp::v4(), KernelTcp::v6()}) {
      auto far = veth().peer_socket(context_, protocol);
      KernelTcp::socket near(context_, protocol);
      co_await (far.async_connect(veth().service(protocol), kAwait) &&
                near.async_connect(veth().service(protocol), kAwait));
      for (int i = 0; i < 2; ++i) {
        auto ours = co_await acceptor.async_accept(kAwait);
        auto& theirs = ours.by_engine() ? far : near;
        EXPECT_EQ(ours.remote_endpoint(), theirs.local_endpoint());
        EXPECT_EQ(ours.local_endpoint(), theirs.remote_endpoint());
        char c = 0;
        co_await net::async_write(ours, net::buffer("h", 1), kAwait);
        co_await net::async_read(theirs, net::buffer(&c, 1), kAwait);
        EXPECT_EQ(c, 'h');
      }
    }
  });
}

TEST_F(AsioEngine, ItsOwnHostIsReachedByTheKernel) {
  play([&]() -> net::awaitable<void> {
    KernelTcp::acceptor listener(context_, {net::ip::make_address("10.77.0.1"), 9191});
    tcp::socket ours(*engine_);
    co_await ours.async_connect(listener.local_endpoint(), kAwait);
    EXPECT_FALSE(ours.by_engine());
    auto theirs = co_await listener.async_accept(kAwait);
    EXPECT_EQ(ours.local_endpoint(), theirs.remote_endpoint());
  });
}

TEST_F(AsioEngine, ANeighbourThatDoesNotAnswerIsUnreachable) {
  play([&]() -> net::awaitable<void> {
    tcp::socket ours(*engine_);
    const auto [error] = co_await ours.async_connect({net::ip::make_address("10.77.0.99"), 80}, kTry);
    EXPECT_EQ(error, net::error::host_unreachable);
  });
}

TEST_F(AsioEngine, AConnectMayBeGivenUp) {
  play([&]() -> net::awaitable<void> {
    tcp::socket ours(*engine_);
    net::steady_timer timer(context_, std::chrono::milliseconds(20));
    const auto won =
        co_await (ours.async_connect({net::ip::make_address("10.77.0.99"), 80}, kAwait) || timer.async_wait(kAwait));
    EXPECT_EQ(won.index(), 1u);
    auto listener = place().peer_acceptor(context_, place().peer_service(KernelTcp::v4()));
    co_await ours.async_connect(listener.local_endpoint(), kAwait);
    EXPECT_TRUE(ours.by_engine());
  });
}

TEST_F(AsioEngine, WithoutItsProgramItsConnectionsAreAbortedAndTheKernelAccepts) {
  std::thread operator_;
  play([&]() -> net::awaitable<void> {
    tcp::acceptor acceptor(*engine_, {KernelTcp::v6(), Veth::kServicePort});
    auto theirs = veth().peer_socket(context_, KernelTcp::v4());
    co_await theirs.async_connect(veth().service(KernelTcp::v4()), kAwait);
    auto ours = co_await acceptor.async_accept(kAwait);
    EXPECT_TRUE(ours.by_engine());
    std::string detached = "not yet";
    operator_ = std::thread([&] {
      const auto there = veth().server().inside();
      control::DetachOptions how;
      how.interface = "veth0";
      how.force = true;
      const auto report = control::detach(how);
      detached = report ? "" : report.error().message;
    });
    char c = 0;
    const auto [error, n] = co_await ours.async_read_some(net::buffer(&c, 1), kTry);
    EXPECT_EQ(error, net::error::connection_aborted);
    const auto [again, m] = co_await ours.async_write_some(net::buffer("x", 1), kTry);
    EXPECT_EQ(again, net::error::connection_aborted);
    const auto [reset, k] = co_await theirs.async_read_some(net::buffer(&c, 1), kTry);
    EXPECT_EQ(reset, net::error::connection_reset);
    operator_.join();
    EXPECT_EQ(detached, "");
    EXPECT_FALSE(engine_->attached());

    auto next = veth().peer_socket(context_, KernelTcp::v4());
    co_await next.async_connect(veth().service(KernelTcp::v4()), kAwait);
    auto by_kernel = co_await acceptor.async_accept(kAwait);
    EXPECT_FALSE(by_kernel.by_engine());
  });
}

}  // namespace weir::asio::testing
