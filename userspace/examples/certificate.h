// SPDX-License-Identifier: MIT
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <string>

namespace weir::examples {

// For a server that shows TLS: a P-256 key and a certificate for `name`, signed with itself, good for a day. Clients
// have to be told to trust it (curl --insecure).
void use_self_signed(boost::asio::ssl::context& tls, const std::string& name);

// PEM files.
void use_files(boost::asio::ssl::context& tls, const std::string& certificate_chain, const std::string& key);

}  // namespace weir::examples
