// SPDX-License-Identifier: MIT
// A stack whose peer is the test: segments go in as values, and what comes out is parsed, checked and compared as text.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "weir/stack/stack.h"
#include "weir/wire/ethernet.h"
#include "weir/wire/icmp.h"
#include "weir/wire/ip_packet.h"
#include "weir/wire/tcp.h"

namespace weir::stack {

inline const MacAddress kOurMac{{2, 0, 0, 0, 0, 1}};
inline const MacAddress kPeerMac{{2, 0, 0, 0, 0, 2}};
inline const MacAddress kRouterMac{{2, 0, 0, 0, 0, 3}};

inline IpAddress us(Family f) {
  return f == Family::v4 ? IpAddress::v4(192, 0, 2, 1) : *IpAddress::parse("2001:db8::1");
}
inline IpAddress peer(Family f) {
  return f == Family::v4 ? IpAddress::v4(192, 0, 2, 2) : *IpAddress::parse("2001:db8::2");
}

inline wire::TcpFlags flags(std::string_view letters) {
  wire::TcpFlags f;
  for (char c : letters) {
    f |= c == 'F'   ? wire::kFin
         : c == 'S' ? wire::kSyn
         : c == 'R' ? wire::kRst
         : c == 'P' ? wire::kPsh
         : c == 'A' ? wire::kAck
         : c == 'U' ? wire::kUrg
         : c == 'E' ? wire::kEce
         : c == 'W' ? wire::kCwr
                    : wire::TcpFlags{};
  }
  return f;
}
inline std::string letters(wire::TcpFlags f) {
  std::string s;
  if (f.syn()) s += 'S';
  if (f.fin()) s += 'F';
  if (f.rst()) s += 'R';
  if (f.psh()) s += 'P';
  if (f.ack()) s += 'A';
  if (f.ece()) s += 'E';
  if (f.cwr()) s += 'W';
  return s;
}

// What the peer sends.
struct In {
  std::string_view flags;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::size_t text = 0;  // bytes of it
  std::uint16_t window = 65'535;
  std::uint16_t port = 40'000;
  std::uint16_t to_port = 80;
  wire::TcpOptions options{};
  wire::Ecn ecn = wire::Ecn::not_ect;
};

// What the stack has sent.
struct Out {
  MacAddress to;
  IpAddress src;
  IpAddress dst;
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  wire::TcpFlags flags;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  std::uint16_t window = 0;
  wire::TcpOptions options;
  std::vector<std::byte> cookie{};  // what options.fast_open is, if any
  std::size_t text = 0;
  std::uint16_t ip_id = 0;
  wire::Ecn ecn = wire::Ecn::not_ect;

  // "SA 5:5(0) ack 101"
  std::string describe() const {
    std::string s = letters(flags) + " " + std::to_string(seq) + ":" +
                    std::to_string(seq + static_cast<std::uint32_t>(text)) + "(" + std::to_string(text) + ")";
    return flags.ack() ? s + " ack " + std::to_string(ack) : s;
  }
};

class StackFixture : public testing::Test {
 protected:
  explicit StackFixture(Family f = Family::v4) : family(f) {}

  void start(const Config& c = default_config()) {
    config = c;
    stack.emplace(config, Secrets{{1}, {2}, {3}}, 7, counters);
    std::array<IpAddress, 2> ours{us(Family::v4), us(Family::v6)};
    stack->set_local_addresses(ours);
  }
  static Config default_config() {
    Config c;
    c.mac = kOurMac;
    c.tcp.timestamps = false;
    return c;
  }

  // --- in ---

  std::vector<std::byte> segment(const In& in) const {
    wire::TcpHeader h;
    h.src_port = in.port;
    h.dst_port = in.to_port;
    h.seq = in.seq;
    h.ack = in.ack;
    h.flags = flags(in.flags);
    h.window = wire::WireWindow(in.window);
    h.options = in.options;
    std::vector<std::byte> text(in.text, std::byte{'x'});
    std::vector<std::byte> bytes(h.size() + text.size());
    h.write(bytes, peer(family), us(family), text);
    return bytes;
  }
  std::vector<std::byte> packet(ConstBytes payload, wire::IpProtocol protocol, std::optional<IpAddress> src = {},
                                std::optional<IpAddress> dst = {}, wire::Ecn ecn = wire::Ecn::not_ect) const {
    wire::IpHeader ip;
    ip.src = src.value_or(peer(family));
    ip.dst = dst.value_or(us(family));
    ip.protocol = protocol;
    ip.ecn = ecn;
    ip.payload_length = static_cast<std::uint16_t>(payload.size());
    std::vector<std::byte> bytes(ip.size());
    ip.write(bytes);
    bytes.insert(bytes.end(), payload.begin(), payload.end());
    return bytes;
  }
  std::vector<std::byte> frame(ConstBytes ip, const MacAddress& from = kPeerMac, const MacAddress& to = kOurMac) const {
    std::vector<std::byte> bytes(wire::kEthernetHeaderSize);
    bool v4 = (std::to_integer<unsigned>(ip[0]) >> 4) == 4;
    wire::EthernetHeader{to, from, v4 ? wire::EtherType::ipv4 : wire::EtherType::ipv6}.write(bytes);
    bytes.insert(bytes.end(), ip.begin(), ip.end());
    return bytes;
  }
  std::vector<std::byte> frame(const In& in) const {
    return frame(packet(segment(in), wire::IpProtocol::tcp, {}, {}, in.ecn));
  }

  // The one reason that the frame was counted by.
  weir_reason give(ConstBytes bytes, const RxInfo& info = {}) {
    auto before = counters;
    stack->on_frame(bytes, info, now);
    std::optional<weir_reason> reason;
    for (std::size_t i = 0; i < counters.size(); ++i) {
      if (counters[i] == before[i]) continue;
      EXPECT_EQ(counters[i], before[i] + 1);
      EXPECT_FALSE(reason) << "counted twice";
      reason = static_cast<weir_reason>(i);
    }
    EXPECT_TRUE(reason) << "not counted";
    return reason.value_or(WEIR_REASON_COUNT);
  }
  weir_reason give(const In& in, const RxInfo& info = {}) { return give(frame(in), info); }

  // --- out ---

  // As many frames at a time as a ring may have room for.
  std::vector<Out> sent(std::size_t batch = 1) {
    std::vector<std::vector<std::byte>> buffers(batch, std::vector<std::byte>(config.mtu + 14u));
    std::vector<TxFrame> frames;
    for (auto& b : buffers) frames.push_back({b, 0});
    std::vector<Out> all;
    while (std::size_t n = stack->poll_transmit(frames, now)) {
      for (std::size_t i = 0; i < n; ++i) all.push_back(parse(ConstBytes(buffers[i]).first(frames[i].length)));
      if (all.size() > 1'000) break;
    }
    return all;
  }
  // The only segment that leaves.
  Out only() {
    auto all = sent();
    EXPECT_EQ(all.size(), 1u);
    return all.empty() ? Out{} : all[0];
  }
  std::string described() {
    std::string s;
    for (const Out& out : sent()) s += (s.empty() ? "" : "; ") + out.describe();
    return s;
  }

  Out parse(ConstBytes bytes) {
    Out out;
    if (config.medium == Medium::ethernet) {
      auto ethernet = wire::EthernetView::parse(bytes);
      EXPECT_EQ(ethernet->src(), config.mac);
      out.to = ethernet->dst();
      bytes = ethernet->payload();
    }
    EXPECT_LE(bytes.size(), config.mtu);
    auto ip = wire::IpPacketView::parse(bytes);
    EXPECT_TRUE(ip);
    if (!ip) return out;
    EXPECT_TRUE(ip->header_checksum_ok());
    EXPECT_FALSE(ip->fragment());
    EXPECT_EQ(ip->ttl(), 64);
    EXPECT_EQ(ip->packet().size(), bytes.size());
    if (ip->family() == Family::v4) {
      auto v4 = wire::Ipv4View::parse(bytes);
      EXPECT_TRUE(v4->dont_fragment());
      out.ip_id = v4->id();
    }
    auto tcp = wire::TcpView::parse(ip->payload());
    EXPECT_TRUE(tcp);
    if (!tcp) return out;
    EXPECT_TRUE(tcp->checksum_ok(ip->src(), ip->dst(), wire::ChecksumPolicy::verify));
    out.src = ip->src();
    out.dst = ip->dst();
    out.src_port = tcp->src_port();
    out.dst_port = tcp->dst_port();
    out.flags = tcp->flags();
    out.seq = tcp->seq();
    out.ack = tcp->ack();
    out.window = tcp->window().raw();
    out.options = tcp->options();
    if (out.options.fast_open) {
      out.cookie.assign(out.options.fast_open->begin(), out.options.fast_open->end());
      out.options.fast_open.reset();
    }
    out.text = tcp->text().size();
    out.ecn = ip->ecn();
    return out;
  }

  // --- time ---

  void advance(Duration d) {
    Instant until = now + d;
    while (stack->next_deadline() <= until) {
      now = std::max(now, stack->next_deadline());
      stack->on_deadline(now);
    }
    now = until;
  }

  // --- events ---

  struct Seen {
    std::vector<Event> connections;
    std::vector<ListenerId> listeners;
  };
  Seen events() {
    Seen seen;
    while (auto e = stack->poll_event()) {
      if (e->listener) {
        seen.listeners.push_back(e->listener);
      } else {
        seen.connections.push_back(*e);
      }
    }
    return seen;
  }

  // --- whole exchanges ---

  struct Peer {
    ConnectionId id;
    std::uint32_t seq = 0;  // the next that the peer sends
    std::uint32_t ack = 0;  // the next that the peer expects
  };
  ListenerId listen(std::uint32_t backlog = 16) {
    auto l = stack->listen({IpAddress{}, 80}, backlog);
    EXPECT_TRUE(l.ok());
    return l.ok() ? *l : ListenerId{};
  }
  // Of a peer at `port` to a listener of ours; accepted, and its events polled.
  Peer establish(ListenerId listener, std::uint16_t port = 40'000) {
    EXPECT_EQ(give({.flags = "S", .seq = 1'000, .port = port, .options = with_mss(1'460)}), WEIR_R_TAKEN_TCP);
    Out syn_ack = only();
    Peer p{{}, 1'001, syn_ack.seq + 1};
    EXPECT_EQ(give({.flags = "A", .seq = p.seq, .ack = p.ack, .port = port}), WEIR_R_TAKEN_TCP);
    auto id = stack->accept(listener);
    EXPECT_TRUE(id);
    p.id = id.value_or(ConnectionId{});
    events();
    return p;
  }
  static wire::TcpOptions with_mss(std::uint16_t mss) {
    wire::TcpOptions o;
    o.mss = mss;
    return o;
  }
  void answer_next_hops(const MacAddress& mac = kRouterMac, std::uint16_t mtu = 1500) {
    while (auto q = stack->poll_next_hop_query()) stack->on_next_hop(q->destination, {mac, mtu}, now);
  }
  std::uint64_t count(weir_reason r) const { return counters[static_cast<std::size_t>(r)]; }

  Family family;
  Config config;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters{};
  std::optional<Stack> stack;
  Instant now = Instant::from_ns(5'000'000'000);
};

// The same for both families.
class StackBothFamilies : public StackFixture, public testing::WithParamInterface<Family> {
 protected:
  StackBothFamilies() : StackFixture(GetParam()) {}
};
inline std::string family_name(const testing::TestParamInfo<Family>& info) {
  return info.param == Family::v4 ? "v4" : "v6";
}

}  // namespace weir::stack
