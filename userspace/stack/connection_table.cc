// SPDX-License-Identifier: MIT
#include "weir/stack/connection_table.h"

#include <limits>

namespace weir::stack {

Slot& ConnectionTable::allocate(const FlowKey& key, std::uint32_t hash) {
  if (free_.empty()) {
    if (used_ == chunks_.size() * kChunk) chunks_.push_back(std::make_unique<Chunk>());
    at(used_).index = used_;
    free_.push_back(used_++);
  }
  Slot& slot = at(free_.back());
  free_.pop_back();
  slot.key = key;
  slot.hash = hash;
  ++size_;
  return slot;
}

void ConnectionTable::free(Slot& slot) {
  erase(slot);
  slot.tcp.reset();
  slot.owner = Owner::none;
  slot.counted = false;
  slot.reported = slot.pending = 0;
  slot.failure = tcp::Errc::none;
  slot.listener = nullptr;
  slot.syn_mac.reset();
  slot.hop = {};
  slot.asked_epoch = 0;
  slot.path_mtu = slot.icmp_mtu = 0;
  --size_;
  // An id is never used twice: an index whose generations are used up is retired.
  if (slot.generation == std::numeric_limits<std::uint32_t>::max()) {
    slot.generation = 0;
    return;
  }
  ++slot.generation;
  free_.push_back(slot.index);
}

void ConnectionTable::insert(Slot& slot) {
  table_.insert(slot.hash, slot.index);
  cells_.add(slot.hash);
  slot.in_table = true;
}

void ConnectionTable::erase(Slot& slot) {
  if (!slot.in_table) return;
  table_.erase(slot.hash, slot.index);
  cells_.remove(slot.hash);
  slot.in_table = false;
}

Slot* ConnectionTable::find(const FlowKey& key, std::uint32_t hash) {
  std::uint32_t index = table_.find(hash, [&](std::uint32_t i) { return at(i).key == key; });
  return index == IndexTable::kNone ? nullptr : &at(index);
}

const Slot* ConnectionTable::get(ConnectionId id) const {
  if (id.generation == 0 || id.index >= used_) return nullptr;
  const Slot& slot = at(id.index);
  return slot.generation == id.generation && slot.owner != Owner::none ? &slot : nullptr;
}

Slot* ConnectionTable::get(ConnectionId id) {
  if (id.generation == 0 || id.index >= used_) return nullptr;
  Slot& slot = at(id.index);
  return slot.generation == id.generation && slot.owner != Owner::none ? &slot : nullptr;
}

Listener* ListenerTable::open(const Endpoint& local, std::uint32_t backlog) {
  std::uint32_t taken = table_.find(hash(local.port), [&](std::uint32_t i) {
    const Endpoint& other = listeners_[i]->local;
    return other.port == local.port &&
           (other.address.is_unspecified() || local.address.is_unspecified() || other.address == local.address);
  });
  if (taken != IndexTable::kNone) return nullptr;
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(listeners_.size()));
    listeners_.push_back(std::make_unique<Listener>());
    listeners_.back()->index = free_.back();
  }
  Listener& listener = *listeners_[free_.back()];
  free_.pop_back();
  listener.local = local;
  listener.backlog = backlog > 0 ? backlog : 1;
  listener.open = true;
  listener.cookies_until = {};
  listener.options.reset();
  listener.fast_open = {};
  table_.insert(hash(local.port), listener.index);
  return &listener;
}

void ListenerTable::close(Listener& listener) {
  table_.erase(hash(listener.local.port), listener.index);
  static_cast<Link<EventTag>&>(listener).unlink();
  listener.open = false;
  if (++listener.generation != 0) free_.push_back(listener.index);
}

Listener* ListenerTable::get(ListenerId id) {
  if (id.generation == 0 || id.index >= listeners_.size()) return nullptr;
  Listener& listener = *listeners_[id.index];
  return listener.open && listener.generation == id.generation ? &listener : nullptr;
}

Listener* ListenerTable::find(const IpAddress& local, std::uint16_t port) {
  std::uint32_t index = table_.find(hash(port), [&](std::uint32_t i) {
    const Endpoint& at = listeners_[i]->local;
    return at.port == port && (at.address.is_unspecified() || at.address == local);
  });
  return index == IndexTable::kNone ? nullptr : listeners_[index].get();
}

}  // namespace weir::stack
