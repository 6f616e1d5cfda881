// SPDX-License-Identifier: MIT
// What Beast asks of a transport besides reading and writing: how to end it in order, and how to cut it off. Include it
// where a boost::beast::websocket::stream is put over a weir socket, with or without TLS between.
#pragma once

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/error.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/websocket/teardown.hpp>
#include <utility>

#include "weir/asio/socket.h"

namespace weir::asio::tcp {

namespace detail {

// RFC 6455 7.1.1: the server closes first, so that TIME-WAIT is its own; either side reads to the end before it lets
// go, or its close would be a reset that could overtake the last frames.
class Teardown {
 public:
  Teardown(boost::beast::role_type role, socket& stream) : role_(role), stream_(stream) {}

  template <class Self>
  void operator()(Self& self, error_code error = {}, std::size_t = 0) {
    if (!std::exchange(started_, true) && role_ == boost::beast::role_type::server) {
      error_code ignored;  // whatever is wrong, the read will say
      stream_.shutdown(socket::shutdown_send, ignored);
    }
    if (!error) {
      stream_.async_read_some(net::buffer(scratch()), std::move(self));
      return;
    }
    if (error == net::error::eof) {
      error = {};
      if (role_ == boost::beast::role_type::client) stream_.shutdown(socket::shutdown_send, error);
    }
    error_code ignored;
    stream_.close(ignored);
    self.complete(error);
  }

 private:
  // What still comes is of no use to anyone, so every teardown of a thread may write over the same bytes.
  static std::array<char, 2048>& scratch() {
    thread_local std::array<char, 2048> bytes;
    return bytes;
  }

  boost::beast::role_type role_;
  socket& stream_;
  bool started_ = false;
};

}  // namespace detail

// Found by argument-dependent look-up from websocket::stream::async_close and async_read.
template <class Handler>
void async_teardown(boost::beast::role_type role, socket& stream, Handler&& handler) {
  net::async_compose<Handler, void(error_code)>(detail::Teardown(role, stream), handler, stream);
}

// Found likewise when one of Beast's time limits has passed.
inline void beast_close_socket(socket& stream) {
  error_code ignored;
  stream.close(ignored);
}

}  // namespace weir::asio::tcp
