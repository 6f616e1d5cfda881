// SPDX-License-Identifier: MIT
#include "weir/runtime/engine_socket.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace weir::runtime {

Answer whole_answer(std::string text) {
  return [text = std::move(text)](std::string& out, Instant) {
    out += text;
    return false;
  };
}

EngineSocket::~EngineSocket() {
  if (listener_ && !path_.empty()) ::unlink(path_.c_str());
}

xdp::Outcome<void> EngineSocket::open(const std::string& path) {
  const std::string what = "opening the engine's socket " + path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Err(xdp::system_error(ENAMETOOLONG, what));
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  const auto* where = reinterpret_cast<const sockaddr*>(&address);

  xdp::Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return Err(xdp::system_error(errno, what));
  if (::connect(probe.get(), where, sizeof address) == 0 || errno == EAGAIN) {
    return xdp::fail(what + ": another engine answers there", EADDRINUSE);
  }
  if (errno == ECONNREFUSED) ::unlink(path.c_str());

  listener_ = xdp::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!listener_) return Err(xdp::system_error(errno, what));
  // The file takes its mode from the socket's; set before bind, so that it is never wider.
  ::fchmod(listener_.get(), 0600);
  if (::bind(listener_.get(), where, sizeof address) != 0 || ::listen(listener_.get(), 16) != 0) {
    auto error = xdp::system_error(errno, what);
    listener_.reset();
    return Err(std::move(error));
  }
  path_ = path;
  ::chmod(path.c_str(), 0600);
  poll_ = xdp::Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!poll_ || !watch(listener_.get(), EPOLLIN, EPOLL_CTL_ADD)) return Err(xdp::system_error(errno, what));
  return {};
}

bool EngineSocket::watch(int fd, std::uint32_t events, int operation) {
  epoll_event e{};
  e.events = events;
  return ::epoll_ctl(poll_.get(), operation, fd, &e) == 0;
}

void EngineSocket::accept_clients(Instant now) {
  for (;;) {
    xdp::Fd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known = ::getsockopt(fd.get(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    if (!known || (peer.uid != 0 && peer.uid != ::geteuid())) continue;
    if (clients_.size() >= kMaxClients) {
      refuse(fd.get());
      continue;
    }
    if (!watch(fd.get(), EPOLLIN, EPOLL_CTL_ADD)) continue;
    clients_.push_back({std::move(fd), {}, {}, 0, {}, false, now + kPatience});
  }
}

void EngineSocket::refuse(int client) {
  const std::string words = R"({"ok":false,"error":")" + std::to_string(kMaxClients) +
                            " ask the engine at this moment, which is as many as may: ask again\"}\n";
  (void)::send(client, words.data(), words.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

void EngineSocket::serve(const std::function<Answer(const std::string&)>& answer, const Keep& keep, Instant now) {
  if (!listener_) return;
  accept_clients(now);
  clients_.remove_if([&](Client& c) { return !serve_client(c, answer, keep, now); });
}

void EngineSocket::take_piece(Client& client, Instant now) {
  client.out.clear();
  client.sent = 0;
  if (client.more(client.out, now)) return;
  client.out += '\n';
  client.more = nullptr;
}

bool EngineSocket::serve_client(Client& client, const std::function<Answer(const std::string&)>& answer,
                                const Keep& keep, Instant now) {
  if (!client.asked) {
    std::array<char, 1024> buffer;
    for (;;) {
      const ssize_t n = ::recv(client.socket.get(), buffer.data(), buffer.size(), 0);
      if (n < 0) return errno == EAGAIN || errno == EINTR;
      if (n == 0) return false;
      client.in.append(buffer.data(), static_cast<std::size_t>(n));
      const std::size_t end = client.in.find('\n');
      if (end == std::string::npos && client.in.size() <= kMaxRequest) continue;
      if (end == std::string::npos) return false;
      const std::string line = client.in.substr(0, end);
      const int fd = client.socket.get();
      if (keep(line, client.socket)) {
        (void)watch(fd, EPOLLIN | EPOLLRDHUP | EPOLLET, EPOLL_CTL_MOD);
        return false;
      }
      client.more = answer(line);
      client.asked = true;
      break;
    }
  }
  if (client.sent == client.out.size() && client.more) take_piece(client, now);
  while (client.sent < client.out.size()) {
    const ssize_t n = ::send(client.socket.get(), client.out.data() + client.sent, client.out.size() - client.sent,
                             MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) return (errno == EAGAIN || errno == EINTR) && watch(client.socket.get(), EPOLLOUT, EPOLL_CTL_MOD);
    client.sent += static_cast<std::size_t>(n);
    client.until = now + kPatience;
  }
  return client.more && watch(client.socket.get(), EPOLLOUT, EPOLL_CTL_MOD);
}

void EngineSocket::on_tick(Instant now) {
  clients_.remove_if([&](const Client& c) { return now > c.until; });
}

void EngineSocket::abandon() {
  path_.clear();
  poll_.reset();
  listener_.reset();
  for (Client& c : clients_) c.socket.reset();
}

}  // namespace weir::runtime
