// SPDX-License-Identifier: MIT
// SYN cookies in use (RFC 4987 3.6): cookies.h makes and reads them.
#include <algorithm>

#include "weir/stack/stack_impl.h"

namespace weir::stack {

// The SYN-ACK is what a connection would say, which then is forgotten.
weir_reason Stack::Impl::reply_cookie(Listener& listener, const FlowKey& key, const tcp::Segment& syn,
                                      const Packet& packet, Instant now) {
  if (listener.queue_full()) return WEIR_R_LOST_BACKLOG_FULL;
  bool timestamps = listener.tcp->timestamps && syn.options.timestamps.has_value();
  // RFC 9293 3.7.1
  std::uint16_t no_mss = key.remote.family() == Family::v4 ? 536 : 1220;
  Cookies::Kept kept{syn.options.mss.value_or(no_mss), syn.options.window_scale, syn.options.sack_permitted,
                     syn.flags.ece() && syn.flags.cwr()};
  tcp::Segment seen = syn;
  if (!timestamps) {
    seen.options.window_scale.reset();
    seen.options.sack_permitted = false;
    seen.flags = seen.flags.without(wire::kEce | wire::kCwr);
  }
  NextHopCache::Position position;
  tcp::Birth born = birth(key, path_mtu(key.remote, position, now), now);
  born.iss = cookies.isn(key, syn.seq, kept, timestamps, now);
  tcp::Connection forgotten = tcp::Connection::passive_open(*listener.tcp, born, seen, now);
  tcp::OutSegment answer;
  forgotten.poll_transmit(answer, now);
  if (answer.header.options.timestamps) {
    std::uint32_t& tsval = answer.header.options.timestamps->tsval;
    tsval = Cookies::timestamp(kept, tsval);
  }
  if (!replies.push({key, packet.mac, answer.header})) return WEIR_R_LOST_REPLY_LIMIT;
  listener.cookies_until = now + Cookies::life();
  return WEIR_R_TAKEN_SYN_COOKIE;
}

// XDP writes its word before the answer is on its way, so none comes back before it.
bool Stack::Impl::may_hold_cookie(const Listener& listener, Instant now) const {
  if (now < listener.cookies_until) return true;
  if (guard_answered_ns == nullptr) return false;
  const std::uint64_t answered = __atomic_load_n(guard_answered_ns, __ATOMIC_ACQUIRE);
  return answered != 0 && now < Instant::from_ns(static_cast<std::int64_t>(answered)) + Cookies::life();
}

void Stack::guard_by(std::span<weir_flow_cell> cells, const std::uint64_t* answered_ns) {
  impl_->connections.count_in(FlowCells(cells));
  impl_->time_waits.count_in(FlowCells(cells));
  impl_->guard_answered_ns = answered_ns;
}

Stack::SynAnswer Stack::syn_answer(Instant now) const {
  SynAnswer says;
  tcp::Segment syn;
  syn.flags = wire::kSyn | wire::kEce | wire::kCwr;
  syn.options.mss = std::uint16_t{1460};
  syn.options.window_scale = std::uint8_t{7};
  syn.options.sack_permitted = true;
  syn.options.timestamps = wire::TcpTimestamps{1, 0};
  for (const IpAddress& any : {IpAddress::v4(192, 0, 2, 1), *IpAddress::parse("2001:db8::1")}) {
    const FlowKey key{any, any, 1, 1};
    tcp::Connection forgotten =
        tcp::Connection::passive_open(impl_->config.tcp, impl_->birth(key, impl_->config.mtu, now), syn, now);
    tcp::OutSegment answer;
    forgotten.poll_transmit(answer, now);
    const wire::TcpOptions& options = answer.header.options;
    (any.is_v4() ? says.mss4 : says.mss6) = options.mss.value_or(536);
    says.window = answer.header.window.raw();
    says.scale = options.window_scale;
    says.timestamps = options.timestamps.has_value();
    says.sack = options.sack_permitted;
    says.ecn = answer.header.flags.ece();
  }
  return says;
}

weir_reason Stack::Impl::on_cookie(Listener& listener, const FlowKey& key, std::uint32_t hash, tcp::Segment segment,
                                   const Packet& packet, Instant now) {
  auto& timestamps = segment.options.timestamps;
  std::optional<std::uint32_t> echo;
  if (timestamps) echo = timestamps->tsecr;
  auto kept = cookies.open(key, segment.seq - 1, segment.ack - 1, echo, now);
  if (!kept) return WEIR_R_LOST_BAD_COOKIE;
  // The peer sends again what is not acknowledged, and the cookie with it.
  if (listener.queue_full()) return WEIR_R_LOST_BACKLOG_FULL;
  if (short_of_memory()) return WEIR_R_LOST_MEMORY_LIMIT;

  tcp::Segment syn;
  syn.seq = segment.seq - 1;
  syn.flags = kept->ecn ? wire::kSyn | wire::kEce | wire::kCwr : wire::kSyn;
  syn.window = segment.window;
  syn.options.mss = kept->mss;
  syn.options.window_scale = kept->window_scale;
  syn.options.sack_permitted = kept->sack;
  syn.options.timestamps = timestamps;
  Slot* slot = create_pending(listener, key, hash, packet, now);
  if (slot == nullptr) return WEIR_R_LOST_NO_MEMORY;
  tcp::Birth born = birth(key, slot->path_mtu, now);
  born.congestion = listener.congestion;
  born.iss = segment.ack - 1;
  slot->tcp.emplace(tcp::Connection::passive_open_by_cookie(*listener.tcp, born, syn, now));
  if (listener.options) slot->tcp->set_options(*listener.options, now);
  // What it echoes has had its lowest bits replaced: a time that has not come yet measures no round trip.
  if (timestamps) timestamps->tsecr = static_cast<std::uint32_t>(now.ns() / 1'000'000) + born.timestamp_offset + 1;
  weir_reason reason = slot->tcp->on_segment(segment, now);
  settle(*slot, now);
  return reason;
}

}  // namespace weir::stack
