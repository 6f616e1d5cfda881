// SPDX-License-Identifier: MIT
#include "weir/asio/error.h"

#include <gtest/gtest.h>

#include <boost/asio/error.hpp>
#include <cerrno>

namespace weir::asio {

TEST(AsioError, WhatTheEngineReportsIsWhatAKernelSocketWould) {
  using ::weir::tcp::Errc;
  const struct {
    Errc from;
    error_code to;
  } table[] = {
      {Errc::none, {}},
      {Errc::refused, net::error::connection_refused},
      {Errc::reset, net::error::connection_reset},
      {Errc::timed_out, net::error::timed_out},
      {Errc::host_unreachable, net::error::host_unreachable},
      {Errc::network_unreachable, net::error::network_unreachable},
      {Errc::broken_pipe, net::error::broken_pipe},
      {Errc::aborted, net::error::connection_aborted},
  };
  for (const auto& row : table) EXPECT_EQ(to_error_code(row.from), row.to) << static_cast<int>(row.from);
}

TEST(AsioError, AFailedSystemCallKeepsItsErrno) {
  EXPECT_EQ(to_error_code(xdp::Error{EADDRINUSE, "bind"}), net::error::address_in_use);
  EXPECT_EQ(to_error_code(xdp::Error{EACCES, "bind"}), net::error::access_denied);
  EXPECT_EQ(to_error_code(xdp::Error{0, "no more local ports"}), boost::system::errc::io_error);
}

TEST(AsioError, EndpointsCrossBothWays) {
  for (const char* text : {"192.0.2.1", "0.0.0.0", "2001:db8::1", "::"}) {
    const net::ip::tcp::endpoint endpoint(net::ip::make_address(text), 8080);
    EXPECT_EQ(from_endpoint(to_endpoint(endpoint)), endpoint);
    EXPECT_EQ(to_endpoint(endpoint).address.is_v4(), endpoint.address().is_v4());
  }
  EXPECT_EQ(to_endpoint({net::ip::make_address("192.0.2.1"), 80}).to_string(), "192.0.2.1:80");
  EXPECT_EQ(from_endpoint({IpAddress::v4(192, 0, 2, 1), 80}).address().to_string(), "192.0.2.1");
}

}  // namespace weir::asio
