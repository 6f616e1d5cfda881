// SPDX-License-Identifier: MIT
// weir-echo: sends back whatever comes. The shortest complete server over weir's sockets.
#include <CLI/CLI.hpp>
#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <iostream>

#include "weir/asio/tcp.h"

namespace net = boost::asio;
namespace tcp = weir::asio::tcp;

namespace {

net::awaitable<void> echo(tcp::socket peer) {
  try {
    peer.set_option(net::ip::tcp::no_delay(true));
    std::array<char, 16 * 1024> text;
    for (;;) {
      const auto n = co_await peer.async_read_some(net::buffer(text), net::use_awaitable);
      co_await net::async_write(peer, net::buffer(text, n), net::use_awaitable);
    }
  } catch (const boost::system::system_error&) {
    // The peer has ended, or the connection has: there is nobody to tell.
  }
}

net::awaitable<void> accept(tcp::acceptor& acceptor) {
  while (acceptor.is_open()) {
    auto peer = co_await acceptor.async_accept(net::use_awaitable);
    net::co_spawn(peer.get_executor(), echo(std::move(peer)), net::detached);
  }
}

}  // namespace

int main(int argc, char** argv) try {
  std::uint16_t port = 7;
  weir::runtime::EngineOptions options;
  CLI::App app("Sends back whatever comes, through weir's engine where it is attached", "weir-echo");
  app.add_option("--port", port, "where to listen, on all addresses")->capture_default_str();
  app.add_option("--interface", options.interface, "whose engine to be; the one that weir is attached to if not given");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) { return app.exit(error) == 0 ? 0 : 2; }

  net::io_context context(1);
  weir::asio::engine engine(context, options);
  tcp::acceptor acceptor(engine, {net::ip::tcp::v6(), port});
  std::cout << "weir-echo: listening on " << acceptor.local_endpoint() << ", "
            << (engine.attached() ? "by weir's engine on " + engine.interface() : "by the kernel") << std::endl;
  net::signal_set signals(context, SIGINT, SIGTERM);
  signals.async_wait([&](auto, int) { context.stop(); });
  net::co_spawn(context, accept(acceptor), net::detached);
  context.run();
} catch (const std::exception& error) {
  std::cerr << "weir-echo: " << error.what() << '\n';
  return 1;
}
