// SPDX-License-Identifier: MIT
#include "weir/runtime/listeners.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

namespace weir::runtime {

xdp::Outcome<HybridListenerId> Listeners::open(const Endpoint& local, const ListenOptions& options) {
  auto kernel = open_shadow_listener(local, {options.backlog, options.ipv6_only, options.reuse_address});
  if (!kernel) return Err(kernel.error());
  const HybridListenerId id{next_++};
  listeners_[id.value] = {std::move(*kernel), static_cast<std::uint32_t>(std::max(options.backlog, 1)), 0, {}};
  if (options.fast_open != 0) {
    if (auto set = set_fast_open(id, options.fast_open, nullptr); !set) {
      listeners_.erase(id.value);
      return Err(set.error());
    }
  }
  return id;
}

xdp::Outcome<void> Listeners::set_fast_open(HybridListenerId id, int queue, stack::Stack* stack) {
  auto at = listeners_.find(id.value);
  if (at == listeners_.end()) return xdp::fail("setting TCP_FASTOPEN: there is no such listener", EBADF);
  Listener& listener = at->second;
  const int fd = listener.kernel.socket.get();
  if (queue < 0) return xdp::fail("setting TCP_FASTOPEN of a listener", EINVAL);
  if (::setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) != 0) {
    return Err(xdp::system_error(errno, "setting TCP_FASTOPEN of a listener"));
  }
  listener.fast_open = static_cast<std::uint32_t>(queue);
  if (stack != nullptr) {
    for (stack::ListenerId l : listener.in_stack) stack->set_fast_open(l, listener.fast_open);
  }
  return {};
}

void Listeners::close(HybridListenerId id, stack::Stack* stack, Instant now) {
  auto at = listeners_.find(id.value);
  if (at == listeners_.end()) return;
  if (stack != nullptr) {
    for (stack::ListenerId l : at->second.in_stack) stack->close_listener(l, now);
  }
  listening_.erase(id.value);
  listeners_.erase(at);
}

const Listener* Listeners::find(HybridListenerId id) const {
  auto at = listeners_.find(id.value);
  return at != listeners_.end() ? &at->second : nullptr;
}

std::optional<HybridListenerId> Listeners::find(stack::ListenerId id) const {
  for (const auto& [value, listener] : listeners_) {
    const auto& ids = listener.in_stack;
    if (std::find(ids.begin(), ids.end(), id) != ids.end()) return HybridListenerId{value};
  }
  return std::nullopt;
}

std::optional<stack::ConnectionId> Listeners::accept(HybridListenerId id, stack::Stack& stack) {
  const Listener* listener = find(id);
  if (listener == nullptr) return std::nullopt;
  for (stack::ListenerId l : listener->in_stack) {
    if (auto connection = stack.accept(l)) return connection;
  }
  return std::nullopt;
}

std::vector<Endpoint> Listeners::wanted(const Listener& listener, const std::vector<IpAddress>& addresses) {
  const ShadowListener& kernel = listener.kernel;
  const std::uint16_t port = kernel.local.port;
  // The stack's "any" is of both families; a socket of one family covers its addresses one by one.
  if (kernel.local.address.is_unspecified() && kernel.v4 && kernel.v6) return {{IpAddress(), port}};
  std::vector<Endpoint> endpoints;
  for (const IpAddress& a : addresses) {
    const bool covered =
        kernel.local.address.is_unspecified() ? (a.is_v4() ? kernel.v4 : kernel.v6) : a == kernel.local.address;
    if (covered) endpoints.push_back({a, port});
  }
  return endpoints;
}

void Listeners::listen_in(stack::Stack& stack, const std::vector<IpAddress>& addresses, Instant now) {
  for (auto& [value, listener] : listeners_) {
    const std::vector<Endpoint> want = wanted(listener, addresses);
    std::vector<Endpoint>& have = listening_[value];
    for (std::size_t i = have.size(); i-- > 0;) {
      if (std::find(want.begin(), want.end(), have[i]) != want.end()) continue;
      stack.close_listener(listener.in_stack[i], now);
      const auto at = static_cast<std::ptrdiff_t>(i);
      listener.in_stack.erase(listener.in_stack.begin() + at);
      have.erase(have.begin() + at);
    }
    for (const Endpoint& e : want) {
      if (std::find(have.begin(), have.end(), e) != have.end()) continue;
      auto id = stack.listen(e, listener.backlog);
      if (!id) continue;  // another listener of this engine covers it (SO_REUSEADDR lets the kernel have both)
      stack.set_fast_open(*id, listener.fast_open);
      listener.in_stack.push_back(*id);
      have.push_back(e);
    }
  }
}

void Listeners::forget_stack() {
  for (auto& [value, listener] : listeners_) listener.in_stack.clear();
  listening_.clear();
}

std::set<std::uint16_t> Listeners::ports() const {
  std::set<std::uint16_t> ports;
  for (const auto& [value, listener] : listeners_) {
    if (!listener.in_stack.empty()) ports.insert(listener.kernel.local.port);
  }
  return ports;
}

bool Listeners::covers(std::uint16_t port, const std::vector<IpAddress>& addresses) const {
  std::set<IpAddress> covered;
  for (const auto& [value, endpoints] : listening_) {
    for (const Endpoint& e : endpoints) {
      if (e.port == port && e.address.is_unspecified()) return true;
      if (e.port == port) covered.insert(e.address);
    }
  }
  return std::all_of(addresses.begin(), addresses.end(), [&](const IpAddress& a) { return covered.contains(a); });
}

std::set<std::uint16_t> Listeners::partial_ports(const std::vector<IpAddress>& addresses) const {
  std::set<std::uint16_t> partial;
  for (std::uint16_t port : ports()) {
    if (!covers(port, addresses)) partial.insert(port);
  }
  return partial;
}

std::set<std::uint64_t> Listeners::inodes() const {
  std::set<std::uint64_t> inodes;
  for (const auto& [value, listener] : listeners_) {
    struct stat st {};
    if (::fstat(listener.kernel.socket.get(), &st) == 0) inodes.insert(static_cast<std::uint64_t>(st.st_ino));
  }
  return inodes;
}

void Listeners::abandon() {
  for (auto& [value, listener] : listeners_) listener.kernel.socket.reset();
}

}  // namespace weir::runtime
