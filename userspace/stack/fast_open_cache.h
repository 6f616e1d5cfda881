// SPDX-License-Identifier: MIT
// What a client remembers of servers for TCP Fast Open (RFC 7413 4.1.3): their cookies and MSS, and where it had better
// not be tried. Bounded; the one that was used the longest ago goes first.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/base/time.h"
#include "weir/stack/flow_key.h"
#include "weir/stack/index_table.h"
#include "weir/tcp/fast_open.h"

namespace weir::stack {

class FastOpenCache {
 public:
  // How long a cookie is believed in; the server may think otherwise, and then it gives another.
  static constexpr Duration kCookieLife = Duration::seconds(24 * 3'600);
  // RFC 7413 4.1.3.1: how long Fast Open is left alone after it has failed; twice as long each time in a row.
  static constexpr Duration kFirstPause = Duration::seconds(60);
  static constexpr Duration kLongestPause = Duration::seconds(3'600);

  // What the next SYN is to have: nothing; a request, where `cookie` is empty; or a cookie and text.
  struct Advice {
    tcp::FastOpenCookie cookie;
    std::uint16_t mss = 0;
  };

  FastOpenCache(std::uint32_t limit, const std::array<std::uint64_t, 2>& hash_key)
      : limit_(limit), hash_key_(hash_key) {}

  std::size_t size() const { return table_.size(); }

  // No advice: Fast Open is paused for that peer, or off.
  std::optional<Advice> advise(const FlowKey& key, Instant now) {
    if (limit_ == 0) return std::nullopt;
    Entry* entry = find(key);
    if (entry == nullptr) return Advice{};
    use(*entry);
    if (now < entry->paused_until && (entry->paused_port == 0 || entry->paused_port == key.remote_port)) {
      return std::nullopt;
    }
    if (now >= entry->until) entry->cookie = {};
    return Advice{entry->cookie, entry->mss};
  }

  void on_news(const FlowKey& key, const tcp::FastOpenNews& news, Instant now) {
    if (limit_ == 0 || (news.cookie.empty() && !news.taken && !news.refused)) return;
    Entry* entry = find(key);
    if (entry == nullptr) entry = news.cookie.empty() && !news.refused ? nullptr : &create(key);
    if (entry == nullptr) return;
    use(*entry);
    if (!news.cookie.empty()) {
      entry->cookie = news.cookie;
      entry->until = now + kCookieLife;
    }
    if (news.mss != 0) entry->mss = news.mss;
    if (news.taken) {
      entry->failures = 0;
      entry->paused_until = {};
    }
    if (news.refused) pause(*entry, key.remote_port, now);
  }

 private:
  static constexpr std::uint32_t kNone = IndexTable::kNone;
  static constexpr std::uint8_t kMostFailures = 16;

  struct Entry {
    IpAddress local;
    IpAddress remote;
    tcp::FastOpenCookie cookie;
    std::uint8_t failures = 0;      // in a row
    std::uint16_t mss = 0;          // 0: not known
    std::uint16_t paused_port = 0;  // 0: all
    Instant until;                  // of the cookie
    Instant paused_until;
    std::uint32_t hash = 0;
    std::uint32_t older = kNone;  // neighbours by use
    std::uint32_t newer = kNone;
  };

  // The server's service may be what refuses (RFC 7413 4.1.3.1); where two do, it is taken for the path.
  void pause(Entry& entry, std::uint16_t port, Instant now) {
    bool another = now < entry.paused_until && entry.paused_port != port;
    entry.paused_port = another ? std::uint16_t{0} : port;
    entry.paused_until = now + std::min(kFirstPause * (std::int64_t{1} << entry.failures), kLongestPause);
    entry.failures = std::min<std::uint8_t>(static_cast<std::uint8_t>(entry.failures + 1), kMostFailures);
  }

  std::uint32_t hash_of(const FlowKey& key) const {
    return address_hash(key.remote, hash_key_, address_hash(key.local, hash_key_));
  }
  Entry* find(const FlowKey& key) {
    std::uint32_t index = table_.find(hash_of(key), [&](std::uint32_t i) {
      return entries_[i].remote == key.remote && entries_[i].local == key.local;
    });
    return index == kNone ? nullptr : &entries_[index];
  }
  Entry& create(const FlowKey& key) {
    std::uint32_t index = static_cast<std::uint32_t>(entries_.size());
    if (index < limit_) {
      entries_.emplace_back();
    } else {
      index = oldest_;
      unlink(index);
      table_.erase(entries_[index].hash, index);
      entries_[index] = Entry{};
    }
    Entry& entry = entries_[index];
    entry.local = key.local;
    entry.remote = key.remote;
    entry.hash = hash_of(key);
    table_.insert(entry.hash, index);
    append(index);
    return entry;
  }
  void use(Entry& entry) {
    auto index = static_cast<std::uint32_t>(&entry - entries_.data());
    unlink(index);
    append(index);
  }
  void append(std::uint32_t index) {
    entries_[index].older = newest_;
    entries_[index].newer = kNone;
    (newest_ == kNone ? oldest_ : entries_[newest_].newer) = index;
    newest_ = index;
  }
  void unlink(std::uint32_t index) {
    Entry& entry = entries_[index];
    (entry.older == kNone ? oldest_ : entries_[entry.older].newer) = entry.newer;
    (entry.newer == kNone ? newest_ : entries_[entry.newer].older) = entry.older;
  }

  std::uint32_t limit_;
  std::array<std::uint64_t, 2> hash_key_;
  IndexTable table_;
  std::vector<Entry> entries_;
  std::uint32_t oldest_ = kNone;
  std::uint32_t newest_ = kNone;
};

}  // namespace weir::stack
