// SPDX-License-Identifier: MIT
// A connection from this process to itself, through weir's acceptor and socket. No privileges, no interface: the kernel
// serves it, as it serves every program where weir is not attached.
#include <array>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <iostream>
#include <string_view>

#include "weir/asio/tcp.h"

namespace net = boost::asio;
namespace tcp = weir::asio::tcp;

int main() {
  net::io_context context(1);
  weir::asio::engine engine(context);
  tcp::acceptor acceptor(engine, {net::ip::address_v4::loopback(), 0});
  constexpr std::string_view kText = "over the weir";
  std::array<char, kText.size()> received{};

  tcp::socket server(engine);
  acceptor.async_accept([&](boost::system::error_code error, tcp::socket peer) {
    if (error) return;
    server = std::move(peer);
    net::async_write(server, net::buffer(kText), [](boost::system::error_code, std::size_t) {});
  });
  tcp::socket client(engine);
  client.async_connect(acceptor.local_endpoint(), [&](boost::system::error_code error) {
    if (error) return;
    net::async_read(client, net::buffer(received), [](boost::system::error_code, std::size_t) {});
  });
  context.run();
  const std::string_view text(received.data(), received.size());
  std::cout << text << '\n';
  return text == kText ? 0 : 1;
}
