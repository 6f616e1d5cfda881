// SPDX-License-Identifier: MIT
// Two stacks and a link between them on which the input decides what becomes of each frame (lost, late, twice, damaged,
// cut short), when time passes, and what both users call. Sought: memory errors, undefined behaviour, asserts, a byte
// that arrives twice, out of order or not at all, memory beyond the buffers' limits, an end that never comes.
//
// When the input is used up the link is good, both users say the rest of what they have to say and close: then each
// connection must end, whole or with an error, within bounded virtual time.
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/allocator_interface.h>
#define WEIR_FUZZ_COUNTS_MEMORY 1
#endif
#endif

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <numeric>
#include <optional>
#include <vector>

#include "script.h"
#include "weir/stack/stack.h"

namespace weir::stack {
namespace {

using fuzz::require;
using fuzz::Script;

constexpr std::uint16_t kPort = 80;
constexpr std::uint16_t kClientPort = 40'000;
constexpr std::size_t kMemory = 24u << 20;  // both stacks with two connections each, and the frames under way
constexpr Duration kLongest = Duration::seconds(4 * 3'600);

std::byte byte_of(unsigned stream, std::uint64_t i) {
  return static_cast<std::byte>(((i + 1) * 0x9e37'79b9u + stream * 0x85eb'ca6bu) >> 16);
}

// One user's end of a conversation.
struct End {
  ConnectionId id;
  unsigned out = 0;  // names the stream that it writes
  unsigned in = 0;
  std::uint64_t written = 0;
  std::uint64_t read = 0;
  bool shut = false;      // has said that it will write no more
  bool deaf = false;      // has said that it will read no more
  bool gone = false;      // has closed
  bool rude = false;      // has aborted, or closed with something unread or not yet sent
  bool finished = false;  // has seen the peer's end
};

struct Node {
  Node(const Config& base, std::uint8_t host) : config(base) {
    config.mac = MacAddress{{2, 0, 0, 0, 0, host}};
    stack.emplace(config, Secrets{{host}, {host}, {host}}, host, counters);
    std::array<IpAddress, 2> ours{address(Family::v4, host), address(Family::v6, host)};
    stack->set_local_addresses(ours);
  }
  static IpAddress address(Family family, std::uint8_t host) {
    if (family == Family::v4) return IpAddress::v4(192, 0, 2, host);
    return *IpAddress::parse(host == 1 ? "2001:db8::1" : "2001:db8::2");
  }
  Config config;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters{};
  std::optional<Stack> stack;
  std::multimap<Instant, std::vector<std::byte>> arriving;  // at this node
};

class World {
 public:
  explicit World(Script& script) : in_(script) {
    std::uint8_t a = in_.u8();
    std::uint8_t b = in_.u8();
    std::uint8_t c = in_.u8();
    fast_open_ = in_.flip();
    family_ = (a & 1) != 0 ? Family::v6 : Family::v4;
    Config base;
    base.max_connections = 8;
    base.max_replies = 8;
    base.mtu = (a & 2) != 0 ? 1'280 : 1'500;
    base.syn_cookies = (a & 4) != 0 ? SynCookies::always : SynCookies::on_overflow;
    cookies_ = (a & 4) != 0;
    base.tcp.timestamps = (a & 8) != 0;
    base.tcp.window_scale = (a & 16) != 0;
    base.tcp.receive_buffer = (a & 32) != 0 ? 6'000 : 150'000;
    base.tcp.send_buffer = (a & 64) != 0 ? 3'000 : 100'000;
    base.tcp.options.no_delay = (a & 128) != 0;
    base.tcp.sack = (c & 128) == 0;
    base.tcp.pacing = (c & 64) != 0;
    base.tcp.ecn = static_cast<tcp::EcnMode>((c >> 4) % 3);
    auto names = base.tcp.controllers.names();
    base.tcp.congestion = names[b % names.size()];
    for (std::uint8_t host : {std::uint8_t{1}, std::uint8_t{2}}) {
      Config own = base;
      if (host == 2) {
        own.tcp.congestion = names[(b >> 3) % names.size()];
        if ((b & 64) != 0) own.tcp.timestamps = !own.tcp.timestamps;
        if ((b & 128) != 0) own.tcp.receive_buffer = 20'000;
      }
      nodes_[host - 1].emplace(own, host);
    }
    delay_ = Duration::microseconds(std::int64_t{100} << (c % 16));
    listener_ = *nodes_[1]->stack->listen({IpAddress{}, kPort}, 4);
    if (fast_open_) fetch_cookie();
    ends_[0].id = connect(kClientPort);
    ends_[0].out = ends_[1].in = 1;
    ends_[0].in = ends_[1].out = 2;
    pump();
  }

  void run() {
    while (!in_.done()) {
      if (in_.u8() % 2 == 0) {
        call(in_.u8() & 1u);
      } else {
        pass(Duration::microseconds(static_cast<std::int64_t>(in_.u8()) << (in_.u8() % 17)));
      }
      pump();
    }
    finish();
  }

 private:
  Stack& stack(std::size_t side) { return *nodes_[side]->stack; }

  ConnectionId connect(std::uint16_t port) {
    auto opening = fast_open_ ? Opening::fast : Opening::handshake;
    return *stack(0).connect({Node::address(family_, 1), port}, {Node::address(family_, 2), kPort}, now_, nullptr,
                             opening);
  }
  // By a connection whose link is good, and that leaves nothing else behind.
  void fetch_cookie() {
    stack(1).set_fast_open(listener_, 2);
    good_ = true;
    ConnectionId id = connect(kClientPort - 1);
    pump();  // asks for the next hop
    pump();
    pass(4 * delay_);
    require(cookies_ || stack(1).fast_open_counts().cookies_given == 1);
    stack(0).abort(id, now_);
    pump();
    pass(4 * delay_);
    if (ends_[1].id) stack(1).close(ends_[1].id, now_);
    ends_[1] = {};
    pump();
    good_ = false;
  }

  // --- the link ---

  void send(std::size_t to, ConstBytes frame) {
    std::uint8_t fate = good_ || in_.done() ? std::uint8_t{0} : in_.u8();
    auto& arriving = nodes_[to]->arriving;
    require(arriving.size() < 20'000);
    std::vector<std::byte> copy(frame.begin(), frame.end());
    Instant at = now_ + delay_;
    switch (fate >> 4) {
      case 12:
        return;  // lost
      case 13: {
        // Damaged in one bit, behind the MACs: those are the FCS's matter.
        std::size_t i = 12 + in_.u16() % (copy.size() - 12);
        copy[i] ^= static_cast<std::byte>(1u << (fate & 7));
        break;
      }
      case 14:
        copy.resize(copy.size() - std::min<std::size_t>(copy.size() - 1, in_.u8()));
        break;
      case 15:
        arriving.emplace(at + Duration::microseconds(std::int64_t{in_.u8()} << (fate & 15)), copy);
        break;
      case 10:
      case 11:
        at += Duration::microseconds(std::int64_t{in_.u8()} << (fate & 15));
        break;
      default:
        break;
    }
    arriving.emplace(at, std::move(copy));
  }

  void answer_next_hops(std::size_t side) {
    while (auto query = stack(side).poll_next_hop_query()) {
      stack(side).on_next_hop(query->destination, {nodes_[1 - side]->config.mac, nodes_[side]->config.mtu}, now_);
    }
  }
  void pump() {
    std::size_t frames = 0;
    for (bool again = true; again;) {
      again = false;
      for (std::size_t side : {0u, 1u}) {
        answer_next_hops(side);
        std::array<std::byte, 1'600> buffer;
        TxFrame frame{buffer, 0};
        while (stack(side).poll_transmit({&frame, 1}, now_) == 1) {
          send(1 - side, ConstBytes(buffer).first(frame.length));
          require(++frames < 5'000);
          again = true;
        }
        events(side);
      }
    }
    check_memory();
  }
  Instant next() const {
    Instant at = Instant::never();
    for (const auto& node : nodes_) {
      at = std::min(at, node->stack->next_deadline());
      if (!node->arriving.empty()) at = std::min(at, node->arriving.begin()->first);
    }
    return at;
  }
  // What happens until then, in its order.
  void pass(Duration d) {
    Instant until = now_ + d;
    int still = 0;
    for (int turns = 0; next() <= until; ++turns) {
      require(turns < 100'000);
      Instant at = std::max(now_, next());
      still = at == now_ ? still + 1 : 0;
      require(still < 2'000);
      now_ = at;
      step();
    }
    now_ = until;
  }
  void step() {
    for (std::size_t side : {0u, 1u}) {
      Node& node = *nodes_[side];
      while (!node.arriving.empty() && node.arriving.begin()->first <= now_) {
        std::vector<std::byte> frame = std::move(node.arriving.begin()->second);
        node.arriving.erase(node.arriving.begin());
        frame.shrink_to_fit();
        std::uint64_t before = counted(node);
        node.stack->on_frame(frame, {}, now_);
        require(counted(node) == before + 1);
      }
      if (node.stack->next_deadline() <= now_) node.stack->on_deadline(now_);
    }
    pump();
  }
  static std::uint64_t counted(const Node& node) {
    return std::accumulate(node.counters.begin(), node.counters.end(), std::uint64_t{0});
  }

  // --- the users ---

  void events(std::size_t side) {
    while (auto event = stack(side).poll_event()) {
      if (!event->listener) continue;
      while (auto id = stack(side).accept(event->listener)) {
        // A cookie lets what was accepted and ended be accepted again, by a duplicate: RFC 4987 3.6's price, and RFC
        // 7413 6.1's.
        if (ends_[1].id) {
          require(cookies_ || fast_open_ || ends_[1].gone);
          stack(side).abort(*id, now_);
          continue;
        }
        ends_[1].id = *id;
      }
    }
  }
  void write(std::size_t side, std::size_t most) {
    End& e = ends_[side];
    if (!e.id || e.gone || e.shut) return;
    std::vector<std::byte> text(most);
    for (std::size_t i = 0; i < most; ++i) text[i] = byte_of(e.out, e.written + i);
    e.written += stack(side).write(e.id, text, now_);
  }
  void read(std::size_t side, std::size_t most) {
    End& e = ends_[side];
    if (!e.id || e.gone) return;
    std::vector<std::byte> to(most);
    std::size_t n = stack(side).read(e.id, to, now_);
    for (std::size_t i = 0; i < n; ++i) require(to[i] == byte_of(e.in, e.read + i));
    e.read += n;
    require(e.read <= ends_[1 - side].written);
    if (!e.deaf && stack(side).at_end(e.id)) e.finished = true;
  }
  void close(std::size_t side) {
    End& e = ends_[side];
    if (!e.id || e.gone) return;
    e.gone = true;
    if (!e.finished) e.rude = true;
    stack(side).close(e.id, now_);
  }

  void call(std::size_t side) {
    End& e = ends_[side];
    std::uint8_t what = in_.u8();
    if (!e.id || e.gone) return;
    switch (what % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
      case 4:
        write(side, in_.u16() % 30'000);
        break;
      case 5:
      case 6:
      case 7:
      case 8:
        read(side, in_.u16());
        break;
      case 9:
        e.shut = true;
        stack(side).shutdown_write(e.id, now_);
        break;
      case 10:
        if (in_.u8() % 8 != 0) break;
        e.deaf = true;
        stack(side).shutdown_read(e.id, now_);
        break;
      case 11:
        if (in_.u8() % 8 == 0) close(side);
        break;
      case 12:
        if (in_.u8() % 16 != 0) break;
        e.gone = e.rude = true;
        stack(side).abort(e.id, now_);
        break;
      case 13: {
        auto names = stack(side).congestion_controllers();
        stack(side).set_congestion_control(e.id, names[in_.u8() % names.size()], now_);
        break;
      }
      case 14: {
        std::uint8_t bits = in_.u8();
        tcp::Options o;
        o.no_delay = (bits & 1) != 0;
        o.cork = (bits & 2) != 0;
        o.keepalive = (bits & 4) != 0;
        o.keepalive_idle = Duration::seconds(1 + (bits >> 3));
        o.keepalive_interval = Duration::seconds(1);
        stack(side).set_options(e.id, o, now_);
        break;
      }
      default:
        if (in_.flip()) {
          stack(side).flush_next_hops();
        } else {
          auto least = static_cast<std::uint16_t>(family_ == Family::v4 ? 576 : 1'280);
          stack(side).set_link_mtu(static_cast<std::uint16_t>(least + in_.u8()), now_);
        }
    }
  }

  // --- what must hold ---

  void check_memory() {
    for (std::size_t side : {0u, 1u}) {
      require(stack(side).connections() <= nodes_[side]->config.max_connections);
      if (!ends_[side].id || ends_[side].gone) continue;
      tcp::Info info = stack(side).info(ends_[side].id, now_);
      require(info.receive_queue <= nodes_[side]->config.tcp.receive_buffer);
      require(info.send_queue <= nodes_[side]->config.tcp.send_buffer);
    }
#ifdef WEIR_FUZZ_COUNTS_MEMORY
    require(__sanitizer_get_current_allocated_bytes() - memory_ < kMemory);
#endif
  }

  bool failed(std::size_t side) { return stack(side).error(ends_[side].id) != tcp::Errc::none; }

  void finish() {
    Instant until = now_ + kLongest;
    for (std::size_t side : {0u, 1u}) write(side, 10'000);
    for (std::size_t side : {0u, 1u}) {
      // A window of a corked connection opens with its FIN; a user that is gone has nothing more to say.
      if (!ends_[side].id || ends_[side].gone) continue;
      ends_[side].shut = true;
      stack(side).shutdown_write(ends_[side].id, now_);
    }
    for (int turns = 0; stack(0).connections() + stack(1).connections() != 0; ++turns) {
      require(turns < 100'000);
      pump();
      for (std::size_t side : {0u, 1u}) {
        End& e = ends_[side];
        if (!e.id || e.gone) continue;
        read(side, 65'536);
        if (side == 1 && !e.shut) {
          write(side, 5'000);
          e.shut = true;
          stack(side).shutdown_write(e.id, now_);
        }
        if (failed(side) || e.finished || e.deaf || (ends_[1 - side].gone && ends_[1 - side].rude)) close(side);
      }
      pump();
      Instant at = next();
      if (at == Instant::never()) break;
      require(at <= until);
      now_ = std::max(now_, at);
      step();
      // A peer that has ended without a word that arrived leaves a user who waits; it gives up.
      if (ends_[0].gone && ends_[1].id && !ends_[1].gone && stack(0).connections() == 0) close(1);
      if (ends_[1].gone && ends_[0].id && !ends_[0].gone && stack(1).connections() == 0) close(0);
    }
    require(stack(0).connections() + stack(1).connections() == 0);
    for (std::size_t side : {0u, 1u}) {
      const End& e = ends_[side];
      // Who has seen the end has had every byte before it.
      if (e.finished) require(e.read == ends_[1 - side].written || ends_[1 - side].rude);
    }
  }

  Script& in_;
  Family family_ = Family::v4;
  std::array<std::optional<Node>, 2> nodes_;
  std::array<End, 2> ends_;
  ListenerId listener_;
  bool cookies_ = false;
  bool fast_open_ = false;
  bool good_ = false;  // whatever is sent arrives
  Duration delay_;
  Instant now_ = Instant::from_ns(7'000'000'000);
#ifdef WEIR_FUZZ_COUNTS_MEMORY
  std::size_t memory_ = __sanitizer_get_current_allocated_bytes();
#endif
};

}  // namespace
}  // namespace weir::stack

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::fuzz::Script script(weir::ConstBytes(reinterpret_cast<const std::byte*>(data), size));
  weir::stack::World(script).run();
  return 0;
}
