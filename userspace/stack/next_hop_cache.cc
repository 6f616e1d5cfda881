// SPDX-License-Identifier: MIT
#include "weir/stack/next_hop_cache.h"

#include "weir/stack/flow_key.h"

namespace weir::stack {

NextHopCache::NextHopCache(const Limits& limits) : limits_(limits) {}
NextHopCache::~NextHopCache() = default;

std::uint32_t NextHopCache::hash(const IpAddress& destination) const {
  return address_hash(destination, limits_.hash_key);
}

NextHopCache::Entry* NextHopCache::look_up(const IpAddress& destination, std::uint32_t hash) {
  std::uint32_t index = table_.find(hash, [&](std::uint32_t i) { return entries_[i]->destination == destination; });
  return index == IndexTable::kNone ? nullptr : entries_[index].get();
}

NextHopCache::Entry* NextHopCache::look_up(const IpAddress& destination, Position& position) {
  // Entries are recycled, never freed: the pointer is good, and the generation says whether it is still the same.
  if (position.entry_ != nullptr && position.entry_->generation == position.generation_) return position.entry_;
  Entry* entry = look_up(destination, hash(destination));
  position.entry_ = entry;
  position.generation_ = entry != nullptr ? entry->generation : 0;
  return entry;
}

NextHopCache::Route NextHopCache::route(Entry& entry, Instant now) {
  static_cast<Link<LruTag>&>(entry).unlink();
  lru_.push_back(entry);
  if (entry.path_mtu != 0 && now >= entry.path_mtu_until) entry.path_mtu = 0;
  return {entry.mac, entry.path_mtu != 0 && entry.path_mtu < entry.mtu ? entry.path_mtu : entry.mtu};
}

std::optional<NextHopCache::Route> NextHopCache::peek(const IpAddress& destination, Position& position, Instant now) {
  Entry* entry = look_up(destination, position);
  if (entry == nullptr || !entry->known) return std::nullopt;
  return route(*entry, now);
}

std::optional<NextHopCache::Route> NextHopCache::find(const IpAddress& source, const IpAddress& destination,
                                                      Position& position, Instant now) {
  Entry* entry = look_up(destination, position);
  if (entry == nullptr) {
    entry = create(destination, hash(destination));
    if (entry == nullptr) return std::nullopt;
    position.entry_ = entry;
    position.generation_ = entry->generation;
  }
  if (!entry->asked() && (!entry->known || entry->epoch != epoch_)) ask(*entry, source, now);
  if (!entry->known) return std::nullopt;
  return route(*entry, now);
}

bool NextHopCache::wait(const IpAddress& destination, HopWaiter& waiter) {
  Entry* entry = look_up(destination, hash(destination));
  if (entry == nullptr || entry->known) return false;
  if (entry->waiting >= limits_.waiters) {
    // Waiters leave without a word (a connection that is aborted); only a full list is worth a count.
    entry->waiting = 0;
    entry->waiters.for_each([&](const HopWaiter&) { ++entry->waiting; });
    if (entry->waiting >= limits_.waiters) return false;
  }
  entry->waiters.push_back(waiter);
  ++entry->waiting;
  return true;
}

NextHopCache::Entry* NextHopCache::create(const IpAddress& destination, std::uint32_t hash) {
  if (table_.size() >= limits_.entries) {
    if (lru_.empty()) return nullptr;
    remove(lru_.front());
  }
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(entries_.size()));
    entries_.push_back(std::make_unique<Entry>());
    entries_.back()->index = free_.back();
  }
  Entry& entry = *entries_[free_.back()];
  free_.pop_back();
  entry.destination = destination;
  entry.hash = hash;
  entry.known = false;
  entry.path_mtu = 0;
  entry.waiting = 0;
  table_.insert(hash, entry.index);
  return &entry;
}

void NextHopCache::remove(Entry& entry) {
  table_.erase(entry.hash, entry.index);
  static_cast<Link<LruTag>&>(entry).unlink();
  answered(entry);
  ++entry.generation;
  entry.waiters.clear();
  free_.push_back(entry.index);
}

void NextHopCache::ask(Entry& entry, const IpAddress& source, Instant now) {
  entry.source = source;
  entry.epoch = epoch_;
  entry.deadline = now + limits_.timeout;
  asked_.push_back(entry);
  queries_.push_back(entry);
}

void NextHopCache::answered(Entry& entry) {
  static_cast<Link<AskedTag>&>(entry).unlink();
  static_cast<Link<QueryTag>&>(entry).unlink();
}

std::optional<NextHopCache::Query> NextHopCache::poll_query() {
  Entry* entry = queries_.pop_front();
  if (entry == nullptr) return std::nullopt;
  return Query{entry->source, entry->destination};
}

void NextHopCache::on_answer(const IpAddress& destination, const MacAddress& mac, std::uint16_t mtu,
                             HopWaiters& woken) {
  std::uint32_t h = hash(destination);
  Entry* entry = look_up(destination, h);
  if (entry == nullptr) {
    // Nobody waits for it: it may take a free place, and nobody's.
    if (table_.size() >= limits_.entries) return;
    entry = create(destination, h);
    entry->epoch = epoch_;
  }
  // What was asked before a flush and answered after it is asked again: entry->epoch is that of the question.
  answered(*entry);
  entry->known = true;
  entry->mac = mac;
  entry->mtu = mtu;
  if (!entry->Link<LruTag>::linked()) lru_.push_back(*entry);
  woken.take(entry->waiters);
  entry->waiting = 0;
}

void NextHopCache::on_failure(const IpAddress& destination, HopWaiters& woken) {
  Entry* entry = look_up(destination, hash(destination));
  if (entry == nullptr) return;
  woken.take(entry->waiters);
  remove(*entry);
}

void NextHopCache::lower_mtu(const IpAddress& destination, std::uint16_t mtu, Instant now) {
  Entry* entry = look_up(destination, hash(destination));
  if (entry == nullptr) return;
  if (entry->path_mtu != 0 && now < entry->path_mtu_until && entry->path_mtu <= mtu) return;
  entry->path_mtu = mtu;
  entry->path_mtu_until = now + kPathMtuLife;
}

Instant NextHopCache::next_deadline() const { return asked_.empty() ? Instant::never() : asked_.front().deadline; }

void NextHopCache::on_deadline(Instant now, HopWaiters& failed) {
  while (!asked_.empty() && asked_.front().deadline <= now) {
    Entry& entry = asked_.front();
    if (entry.known) {
      // Asked again after a flush and not answered: what is known stays, and the next use asks once more.
      answered(entry);
      entry.epoch = epoch_ - 1;
    } else {
      failed.take(entry.waiters);
      remove(entry);
    }
  }
}

}  // namespace weir::stack
