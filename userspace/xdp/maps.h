// SPDX-License-Identifier: MIT
// Typed access to the maps of one attached interface (common/abi.h says what they mean).
//
// Arrays that are mapped (config, heartbeats, steer, engine_counters) are memory: reading is a load, writing a store,
// no privilege needed once mapped. Hash maps, per-CPU arrays, the filter and the secrets go by system call.
//
// In a fork's child a Maps is dead: its memory is not there, its descriptors are closed, and nothing but its destructor
// may be called.
//
// The views are as thread-safe as memory is: single words, by load()/store() below. Who may write what stands in abi.h;
// tools hold control::Lock while they write.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "weir/base/ip_address.h"
#include "weir/common/abi.h"
#include "weir/common/reasons.h"
#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"
#include "weir/xdp/generation.h"
#include "weir/xdp/set_memory.h"

namespace weir::xdp {

enum class MapId : std::uint8_t {
  config,
  heartbeats,
  local_addrs,
  steer_index,
  steer,
  steer_counters,
  counters,
  rule_counters,
  engine_counters,
  filter,
  limits,
  limit_sources,
  fragments,
  secrets,
  xsks,
  guarded,
  captures,
  capture_slots,
  drop_samples,
  listening,
  sets,
  syn_guard,
  syn_answer,
  flow_cells,
  steered,
};
inline constexpr std::size_t kMapCount = 25;
const char* map_name(MapId id);

// Descriptors by MapId; -1 where a map is not at hand.
using MapFds = std::array<int, kMapCount>;

// Words that several processes share.
template <class T>
T load(const T& word) {
  return std::atomic_ref<T>(const_cast<T&>(word)).load(std::memory_order_acquire);
}
template <class T>
void store(T& word, T value) {
  std::atomic_ref<T>(word).store(value, std::memory_order_release);
}
template <class T>
T fetch_or(T& word, T bits) {
  return std::atomic_ref<T>(word).fetch_or(bits, std::memory_order_acq_rel);
}
template <class T>
T fetch_and(T& word, T bits) {
  return std::atomic_ref<T>(word).fetch_and(bits, std::memory_order_acq_rel);
}
template <class T>
T fetch_add(T& word, T n) {
  return std::atomic_ref<T>(word).fetch_add(n, std::memory_order_acq_rel);
}

class Maps {
 public:
  // Opens the maps pinned in `directory`. Refuses those of another ABI version by name, with code EPROTO.
  static Outcome<Maps> open(const std::string& directory);
  // Takes the descriptors (all but secrets and fragments must be there).
  static Outcome<Maps> adopt(const MapFds& fds);
  Maps(Maps&&) noexcept;
  Maps& operator=(Maps&&) noexcept;
  ~Maps();

  weir_config& config() const;
  std::span<weir_heartbeat, WEIR_MAX_QUEUES> heartbeats() const;
  std::span<weir_steer, WEIR_MAX_STEER> steer() const;
  std::span<weir_engine_counters, WEIR_MAX_QUEUES> engine_counters() const;
  std::span<weir_u64, WEIR_LISTENING_WORDS> listening() const;
  std::span<weir_syn_guard, WEIR_MAX_STEER> syn_guard() const;
  weir_syn_answer& syn_answer() const;
  std::span<weir_flow_cell, WEIR_FLOW_CELLS> flow_cells() const;

  Outcome<std::map<IpAddress, weir_u32>> local_addresses() const;  // each with its enum weir_local
  // Makes the map hold exactly these; additions come before removals.
  // `left`: no longer the interface's, but an engine's connections have them still (WEIR_LOCAL_LEFT).
  Outcome<void> set_local_addresses(std::span<const IpAddress> addresses, std::span<const IpAddress> left = {}) const;

  // The first entry of a port's chain, or with port 0 of that of the ranges; `port` in host order. Nothing where there
  // is none.
  std::optional<std::uint32_t> find_steer(std::uint8_t protocol, std::uint16_t port) const;
  // The first entry of every chain.
  struct SteerHead {
    std::uint8_t protocol = 0;
    std::uint16_t port = 0;
    std::uint32_t index = 0;
  };
  std::vector<SteerHead> steer_heads() const;
  Outcome<void> publish_steer(std::uint8_t protocol, std::uint16_t port, std::uint32_t index) const;
  Outcome<void> withdraw_steer(std::uint8_t protocol, std::uint16_t port) const;

  // Sums over the CPUs.
  Outcome<std::vector<weir_counter>> counters() const;        // WEIR_REASON_COUNT entries
  Outcome<std::vector<weir_counter>> steer_counters() const;  // WEIR_MAX_STEER entries
  Outcome<weir_counter> rule_counter(std::uint32_t index) const;
  // With the token bucket of the same index.
  Outcome<void> clear_rule_counter(std::uint32_t index) const;
  Outcome<void> clear_steer_counter(std::uint32_t index) const;

  // What is in that slot; nothing where it is empty. CAP_SYS_ADMIN: the kernel gives an inner map to nobody else.
  Outcome<std::optional<Generation>> generation(std::uint32_t slot) const;
  // Puts it there, and returns when no program can be reading what was there before: the kernel waits for an RCU grace
  // period before the update of a map of maps returns. So a program's run that begins after it sees the new one, and
  // those that had the old one have ended.
  Outcome<void> put_generation(std::uint32_t slot, std::span<const weir_chunk> chunks) const;

  // The SSH sessions that are guarded, by address and port. `put_guard` sets WEIR_CONFIG_GUARDED, and the removal of
  // the last one clears it. ENOSPC where there are WEIR_MAX_GUARDS.
  Outcome<std::vector<std::pair<weir_guard_key, weir_guard>>> guards() const;
  Outcome<void> put_guard(const weir_guard_key& key, const weir_guard& guard) const;
  Outcome<void> remove_guard(const weir_guard_key& key) const;

  // The table of sets in that slot, likewise. Writing its rows is the holder of the lock's.
  Outcome<std::optional<SetMemory>> set_table(std::uint32_t slot) const;
  // Waits as put_generation() does: what was there before is read by nobody any more.
  Outcome<void> put_set_table(std::uint32_t slot, const SetMemory& table) const;
  Outcome<void> drop_set_table(std::uint32_t slot) const;

  // EPERM or ENOENT where the reader is not allowed to have them.
  Outcome<weir_secrets> secrets() const;
  Outcome<void> set_secrets(const weir_secrets& secrets) const;

  // The socket takes the queue's frames from here on. It leaves the map by itself when it is closed.
  Outcome<void> set_xsk(std::uint32_t queue, int socket_fd) const;
  Outcome<void> clear_xsk(std::uint32_t queue) const;

  // The descriptors stay this object's.
  MapFds fds() const;
  // The same for exec: close-on-exec is cleared and a later fork in this process no longer closes them.
  MapFds pass_on();

 private:
  struct State;
  explicit Maps(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

// Waits until every run of an XDP program that began before the call has ended (an RCU grace period), so that what such
// a run could still be reading may be written again. By membarrier(MEMBARRIER_CMD_GLOBAL), which is synchronize_rcu();
// where nohz_full forbids that, by an update of a map of maps, which waits likewise. Takes some milliseconds.
Outcome<void> synchronize_programs();

}  // namespace weir::xdp
