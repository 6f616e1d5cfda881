// SPDX-License-Identifier: MIT
// Two stacks back to back in memory, without a link between them: what the engine itself costs. Bytes and requests are
// those of both stacks on one CPU; time within is virtual.
#include <benchmark/benchmark.h>
#include <malloc.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "weir/stack/stack.h"

namespace weir::stack {
namespace {

constexpr std::uint16_t kPort = 80;
constexpr std::uint16_t kPorts = 2;  // of the server, from kPort on: a client has not enough of its own for 100,000
constexpr std::size_t kBatch = 32;

IpAddress address(Family family, std::uint8_t host) {
  if (family == Family::v4) return IpAddress::v4(192, 0, 2, host);
  return *IpAddress::parse(host == 1 ? "2001:db8::1" : "2001:db8::2");
}
MacAddress mac(std::uint8_t host) { return {{2, 0, 0, 0, 0, host}}; }

struct Node {
  Node(std::uint8_t host, const Config& base) : config(base), buffers(kBatch, std::vector<std::byte>(base.mtu + 14u)) {
    config.mac = mac(host);
    stack = std::make_unique<Stack>(config, Secrets{{host}, {host}, {}}, host, counters);
    std::array<IpAddress, 2> ours{address(Family::v4, host), address(Family::v6, host)};
    stack->set_local_addresses(ours);
    for (auto& b : buffers) frames.push_back({b, 0});
  }
  Config config;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters{};
  std::unique_ptr<Stack> stack;
  std::vector<std::vector<std::byte>> buffers;
  std::vector<TxFrame> frames;
};

class Wire {
 public:
  explicit Wire(Family family, const Config& base = {}) : family_(family), a(1, base), b(2, base) {
    for (std::uint16_t i = 0; i < kPorts; ++i) {
      listeners_[i] = *b.stack->listen({IpAddress{}, static_cast<std::uint16_t>(kPort + i)}, 1'024);
    }
  }

  // All that is due crosses; true where anything did.
  bool turn() {
    now += Duration::microseconds(5);
    bool moved = cross(a, b);
    moved = cross(b, a) || moved;
    for (Node* n : {&a, &b}) {
      if (n->stack->next_deadline() <= now) n->stack->on_deadline(now);
    }
    return moved;
  }
  struct Pair {
    ConnectionId client;
    ConnectionId server;
  };
  // To the server's port kPort + `to`.
  Pair connect(std::uint16_t port, std::uint16_t to = 0) {
    Pair p;
    p.client = *a.stack->connect({address(family_, 1), port},
                                 {address(family_, 2), static_cast<std::uint16_t>(kPort + to)}, now);
    while (!p.server) {
      turn();
      if (auto id = b.stack->accept(listeners_[to])) p.server = *id;
    }
    a.stack->set_no_delay(p.client, true);
    b.stack->set_no_delay(p.server, true);
    return p;
  }

 private:
  bool cross(Node& from, Node& to) {
    while (auto q = from.stack->poll_next_hop_query()) {
      from.stack->on_next_hop(q->destination, {to.config.mac, from.config.mtu}, now);
    }
    std::size_t n = from.stack->poll_transmit(from.frames, now);
    for (std::size_t i = 0; i < n; ++i) {
      to.stack->on_frame(ConstBytes(from.buffers[i]).first(from.frames[i].length), {}, now);
    }
    while (from.stack->poll_event()) {}
    return n > 0;
  }

  Family family_;

 public:
  Node a;
  Node b;
  Instant now = Instant::from_ns(1'000'000'000);

 private:
  std::array<ListenerId, kPorts> listeners_;
};

Family family_of(const benchmark::State& state) { return state.range(0) == 4 ? Family::v4 : Family::v6; }

// One connection, as fast as it goes.
void bulk(benchmark::State& state) {
  Config config;
  config.mtu = static_cast<std::uint16_t>(state.range(1));
  Wire wire(family_of(state), config);
  auto pair = wire.connect(10'000);
  std::vector<std::byte> out(64 * 1'024);
  std::vector<std::byte> in(64 * 1'024);
  std::uint64_t bytes = 0;
  for (auto _ : state) {
    wire.a.stack->write(pair.client, out, wire.now);
    wire.turn();
    while (std::size_t n = wire.b.stack->read(pair.server, in, wire.now)) bytes += n;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
  state.counters["retransmits"] = wire.a.stack->info(pair.client, wire.now).retransmits;
}
BENCHMARK(bulk)->ArgNames({"ip", "mtu"})->Args({4, 1'500})->Args({6, 1'500})->Args({4, 9'000});

// 64 bytes there and back, one in flight on each connection.
void requests(benchmark::State& state) {
  Wire wire(family_of(state));
  auto connections = static_cast<std::uint16_t>(state.range(1));
  std::vector<Wire::Pair> pairs;
  for (std::uint16_t i = 0; i < connections; ++i) pairs.push_back(wire.connect(static_cast<std::uint16_t>(10'000 + i)));
  std::array<std::byte, 64> request{};
  std::array<std::byte, 64> buffer;
  for (const auto& p : pairs) wire.a.stack->write(p.client, request, wire.now);
  std::uint64_t answered = 0;
  for (auto _ : state) {
    wire.turn();
    for (const auto& p : pairs) {
      if (wire.b.stack->readable_bytes(p.server) != 0) {
        std::size_t n = wire.b.stack->read(p.server, buffer, wire.now);
        wire.b.stack->write(p.server, ConstBytes(buffer).first(n), wire.now);
      }
      if (wire.a.stack->readable_bytes(p.client) != 0) {
        std::size_t n = wire.a.stack->read(p.client, buffer, wire.now);
        wire.a.stack->write(p.client, ConstBytes(buffer).first(n), wire.now);
        ++answered;
      }
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(answered));
}
BENCHMARK(requests)->ArgNames({"ip", "connections"})->Args({4, 1})->Args({4, 64})->Args({6, 64});

// Handshake, one small request, its answer, both closes.
void short_connections(benchmark::State& state) {
  Config config;
  config.tcp.time_wait = Duration::milliseconds(1);
  Wire wire(family_of(state), config);
  std::array<std::byte, 64> text{};
  std::uint16_t port = 0;
  for (auto _ : state) {
    port = static_cast<std::uint16_t>(port % 50'000 + 1);
    auto p = wire.connect(port);
    wire.a.stack->write(p.client, text, wire.now);
    while (wire.b.stack->readable_bytes(p.server) == 0) wire.turn();
    wire.b.stack->read(p.server, text, wire.now);
    wire.b.stack->write(p.server, text, wire.now);
    wire.b.stack->shutdown_write(p.server, wire.now);
    while (!wire.a.stack->at_end(p.client)) {
      wire.turn();
      wire.a.stack->read(p.client, text, wire.now);
    }
    wire.a.stack->close(p.client, wire.now);
    while (!wire.b.stack->at_end(p.server)) wire.turn();
    wire.b.stack->close(p.server, wire.now);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(short_connections)->ArgNames({"ip"})->Arg(4)->Arg(6);

// What an established connection that has said something each way and is silent now holds, on one side: all that both
// stacks have on the heap more than before, the allocator's overhead and the tables included. It is to stay below
// 1,024.
void idle_connection_memory(benchmark::State& state) {
  constexpr std::uint16_t kEach = 50'000;  // of each port of the server
  double bytes_each = 0;
  for (auto _ : state) {
    Config config;
    config.max_connections = kPorts * kEach + 1;
    Wire wire(Family::v4, config);
    wire.connect(1);
    struct mallinfo2 before = mallinfo2();
    std::array<std::byte, 64> text{};
    for (std::uint16_t to = 0; to < kPorts; ++to) {
      for (std::uint16_t i = 0; i < kEach; ++i) {
        auto p = wire.connect(static_cast<std::uint16_t>(10'000 + i), to);
        wire.a.stack->write(p.client, text, wire.now);
        while (wire.b.stack->read(p.server, text, wire.now) == 0) wire.turn();
        wire.b.stack->write(p.server, text, wire.now);
        while (wire.a.stack->read(p.client, text, wire.now) == 0) wire.turn();
      }
    }
    // A minute of silence.
    for (int s = 0; s < 60; ++s) {
      wire.now += Duration::seconds(1);
      while (wire.turn()) {}
    }
    struct mallinfo2 after = mallinfo2();
    bytes_each = static_cast<double>((after.uordblks + after.hblkhd) - (before.uordblks + before.hblkhd)) /
                 (2.0 * kPorts * kEach);
    if (wire.a.stack->flows(10'000) == 0 || wire.b.stack->connections() != kPorts * kEach + 1) {
      state.SkipWithError("connections were lost");
    }
  }
  state.counters["connections"] = kPorts * kEach;
  state.counters["bytes_each"] = bytes_each;
}
BENCHMARK(idle_connection_memory)->Iterations(1)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace weir::stack

BENCHMARK_MAIN();
