// SPDX-License-Identifier: MIT
// The four rings of an AF_XDP socket: fill and tx, which we produce into, completion and rx, which we consume from.
//
// Each is an array of a power-of-two number of entries in memory shared with the kernel, with two indices: `producer`
// counts the entries ever written, `consumer` those ever read. Both are 32 bits wide and wrap freely; an entry's slot
// is its index masked by size - 1, and producer - consumer, in modular arithmetic, is what lies in the ring. Each index
// has one writer.
//
//   producer: reserve n -> write the entries -> submit: store-release of `producer`
//   consumer: peek n -> read the entries -> release: store-release of `consumer`
//
// The load-acquire of the other side's index pairs with that store: entries are read only after they were written, and
// written again only after they were read. The cached copy of the other's index is refreshed only when it does not
// suffice, for each refresh may fetch a cache line from another CPU.
//
// Not thread-safe: one thread works a ring.
#pragma once

#include <linux/if_xdp.h>

#include <atomic>
#include <cstdint>

namespace weir::xdp {

// Where a ring lies: set by Socket after mmap; all pointers into the mapping.
struct RingMemory {
  std::uint32_t* producer = nullptr;
  std::uint32_t* consumer = nullptr;
  std::uint32_t* flags = nullptr;
  void* entries = nullptr;
  std::uint32_t size = 0;  // entries; a power of two
};

namespace detail {
inline std::uint32_t load_acquire(std::uint32_t* p) {
  return std::atomic_ref<std::uint32_t>(*p).load(std::memory_order_acquire);
}
inline std::uint32_t load_relaxed(std::uint32_t* p) {
  return std::atomic_ref<std::uint32_t>(*p).load(std::memory_order_relaxed);
}
inline void store_release(std::uint32_t* p, std::uint32_t v) {
  std::atomic_ref<std::uint32_t>(*p).store(v, std::memory_order_release);
}
}  // namespace detail

// T: std::uint64_t (fill) or xdp_desc (tx).
template <class T>
class ProducerRing {
 public:
  ProducerRing() = default;
  explicit ProducerRing(const RingMemory& m)
      : m_(m), head_(detail::load_relaxed(m.producer)), peer_(detail::load_acquire(m.consumer)) {}

  std::uint32_t size() const { return m_.size; }
  // Entries that can be reserved now; asks the kernel's index only if fewer than `wanted` are known of.
  std::uint32_t free(std::uint32_t wanted) {
    std::uint32_t n = m_.size - (head_ - peer_);
    if (n < wanted) {
      peer_ = detail::load_acquire(m_.consumer);
      n = m_.size - (head_ - peer_);
    }
    return n;
  }
  // Up to `wanted` entries, written by [0, n) below and published by submit().
  std::uint32_t reserve(std::uint32_t wanted) {
    const std::uint32_t n = free(wanted);
    return n < wanted ? n : wanted;
  }
  T& operator[](std::uint32_t i) { return static_cast<T*>(m_.entries)[(head_ + i) & (m_.size - 1)]; }
  void submit(std::uint32_t n) {
    head_ += n;
    detail::store_release(m_.producer, head_);
  }
  // What the kernel has not yet read.
  std::uint32_t pending() {
    peer_ = detail::load_acquire(m_.consumer);
    return head_ - peer_;
  }
  // The kernel sleeps and wants a system call to look at this ring (XDP_RING_NEED_WAKEUP).
  bool needs_wakeup() const { return (detail::load_relaxed(m_.flags) & XDP_RING_NEED_WAKEUP) != 0; }

 private:
  RingMemory m_;
  std::uint32_t head_ = 0;  // ours: `producer` as last submitted
  std::uint32_t peer_ = 0;  // the kernel's: `consumer` as last seen
};

// T: std::uint64_t (completion) or xdp_desc (rx).
template <class T>
class ConsumerRing {
 public:
  ConsumerRing() = default;
  explicit ConsumerRing(const RingMemory& m)
      : m_(m), head_(detail::load_relaxed(m.consumer)), peer_(detail::load_acquire(m.producer)) {}

  std::uint32_t size() const { return m_.size; }
  // Up to `wanted` entries that are there, read by [0, n) below and given back by release().
  std::uint32_t peek(std::uint32_t wanted) {
    std::uint32_t n = peer_ - head_;
    if (n < wanted) {
      peer_ = detail::load_acquire(m_.producer);
      n = peer_ - head_;
    }
    return n < wanted ? n : wanted;
  }
  const T& operator[](std::uint32_t i) const { return static_cast<const T*>(m_.entries)[(head_ + i) & (m_.size - 1)]; }
  void release(std::uint32_t n) {
    head_ += n;
    detail::store_release(m_.consumer, head_);
  }

 private:
  RingMemory m_;
  std::uint32_t head_ = 0;  // ours: `consumer` as last released
  std::uint32_t peer_ = 0;  // the kernel's: `producer` as last seen
};

}  // namespace weir::xdp
