// SPDX-License-Identifier: MIT
// Endpoints as the kernel's socket calls take them.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include "weir/base/ip_address.h"

namespace weir::runtime {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = sizeof(sockaddr_storage);

  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// AF_INET for an IPv4 address, else AF_INET6. `scope` is the interface of a link-local address.
inline SocketAddress to_socket_address(const Endpoint& endpoint, std::uint32_t scope = 0) {
  SocketAddress a;
  if (endpoint.address.is_v4()) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = to_be16(endpoint.port);
    std::memcpy(&in.sin_addr, endpoint.address.wire().data(), sizeof in.sin_addr);
    std::memcpy(&a.storage, &in, sizeof in);
    a.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = to_be16(endpoint.port);
    in.sin6_scope_id = endpoint.address.is_link_local() ? scope : 0;
    std::memcpy(&in.sin6_addr, endpoint.address.data(), sizeof in.sin6_addr);
    std::memcpy(&a.storage, &in, sizeof in);
    a.size = sizeof in;
  }
  return a;
}

// Of AF_INET or AF_INET6; an unspecified endpoint for any other family.
inline Endpoint from_socket_address(const SocketAddress& a) {
  Endpoint e;
  if (a.storage.ss_family == AF_INET) {
    sockaddr_in in;
    std::memcpy(&in, &a.storage, sizeof in);
    e.address = IpAddress::v4(reinterpret_cast<const std::byte*>(&in.sin_addr));
    e.port = from_be16(in.sin_port);
  } else if (a.storage.ss_family == AF_INET6) {
    sockaddr_in6 in;
    std::memcpy(&in, &a.storage, sizeof in);
    e.address = IpAddress::v6(reinterpret_cast<const std::byte*>(&in.sin6_addr));
    e.port = from_be16(in.sin6_port);
  }
  return e;
}

// Nothing where `fd` is not an IP socket.
inline std::optional<Endpoint> local_endpoint_of(int fd) {
  SocketAddress a;
  if (::getsockname(fd, a.get(), &a.size) != 0) return std::nullopt;
  if (a.storage.ss_family != AF_INET && a.storage.ss_family != AF_INET6) return std::nullopt;
  return from_socket_address(a);
}

}  // namespace weir::runtime
