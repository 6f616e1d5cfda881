// SPDX-License-Identifier: MIT
// A server that forks: the child outlives a kill -9 of its parent and holds every descriptor that a fork hands on. It
// answers each connection with the page that the scenarios look for.
#include <unistd.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/streambuf.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "weir/asio/tcp.h"

namespace net = boost::asio;
using weir::asio::tcp::acceptor;

namespace {

net::awaitable<void> answer(weir::asio::tcp::socket peer) {
  net::streambuf request;
  co_await net::async_read_until(peer, request, "\r\n\r\n", net::use_awaitable);
  std::string page = std::string("served ") + (peer.by_engine() ? "by weir's engine" : "by the kernel") + "\n";
  std::string text = "HTTP/1.0 200 OK\r\nContent-Length: " + std::to_string(page.size()) + "\r\n\r\n" + page;
  co_await net::async_write(peer, net::buffer(text), net::use_awaitable);
}

net::awaitable<void> serve(acceptor& door) {
  for (;;) {
    auto peer = co_await door.async_accept(net::use_awaitable);
    net::co_spawn(door.get_executor(), answer(std::move(peer)), net::detached);
  }
}

}  // namespace

int main(int argc, char** argv) {
  unsigned short port = 8080;
  if (argc == 3 && std::strcmp(argv[1], "--port") == 0) port = static_cast<unsigned short>(std::atoi(argv[2]));
  net::io_context io;
  weir::asio::engine engine(io);
  acceptor door(engine, {net::ip::tcp::v6(), port});
  // After everything is open, as a server's worker would be forked.
  io.poll();
  io.restart();
  pid_t child = ::fork();
  if (child == 0) {
    ::alarm(300);  // longer than any test, in case that nobody ends it
    for (;;) ::pause();
  }
  std::printf("child %d\n", static_cast<int>(child));
  std::fflush(stdout);
  net::co_spawn(io, serve(door), net::detached);
  io.run();
}
