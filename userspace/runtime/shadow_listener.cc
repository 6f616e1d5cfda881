// SPDX-License-Identifier: MIT
#include "weir/runtime/shadow_listener.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <string_view>

#include "weir/runtime/socket_address.h"

namespace weir::runtime {
namespace {

constexpr int kFirstPassed = 3;  // SD_LISTEN_FDS_START

std::optional<int> number_in(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  std::string_view s(text);
  int n = 0;
  auto [end, ec] = std::from_chars(s.data(), s.data() + s.size(), n);
  if (ec != std::errc{} || end != s.data() + s.size()) return std::nullopt;
  return n;
}

int socket_option(int fd, int level, int name) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : 0;
}

void set_families(ShadowListener& listener) {
  const int domain = socket_option(listener.socket.get(), SOL_SOCKET, SO_DOMAIN);
  const bool only = domain == AF_INET6 && socket_option(listener.socket.get(), IPPROTO_IPV6, IPV6_V6ONLY) != 0;
  listener.v6 = domain == AF_INET6;
  listener.v4 = domain == AF_INET || (!only && listener.local.address.is_unspecified());
}

bool is_listening_tcp(int fd) {
  return socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) != 0 && socket_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
}

// A descriptor is adopted once: it is close-on-exec from then on, which marks it.
std::optional<ShadowListener> adopt(const Endpoint& local, const ShadowOptions& options) {
  if (local.port == 0 || number_in("LISTEN_PID") != ::getpid()) return std::nullopt;
  const int count = number_in("LISTEN_FDS").value_or(0);
  for (int fd = kFirstPassed; fd < kFirstPassed + count; ++fd) {
    const int flags = ::fcntl(fd, F_GETFD);
    if (flags < 0 || (flags & FD_CLOEXEC) != 0 || !is_listening_tcp(fd)) continue;
    auto has = local_endpoint_of(fd);
    if (!has || has->port != local.port) continue;
    // A unit file that says "8080" makes a dual-stack socket: it serves who asks for any IPv4 address as well.
    const bool any = has->address.is_unspecified() && local.address.is_unspecified();
    if (has->address != local.address && !any) continue;
    if (options.ipv6_only && socket_option(fd, IPPROTO_IPV6, IPV6_V6ONLY) == 0) continue;
    ::fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
    ShadowListener listener;
    listener.socket = xdp::Fd(fd);
    listener.local = *has;
    listener.adopted = true;
    set_families(listener);
    return listener;
  }
  return std::nullopt;
}

}  // namespace

xdp::Outcome<ShadowListener> open_shadow_listener(const Endpoint& local, const ShadowOptions& options) {
  if (auto passed = adopt(local, options)) return std::move(*passed);

  const std::string what = "listening on " + local.to_string();
  SocketAddress address = to_socket_address(local);
  ShadowListener listener;
  listener.socket = xdp::Fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  // Where the kernel has no IPv6, "any address" is any IPv4 one.
  if (!listener.socket && errno == EAFNOSUPPORT && local.address.is_unspecified() && !options.ipv6_only) {
    address = to_socket_address({IpAddress::v4(0, 0, 0, 0), local.port});
    listener.socket = xdp::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  }
  if (!listener.socket) return Err(xdp::system_error(errno, what));
  const int fd = listener.socket.get();
  const int on = 1;
  if (options.reuse_address) ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.storage.ss_family == AF_INET6) {
    const int only = options.ipv6_only ? 1 : 0;
    ::setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only);
  }
  if (::bind(fd, address.get(), address.size) != 0 || ::listen(fd, options.backlog) != 0) {
    const char* hint = errno == EADDRINUSE ? "another program has the port: `ss -ltnp` names it"
                       : errno == EACCES   ? "ports below 1024 need root or CAP_NET_BIND_SERVICE"
                                           : "";
    return Err(xdp::system_error(errno, what, hint));
  }
  listener.local = local_endpoint_of(fd).value_or(local);
  set_families(listener);
  return listener;
}

}  // namespace weir::runtime
