// SPDX-License-Identifier: MIT
// A link that misbehaves by count, not by chance: forwards frames between two interfaces of its namespace, drops every
// n-th, and lets every m-th be overtaken by the three after it. Runs until SIGTERM, then prints what it did as JSON.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace {

constexpr unsigned kOvertakers = 3;

int open_port(const std::string& device) {
  int fd = ::socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw std::system_error(errno, std::generic_category(), "socket(AF_PACKET)");
  int on = 1;
  int buffer = 32 << 20;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = static_cast<int>(::if_nametoindex(device.c_str()));
  if (address.sll_ifindex == 0) throw std::runtime_error("no interface " + device);
  packet_mreq all{};
  all.mr_ifindex = address.sll_ifindex;
  all.mr_type = PACKET_MR_PROMISC;
  if (::setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on) != 0 ||
      ::setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer) != 0 ||
      ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &all, sizeof all) != 0)
    throw std::system_error(errno, std::generic_category(), device);
  return fd;
}

struct Plan {
  std::uint64_t drop_every = 0;
  std::uint64_t reorder_every = 0;
};

// One direction.
class Pipe {
 public:
  Pipe(int from, int to, const Plan& plan) : from_(from), to_(to), plan_(plan) {}

  // Forwards what is queued, a bounded batch at a time so that the other direction has its turn.
  void pump() {
    for (int i = 0; i < 256; ++i) {
      ssize_t n = ::recv(from_, buffer_.data(), buffer_.size(), 0);
      if (n <= 0) return;
      on_frame(static_cast<std::size_t>(n));
    }
  }

  // Nothing more came: what is held back goes now.
  void on_idle() { release(); }
  bool holding() const { return held_.has_value(); }

  std::uint64_t frames() const { return frames_; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t reordered() const { return reordered_; }

 private:
  void on_frame(std::size_t size) {
    ++frames_;
    if (plan_.drop_every != 0 && frames_ % plan_.drop_every == 0) {
      ++dropped_;
      return;
    }
    if (plan_.reorder_every != 0 && frames_ % plan_.reorder_every == 0 && !held_) {
      held_.emplace(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(size));
      overtaken_ = 0;
      return;
    }
    send(buffer_.data(), size);
    if (held_ && ++overtaken_ == kOvertakers) {
      ++reordered_;
      release();
    }
  }

  void release() {
    if (!held_) return;
    send(held_->data(), held_->size());
    held_.reset();
  }

  // Waits for room: only the plan drops.
  void send(const char* frame, std::size_t size) {
    while (::send(to_, frame, size, 0) < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
      pollfd room{to_, POLLOUT, 0};
      ::poll(&room, 1, 10);
    }
  }

  int from_;
  int to_;
  Plan plan_;
  std::array<char, 65536> buffer_{};
  std::optional<std::vector<char>> held_;
  unsigned overtaken_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t reordered_ = 0;
};

void report(const char* name, const Pipe& pipe, const char* end) {
  std::printf("\"%s\":{\"frames\":%ju,\"dropped\":%ju,\"reordered\":%ju}%s", name,
              static_cast<std::uintmax_t>(pipe.frames()), static_cast<std::uintmax_t>(pipe.dropped()),
              static_cast<std::uintmax_t>(pipe.reordered()), end);
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{"Forwards frames between two interfaces, dropping and reordering some by count."};
  std::string a;
  std::string b;
  Plan plan;
  app.add_option("A", a)->required();
  app.add_option("B", b)->required();
  app.add_option("--drop-every", plan.drop_every, "drop every N-th frame of each direction (0: none)");
  app.add_option("--reorder-every", plan.reorder_every, "let every N-th frame be overtaken by three (0: none)");
  CLI11_PARSE(app, argc, argv);

  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  int stopped = ::signalfd(-1, &stop, SFD_CLOEXEC);

  int port_a = open_port(a);
  int port_b = open_port(b);
  Pipe there(port_a, port_b, plan);
  Pipe back(port_b, port_a, plan);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    std::array<pollfd, 3> fds{{{port_a, POLLIN, 0}, {port_b, POLLIN, 0}, {stopped, POLLIN, 0}}};
    int ready = ::poll(fds.data(), fds.size(), there.holding() || back.holding() ? 2 : -1);
    if ((fds[2].revents & POLLIN) != 0) break;
    if (ready == 0) {
      there.on_idle();
      back.on_idle();
    }
    there.pump();
    back.pump();
  }
  std::fputs("{", stdout);
  report(a.c_str(), there, ",");
  report(b.c_str(), back, "}\n");
  return 0;
} catch (const std::exception& e) {
  std::fprintf(stderr, "impair: %s\n", e.what());
  return 1;
}
