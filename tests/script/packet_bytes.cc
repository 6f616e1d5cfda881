// SPDX-License-Identifier: MIT
// Packets to bytes and back. The header is written here by hand, since a script says what no honest sender would.
#include <algorithm>
#include <stdexcept>

#include "packet.h"
#include "weir/wire/checksum.h"
#include "weir/wire/icmp.h"
#include "weir/wire/ip_packet.h"

namespace weir::script {
namespace {

using Kind = Option::Kind;

enum : std::uint8_t { kEnd, kNop, kMss, kScale, kSackOk, kSack, kTimestamps = 8, kUserTimeout = 28, kFastOpen = 34 };

struct Writer {
  std::vector<std::byte> bytes;
  void u8(std::uint32_t v) { bytes.push_back(static_cast<std::byte>(v)); }
  void u16(std::uint32_t v) {
    u8(v >> 8);
    u8(v & 0xff);
  }
  void u32(std::uint32_t v) {
    u16(v >> 16);
    u16(v & 0xffff);
  }
  void raw(ConstBytes from) { bytes.insert(bytes.end(), from.begin(), from.end()); }
};

void write_option(Writer& w, const Option& o, Flow& flow) {
  switch (o.kind) {
    case Kind::end:
      return w.u8(kEnd);
    case Kind::nop:
      return w.u8(kNop);
    case Kind::mss:
      w.u8(kMss), w.u8(4);
      return w.u16(o.first.value());
    case Kind::sack_ok:
      w.u8(kSackOk);
      return w.u8(2);
    case Kind::wscale:
      w.u8(kScale), w.u8(3);
      return w.u8(o.first.value());
    case Kind::timestamps:
      w.u8(kTimestamps), w.u8(10);
      w.u32(o.first.value());
      // "_": the last that the host sent.
      return w.u32(o.second ? *o.second - flow.timestamp_shift.value_or(0) : flow.last_timestamp);
    case Kind::sack:
      w.u8(kSack), w.u8(static_cast<std::uint32_t>(2 + 8 * o.blocks.size()));
      for (auto [left, right] : o.blocks) w.u32(left + flow.host_isn), w.u32(right + flow.host_isn);
      return;
    case Kind::fast_open: {
      const auto& cookie = o.any_bytes ? flow.cookie : o.bytes;
      w.u8(kFastOpen), w.u8(static_cast<std::uint32_t>(2 + cookie.size()));
      return w.raw(cookie);
    }
    case Kind::user_timeout:
      w.u8(kUserTimeout), w.u8(4);
      return w.u16(o.first.value());
    case Kind::raw:
      return w.raw(o.bytes);
  }
}

std::uint8_t flag_bits(const std::string& letters) {
  unsigned bits = 0;
  for (char c : letters) {
    bits |= c == 'F'   ? 0x01u
            : c == 'S' ? 0x02u
            : c == 'R' ? 0x04u
            : c == 'P' ? 0x08u
            : c == '.' ? 0x10u
            : c == 'U' ? 0x20u
            : c == 'E' ? 0x40u
            : c == 'W' ? 0x80u
                       : 0u;
  }
  return static_cast<std::uint8_t>(bits);
}

std::vector<std::byte> ip_packet(const IpAddress& from, const IpAddress& to, wire::IpProtocol protocol, wire::Ecn ecn,
                                 ConstBytes payload) {
  wire::IpHeader ip;
  ip.src = from;
  ip.dst = to;
  ip.protocol = protocol;
  ip.ecn = ecn;
  ip.payload_length = static_cast<std::uint16_t>(payload.size());
  std::vector<std::byte> bytes(ip.size());
  ip.write(bytes);
  bytes.insert(bytes.end(), payload.begin(), payload.end());
  return bytes;
}

struct IcmpNumbers {
  std::string_view type;
  std::string_view code;
  std::uint8_t v4_type, v4_code, v6_type, v6_code;
};
constexpr IcmpNumbers kIcmp[] = {
    {"unreachable", "net_unreachable", 3, 0, 1, 0},   {"unreachable", "host_unreachable", 3, 1, 1, 3},
    {"unreachable", "proto_unreachable", 3, 2, 4, 1}, {"unreachable", "port_unreachable", 3, 3, 1, 4},
    {"unreachable", "frag_needed", 3, 4, 2, 0},       {"unreachable", "source_route_failed", 3, 5, 1, 5},
    {"unreachable", "admin_prohibited", 3, 13, 1, 1}, {"time_exceeded", "ttl_exceeded", 11, 0, 3, 0},
    {"parameter_problem", "bad_header", 12, 0, 4, 0},
};

std::vector<std::byte> encode_icmp(const Packet& p, const Flow& flow) {
  const bool v4 = flow.host.is_v4();
  auto at = std::find_if(std::begin(kIcmp), std::end(kIcmp),
                         [&](const IcmpNumbers& n) { return n.type == p.icmp->type && n.code == p.icmp->code; });
  if (at == std::end(kIcmp)) throw std::invalid_argument("unknown ICMP error: " + p.icmp->type + " " + p.icmp->code);
  // The segment that the host has sent, as far as it is quoted: IP's header and 8 bytes.
  Writer tcp;
  tcp.u16(flow.host_port), tcp.u16(flow.peer_port), tcp.u32(p.seq + flow.host_isn);
  auto quoted = ip_packet(flow.host, flow.peer, wire::IpProtocol::tcp, wire::Ecn::not_ect, tcp.bytes);
  wire::IcmpHeader icmp;
  icmp.type = v4 ? at->v4_type : at->v6_type;
  icmp.code = v4 ? at->v4_code : at->v6_code;
  // Scripts are written with IPv4's headers in mind; the runner gives IPv6 20 bytes more.
  icmp.rest = p.icmp->mtu == 0 ? 0 : p.icmp->mtu + (v4 ? 0u : 20u);
  std::vector<std::byte> message(wire::kIcmpHeaderSize + quoted.size());
  icmp.write(message, flow.peer, flow.host, quoted);
  if (p.bad_checksum) message[2] ^= std::byte{1};
  return ip_packet(flow.peer, flow.host, v4 ? wire::IpProtocol::icmp : wire::IpProtocol::icmpv6, wire::Ecn::not_ect,
                   message);
}

std::vector<Option> read_options(ConstBytes b) {
  std::vector<Option> options;
  for (std::size_t i = 0; i < b.size();) {
    Option o;
    auto kind = std::to_integer<unsigned>(b[i]);
    if (kind == kEnd || kind == kNop) {
      o.kind = kind == kEnd ? Kind::end : Kind::nop;
      options.push_back(o);
      ++i;
      continue;
    }
    std::size_t size = i + 1 < b.size() ? std::to_integer<std::size_t>(b[i + 1]) : 0;
    if (size < 2 || i + size > b.size()) size = b.size() - i;
    ConstBytes all = b.subspan(i, size);
    ConstBytes data = all.subspan(std::min<std::size_t>(2, all.size()));
    i += size;
    if (kind == kMss && data.size() == 2) {
      o.kind = Kind::mss;
      o.first = load_be<std::uint16_t>(data.data());
    } else if (kind == kScale && data.size() == 1) {
      o.kind = Kind::wscale;
      o.first = std::to_integer<std::uint32_t>(data[0]);
    } else if (kind == kSackOk && data.empty()) {
      o.kind = Kind::sack_ok;
    } else if (kind == kSack && data.size() % 8 == 0) {
      o.kind = Kind::sack;
      for (std::size_t k = 0; k < data.size(); k += 8) {
        o.blocks.emplace_back(load_be<std::uint32_t>(data.data() + k), load_be<std::uint32_t>(data.data() + k + 4));
      }
    } else if (kind == kTimestamps && data.size() == 8) {
      o.kind = Kind::timestamps;
      o.first = load_be<std::uint32_t>(data.data());
      o.second = load_be<std::uint32_t>(data.data() + 4);
    } else if (kind == kFastOpen) {
      o.kind = Kind::fast_open;
      o.bytes.assign(data.begin(), data.end());
    } else if (kind == kUserTimeout && data.size() == 2) {
      o.kind = Kind::user_timeout;
      o.first = load_be<std::uint16_t>(data.data());
    } else {
      o.kind = Kind::raw;
      o.bytes.assign(all.begin(), all.end());
    }
    options.push_back(o);
  }
  return options;
}

}  // namespace

std::vector<std::byte> encode(const Packet& p, Flow& flow) {
  if (p.icmp) return encode_icmp(p, flow);
  if (p.renews) flow.host_isn_known = false;
  Writer w;
  std::uint8_t flags = flag_bits(p.flags);
  w.u16(flow.peer_port), w.u16(flow.host_port);
  w.u32(p.seq + flow.peer_isn);
  w.u32(p.ack ? *p.ack + flow.host_isn : 0);
  Writer options;
  for (const Option& o : p.options) {
    if (o.kind == Kind::fast_open && !o.any_bytes && !o.bytes.empty()) flow.cookie = o.bytes;
    write_option(options, o, flow);
  }
  while (options.bytes.size() % 4 != 0) options.u8(kEnd);
  std::size_t header = wire::kTcpHeaderSize + options.bytes.size();
  if (header > wire::kTcpMaxHeaderSize) throw std::invalid_argument("more than 40 bytes of options");
  w.u8(static_cast<std::uint32_t>(header / 4 << 4) | static_cast<std::uint32_t>(p.reserved << 1));
  w.u8(flags);
  w.u16(p.window.value_or(0));
  w.u16(0);
  w.u16(p.urgent.value_or(0));
  w.raw(options.bytes);
  // In a SYN the text begins behind it.
  std::uint32_t first = (flags & 0x02) != 0 ? p.seq : p.seq - 1;
  for (std::uint32_t i = 0; i < p.length; ++i) w.bytes.push_back(pattern(false, first + i));
  wire::Checksum sum =
      wire::pseudo_header(flow.peer, flow.host, wire::IpProtocol::tcp, static_cast<std::uint32_t>(w.bytes.size()));
  sum.add(w.bytes);
  std::uint16_t field = sum.fold();
  if (p.bad_checksum) field = static_cast<std::uint16_t>(field ^ 0x5555);
  if (p.zero_checksum) field = 0;
  store_be(w.bytes.data() + 16, field);
  return ip_packet(flow.peer, flow.host, wire::IpProtocol::tcp, p.ecn.value_or(wire::Ecn::not_ect), w.bytes);
}

std::optional<Decoded> decode(ConstBytes bytes, std::string& why) {
  auto ip = wire::IpPacketView::parse(bytes);
  if (!ip || !ip->header_checksum_ok() || ip->protocol() != wire::IpProtocol::tcp || ip->fragment()) {
    why = "it is no whole TCP packet";
    return std::nullopt;
  }
  auto tcp = wire::TcpView::parse(ip->payload());
  if (!tcp || !tcp->checksum_ok(ip->src(), ip->dst(), wire::ChecksumPolicy::verify)) {
    why = "its TCP header or checksum is wrong";
    return std::nullopt;
  }
  Decoded d;
  d.src = ip->src();
  d.dst = ip->dst();
  d.src_port = tcp->src_port();
  d.dst_port = tcp->dst_port();
  d.seq = tcp->seq();
  Packet& p = d.packet;
  std::uint8_t raw = tcp->flags().raw();
  for (auto [bit, letter] : {std::pair{0x02, 'S'},
                             {0x01, 'F'},
                             {0x04, 'R'},
                             {0x08, 'P'},
                             {0x20, 'U'},
                             {0x40, 'E'},
                             {0x80, 'W'},
                             {0x10, '.'}}) {
    if ((raw & bit) != 0) p.flags += letter;
  }
  if (p.flags.empty()) p.flags = "-";
  p.seq = tcp->seq();
  p.length = static_cast<std::uint32_t>(tcp->text().size());
  if (tcp->flags().ack()) p.ack = tcp->ack();
  p.window = tcp->window().raw();
  if (tcp->flags().urg()) p.urgent = tcp->urgent();
  p.ecn = ip->ecn();
  p.options = read_options(tcp->option_bytes());
  return d;
}

void relate(Decoded& d, ConstBytes bytes, Flow& flow, const Packet* expected) {
  Packet& p = d.packet;
  const bool syn = p.flags.find('S') != std::string::npos;
  if (syn && !flow.host_isn_known) {
    flow.host_isn_known = true;
    flow.host_isn = p.seq - (expected != nullptr ? expected->seq : 0);
  }
  p.seq -= flow.host_isn;
  if (p.ack) *p.ack -= flow.peer_isn;
  for (Option& o : p.options) {
    if (o.kind == Kind::sack) {
      for (auto& [left, right] : o.blocks) left -= flow.peer_isn, right -= flow.peer_isn;
    }
    if (o.kind == Kind::fast_open && !o.bytes.empty()) flow.cookie = o.bytes;
    if (o.kind != Kind::timestamps) continue;
    flow.last_timestamp = *o.first;
    if (!flow.timestamp_shift && expected != nullptr) {
      for (const Option& e : expected->options) {
        if (e.kind == Kind::timestamps && e.first) flow.timestamp_shift = *e.first - *o.first;
      }
    }
    *o.first += flow.timestamp_shift.value_or(0);
  }
  auto ip = wire::IpPacketView::parse(bytes);
  ConstBytes text = wire::TcpView::parse(ip->payload())->text();
  std::uint32_t first = syn ? p.seq : p.seq - 1;
  for (std::uint32_t i = 0; i < text.size(); ++i) d.wrong_text |= text[i] != pattern(true, first + i);
}

}  // namespace weir::script
