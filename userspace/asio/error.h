// SPDX-License-Identifier: MIT
// From the engine's words to Asio's: errors and endpoints.
#pragma once

#include "weir/asio/net.h"
#include "weir/base/ip_address.h"
#include "weir/tcp/state.h"
#include "weir/xdp/error.h"

namespace weir::asio {

// What a kernel socket would report: boost::asio::error values, so that comparisons in existing programs hold.
// Errc::none is success.
error_code to_error_code(::weir::tcp::Errc why);
// The errno of a failed system call; io_error where no system call failed.
error_code to_error_code(const xdp::Error& error);

// IPv4 addresses cross as IPv4, never as ::ffff:a.b.c.d, whichever way the connection came. Scope ids are dropped.
Endpoint to_endpoint(const net::ip::tcp::endpoint& endpoint);
net::ip::tcp::endpoint from_endpoint(const Endpoint& endpoint);

}  // namespace weir::asio
