// SPDX-License-Identifier: MIT
// TIME-WAIT: connections that only a few dozen bytes are left of.
#include <utility>

#include "weir/stack/stack_impl.h"

namespace weir::stack {

// RFC 1122 4.2.2.13, RFC 6191
bool Stack::Impl::leave_time_wait(Slot& slot, const tcp::Segment& segment, Packet& packet) {
  // Its user may still read; no segment will find it any more.
  if (!takes_syn_of(slot.key, slot.tcp->time_wait(), segment)) return false;
  packet.iss_after = slot.tcp->next_iss();
  connections.erase(slot);
  return true;
}

bool Stack::Impl::takes_syn_of(const FlowKey& key, const std::optional<tcp::TimeWait>& old,
                               const tcp::Segment& segment) {
  if (!segment.flags.syn() || !old || !old->may_be_replaced_by(segment)) return false;
  const Listener* listener = listeners.find(key.local, key.local_port);
  return listener != nullptr && !listener->full() && config.syn_cookies != SynCookies::always;
}

// What came for `entry`; nothing where it is a SYN that begins anew, and the entry is gone.
std::optional<weir_reason> Stack::Impl::on_time_wait(TimeWaitTable::Entry& entry, const tcp::Segment& segment,
                                                     Packet& packet, Instant now) {
  if (takes_syn_of(entry.key, entry.tcp, segment)) {
    packet.iss_after = entry.tcp.snd_nxt + 1;
    time_waits.erase(entry);
    return std::nullopt;
  }
  // A SYN that XDP's guard has answered is not seen here: the segment behind it begins anew in its stead, where the SYN
  // might have.
  const Listener* listener = listeners.find(entry.key.local, entry.key.local_port);
  if (segment.flags.ack() && !segment.flags.syn() && !segment.flags.rst() && listener != nullptr &&
      may_hold_cookie(*listener, now)) {
    tcp::Segment syn = segment;
    syn.seq = segment.seq - 1;
    syn.flags = wire::kSyn;
    std::optional<std::uint32_t> echo;
    if (segment.options.timestamps) echo = segment.options.timestamps->tsecr;
    if (entry.tcp.may_be_replaced_by(syn) && cookies.open(entry.key, syn.seq, segment.ack - 1, echo, now)) {
      time_waits.erase(entry);
      return std::nullopt;
    }
  }
  tcp::TimeWait::Verdict verdict = entry.tcp.on_segment(segment);
  if (verdict.restart) time_waits.restart(entry, now + config.tcp.time_wait);
  weir_reason reason = verdict.reason;
  if (verdict.answer) {
    auto clock = static_cast<std::uint32_t>(now.ns() / 1'000'000) + numbers.timestamp_offset(entry.key);
    if (!replies.push({entry.key, packet.mac, entry.tcp.ack(clock)})) reason = WEIR_R_LOST_REPLY_LIMIT;
  }
  if (verdict.over) time_waits.erase(entry);
  return reason;
}

}  // namespace weir::stack
