// SPDX-License-Identifier: MIT
// Connections in TIME-WAIT whose users have let go: some eighty bytes each, and eight in an index. Bounded; where a new
// one finds no room the oldest gives way: it guards against stray segments (RFC 9293 3.6.1), and to refuse connections
// for the rest of its minute would be the greater harm.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weir/base/time.h"
#include "weir/stack/flow_cells.h"
#include "weir/stack/flow_key.h"
#include "weir/stack/index_table.h"
#include "weir/tcp/time_wait.h"

namespace weir::stack {

class TimeWaitTable {
 public:
  struct Entry {
    FlowKey key;
    tcp::TimeWait tcp;
    std::uint32_t hash = 0;
    std::uint32_t older = 0;  // neighbours by age; of a free entry, `newer` is the next free one
    std::uint32_t newer = 0;
    Instant until;
  };
  static_assert(sizeof(Entry) <= 80);

  explicit TimeWaitTable(std::uint32_t limit) : limit_(limit) {}

  void count_in(FlowCells cells) { cells_ = cells; }

  std::size_t size() const { return table_.size(); }
  std::size_t memory() const { return entries_.capacity() * sizeof(Entry); }

  // No entry has that key. `until` is not before that of those that are there, or these wait as long.
  void add(const FlowKey& key, std::uint32_t hash, const tcp::TimeWait& tcp, Instant until) {
    if (limit_ == 0) return;
    if (size() == limit_) erase(entries_[oldest_]);
    if (free_ == kNone) {
      free_ = static_cast<std::uint32_t>(entries_.size());
      entries_.push_back({});
      entries_.back().newer = kNone;
    }
    std::uint32_t index = free_;
    Entry& entry = entries_[index];
    free_ = entry.newer;
    entry.key = key;
    entry.tcp = tcp;
    entry.hash = hash;
    entry.until = until;
    table_.insert(hash, index);
    cells_.add(hash);
    append(index);
  }
  // Null where there is none. Good until the next call.
  Entry* find(const FlowKey& key, std::uint32_t hash) {
    std::uint32_t index = table_.find(hash, [&](std::uint32_t i) { return entries_[i].key == key; });
    return index == kNone ? nullptr : &entries_[index];
  }
  void erase(Entry& entry) {
    std::uint32_t index = unlink(entry);
    table_.erase(entry.hash, index);
    cells_.remove(entry.hash);
    entry.until = Instant::never();
    entry.newer = free_;
    free_ = index;
    // A flood of short connections has passed.
    if (table_.size() == 0) {
      std::vector<Entry>().swap(entries_);
      free_ = kNone;
    }
  }
  void restart(Entry& entry, Instant until) {
    std::uint32_t index = unlink(entry);
    entry.until = until;
    append(index);
  }
  void clear() {
    while (size() != 0) erase(entries_[oldest_]);
  }

  Instant next_deadline() const { return size() == 0 ? Instant::never() : entries_[oldest_].until; }
  void on_deadline(Instant now) {
    while (next_deadline() <= now) erase(entries_[oldest_]);
  }

  // The entry of that index, null where it is free; indices go up to end_index().
  const Entry* allocated(std::uint32_t index) const {
    const Entry& entry = entries_[index];
    return entry.until != Instant::never() ? &entry : nullptr;
  }
  std::uint32_t end_index() const { return static_cast<std::uint32_t>(entries_.size()); }

 private:
  static constexpr std::uint32_t kNone = IndexTable::kNone;

  void append(std::uint32_t index) {
    Entry& entry = entries_[index];
    entry.older = newest_;
    entry.newer = kNone;
    (newest_ == kNone ? oldest_ : entries_[newest_].newer) = index;
    newest_ = index;
  }
  // Out of the order of ages. Its index.
  std::uint32_t unlink(Entry& entry) {
    auto index = static_cast<std::uint32_t>(&entry - entries_.data());
    (entry.older == kNone ? oldest_ : entries_[entry.older].newer) = entry.newer;
    (entry.newer == kNone ? newest_ : entries_[entry.newer].older) = entry.older;
    return index;
  }

  FlowCells cells_;
  std::uint32_t limit_;
  IndexTable table_;
  std::vector<Entry> entries_;
  std::uint32_t free_ = kNone;
  std::uint32_t oldest_ = kNone;
  std::uint32_t newest_ = kNone;
};

}  // namespace weir::stack
