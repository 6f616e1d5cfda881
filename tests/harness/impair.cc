// SPDX-License-Identifier: MIT
// A link that misbehaves by count or by seeded chance: forwards frames between two interfaces of its namespace, with a
// rate, a queue and a delay, drops some, marks some with CE, and lets every m-th be overtaken by the three after it.
// What becomes of a segment depends on the seed and its number alone. Runs until SIGTERM, then prints what it did as
// JSON.
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <deque>
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

std::uint64_t now_ns() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

// splitmix64: what becomes of the n-th frame depends on the seed and n alone.
std::uint64_t mixed(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

struct Plan {
  std::uint64_t drop_every = 0;
  std::uint64_t reorder_every = 0;
  double loss = 0;  // percent, of TCP segments
  double mark = 0;  // percent, of packets that are ECN-capable
  std::uint64_t seed = 1;
  double delay_ms = 0;         // one way
  double rate_mbit = 0;        // 0: as fast as they come
  std::uint64_t queue = 1000;  // frames that may wait for the rate

  bool timed() const { return delay_ms > 0 || rate_mbit > 0; }
};

// An Ethernet frame's IP header, as far as this program looks into it.
class IpHeader {
 public:
  IpHeader(char* frame, std::size_t size) {
    constexpr std::size_t kEthernet = 14;
    if (size < kEthernet + 40) return;
    const auto* b = reinterpret_cast<unsigned char*>(frame);
    v4_ = b[12] == 0x08 && b[13] == 0x00;
    v6_ = b[12] == 0x86 && b[13] == 0xdd;
    ip_ = reinterpret_cast<unsigned char*>(frame) + kEthernet;
  }
  bool is_tcp() const { return (v4_ && ip_[9] == IPPROTO_TCP) || (v6_ && ip_[6] == IPPROTO_TCP); }
  bool is_ecn_capable() const { return (v4_ && (ip_[1] & 3) != 0) || (v6_ && (ip_[1] & 0x30) != 0); }
  // Congestion experienced (RFC 3168 5).
  void mark() {
    if (v6_) {
      ip_[1] |= 0x30;
      return;
    }
    // RFC 1624: HC' = ~(~HC + ~m + m').
    const auto before = static_cast<std::uint32_t>(ip_[0] << 8 | ip_[1]);
    ip_[1] |= 3;
    const auto after = static_cast<std::uint32_t>(ip_[0] << 8 | ip_[1]);
    const auto checksum = static_cast<std::uint32_t>(ip_[10] << 8 | ip_[11]);
    std::uint32_t sum = (~checksum & 0xffff) + (~before & 0xffff) + after;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    ip_[10] = static_cast<unsigned char>(~sum >> 8);
    ip_[11] = static_cast<unsigned char>(~sum);
  }

 private:
  unsigned char* ip_ = nullptr;
  bool v4_ = false;
  bool v6_ = false;
};

// One direction.
class Pipe {
 public:
  Pipe(int from, int to, const Plan& plan, std::uint64_t salt) : from_(from), to_(to), plan_(plan), salt_(salt) {}

  // Forwards what is queued, a bounded batch at a time so that the other direction has its turn.
  void pump() {
    for (int i = 0; i < 256; ++i) {
      ssize_t n = ::recv(from_, buffer_.data(), buffer_.size(), 0);
      if (n <= 0) return;
      on_frame(static_cast<std::size_t>(n));
    }
  }

  // Sends what is due; returns when the next frame is, or nothing.
  std::optional<std::uint64_t> deliver(std::uint64_t now) {
    while (!waiting_.empty() && waiting_.front().due <= now) {
      send(waiting_.front().bytes.data(), waiting_.front().bytes.size());
      waiting_.pop_front();
    }
    if (waiting_.empty()) return {};
    return waiting_.front().due;
  }

  // Nothing more came: what is held back goes now.
  void on_idle() { release(); }
  bool holding() const { return held_.has_value(); }

  std::uint64_t frames() const { return frames_; }
  std::uint64_t dropped() const { return dropped_; }
  std::uint64_t overflowed() const { return overflowed_; }
  std::uint64_t marked() const { return marked_; }
  std::uint64_t reordered() const { return reordered_; }

 private:
  struct Waiting {
    std::uint64_t sent;  // when it has left the queue: ns
    std::uint64_t due;   // when it arrives: ns
    std::vector<char> bytes;
  };

  bool chance(double percent, std::uint64_t which) const {
    if (percent <= 0) return false;
    const auto h = mixed(mixed(plan_.seed * 2 + salt_) + segments_ * 2 + which);
    return static_cast<double>(h >> 11) * 0x1p-53 * 100 < percent;
  }

  void on_frame(std::size_t size) {
    ++frames_;
    if (plan_.drop_every != 0 && frames_ % plan_.drop_every == 0) {
      ++dropped_;
      return;
    }
    IpHeader ip(buffer_.data(), size);
    if (ip.is_tcp()) {
      ++segments_;
      if (chance(plan_.loss, 0)) {
        ++dropped_;
        return;
      }
      if (ip.is_ecn_capable() && chance(plan_.mark, 1)) {
        ++marked_;
        ip.mark();
      }
    }
    if (plan_.reorder_every != 0 && frames_ % plan_.reorder_every == 0 && !held_) {
      held_.emplace(buffer_.begin(), buffer_.begin() + static_cast<std::ptrdiff_t>(size));
      overtaken_ = 0;
      return;
    }
    pass(buffer_.data(), size);
    if (held_ && ++overtaken_ == kOvertakers) {
      ++reordered_;
      release();
    }
  }

  void release() {
    if (!held_) return;
    pass(held_->data(), held_->size());
    held_.reset();
  }

  // Through the rate and the delay. A frame holds its place in the queue until it has left at the rate.
  void pass(const char* frame, std::size_t size) {
    if (!plan_.timed()) return send(frame, size);
    const std::uint64_t now = now_ns();
    queued_ = std::min(queued_, waiting_.size());
    while (queued_ > 0 && waiting_[waiting_.size() - queued_].sent <= now) --queued_;
    if (plan_.rate_mbit > 0 && queued_ >= plan_.queue) {
      ++overflowed_;
      return;
    }
    free_at_ = std::max(free_at_, now);
    if (plan_.rate_mbit > 0)
      free_at_ += static_cast<std::uint64_t>(static_cast<double>(size) * 8'000 / plan_.rate_mbit);
    waiting_.push_back({free_at_, free_at_ + static_cast<std::uint64_t>(plan_.delay_ms * 1e6), {frame, frame + size}});
    ++queued_;
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
  std::uint64_t salt_;
  std::array<char, 65536> buffer_{};
  std::optional<std::vector<char>> held_;
  unsigned overtaken_ = 0;
  std::deque<Waiting> waiting_;
  std::size_t queued_ = 0;  // of waiting_, those behind the rate: the last ones
  std::uint64_t free_at_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t segments_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint64_t overflowed_ = 0;
  std::uint64_t marked_ = 0;
  std::uint64_t reordered_ = 0;
};

void report(const char* name, const Pipe& pipe, const char* end) {
  std::printf("\"%s\":{\"frames\":%ju,\"dropped\":%ju,\"overflowed\":%ju,\"marked\":%ju,\"reordered\":%ju}%s", name,
              std::uintmax_t{pipe.frames()}, std::uintmax_t{pipe.dropped()}, std::uintmax_t{pipe.overflowed()},
              std::uintmax_t{pipe.marked()}, std::uintmax_t{pipe.reordered()}, end);
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{"Forwards frames between two interfaces, and impairs some."};
  std::string a;
  std::string b;
  Plan plan;
  app.add_option("A", a)->required();
  app.add_option("B", b)->required();
  app.add_option("--drop-every", plan.drop_every, "drop every N-th frame of each direction (0: none)");
  app.add_option("--reorder-every", plan.reorder_every, "let every N-th frame be overtaken by three (0: none)");
  app.add_option("--loss", plan.loss, "drop this percentage of TCP segments, by chance");
  app.add_option("--mark", plan.mark, "mark this percentage of ECN-capable segments with CE, by chance");
  app.add_option("--seed", plan.seed, "of the chances: the same seed decides the same for the n-th segment");
  app.add_option("--delay", plan.delay_ms, "milliseconds, one way");
  app.add_option("--rate", plan.rate_mbit, "Mbit/s");
  app.add_option("--queue", plan.queue, "frames that may wait for the rate; beyond it they are dropped");
  CLI11_PARSE(app, argc, argv);

  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigprocmask(SIG_BLOCK, &stop, nullptr);
  int stopped = ::signalfd(-1, &stop, SFD_CLOEXEC);

  int port_a = open_port(a);
  int port_b = open_port(b);
  Pipe there(port_a, port_b, plan, 0);
  Pipe back(port_b, port_a, plan, 1);
  std::puts("ready");
  std::fflush(stdout);
  for (;;) {
    std::array<pollfd, 3> fds{{{port_a, POLLIN, 0}, {port_b, POLLIN, 0}, {stopped, POLLIN, 0}}};
    const std::uint64_t now = now_ns();
    std::optional<std::uint64_t> due = there.deliver(now);
    if (const auto other = back.deliver(now); other && (!due || *other < *due)) due = other;
    constexpr std::uint64_t kHold = 2'000'000;  // ns
    std::optional<std::uint64_t> wait;
    if (due) wait = *due > now ? *due - now : 0;
    if (there.holding() || back.holding()) wait = std::min(wait.value_or(kHold), kHold);
    const timespec pause{static_cast<time_t>(wait.value_or(0) / 1'000'000'000),
                         static_cast<long>(wait.value_or(0) % 1'000'000'000)};
    const int ready = ::ppoll(fds.data(), fds.size(), wait ? &pause : nullptr, nullptr);
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
