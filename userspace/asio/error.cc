// SPDX-License-Identifier: MIT
#include "weir/asio/error.h"

#include <algorithm>
#include <boost/asio/error.hpp>

namespace weir::asio {

error_code to_error_code(::weir::tcp::Errc why) {
  using ::weir::tcp::Errc;
  switch (why) {
    case Errc::none:
      return {};
    case Errc::refused:
      return net::error::connection_refused;
    case Errc::reset:
      return net::error::connection_reset;
    case Errc::timed_out:
      return net::error::timed_out;
    case Errc::host_unreachable:
      return net::error::host_unreachable;
    case Errc::network_unreachable:
      return net::error::network_unreachable;
    case Errc::broken_pipe:
      return net::error::broken_pipe;
    case Errc::aborted:
      return net::error::connection_aborted;
  }
  return net::error::connection_aborted;
}

error_code to_error_code(const xdp::Error& error) {
  if (error.code == 0) return make_error_code(boost::system::errc::io_error);
  return {error.code, boost::system::system_category()};
}

Endpoint to_endpoint(const net::ip::tcp::endpoint& endpoint) {
  const auto address = endpoint.address();
  if (address.is_v4()) {
    const auto bytes = address.to_v4().to_bytes();
    return {IpAddress::v4(bytes[0], bytes[1], bytes[2], bytes[3]), endpoint.port()};
  }
  const auto bytes = address.to_v6().to_bytes();
  return {IpAddress::v6(reinterpret_cast<const std::byte*>(bytes.data())), endpoint.port()};
}

net::ip::tcp::endpoint from_endpoint(const Endpoint& endpoint) {
  const auto& bytes = endpoint.address.bytes();
  if (endpoint.address.is_v4()) {
    net::ip::address_v4::bytes_type v4;
    std::copy_n(bytes.begin() + 12, v4.size(), v4.begin());
    return {net::ip::address_v4(v4), endpoint.port};
  }
  net::ip::address_v6::bytes_type v6;
  std::copy_n(bytes.begin(), v6.size(), v6.begin());
  return {net::ip::address_v6(v6), endpoint.port};
}

}  // namespace weir::asio
