// SPDX-License-Identifier: MIT
// Just as much of HTTP (RFC 9112) as one who fetches /metrics needs.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "metrics.h"
#include "terminal.h"
#include "values.h"
#include "weir/control/heartbeat.h"

namespace weir::cli {
namespace {

constexpr std::size_t kMostConnections = 16;
constexpr std::size_t kMostRequest = 4096;
constexpr Duration kTimeout = Duration::seconds(5);
// What has been read is given to all who ask within so short a time: many who ask cost no more than one.
constexpr Duration kFresh = Duration::milliseconds(200);

struct Client {
  xdp::Fd fd;
  Instant until;
  std::string request;
  std::string answer;  // what is left to send
  bool answering = false;
  bool done = false;
};

std::string response(std::string_view status, std::string_view type, std::string_view body, bool head) {
  return fmt::format("HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}", status,
                     type, body.size(), status.substr(0, 3) == "405" ? "Allow: GET, HEAD\r\n" : "",
                     head ? std::string_view() : body);
}

class Server {
 public:
  Server(xdp::Fd listener, const std::function<Outcome<std::string>()>& text)
      : listener_(std::move(listener)), text_(text) {}

  Outcome<int> run() {
    Signals signals({SIGINT, SIGTERM});
    for (;;) {
      std::vector<pollfd> waiting = {{signals.fd(), POLLIN, 0}, {listener_.get(), POLLIN, 0}};
      Instant until = Instant::never();
      for (const Client& c : clients_) {
        waiting.push_back({c.fd.get(), static_cast<short>(c.answering ? POLLOUT : POLLIN), 0});
        until = std::min(until, c.until);
      }
      const std::int64_t left =
          clients_.empty() ? -1 : std::max<std::int64_t>((until - control::monotonic_now()).count_ms() + 1, 0);
      if (poll(waiting.data(), waiting.size(), static_cast<int>(left)) < 0 && errno != EINTR)
        return Err(xdp::system_error(errno, "waiting for requests"));
      if (signals.take() != 0) return kOk;
      const Instant now = control::monotonic_now();
      for (std::size_t i = 0; i < clients_.size(); ++i)
        if (waiting[i + 2].revents != 0) go_on(clients_[i]);
      clients_.erase(
          std::remove_if(clients_.begin(), clients_.end(), [&](const Client& c) { return c.done || now >= c.until; }),
          clients_.end());
      if (waiting[1].revents != 0) accept_one(now);
    }
  }

 private:
  void accept_one(Instant now) {
    xdp::Fd fd(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (!fd) return;
    // Those who hold their places and do not ask, or do not read, keep nobody out: the one who came first goes.
    if (clients_.size() >= kMostConnections) clients_.erase(clients_.begin());
    Client client;
    client.fd = std::move(fd);
    client.until = now + kTimeout;
    clients_.push_back(std::move(client));
  }

  void go_on(Client& client) {
    if (!client.answering) read_request(client);
    if (!client.answering) return;
    const ssize_t n = send(client.fd.get(), client.answer.data(), client.answer.size(), MSG_NOSIGNAL);
    if (n >= 0)
      client.answer.erase(0, static_cast<std::size_t>(n));
    else if (errno != EAGAIN && errno != EINTR)
      client.done = true;
    if (!client.answer.empty()) return;
    // What it has sent beyond the request would turn the close into a reset, and the answer might be lost.
    shutdown(client.fd.get(), SHUT_WR);
    std::array<char, 4096> rest;
    while (recv(client.fd.get(), rest.data(), rest.size(), 0) > 0) {}
    client.done = true;
  }

  void read_request(Client& client) {
    std::array<char, kMostRequest> buffer;
    const ssize_t n = recv(client.fd.get(), buffer.data(), buffer.size(), 0);
    if (n <= 0) {
      client.done = n == 0 || (errno != EAGAIN && errno != EINTR);
      return;
    }
    client.request.append(buffer.data(), static_cast<std::size_t>(n));
    if (client.request.find("\r\n\r\n") != std::string::npos || client.request.find("\n\n") != std::string::npos)
      answer(client);
    else if (client.request.size() > kMostRequest)
      say(client, response("431 Request Header Fields Too Large", "text/plain", "the request is too long\n", false));
  }

  void say(Client& client, std::string text) {
    client.answer = std::move(text);
    client.answering = true;
  }

  void answer(Client& client) {
    const std::string line = client.request.substr(0, client.request.find_first_of("\r\n"));
    const auto words = split(line, ' ');
    if (words.size() != 3 || words[2].substr(0, 7) != "HTTP/1.")
      return say(client, response("400 Bad Request", "text/plain", "not an HTTP/1.1 request\n", false));
    const bool head = words[0] == "HEAD";
    if (!head && words[0] != "GET")
      return say(client, response("405 Method Not Allowed", "text/plain", "GET or HEAD\n", false));
    const std::string_view path = words[1].substr(0, words[1].find('?'));
    if (path != "/metrics")
      return say(client, response("404 Not Found", "text/plain", "only /metrics is here\n", head));
    const Outcome<std::string>& text = fresh();
    if (!text) return say(client, response("503 Service Unavailable", "text/plain", text.error().message + "\n", head));
    say(client, response("200 OK", "text/plain; version=0.0.4; charset=utf-8", *text, head));
  }

  const Outcome<std::string>& fresh() {
    if (!last_ || control::monotonic_now() - read_at_ > kFresh) {
      last_ = text_();
      read_at_ = control::monotonic_now();
    }
    return *last_;
  }

  xdp::Fd listener_;
  const std::function<Outcome<std::string>()>& text_;
  std::vector<Client> clients_;
  std::optional<Outcome<std::string>> last_;
  Instant read_at_;
};

}  // namespace

std::string ListenAddress::to_string() const {
  return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port)
                         : fmt::format("[{}]:{}", address.to_string(), port);
}

Outcome<ListenAddress> parse_listen(std::string_view text) {
  ListenAddress out{IpAddress::v4(127, 0, 0, 1), 0};
  const auto wrong = [&] {
    return fail(fmt::format("'{}' is no address to listen at: write PORT, ADDRESS:PORT or [ADDRESS]:PORT", text),
                EINVAL);
  };
  const auto colon = text.rfind(':');
  std::string_view port = text;
  if (colon != std::string_view::npos) {
    std::string_view address = text.substr(0, colon);
    port = text.substr(colon + 1);
    const bool brackets = address.size() > 2 && address.front() == '[' && address.back() == ']';
    if (brackets) address = address.substr(1, address.size() - 2);
    const auto parsed = IpAddress::parse(address);
    if (!parsed || parsed->is_v4() == brackets) return wrong();
    out.address = *parsed;
  }
  const auto number = parse_number(port);
  if (!number || *number > 65535) return wrong();
  out.port = static_cast<std::uint16_t>(*number);
  return out;
}

Outcome<int> serve_metrics(const ListenAddress& at, const std::function<Outcome<std::string>()>& text,
                           const std::function<void(const ListenAddress&)>& listening) {
  sockaddr_storage address{};
  socklen_t length = 0;
  if (at.address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(at.port);
    std::memcpy(&v4.sin_addr, at.address.wire().data(), 4);
    length = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(at.port);
    std::memcpy(&v6.sin6_addr, at.address.wire().data(), 16);
    length = sizeof v6;
  }
  xdp::Fd listener(socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int yes = 1;
  auto* name = reinterpret_cast<sockaddr*>(&address);
  if (!listener || setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      bind(listener.get(), name, length) != 0 || listen(listener.get(), kMostConnections) != 0 ||
      getsockname(listener.get(), name, &length) != 0)
    return Err(xdp::system_error(errno, "listening at " + at.to_string()));
  ListenAddress bound = at;
  bound.port = ntohs(at.address.is_v4() ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                        : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
  listening(bound);
  return Server(std::move(listener), text).run();
}

}  // namespace weir::cli
