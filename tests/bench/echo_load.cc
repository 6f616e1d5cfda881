// SPDX-License-Identifier: MIT
// A closed-loop load for an echo server, over kernel sockets: N connections, one request of a given size in flight on
// each. Prints requests per second and the latency's percentiles as JSON.
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string host = "127.0.0.1";
  std::string port = "7";
  std::size_t connections = 1;
  std::size_t size = 64;
  double seconds = 2;
  bool spin = false;  // poll without sleeping: what is measured is then the server, not this side's wake-up
};

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

int connect_to(const addrinfo& peer) {
  int fd = ::socket(peer.ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int on = 1;
  if (fd < 0 || ::connect(fd, peer.ai_addr, peer.ai_addrlen) != 0) fail("connect");
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

class Load {
 public:
  explicit Load(const Options& options) : options_(options), request_(options.size, 'x'), latencies_() {
    addrinfo hints{};
    addrinfo* found = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    if (int rc = ::getaddrinfo(options.host.c_str(), options.port.c_str(), &hints, &found); rc != 0)
      throw std::runtime_error(::gai_strerror(rc));
    std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, ::freeaddrinfo);
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    for (std::size_t i = 0; i < options.connections; ++i) {
      peers_.push_back({connect_to(*found), {}, 0});
      epoll_event interest{EPOLLIN, {.u64 = i}};
      if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, peers_.back().fd, &interest) != 0) fail("epoll_ctl");
    }
    latencies_.reserve(1 << 20);
  }

  void run() {
    for (auto& peer : peers_) send(peer);
    // A tenth of the time to warm up, uncounted.
    pump(options_.seconds / 10);
    latencies_.clear();
    double took = pump(options_.seconds);
    report(took);
  }

 private:
  struct Peer {
    int fd;
    Clock::time_point sent;
    std::size_t missing;
  };

  void send(Peer& peer) {
    peer.sent = Clock::now();
    peer.missing = options_.size;
    if (::send(peer.fd, request_.data(), request_.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request_.size()))
      fail("send");
  }

  void on_readable(Peer& peer) {
    std::array<char, 65536> buffer;
    ssize_t n = ::recv(peer.fd, buffer.data(), std::min(buffer.size(), peer.missing), MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) fail("recv");
    peer.missing -= static_cast<std::size_t>(n);
    if (peer.missing > 0) return;
    latencies_.push_back(std::chrono::duration<float, std::micro>(Clock::now() - peer.sent).count());
    send(peer);
  }

  double pump(double seconds) {
    auto start = Clock::now();
    auto end = start + std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
    std::array<epoll_event, 64> events;
    while (Clock::now() < end) {
      int n = ::epoll_wait(epoll_, events.data(), events.size(), options_.spin ? 0 : 100);
      for (int i = 0; i < n; ++i) on_readable(peers_[events[static_cast<std::size_t>(i)].data.u64]);
    }
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  void report(double took) {
    if (latencies_.empty()) throw std::runtime_error("no request was answered");
    std::sort(latencies_.begin(), latencies_.end());
    auto at = [&](double q) {
      return static_cast<double>(latencies_[static_cast<std::size_t>(q * static_cast<double>(latencies_.size() - 1))]);
    };
    std::printf("{\"requests_per_second\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"requests\":%zu}\n",
                static_cast<double>(latencies_.size()) / took, at(0.5), at(0.99), latencies_.size());
  }

  Options options_;
  std::string request_;
  std::vector<float> latencies_;
  std::vector<Peer> peers_;
  int epoll_ = -1;
};

}  // namespace

int main(int argc, char** argv) try {
  Options options;
  CLI::App app{"Closed-loop load for an echo server."};
  app.add_option("HOST", options.host)->required();
  app.add_option("PORT", options.port)->required();
  app.add_option("-c,--connections", options.connections);
  app.add_option("-s,--size", options.size, "bytes a request");
  app.add_option("-t,--seconds", options.seconds);
  app.add_flag("--spin", options.spin, "poll without sleeping");
  CLI11_PARSE(app, argc, argv);
  Load(options).run();
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "echo_load: %s\n", e.what());
  return 1;
}
