// SPDX-License-Identifier: MIT
// A transfer between two hosts in virtual time, over a path with one bottleneck: what the examples of congestion
// control measure themselves with.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <vector>

#include "weir/harness/host.h"

namespace weir::examples {

struct Path {
  double rate = 1.25e6;  // bytes a second; each way
  Duration delay = Duration::milliseconds(20);
  double buffer = 50'000;  // bytes that may wait for the rate
  double loss = 0;         // probability, of each packet of the sender
  unsigned seed = 1;
};

class Bottleneck {
 public:
  Bottleneck(const Path& path, double loss) : path_(path), loss_(loss), random_(path.seed) {}

  void carry(harness::PacketQueue& from, harness::PacketQueue& to) {
    while (auto packet = from.pop()) {
      Instant begins = std::max(free_at_, packet->at);
      double waiting = static_cast<double>((begins - packet->at).count_ns()) * 1e-9 * path_.rate;
      if (waiting > path_.buffer) continue;
      auto takes = static_cast<std::int64_t>(static_cast<double>(packet->bytes.size()) * 1e9 / path_.rate);
      free_at_ = begins + Duration::nanoseconds(takes);
      if (std::uniform_real_distribution<>(0, 1)(random_) < loss_) continue;
      to.push(free_at_ + path_.delay, packet->bytes);
    }
  }

 private:
  Path path_;
  double loss_;
  std::mt19937 random_;
  Instant free_at_;
};

// Sends `bytes` from a host with this configuration; the goodput in bits a second, or 0 where it failed.
inline double transfer(tcp::Config config, const Path& path, std::size_t bytes) {
  config.send_buffer = config.receive_buffer = 4 * 1024 * 1024;
  harness::PacketQueue client_in, client_out, server_in, server_out;
  harness::HostOptions options;
  options.tcp = config;
  options.addresses = {*IpAddress::parse("2001:db8::1")};
  harness::Host client(options, client_in, client_out);
  options.addresses = {*IpAddress::parse("2001:db8::2")};
  harness::Host server(options, server_in, server_out);
  Bottleneck there(path, path.loss), back(path, 0);

  const Endpoint service{options.addresses[0], 80};
  int listener = *server.socket(Family::v6), sender = *client.socket(Family::v6), receiver = -1;
  if (!server.bind(listener, service) || !server.listen(listener, 1)) return 0;
  if (client.connect(sender, service).error() != std::errc::operation_in_progress) return 0;
  std::vector<std::byte> text(16'384), buffer(65'536);
  std::size_t written = 0, received = 0;
  while (received < bytes) {
    while (written < bytes && (client.readiness(sender) & harness::kWritable) != 0) {
      auto taken = client.write(sender, ConstBytes(text).first(std::min(text.size(), bytes - written)));
      if (!taken) return 0;
      written += *taken;
    }
    if (receiver < 0 && (server.readiness(listener) & harness::kReadable) != 0) receiver = *server.accept(listener);
    while (receiver >= 0 && (server.readiness(receiver) & harness::kReadable) != 0) {
      auto got = server.read(receiver, buffer);
      if (!got) return 0;
      received += *got;
    }
    there.carry(client_out, server_in);
    back.carry(server_out, client_in);
    Instant next = std::min(client.next_event(), server.next_event());
    client.advance_to(next);
    server.advance_to(next);
  }
  return static_cast<double>(received) * 8e9 / static_cast<double>((server.now() - options.start).count_ns());
}

}  // namespace weir::examples
