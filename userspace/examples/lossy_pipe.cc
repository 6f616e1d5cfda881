// SPDX-License-Identifier: MIT
// Two hosts exchange data over a pipe that loses packets, in virtual time: no interface, no privileges, no clock. A
// minute of theirs is a moment of ours, and the same seed shows the same run, packet by packet.
//
//   weir-lossy-pipe [SEED [LOSS-PERCENT [MEGABYTES]]]
#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <random>
#include <vector>

#include "weir/harness/host.h"

using namespace weir;
using namespace weir::harness;

namespace {

// 10 ms each way, and every so many packets one is lost.
class Pipe {
 public:
  Pipe(unsigned seed, unsigned loss_percent) : random_(seed), loss_percent_(loss_percent) {}

  void carry(PacketQueue& from, PacketQueue& to) {
    while (auto packet = from.pop()) {
      if (random_() % 100 < loss_percent_) {
        ++lost_;
        continue;
      }
      to.push(packet->at + 10_ms, packet->bytes);
    }
  }
  std::size_t lost() const { return lost_; }

 private:
  std::mt19937 random_;
  unsigned loss_percent_;
  std::size_t lost_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  auto argument = [&](int i, unsigned otherwise) {
    return argc > i ? static_cast<unsigned>(std::strtoul(argv[i], nullptr, 10)) : otherwise;
  };
  const unsigned seed = argument(1, 1);
  const std::size_t total = std::size_t{argument(3, 1)} * 1'000'000;
  const Endpoint service{*IpAddress::parse("2001:db8::2"), 80};

  PacketQueue client_in, client_out, server_in, server_out;
  HostOptions options;
  options.seed = seed;
  options.addresses = {*IpAddress::parse("2001:db8::1")};
  Host client(options, client_in, client_out);
  options.addresses = {service.address};
  Host server(options, server_in, server_out);
  Pipe pipe(seed, argument(2, 2));

  int listener = *server.socket(Family::v6);
  if (!server.bind(listener, service) || !server.listen(listener, 16)) return 1;
  int sender = *client.socket(Family::v6);
  if (auto begun = client.connect(sender, service); begun.error() != std::errc::operation_in_progress) return 1;

  std::vector<std::byte> text(16'384, std::byte{'w'});
  std::array<std::byte, 16'384> buffer;
  std::size_t written = 0, received = 0;
  int receiver = -1;
  bool ended = false;
  while (!ended) {
    // What the two users do when their sockets are ready.
    while (written < total && (client.readiness(sender) & kWritable) != 0) {
      auto taken = client.write(sender, ConstBytes(text).first(std::min(text.size(), total - written)));
      if (!taken) {
        std::cerr << "write: " << taken.error().message() << '\n';
        return 1;
      }
      written += *taken;
      if (written == total && !client.shutdown(sender, Shutdown::write)) return 1;
    }
    if (receiver < 0 && (server.readiness(listener) & kReadable) != 0) receiver = *server.accept(listener);
    while (receiver >= 0 && !ended && (server.readiness(receiver) & kReadable) != 0) {
      auto got = server.read(receiver, buffer);
      if (!got) {
        std::cerr << "read: " << got.error().message() << '\n';
        return 1;
      }
      received += *got;
      ended = *got == 0;
    }
    // Then time goes on to whatever comes next, on either side.
    pipe.carry(client_out, server_in);
    pipe.carry(server_out, client_in);
    Instant next = std::min(client.next_event(), server.next_event());
    client.advance_to(next);
    server.advance_to(next);
  }

  tcp::Info info = *client.info(sender);
  auto took = (server.now() - options.start).count_ms();
  std::cout << received << " bytes in " << took << " ms of virtual time; " << pipe.lost() << " packets lost, "
            << info.retransmits << " retransmissions, srtt " << info.srtt.count_us() << " us\n";
  return received == total ? 0 : 1;
}
