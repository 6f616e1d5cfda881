// SPDX-License-Identifier: MIT
// A stack's connections and listeners: where they live, and how they are found.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "weir/stack/fast_open_queue.h"
#include "weir/stack/flow_cells.h"
#include "weir/stack/flow_key.h"
#include "weir/stack/index_table.h"
#include "weir/stack/link_list.h"
#include "weir/stack/next_hop_cache.h"
#include "weir/stack/stack.h"
#include "weir/stack/timing_wheel.h"
#include "weir/tcp/connection.h"

namespace weir::stack {

struct EventTag {};
struct TransmitTag {};
struct OwnerTag {};

// What poll_event() may name.
struct EventSource : Link<EventTag> {
  explicit EventSource(bool listener) : is_listener(listener) {}
  const bool is_listener;
};

struct Listener;

// Who decides when a connection's record may be freed.
enum class Owner : std::uint8_t {
  none,
  pending,   // its listener: the handshake is under way
  accepted,  // its listener: waiting for accept()
  user,
  stack,  // the user has let go; freed when TCP is done
};

// One connection's record. Its address is good for the life of the stack.
struct Slot : Timer, HopWaiter, EventSource, Link<TransmitTag>, Link<OwnerTag> {
  Slot() : EventSource(false) {}

  FlowKey key;
  std::uint32_t hash = 0;
  std::uint32_t index = 0;
  std::uint32_t generation = 1;
  Owner owner = Owner::none;
  bool in_table = false;                // found by its 4-tuple
  bool counted = false;                 // among flows() of its port
  std::uint16_t flow_class = 0;         // likewise, where there are classes
  bool fast_open = false;               // among those that `listener`'s Fast Open queue counts
  std::uint32_t memory = 0;             // of its buffers, as counted
  std::uint8_t reported = 0;            // readiness bits that poll_event() has, and that still hold
  std::uint8_t pending = 0;             // those that it has not yet handed out
  tcp::Errc failure = tcp::Errc::none;  // what the stack found out and TCP could not know
  Listener* listener = nullptr;         // while pending, accepted or `fast_open`

  // Where it sends. A passive connection has its peer's MAC from the SYN.
  std::optional<MacAddress> syn_mac;
  NextHopCache::Position hop;
  std::uint32_t asked_epoch = 0;  // of the cache, when a passive connection last asked; 0: not yet
  std::uint16_t path_mtu = 0;     // what TCP has been told
  std::uint16_t icmp_mtu = 0;     // what ICMP has told; 0: nothing, or too long ago
  Instant icmp_mtu_until;
  std::uint16_t ip_id = 0;
  std::uint32_t flow_label = 0;

  std::optional<tcp::Connection> tcp;

  ConnectionId id() const { return {index, generation}; }
};

// Slots by index, and by 4-tuple.
class ConnectionTable {
 public:
  ConnectionTable() = default;
  ConnectionTable(const ConnectionTable&) = delete;
  ConnectionTable& operator=(const ConnectionTable&) = delete;

  // A free slot, with `key` set and in no list and not yet in the table.
  Slot& allocate(const FlowKey& key, std::uint32_t hash);
  // The slot is in no list; its connection, if any, is destroyed.
  void free(Slot& slot);

  // Those that insert() and erase() count from here on; before the first connection.
  void count_in(FlowCells cells) { cells_ = cells; }

  void insert(Slot& slot);
  // Its 4-tuple may be used again; the slot lives on.
  void erase(Slot& slot);

  Slot* find(const FlowKey& key, std::uint32_t hash);
  // Null for a stale id.
  Slot* get(ConnectionId id);
  const Slot* get(ConnectionId id) const;

  // Those allocated.
  std::size_t size() const { return size_; }

  template <class F>
  void for_each(F&& f) {
    for (std::uint32_t i = 0; i < used_; ++i) {
      Slot& slot = at(i);
      if (slot.owner != Owner::none) f(slot);
    }
  }
  // The slot of that index, null where it is free; indices go up to end_index().
  const Slot* allocated(std::uint32_t index) const {
    const Slot& slot = at(index);
    return slot.owner != Owner::none ? &slot : nullptr;
  }
  std::uint32_t end_index() const { return used_; }

 private:
  static constexpr std::uint32_t kChunk = 64;
  using Chunk = std::array<Slot, kChunk>;

  Slot& at(std::uint32_t index) const { return (*chunks_[index / kChunk])[index % kChunk]; }

  IndexTable table_;
  FlowCells cells_;
  std::vector<std::unique_ptr<Chunk>> chunks_;
  std::vector<std::uint32_t> free_;
  std::uint32_t used_ = 0;  // indices ever handed out
  std::size_t size_ = 0;
};

struct Listener : EventSource {
  Listener() : EventSource(true) {}

  Endpoint local;
  std::uint32_t index = 0;
  std::uint32_t generation = 1;
  std::uint32_t backlog = 0;
  const tcp::Config* tcp = nullptr;  // of the connections that it takes
  tcp::ControllerIndex congestion = tcp::kDefaultController;
  bool open = false;
  std::uint32_t pending_count = 0;
  std::uint32_t queued_count = 0;
  Instant cookies_until;                // an ACK before then may carry one
  std::optional<tcp::Options> options;  // of its connections; else Config's
  LinkList<Slot, OwnerTag> pending;
  LinkList<Slot, OwnerTag> queue;
  FastOpenQueue fast_open;
  LinkList<Slot, OwnerTag> early;  // of those that it counts, who have been accepted

  ListenerId id() const { return {index, generation}; }
  bool full() const { return pending_count + queued_count >= backlog; }
  bool queue_full() const { return queued_count >= backlog; }
};

class ListenerTable {
 public:
  // Null where a listener has that port, on that address or on any.
  Listener* open(const Endpoint& local, std::uint32_t backlog);
  // Its queues are empty.
  void close(Listener& listener);
  Listener* get(ListenerId id);
  // One on exactly that address, or on any.
  Listener* find(const IpAddress& local, std::uint16_t port);

  template <class F>
  void for_each(F&& f) const {
    for (const auto& listener : listeners_) {
      if (listener->open) f(*listener);
    }
  }

 private:
  static std::uint32_t hash(std::uint16_t port) { return static_cast<std::uint32_t>(weir_mix64(port)); }

  IndexTable table_;
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::vector<std::uint32_t> free_;
};

}  // namespace weir::stack
