// SPDX-License-Identifier: MIT
// setsockopt(2)'s options on the engine's connections: the same option objects as a kernel socket takes, found by their
// level and name, so that a program sets them without asking who serves a connection.
#pragma once

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <boost/asio/detail/socket_option.hpp>
#include <boost/system/error_code.hpp>
#include <cstddef>
#include <string>
#include <string_view>

#include "weir/tcp/options.h"

namespace weir::asio::tcp {

// TCP_CONGESTION: a controller by its name, "cubic" for one. On the engine the names of `weir cc list`, on a kernel
// socket those of tcp(7).
class congestion {
 public:
  congestion() = default;
  explicit congestion(std::string_view name) : name_(name) {}
  std::string name() const { return std::string(name_.c_str()); }

  template <class Protocol>
  int level(const Protocol&) const {
    return IPPROTO_TCP;
  }
  template <class Protocol>
  int name(const Protocol&) const {
    return TCP_CONGESTION;
  }
  template <class Protocol>
  const void* data(const Protocol&) const {
    return name_.data();
  }
  template <class Protocol>
  void* data(const Protocol&) {
    name_.resize(kMost);
    return name_.data();
  }
  template <class Protocol>
  std::size_t size(const Protocol&) const {
    return name_.size();
  }
  // To be read into: the room there is.
  template <class Protocol>
  std::size_t size(const Protocol&) {
    return kMost;
  }
  template <class Protocol>
  void resize(const Protocol&, std::size_t size) {
    name_.resize(size);
  }

 private:
  static constexpr std::size_t kMost = 16;  // TCP_CA_NAME_MAX
  std::string name_;
};

// tcp(7); seconds, seconds, probes, milliseconds.
using keep_idle = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPIDLE>;
using keep_interval = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPINTVL>;
using keep_count = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_KEEPCNT>;
using user_timeout = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_USER_TIMEOUT>;
using cork = boost::asio::detail::socket_option::boolean<IPPROTO_TCP, TCP_CORK>;
// TCP Fast Open (RFC 7413). Of an acceptor: how many connections may be accepted before their handshake is over; 0:
// off. What came in a SYN may come again, on another connection: only for services that can bear that.
using fast_open = boost::asio::detail::socket_option::integer<IPPROTO_TCP, TCP_FASTOPEN>;
// Of a socket, before it connects: where the peer's cookie is known, connecting succeeds at once and the SYN leaves
// with what is written first; where it is not, the SYN asks for it. Write before you read.
using fast_open_connect = boost::asio::detail::socket_option::boolean<IPPROTO_TCP, TCP_FASTOPEN_CONNECT>;

}  // namespace weir::asio::tcp

namespace weir::asio::detail {

// no_protocol_option where the engine has no such option, invalid_argument where the value cannot be one. SO_KEEPALIVE,
// SO_LINGER, TCP_NODELAY, TCP_CORK, TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT, TCP_USER_TIMEOUT.
boost::system::error_code put_option(int level, int name, const void* value, std::size_t size,
                                     ::weir::tcp::Options& options);
// `size`: of the room at `value`, and then of what was written.
boost::system::error_code get_option(int level, int name, void* value, std::size_t& size,
                                     const ::weir::tcp::Options& options);

}  // namespace weir::asio::detail
