// SPDX-License-Identifier: MIT
// Where the cases of weir::asio are played: one io_context, one engine, and kernel sockets as the peers. The cases are
// compiled twice: here over loopback, where every connection is the kernel's, and in tests/veth, where it is the
// engine's.
#pragma once

#include <gtest/gtest.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/experimental/as_tuple.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "weir/asio/tcp.h"

namespace weir::asio::testing {

namespace net = boost::asio;
using KernelTcp = net::ip::tcp;

// Tokens: the one throws, the other gives the error_code with the result.
inline constexpr auto kAwait = net::use_awaitable;
inline constexpr auto kTry = net::experimental::as_tuple(net::use_awaitable);

class Place {
 public:
  virtual ~Place() = default;

  // Why the cases cannot be played here, or empty.
  virtual std::string why_not() const = 0;
  virtual bool by_engine() const = 0;
  virtual runtime::EngineOptions engine_options() const = 0;
  // Where an acceptor under test listens; port 0 where any will do.
  virtual KernelTcp::endpoint service(KernelTcp protocol) const = 0;
  // Where the peer host's kernel can listen.
  virtual KernelTcp::endpoint peer_service(KernelTcp protocol) const = 0;
  // A kernel socket of the peer host, open and not connected.
  virtual KernelTcp::socket peer_socket(net::io_context& context, KernelTcp protocol) const = 0;
  virtual KernelTcp::acceptor peer_acceptor(net::io_context& context, const KernelTcp::endpoint& local) const = 0;
};

// Defined once in each of the two binaries; made once in a process.
Place& place();

class AsioTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const auto why = place().why_not(); !why.empty()) GTEST_SKIP() << why;
    engine_ = std::make_unique<engine>(context_, place().engine_options());
    if (place().by_engine()) {
      ASSERT_TRUE(engine_->attached()) << engine_->why_detached();
    } else {
      ASSERT_FALSE(engine_->attached());
      EXPECT_NE(engine_->why_detached(), "");
    }
  }

  // Plays `scene`, a coroutine lambda, and everything it leaves behind to their end; what it throws fails the test.
  template <class Scene>
  void play(const Scene& scene) {
    std::exception_ptr failure;
    bool ended = false;
    net::co_spawn(context_, scene(), [&](std::exception_ptr thrown) {
      failure = thrown;
      ended = true;
      if (thrown) context_.stop();
    });
    context_.restart();
    context_.run();
    if (failure) std::rethrow_exception(failure);
    EXPECT_TRUE(ended) << "nothing was left to wait for, and the scene had not ended";
  }

  struct Ends {
    tcp::socket ours;
    KernelTcp::socket theirs;
  };
  // A connection from the peer to an acceptor under test.
  net::awaitable<Ends> accept_one(KernelTcp protocol = KernelTcp::v4());

  tcp::acceptor open_acceptor(KernelTcp protocol = KernelTcp::v4()) {
    return tcp::acceptor(*engine_, place().service(protocol));
  }

  std::unique_ptr<net::io_context> owned_context_ = std::make_unique<net::io_context>(1);
  net::io_context& context_ = *owned_context_;
  std::unique_ptr<engine> engine_;
};

// `size` bytes that differ with `seed` and do not repeat within any power of two.
std::string pattern(std::size_t size, unsigned seed = 1);

}  // namespace weir::asio::testing
