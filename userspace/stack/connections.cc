// SPDX-License-Identifier: MIT
// The life of a connection's record: made, settled after each change, let go, freed.
#include <algorithm>

#include "weir/stack/stack_impl.h"

namespace weir::stack {

std::uint16_t Stack::Impl::mss_for(std::uint16_t mtu, Family family) {
  // RFC 9293 3.7.1: the MTU less the fixed headers of IP and TCP.
  std::uint16_t headers = family == Family::v4 ? 40 : 60;
  return mtu > headers ? static_cast<std::uint16_t>(mtu - headers) : std::uint16_t{1};
}

std::uint16_t Stack::Impl::path_mtu(const IpAddress& remote, NextHopCache::Position& position, Instant now) {
  auto route = next_hops.peek(remote, position, now);
  return route ? std::min(route->mtu, config.mtu) : config.mtu;
}

tcp::Birth Stack::Impl::birth(const FlowKey& key, std::uint16_t mtu, Instant now) const {
  tcp::Birth birth;
  birth.iss = numbers.isn(key, now);
  birth.timestamp_offset = numbers.timestamp_offset(key);
  birth.family = key.remote.family();
  birth.mss = mss_for(mtu, birth.family);
  return birth;
}

Slot* Stack::Impl::create(const FlowKey& key, std::uint32_t hash) {
  if (connections.size() >= config.max_connections) return nullptr;
  Slot& slot = connections.allocate(key, hash);
  slot.ip_id = static_cast<std::uint16_t>(random());
  slot.flow_label = static_cast<std::uint32_t>(random()) & 0xfffff;  // RFC 6437 3
  connections.insert(slot);
  slot.counted = true;
  ++flows[key.local_port];
  if (flow_classifier) {
    slot.flow_class = classify(key);
    if (slot.flow_class < class_flows.size()) ++class_flows[slot.flow_class];
  }
  return &slot;
}

std::uint16_t Stack::Impl::classify(const FlowKey& key) const {
  return flow_classifier(key.local_endpoint(), key.remote_endpoint());
}

void Stack::Impl::uncount(Slot& slot) {
  if (!slot.counted) return;
  slot.counted = false;
  --flows[slot.key.local_port];
  if (flow_classifier && slot.flow_class < class_flows.size()) --class_flows[slot.flow_class];
}

// Buffers grow and shrink in calls that all end in settle().
void Stack::Impl::count_memory(Slot& slot) {
  auto memory = static_cast<std::uint32_t>(slot.tcp->buffer_memory());
  buffer_memory += memory;
  buffer_memory -= slot.memory;
  slot.memory = memory;
  slot.tcp->set_memory_pressure(short_of_memory());
}

void Stack::Impl::release(Slot& slot) {
  buffer_memory -= slot.memory;
  slot.memory = 0;
  if (slot.owner == Owner::pending) --slot.listener->pending_count;
  if (slot.owner == Owner::accepted) --slot.listener->queued_count;
  uncount(slot);
  wheel.cancel(slot);
  static_cast<HopWaiter&>(slot).unlink();
  static_cast<Link<EventTag>&>(slot).unlink();
  static_cast<Link<TransmitTag>&>(slot).unlink();
  static_cast<Link<OwnerTag>&>(slot).unlink();
  connections.free(slot);
}

void Stack::Impl::settle(Slot& slot, Instant now) {
  tcp::Connection& tcp = *slot.tcp;
  count_memory(slot);
  tcp::State state = tcp.state();
  if (slot.fast_open && state != tcp::State::syn_received) leave_fast_open(slot, now);
  if (slot.owner == Owner::pending && (state >= tcp::State::established || tcp.is_early())) promote(slot);
  note_fast_open(slot, now);
  if (slot.owner == Owner::user) note_readiness(slot);

  if (tcp.finished()) {
    if (slot.owner == Owner::stack || slot.owner == Owner::pending) {
      release(slot);
      return;
    }
    // Whoever holds it may still read it; its 4-tuple is free.
    connections.erase(slot);
    uncount(slot);
    wheel.cancel(slot);
    static_cast<HopWaiter&>(slot).unlink();
    static_cast<Link<TransmitTag>&>(slot).unlink();
    return;
  }
  if (state == tcp::State::time_wait) {
    uncount(slot);
    if (slot.owner == Owner::stack && !tcp.wants_transmit(now)) {
      if (slot.in_table) time_waits.add(slot.key, slot.hash, *tcp.time_wait(), tcp.next_deadline());
      release(slot);
      return;
    }
  }
  wheel.schedule(slot, tcp.next_deadline());
  if (!static_cast<Link<TransmitTag>&>(slot).linked() && !static_cast<HopWaiter&>(slot).linked() &&
      tcp.wants_transmit(now)) {
    transmit_list.push_back(slot);
  }
}

// The handshake is complete, or Fast Open does not wait for it: from the listener's SYN-RECEIVED to its accept queue.
void Stack::Impl::promote(Slot& slot) {
  Listener& listener = *slot.listener;
  static_cast<Link<OwnerTag>&>(slot).unlink();
  --listener.pending_count;
  slot.owner = Owner::accepted;
  listener.queue.push_back(slot);
  ++listener.queued_count;
  if (!static_cast<Link<EventTag>&>(listener).linked()) events.push_back(listener);
}

std::uint8_t Stack::Impl::readiness(const Slot& slot) const {
  std::uint8_t bits = slot.tcp->readiness();
  if (slot.failure != tcp::Errc::none) bits = static_cast<std::uint8_t>(bits | tcp::kFailed);
  return bits;
}

void Stack::Impl::note_readiness(Slot& slot) {
  std::uint8_t holds = readiness(slot);
  auto fresh = static_cast<std::uint8_t>(holds & ~slot.reported);
  slot.reported = holds;
  slot.pending = static_cast<std::uint8_t>((slot.pending & holds) | fresh);
  if (slot.pending != 0 && !static_cast<Link<EventTag>&>(slot).linked()) events.push_back(slot);
}

void Stack::Impl::hand_to_stack(Slot& slot, Instant now) {
  if (slot.owner == Owner::pending) --slot.listener->pending_count;
  if (slot.owner == Owner::accepted) --slot.listener->queued_count;
  slot.owner = Owner::stack;
  static_cast<Link<OwnerTag>&>(slot).unlink();
  if (slot.fast_open) {
    slot.listener->early.push_back(slot);
  } else {
    slot.listener = nullptr;
  }
  static_cast<Link<EventTag>&>(slot).unlink();
  settle(slot, now);
}

void Stack::Impl::on_connection_deadline(Slot& slot, Instant now) {
  slot.tcp->on_deadline(now);
  settle(slot, now);
}

}  // namespace weir::stack
