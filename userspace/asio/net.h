// SPDX-License-Identifier: MIT
// The names of Boost.Asio that this directory speaks in.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/system/error_code.hpp>

namespace weir::asio {

namespace net = boost::asio;
using error_code = boost::system::error_code;

namespace detail {

// An engine belongs to one io_context, so its executor needs no type erasure.
using Executor = net::io_context::executor_type;
using KernelSocket = net::basic_stream_socket<net::ip::tcp, Executor>;

}  // namespace detail
}  // namespace weir::asio
