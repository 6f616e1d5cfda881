// SPDX-License-Identifier: MIT
// Frames in: from the link to the connection that has them.
#include "weir/stack/stack.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "weir/stack/stack_impl.h"
#include "weir/wire/ethernet.h"
#include "weir/wire/tcp.h"

namespace weir::stack {
namespace {

// RFC 1122 3.2.1.3, RFC 4291 2.5.2, 2.5.3 and 2.7: never a source of what comes from a link.
bool is_martian_source(const IpAddress& source) {
  if (source.is_v4()) {
    auto v = load_be<std::uint32_t>(source.data() + 12);
    return v == 0 || v == 0xffffffff || v >> 24 == 127 || v >> 28 == 0xe;
  }
  bool unspecified_or_loopback =
      load_be<std::uint64_t>(source.data()) == 0 && load_be<std::uint64_t>(source.data() + 8) <= 1;
  return unspecified_or_loopback || source.is_multicast();
}

}  // namespace

Stack::Impl::Impl(const Config& c, const Secrets& secrets, std::uint64_t seed, Counters counters_in)
    : config(c),
      counters(counters_in),
      numbers(secrets.isn_key, secrets.timestamp_key),
      cookies(secrets.cookie_key),
      fast_open_cookies(secrets.cookie_key),
      fast_open_cache(c.max_fast_open_peers, c.hash_key),
      random_state(seed),
      next_hops({c.max_next_hops, c.next_hop_queue, c.next_hop_timeout, c.hash_key}),
      reassembly({c.reassembly_bytes, c.reassembly_bytes_per_source, c.hash_key}),
      replies(c.max_replies),
      time_waits(c.max_time_wait),
      flows(65'536) {}

// SplitMix64 (Steele, Lea, Flood, 2014).
std::uint64_t Stack::Impl::random() {
  random_state += 0x9e3779b97f4a7c15;
  std::uint64_t z = random_state;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

Stack::Stack(const Config& config, const Secrets& secrets, std::uint64_t seed, Counters counters)
    : impl_(std::make_unique<Impl>(config, secrets, seed, counters)) {}

Stack::~Stack() = default;

void Stack::on_frame(ConstBytes frame, const RxInfo& info, Instant now) {
  weir_reason reason = impl_->config.medium == Medium::ethernet ? impl_->on_ethernet(frame, info, now)
                                                                : impl_->on_ip(frame, MacAddress{}, info, now);
  impl_->count(reason);
}

weir_reason Stack::Impl::on_ethernet(ConstBytes frame, const RxInfo& info, Instant now) {
  auto ethernet = wire::EthernetView::parse(frame);
  if (!ethernet) return WEIR_R_LOST_MALFORMED;
  if (ethernet->dst() != config.mac) return WEIR_R_LOST_NOT_OURS;
  wire::EtherType type = ethernet->ethertype();
  if (type != wire::EtherType::ipv4 && type != wire::EtherType::ipv6) return WEIR_R_LOST_PROTOCOL;
  ConstBytes packet = ethernet->payload();
  unsigned version = packet.empty() ? 0u : std::to_integer<unsigned>(packet[0]) >> 4;
  if (version != (type == wire::EtherType::ipv4 ? 4u : 6u)) return WEIR_R_LOST_MALFORMED;
  return on_ip(packet, ethernet->src(), info, now);
}

weir_reason Stack::Impl::on_ip(ConstBytes bytes, const MacAddress& mac, const RxInfo& info, Instant now) {
  auto ip = wire::IpPacketView::parse(bytes);
  if (!ip) return WEIR_R_LOST_MALFORMED;
  if (!ip->header_checksum_ok()) return WEIR_R_LOST_CHECKSUM;
  if (!is_local(ip->dst()) || is_martian_source(ip->src())) return WEIR_R_LOST_NOT_OURS;
  if (ip->source_routed()) return WEIR_R_LOST_PROTOCOL;
  const wire::Ipv6Disposition& disposition = ip->disposition();
  if (disposition.action != wire::Ipv6Disposition::Action::process) {
    bool erroneous = disposition.action == wire::Ipv6Disposition::Action::parameter_problem && disposition.code == 0;
    return erroneous ? WEIR_R_LOST_MALFORMED : WEIR_R_LOST_PROTOCOL;
  }
  Packet packet;
  packet.src = ip->src();
  packet.dst = ip->dst();
  packet.protocol = ip->protocol();
  packet.ecn = ip->ecn();
  packet.payload = ip->payload();
  packet.mac = mac;
  packet.discard_syn = info.discard_syn;
  if (ip->fragment()) return on_fragment(*ip, packet, now);
  packet.flow_hash = info.flow_hash;
  return on_payload(packet, now);
}

weir_reason Stack::Impl::on_fragment(const wire::IpPacketView& view, Packet& packet, Instant now) {
  std::optional<Reassembly::Datagram> whole;
  weir_reason reason = reassembly.on_fragment(
      {packet.src, packet.dst, packet.protocol, *view.fragment(), packet.payload, packet.ecn}, now, whole);
  if (!whole) return reason;
  packet.reassembled = true;
  packet.protocol = whole->protocol;
  packet.ecn = whole->ecn;
  packet.payload = whole->payload;
  if (view.family() == Family::v6) {
    // The first fragment may end within the extension headers; now all of them are here.
    auto extensions = wire::walk_ipv6_extensions(whole->protocol, whole->payload, false);
    if (!extensions || extensions->fragment) return WEIR_R_LOST_MALFORMED;
    if (extensions->disposition.action != wire::Ipv6Disposition::Action::process) return WEIR_R_LOST_PROTOCOL;
    packet.protocol = extensions->protocol;
    packet.payload = whole->payload.subspan(extensions->payload_offset);
  }
  return on_payload(packet, now);
}

weir_reason Stack::Impl::on_payload(const Packet& packet, Instant now) {
  if (packet.protocol == wire::IpProtocol::tcp) return on_tcp(packet, now);
  auto icmp = packet.dst.is_v4() ? wire::IpProtocol::icmp : wire::IpProtocol::icmpv6;
  if (packet.protocol == icmp) return on_icmp(packet, now);
  return WEIR_R_LOST_PROTOCOL;
}

weir_reason Stack::Impl::on_tcp(Packet packet, Instant now) {
  auto view = wire::TcpView::parse(packet.payload);
  if (!view) return WEIR_R_LOST_MALFORMED;
  // A sender that leaves checksums to hardware still computes them for what it fragments.
  auto policy = packet.reassembled ? wire::ChecksumPolicy::verify : config.checksum;
  if (!view->checksum_ok(packet.src, packet.dst, policy)) return WEIR_R_LOST_CHECKSUM;
  tcp::Segment segment = tcp::Segment::from(*view);
  segment.ecn = packet.ecn;

  if (packet.discard_syn && segment.flags.syn() && !segment.flags.ack() && !segment.flags.rst()) {
    return WEIR_R_LOST_SYN_LAPSED;
  }
  FlowKey key{packet.dst, packet.src, view->dst_port(), view->src_port()};
  Slot* slot = packet.flow_hash ? connections.find(key, *packet.flow_hash) : nullptr;
  std::uint32_t hash = 0;
  if (slot == nullptr) {
    // The hash that came with the frame saves work; it decides nothing.
    hash = flow_hash(key, config.hash_key);
    if (!packet.flow_hash || hash != *packet.flow_hash) slot = connections.find(key, hash);
  }
  if (slot != nullptr) hash = slot->hash;
  if (slot == nullptr) {
    if (TimeWaitTable::Entry* entry = time_waits.find(key, hash)) {
      if (auto reason = on_time_wait(*entry, segment, packet, now)) return *reason;
    }
  }
  if (slot == nullptr || leave_time_wait(*slot, segment, packet)) {
    return on_unmatched(key, hash, segment, packet, now);
  }
  weir_reason reason = slot->tcp->on_segment(segment, now);
  settle(*slot, now);
  return reason;
}

// RFC 9293 3.10.7.1 (CLOSED) and 3.10.7.2 (LISTEN).
weir_reason Stack::Impl::on_unmatched(const FlowKey& key, std::uint32_t hash, const tcp::Segment& segment,
                                      const Packet& packet, Instant now) {
  if (segment.flags.rst()) return WEIR_R_LOST_STRAY_RST;
  // Nobody but ourselves sends from one of our addresses, and we do not hear ourselves.
  if (is_local(key.remote)) return WEIR_R_LOST_NOT_OURS;
  Listener* listener = listeners.find(key.local, key.local_port);
  bool bare_ack = listener != nullptr && segment.flags.ack() && !segment.flags.syn();
  if (bare_ack && may_hold_cookie(*listener, now)) return on_cookie(*listener, key, hash, segment, packet, now);
  if (listener == nullptr || segment.flags.ack()) {
    return reply_reset(key, segment, packet, WEIR_R_LOST_NO_CONNECTION);
  }
  // 3.10.7.2, fourth: other than a SYN is discarded. SYN with FIN begins nothing that a peer would want.
  if (!segment.flags.syn() || segment.flags.fin()) return WEIR_R_LOST_BAD_FLAGS;
  return on_new_connection(*listener, key, hash, segment, packet, now);
}

weir_reason Stack::Impl::reply_reset(const FlowKey& key, const tcp::Segment& segment, const Packet& packet,
                                     weir_reason reason) {
  return replies.push(reset_for(key, packet.mac, segment)) ? reason : WEIR_R_LOST_REPLY_LIMIT;
}

weir_reason Stack::Impl::on_new_connection(Listener& listener, const FlowKey& key, std::uint32_t hash,
                                           const tcp::Segment& segment, const Packet& packet, Instant now) {
  if (short_of_memory()) return WEIR_R_LOST_MEMORY_LIMIT;
  bool overflow = config.syn_cookies == SynCookies::on_overflow && listener.full() && !listener.queue_full();
  if (overflow || config.syn_cookies == SynCookies::always) return reply_cookie(listener, key, segment, packet, now);
  if (listener.full()) return WEIR_R_LOST_BACKLOG_FULL;
  Slot* slot = create_pending(listener, key, hash, packet, now);
  if (slot == nullptr) return WEIR_R_LOST_NO_MEMORY;
  tcp::Birth born = birth(key, slot->path_mtu, now);
  born.congestion = listener.congestion;
  // RFC 1122 4.2.2.13 (c): behind all that the one before has used.
  if (packet.iss_after) born.iss = tcp::later_of(born.iss, *packet.iss_after);
  slot->tcp.emplace(tcp::Connection::passive_open(*listener.tcp, born, segment, now));
  if (listener.options) slot->tcp->set_options(*listener.options, now);
  answer_fast_open(listener, *slot, segment, now);
  settle(*slot, now);
  return WEIR_R_TAKEN_TCP;
}

// A record for a connection in SYN-RECEIVED, whose TCP is still to be made; null where there is no room.
Slot* Stack::Impl::create_pending(Listener& listener, const FlowKey& key, std::uint32_t hash, const Packet& packet,
                                  Instant now) {
  Slot* slot = create(key, hash);
  if (slot == nullptr) return nullptr;
  if (config.medium == Medium::ethernet) slot->syn_mac = packet.mac;
  slot->path_mtu = path_mtu(key.remote, slot->hop, now);
  slot->owner = Owner::pending;
  slot->listener = &listener;
  listener.pending.push_back(*slot);
  ++listener.pending_count;
  return slot;
}

bool Stack::Impl::is_local(const IpAddress& address) const {
  // Few, most often: then words are compared in turn, which costs less than a search.
  constexpr std::size_t kFew = 8;
  if (addresses.size() <= kFew) {
    std::array<std::uint64_t, 2> wanted;
    std::memcpy(wanted.data(), address.data(), sizeof wanted);
    return std::any_of(addresses.begin(), addresses.end(), [&](const IpAddress& ours) {
      std::array<std::uint64_t, 2> words;
      std::memcpy(words.data(), ours.data(), sizeof words);
      return ((words[0] ^ wanted[0]) | (words[1] ^ wanted[1])) == 0;
    });
  }
  return std::binary_search(addresses.begin(), addresses.end(), address);
}

}  // namespace weir::stack
