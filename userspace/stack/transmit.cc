// SPDX-License-Identifier: MIT
// Frames out: replies, and bursts of the connections in turn.
#include <algorithm>
#include <array>
#include <cassert>

#include "weir/stack/stack_impl.h"
#include "weir/wire/ethernet.h"
#include "weir/wire/tcp.h"

namespace weir::stack {
namespace {

// Segments that one connection may send before the next has its turn: enough to fill a copy-mode kick with two
// connections' text, few enough that a small answer waits for some 16 frames a competitor.
constexpr std::size_t kBurst = 16;
constexpr std::uint8_t kHopLimit = 64;

}  // namespace

std::size_t Stack::poll_transmit(std::span<TxFrame> frames, Instant now) { return impl_->transmit(frames, now); }

bool Stack::wants_transmit(Instant /*now*/) const { return !impl_->replies.empty() || !impl_->transmit_list.empty(); }

std::size_t Stack::Impl::transmit(std::span<TxFrame> frames, Instant now) {
  std::size_t filled = 0;
  // A flood of segments for nobody gets at most half of what we send.
  std::size_t for_replies = transmit_list.empty() ? frames.size() : (frames.size() + 1) / 2;
  while (filled < for_replies && !replies.empty()) write_reply(replies.pop(), frames[filled++]);
  while (filled < frames.size()) {
    Slot* slot = transmit_list.pop_front();
    if (slot == nullptr) break;
    filled += transmit_burst(*slot, frames.subspan(filled, std::min(kBurst, frames.size() - filled)), now);
  }
  return filled;
}

std::size_t Stack::Impl::transmit_burst(Slot& slot, std::span<TxFrame> frames, Instant now) {
  std::size_t filled = 0;
  if (auto route = find_route(slot, now)) {
    tcp::OutSegment out;
    while (filled < frames.size() && slot.tcp->poll_transmit(out, now)) {
      out.header.src_port = slot.key.local_port;
      out.header.dst_port = slot.key.remote_port;
      write_frame(slot.key, route->mac, out.header, out.text, out.ecn, slot.ip_id++, slot.flow_label, frames[filled++]);
    }
    // Or transmit() would come back to it for ever.
    assert(filled == frames.size() || !slot.tcp->wants_transmit(now));
  }
  settle(slot, now);
  return filled;
}

std::optional<NextHopCache::Route> Stack::Impl::find_route(Slot& slot, Instant now) {
  std::optional<NextHopCache::Route> route;
  if (config.medium == Medium::ip) {
    route = NextHopCache::Route{MacAddress{}, config.mtu};
  } else if (!slot.syn_mac) {
    route = next_hops.find(slot.key.local, slot.key.remote, slot.hop, now);
    if (!route) {
      if (!next_hops.wait(slot.key.remote, slot)) discard_output(slot, now);
      return std::nullopt;
    }
  } else {
    // The SYN's MAC serves until the handshake has shown that the peer is there; then the cache is asked, once after
    // each change of routes, and the SYN's MAC serves until it answers.
    bool ask = slot.tcp->state() >= tcp::State::established && slot.asked_epoch != next_hops.epoch();
    if (ask) slot.asked_epoch = next_hops.epoch();
    route = ask ? next_hops.find(slot.key.local, slot.key.remote, slot.hop, now)
                : next_hops.peek(slot.key.remote, slot.hop, now);
    if (!route) route = NextHopCache::Route{*slot.syn_mac, config.mtu};
  }
  if (slot.icmp_mtu != 0 && now >= slot.icmp_mtu_until) slot.icmp_mtu = 0;
  std::uint16_t mtu = std::min(route->mtu, config.mtu);
  if (slot.icmp_mtu != 0) mtu = std::min(mtu, slot.icmp_mtu);
  if (mtu != slot.path_mtu) {
    slot.path_mtu = mtu;
    slot.tcp->on_path_mss(mss_for(mtu, slot.key.remote.family()), now);
  }
  return route;
}

void Stack::Impl::discard_output(Slot& slot, Instant now) {
  tcp::OutSegment out;
  for (std::size_t i = 0; i < kBurst && slot.tcp->poll_transmit(out, now); ++i) count(WEIR_R_LOST_NO_NEXT_HOP);
}

void Stack::Impl::write_reply(const Reply& reply, TxFrame& frame) {
  wire::TcpHeader header = reply.header;
  header.src_port = reply.flow.local_port;
  header.dst_port = reply.flow.remote_port;
  std::uint64_t r = random();
  std::array<ConstBytes, 2> no_text;
  write_frame(reply.flow, reply.mac, header, no_text, wire::Ecn::not_ect, static_cast<std::uint16_t>(r),
              static_cast<std::uint32_t>(r >> 16) & 0xfffff, frame);
}

void Stack::Impl::write_frame(const FlowKey& flow, const MacAddress& to, const wire::TcpHeader& header,
                              std::span<const ConstBytes, 2> text, wire::Ecn ecn, std::uint16_t ip_id,
                              std::uint32_t flow_label, TxFrame& frame) {
  std::size_t link = config.medium == Medium::ethernet ? wire::kEthernetHeaderSize : 0;
  Family family = flow.remote.family();
  std::size_t ip_size = wire::IpHeader::size(family);
  std::size_t segment = header.write(frame.buffer.subspan(link + ip_size), flow.local, flow.remote, text[0], text[1]);

  wire::IpHeader ip;
  ip.src = flow.local;
  ip.dst = flow.remote;
  ip.ttl = kHopLimit;
  ip.ecn = ecn;
  ip.id = ip_id;
  ip.flow_label = flow_label;
  ip.payload_length = static_cast<std::uint16_t>(segment);
  ip.write(frame.buffer.subspan(link));
  if (link != 0) {
    auto type = family == Family::v4 ? wire::EtherType::ipv4 : wire::EtherType::ipv6;
    wire::EthernetHeader{to, config.mac, type}.write(frame.buffer);
  }
  frame.length = static_cast<std::uint32_t>(link + ip_size + segment);
}

void Stack::Impl::wake(HopWaiters& waiters, Instant now) {
  while (HopWaiter* waiter = waiters.pop_front()) settle(static_cast<Slot&>(*waiter), now);
}

void Stack::Impl::give_up(HopWaiters& waiters, tcp::Errc reason, Instant now) {
  while (HopWaiter* waiter = waiters.pop_front()) {
    Slot& slot = static_cast<Slot&>(*waiter);
    if (slot.tcp->state() == tcp::State::syn_sent) {
      // RFC 9293 3.10.5 has no RST for SYN-SENT: there is nobody who could want one.
      slot.failure = reason;
      slot.tcp->abort(now);
    } else {
      discard_output(slot, now);
    }
    settle(slot, now);
  }
}

// --- what the kernel knows ---

std::optional<NextHopQuery> Stack::poll_next_hop_query() {
  auto query = impl_->next_hops.poll_query();
  if (!query) return std::nullopt;
  return NextHopQuery{query->source, query->destination};
}

void Stack::on_next_hop(const IpAddress& destination, const NextHop& hop, Instant now) {
  HopWaiters woken;
  impl_->next_hops.on_answer(destination, hop.mac, hop.mtu, woken);
  impl_->wake(woken, now);
}

void Stack::on_no_next_hop(const IpAddress& destination, tcp::Errc reason, Instant now) {
  HopWaiters woken;
  impl_->next_hops.on_failure(destination, woken);
  impl_->give_up(woken, reason, now);
}

void Stack::flush_next_hops() { impl_->next_hops.flush(); }

void Stack::set_local_addresses(std::span<const IpAddress> addresses) {
  impl_->addresses.assign(addresses.begin(), addresses.end());
  std::sort(impl_->addresses.begin(), impl_->addresses.end());
}

void Stack::set_link_mtu(std::uint16_t mtu, Instant /*now*/) {
  // Each connection learns of it before it next sends.
  impl_->config.mtu = mtu;
}

void Stack::set_mac(const MacAddress& mac) { impl_->config.mac = mac; }

}  // namespace weir::stack
