// SPDX-License-Identifier: MIT
// What the kernel said of the way to a destination: the neighbour's MAC and the MTU. Bounded; the least recently used
// goes first. What is not known is asked for once, and connections wait for the answer in a bounded list.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/base/time.h"
#include "weir/stack/index_table.h"
#include "weir/stack/link_list.h"

namespace weir::stack {

// RFC 1191 6.3, RFC 8201 5.3: how long a lower path MTU is believed.
inline constexpr Duration kPathMtuLife = Duration::seconds(600);

struct HopWaiterTag {};
// Derive from it what waits for a next hop.
struct HopWaiter : Link<HopWaiterTag> {};
using HopWaiters = LinkList<HopWaiter, HopWaiterTag>;

class NextHopCache {
  struct Entry;

 public:
  struct Limits {
    std::uint32_t entries = 0;
    std::uint32_t waiters = 0;  // for one destination
    Duration timeout;           // of a query
    std::array<std::uint64_t, 2> hash_key{};
  };
  struct Route {
    MacAddress mac;
    std::uint16_t mtu = 0;  // the route's, or a lower one that the path has told
  };
  struct Query {
    IpAddress source;
    IpAddress destination;
  };
  // Where a user last found its destination; saves the look-up while that entry lives.
  class Position {
    friend class NextHopCache;
    Entry* entry_ = nullptr;
    std::uint32_t generation_ = 0;
  };

  explicit NextHopCache(const Limits& limits);
  NextHopCache(const NextHopCache&) = delete;
  NextHopCache& operator=(const NextHopCache&) = delete;
  ~NextHopCache();

  // What is known, and nothing asked.
  std::optional<Route> peek(const IpAddress& destination, Position& position, Instant now);
  // As peek(), and asks where nothing is known or where it was known before the last flush().
  std::optional<Route> find(const IpAddress& source, const IpAddress& destination, Position& position, Instant now);
  // To be called where find() gave nothing. False: too many wait already, or the cache is full of destinations that
  // are being asked for. A waiter may unlink itself at any time.
  bool wait(const IpAddress& destination, HopWaiter& waiter);

  std::optional<Query> poll_query();
  // Both append to `woken` who waited. An answer that was not asked for is kept where
  // there is room.
  void on_answer(const IpAddress& destination, const MacAddress& mac, std::uint16_t mtu, HopWaiters& woken);
  // Forgets the destination.
  void on_failure(const IpAddress& destination, HopWaiters& woken);
  // What was known is used until it is asked for again.
  void flush() { ++epoch_; }
  // Raised by flush(); 1 at first.
  std::uint32_t epoch() const { return epoch_; }

  // Of a destination that is known; kept for kPathMtuLife.
  void lower_mtu(const IpAddress& destination, std::uint16_t mtu, Instant now);

  // When the oldest query times out; Instant::never() where none is open.
  Instant next_deadline() const;
  // Appends to `failed` who waited for what was not answered in time.
  void on_deadline(Instant now, HopWaiters& failed);

  std::size_t size() const { return table_.size(); }

 private:
  struct LruTag {};
  struct AskedTag {};
  struct QueryTag {};
  struct Entry : Link<LruTag>, Link<AskedTag>, Link<QueryTag> {
    IpAddress destination;
    IpAddress source;  // of the first who asked: policy routes look at it
    std::uint32_t index = 0;
    std::uint32_t generation = 1;
    std::uint32_t hash = 0;
    std::uint32_t epoch = 0;  // of the last query or answer
    bool known = false;
    MacAddress mac;
    std::uint16_t mtu = 0;
    std::uint16_t path_mtu = 0;  // 0: none lower than the route's
    Instant path_mtu_until;
    Instant deadline;  // of the open query
    HopWaiters waiters;
    std::uint32_t waiting = 0;  // upper bound of waiters' length
    bool asked() const { return Link<AskedTag>::linked(); }
  };

  Entry* look_up(const IpAddress& destination, Position& position);
  Entry* look_up(const IpAddress& destination, std::uint32_t hash);
  Entry* create(const IpAddress& destination, std::uint32_t hash);
  void ask(Entry& entry, const IpAddress& source, Instant now);
  void answered(Entry& entry);
  void remove(Entry& entry);
  Route route(Entry& entry, Instant now);
  std::uint32_t hash(const IpAddress& destination) const;

  Limits limits_;
  std::uint32_t epoch_ = 1;
  IndexTable table_;
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<std::uint32_t> free_;
  LinkList<Entry, LruTag> lru_;      // known ones, the least recently used in front
  LinkList<Entry, AskedTag> asked_;  // open queries, the oldest in front
  LinkList<Entry, QueryTag> queries_;
};

}  // namespace weir::stack
