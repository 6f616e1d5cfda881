// SPDX-License-Identifier: MIT
// Congestion control outside the datapath: reports of the flow leave over a Unix datagram socket, and windows come back
// over it. What answers there is Reno; beside it runs the built-in one, over the same paths, in virtual time.
//
//   weir-off-path
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "off_path_reno.h"
#include "virtual_path.h"

using namespace weir;

namespace {

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  ~Socket() { ::close(fd_); }

  template <class Message>
  bool send(const Message& message) const {
    return ::send(fd_, &message, sizeof message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof message;
  }
  template <class Message>
  bool receive(Message& message) const {
    return ::recv(fd_, &message, sizeof message, MSG_DONTWAIT) == sizeof message;
  }

 private:
  int fd_;
};

// The engine's end.
class SocketChannel final : public tcp::Channel {
 public:
  // `wait` lets the algorithm answer: virtual time stands still for it.
  SocketChannel(int fd, std::function<void()> wait) : socket_(fd), wait_(std::move(wait)) {}
  bool send(const tcp::FlowReport& report) override {
    bool sent = socket_.send(report);
    wait_();
    return sent;
  }
  std::optional<tcp::FlowControl> receive(std::uint64_t flow) override {
    for (tcp::FlowControl c; socket_.receive(c);) latest_[c.flow] = c;
    auto it = latest_.find(flow);
    if (it == latest_.end()) return std::nullopt;
    tcp::FlowControl control = it->second;
    latest_.erase(it);
    return control;
  }

 private:
  Socket socket_;
  std::function<void()> wait_;
  std::map<std::uint64_t, tcp::FlowControl> latest_;
};

}  // namespace

int main() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) {
    std::perror("weir-off-path: socketpair");
    return 1;
  }
  Socket algorithm_end(ends[1]);
  examples::OffPathReno algorithm;
  // The algorithm's loop.
  auto serve = [&] {
    for (tcp::FlowReport report; algorithm_end.receive(report);) {
      if (auto control = algorithm.on_report(report)) algorithm_end.send(*control);
    }
  };
  SocketChannel channel(ends[0], serve);

  tcp::Config config;
  std::uint64_t flows = 0;
  config.controllers.add("off-path", [&] { return std::make_unique<tcp::OffPath>("off-path", channel, ++flows); });
  constexpr unsigned kSeeds = 10;
  for (double loss : {0.0, 0.001, 0.01}) {
    double built_in = 0, outside = 0;
    for (unsigned seed = 1; seed <= kSeeds; ++seed) {
      examples::Path path;
      path.loss = loss;
      path.seed = seed;
      config.congestion = "reno";
      built_in += examples::transfer(config, path, 10'000'000) / kSeeds;
      config.congestion = "off-path";
      outside += examples::transfer(config, path, 10'000'000) / kSeeds;
    }
    if (built_in == 0 || outside == 0) return 1;
    std::printf("loss %.1f %%: built in %.2f Mb/s, over the socket %.2f Mb/s, ratio %.3f\n", loss * 100, built_in / 1e6,
                outside / 1e6, outside / built_in);
  }
  return 0;
}
