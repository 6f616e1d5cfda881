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
