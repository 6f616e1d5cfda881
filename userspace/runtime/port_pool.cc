// SPDX-License-Identifier: MIT
#include "weir/runtime/port_pool.h"

#include <algorithm>
#include <cerrno>

#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"
#include "weir/control/steer.h"
#include "weir/runtime/socket_address.h"

namespace weir::runtime {
namespace {

// Bound for both families, where the kernel has both.
xdp::Outcome<xdp::Fd> bind_port(std::uint16_t port) {
  for (const IpAddress& any : {IpAddress(), IpAddress::v4(0, 0, 0, 0)}) {
    SocketAddress address = to_socket_address({any, port});
    xdp::Fd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) continue;
    const int off = 0;
    if (any.is_v6()) ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (::bind(fd.get(), address.get(), address.size) == 0) return fd;
    break;
  }
  return Err(xdp::system_error(errno, port == 0 ? "reserving a local port" : "reserving port " + std::to_string(port)));
}

}  // namespace

xdp::Outcome<std::uint16_t> PortPool::port(std::size_t n, Instant now) {
  if (n < ports_.size()) return ports_[n].port;
  return add(0, now);
}

xdp::Outcome<std::uint16_t> PortPool::reserve(std::uint16_t port, Instant now) {
  for (const Reserved& r : ports_) {
    if (r.port == port) return port;
  }
  return add(port, now);
}

xdp::Outcome<std::uint16_t> PortPool::add(std::uint16_t wanted, Instant now) {
  if (ports_.size() >= kMaxPorts) return xdp::fail("all local ports of the pool are in use", ENOSPC);
  auto lock = control::Lock::acquire(kLockPatience);
  if (!lock) return Err(lock.error());
  auto socket = bind_port(wanted);
  if (!socket) return Err(socket.error());
  auto local = local_endpoint_of(socket->get());
  if (!local) return xdp::fail("reserving a local port", EINVAL);
  auto index = control::steer_add(maps_, control::Port{control::Protocol::tcp, local->port}, control::Absent::pass,
                                  control::Purpose::reserve, now);
  if (!index) return Err(index.error());
  // The kernel binds nobody to a port that has a connection, TIME-WAIT included, so it has none.
  steering_.clear_kernel(*index);
  ports_.push_back({std::move(*socket), local->port});
  return local->port;
}

void PortPool::withdraw(Duration patience) {
  if (ports_.empty()) return;
  const Instant until = control::monotonic_now() + patience;
  if (auto lock = control::Lock::acquire(patience)) {
    for (const Reserved& r : ports_) {
      const Instant now = control::monotonic_now();
      if (now >= until) break;
      // ENOENT: reaped already.
      (void)control::steer_del(maps_, control::Port{control::Protocol::tcp, r.port}, control::Removal::now, now);
    }
  }
  ports_.clear();
}

void PortPool::reap_orphans(Instant now) {
  std::vector<std::uint16_t> orphans;
  for (const weir_steer& entry : maps_.steer()) {
    const bool reserved = (xdp::load(entry.flags) & WEIR_STEER_RESERVED) != 0;
    if (xdp::load(entry.protocol) != IPPROTO_TCP || !reserved) continue;
    const std::uint16_t port = from_be16(xdp::load(entry.port_be));
    const bool ours = std::any_of(ports_.begin(), ports_.end(), [&](const Reserved& r) { return r.port == port; });
    if (!ours) orphans.push_back(port);
  }
  if (orphans.empty()) return;
  auto lock = control::Lock::acquire(Duration{});
  if (!lock) return;
  // A few at a time: each costs a grace period, and the loop waits for it.
  if (orphans.size() > kReapAtOnce) orphans.resize(kReapAtOnce);
  for (std::uint16_t port : orphans) {
    (void)control::steer_del(maps_, control::Port{control::Protocol::tcp, port}, control::Removal::now, now);
  }
}

void PortPool::close() {
  for (Reserved& r : ports_) r.socket.reset();
}

}  // namespace weir::runtime
