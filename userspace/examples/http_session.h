// SPDX-License-Identifier: MIT
// One connection of weir-http, from its first byte to its last.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ssl/context.hpp>
#include <string>

#include "weir/asio/tcp.h"

namespace weir::examples {

// Answers requests until the peer ends, an error, or a minute without progress. `served_by` is a line for the home
// page. Never throws.
boost::asio::awaitable<void> serve_http(weir::asio::tcp::socket peer, std::string served_by);
// The same over TLS; `tls` must outlive the session.
boost::asio::awaitable<void> serve_https(weir::asio::tcp::socket peer, boost::asio::ssl::context& tls,
                                         std::string served_by);

}  // namespace weir::examples
