// SPDX-License-Identifier: MIT
#include "runtime_world.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <stdexcept>

#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"
#include "weir/control/steer.h"
#include "weir/runtime/socket_address.h"

namespace weir::testing {

namespace {

constexpr Duration kPatience = Duration::seconds(10);

template <class T>
T must(xdp::Outcome<T> outcome) {
  if (!outcome) throw std::runtime_error(outcome.error().message);
  return std::move(outcome).value();
}
xdp::Fd begin_connect(const std::string& remote, std::uint16_t port) {
  auto address = runtime::to_socket_address({IpAddress::parse(remote).value(), port});
  xdp::Fd fd(::socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) throw std::runtime_error("socket");
  if (::connect(fd.get(), address.get(), address.size) != 0 && errno != EINPROGRESS) {
    throw std::runtime_error("connect: " + std::string(std::strerror(errno)));
  }
  return fd;
}

}  // namespace

std::byte pattern(std::size_t offset, unsigned seed) {
  return static_cast<std::byte>((offset * 31 + offset / 251 + seed * 17) & 0xff);
}

EchoClient::EchoClient(const std::string& remote, std::uint16_t port, std::size_t size, unsigned seed)
    : EchoClient(begin_connect(remote, port), size, seed) {}

EchoClient::EchoClient(xdp::Fd socket, std::size_t size, unsigned seed)
    : fd_(std::move(socket)), size_(size), seed_(seed) {}

void EchoClient::step() {
  if (error_ != 0) return;
  if (!connected_) {
    pollfd p{fd_.get(), POLLOUT, 0};
    if (::poll(&p, 1, 0) == 0) return;
    socklen_t size = sizeof error_;
    ::getsockopt(fd_.get(), SOL_SOCKET, SO_ERROR, &error_, &size);
    if (error_ != 0) return;
    connected_ = true;
  }
  std::array<std::byte, 16'384> buffer;
  while (sent_ < size_) {
    const std::size_t n = std::min(buffer.size(), size_ - sent_);
    for (std::size_t i = 0; i < n; ++i) buffer[i] = pattern(sent_ + i, seed_);
    const ssize_t done = ::send(fd_.get(), buffer.data(), n, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (done < 0) {
      if (errno != EAGAIN) error_ = errno;
      break;
    }
    sent_ += static_cast<std::size_t>(done);
  }
  for (;;) {
    const ssize_t n = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (n < 0) {
      if (errno != EAGAIN) error_ = errno;
      return;
    }
    if (n == 0) {
      if (received_ < size_) error_ = EPIPE;
      return;
    }
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      if (buffer[i] != pattern(received_++, seed_)) error_ = EILSEQ;
    }
  }
}

EchoServer::EchoServer(runtime::Engine& engine, const Endpoint& local, const runtime::ListenOptions& options)
    : engine_(engine) {
  listener_ = must(engine.listen(local, options));
  port_ = engine.local_endpoint(listener_).port;
}

void EchoServer::on_event(const runtime::EngineEvent& event) {
  switch (event.kind) {
    case runtime::EngineEvent::Kind::acceptable:
      if (!(event.listener == listener_)) return;
      while (auto id = engine_.accept(listener_)) {
        ++by_engine_;
        flows_.push_back({*id, {}});
      }
      break;
    case runtime::EngineEvent::Kind::lost:
      ++lost_;
      flows_.clear();
      break;
    case runtime::EngineEvent::Kind::connection:
      break;
  }
}

void EchoServer::serve(Flow& flow) {
  stack::Stack& stack = *engine_.stack();
  const Instant now = runtime::Engine::now();
  std::array<std::byte, 16'384> buffer;
  for (;;) {
    while (!flow.waiting.empty()) {
      const std::size_t n = stack.write(flow.id, flow.waiting, now);
      if (n == 0) return;
      flow.waiting.erase(flow.waiting.begin(), flow.waiting.begin() + static_cast<std::ptrdiff_t>(n));
    }
    const std::size_t n = stack.read(flow.id, buffer, now);
    if (n == 0) break;
    flow.waiting.assign(buffer.begin(), buffer.begin() + static_cast<std::ptrdiff_t>(n));
  }
  if (stack.at_end(flow.id) || stack.error(flow.id) != tcp::Errc::none) {
    stack.close(flow.id, now);
    flow.id = {};
  }
}

void EchoServer::step() {
  if (engine_.stack() != nullptr) {
    for (Flow& f : flows_) serve(f);
    flows_.erase(std::remove_if(flows_.begin(), flows_.end(), [](const Flow& f) { return !f.id; }), flows_.end());
  }
  for (;;) {
    xdp::Fd fd(::accept4(engine_.kernel_descriptor(listener_), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!fd) break;
    ++by_kernel_;
    plain_.push_back({std::move(fd), {}});
  }
  std::array<std::byte, 16'384> buffer;
  for (Plain& p : plain_) {
    for (;;) {
      if (!p.waiting.empty()) {
        const ssize_t n = ::send(p.fd.get(), p.waiting.data(), p.waiting.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n <= 0) break;
        p.waiting.erase(p.waiting.begin(), p.waiting.begin() + n);
        continue;
      }
      const ssize_t n = ::recv(p.fd.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n == 0 || (n < 0 && errno != EAGAIN)) p.fd.reset();
      if (n <= 0) break;
      p.waiting.assign(buffer.begin(), buffer.begin() + n);
    }
  }
  plain_.erase(std::remove_if(plain_.begin(), plain_.end(), [](const Plain& p) { return !p.fd; }), plain_.end());
}

std::vector<int> EchoServer::descriptors() const {
  std::vector<int> fds{engine_.kernel_descriptor(listener_)};
  for (const Plain& p : plain_) fds.push_back(p.fd.get());
  return fds;
}

bool run_until(runtime::Engine& engine, const std::vector<Party*>& parties, const std::function<bool()>& done,
               const std::function<void(const runtime::EngineEvent&)>& on_event) {
  const Instant give_up = runtime::Engine::now() + kPatience;
  for (;;) {
    engine.turn();
    while (auto e = engine.poll_event()) {
      for (Party* p : parties) {
        if (auto* server = dynamic_cast<EchoServer*>(p)) server->on_event(*e);
      }
      if (on_event) on_event(*e);
    }
    for (Party* p : parties) p->step();
    engine.flush();
    if (done()) return true;
    const Instant now = runtime::Engine::now();
    if (now >= give_up) return false;

    std::vector<pollfd> fds{{engine.descriptor(), POLLIN, 0}};
    for (Party* p : parties) {
      for (int fd : p->descriptors()) fds.push_back({fd, POLLIN, 0});
    }
    // A party may wait for room to write: a short look at the latest.
    const std::int64_t left = std::min((engine.next_deadline() - now).count_ns(), std::int64_t{2'000'000});
    const timespec wait{0, std::max<std::int64_t>(left, 0)};
    ::ppoll(fds.data(), fds.size(), &wait, nullptr);
  }
}

void attach_here(bool bypass_firewall) {
  control::AttachOptions options;
  options.interface = "veth0";
  options.bypass_firewall = bypass_firewall;
  must(control::attach(options));
}

control::DetachReport detach_here() {
  control::DetachOptions options;
  options.interface = "veth0";
  options.force = true;
  return must(control::detach(options));
}

control::Instance instance_here() { return must(control::Instance::open("veth0")); }

void steer_here(std::uint16_t port) {
  auto instance = instance_here();
  auto lock = must(control::Lock::acquire());
  must(control::steer_add(instance.maps(), {control::Protocol::tcp, port}, control::Absent::pass,
                          control::Purpose::serve, control::monotonic_now()));
}

}  // namespace weir::testing
