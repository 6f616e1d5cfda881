// SPDX-License-Identifier: MIT
// The memory that frames lie in, shared with the kernel: chunks of one size in a memfd.
//
// A memfd, and not anonymous memory, so that `weir run` can register it as root and hand it to a program that maps the
// same pages again after exec. The mapping is MADV_DONTFORK: a fork's child has no use for it, and with it the child
// would see frames change under its feet.
//
// Not thread-safe: one thread owns a Umem, as it owns the socket that uses it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"

namespace weir::xdp {

class Umem;

// The kernel keeps this much before a received frame in its chunk, for bpf_xdp_adjust_head and metadata
// (XDP_PACKET_HEADROOM).
inline constexpr std::uint32_t kKernelHeadroom = 256;

struct UmemConfig {
  std::uint32_t frames = 4096;
  std::uint32_t chunk_size = 2048;  // 2048 or 4096; see chunk_size_for_mtu
  std::uint32_t headroom = 0;       // kept before a received frame, besides kKernelHeadroom, where XDP's metadata lies
  bool huge_pages = true;           // taken where enough of them are free
};

// The chunk that holds a received frame of this MTU (with Ethernet header and one VLAN tag); 0 where none does.
std::uint32_t chunk_size_for_mtu(std::uint32_t mtu, std::uint32_t headroom = 0);

// One chunk, owned. Gives itself back to its Umem when destroyed, so it must not outlive it.
class UmemFrame {
 public:
  UmemFrame() = default;
  UmemFrame(UmemFrame&& other) noexcept : umem_(std::exchange(other.umem_, nullptr)), chunk_(other.chunk_) {}
  UmemFrame& operator=(UmemFrame&& other) noexcept {
    if (this != &other) {
      reset();
      umem_ = std::exchange(other.umem_, nullptr);
      chunk_ = other.chunk_;
    }
    return *this;
  }
  UmemFrame(const UmemFrame&) = delete;
  UmemFrame& operator=(const UmemFrame&) = delete;
  ~UmemFrame() { reset(); }

  explicit operator bool() const { return umem_ != nullptr; }
  // The whole chunk.
  Bytes bytes() const;
  // The chunk's first byte, as an offset into the UMEM: what the fill and tx rings carry.
  std::uint64_t address() const;
  // The kernel owns the chunk from here on; Umem::reclaim makes it a frame again.
  std::uint64_t release();
  void reset();

 private:
  friend class Umem;
  UmemFrame(Umem* umem, std::uint32_t chunk) : umem_(umem), chunk_(chunk) {}
  Umem* umem_ = nullptr;
  std::uint32_t chunk_ = 0;
};

// A UMEM as another process needs to know it.
struct UmemFds {
  int memfd = -1;
  std::uint32_t frames = 0;
  std::uint32_t chunk_size = 0;
  std::uint32_t headroom = 0;
};

class Umem {
 public:
  static Outcome<std::unique_ptr<Umem>> create(const UmemConfig& config);
  // Maps a UMEM that another process made; takes the descriptor.
  static Outcome<std::unique_ptr<Umem>> adopt(const UmemFds& fds);
  ~Umem();
  Umem(const Umem&) = delete;
  Umem& operator=(const Umem&) = delete;

  // An empty handle when all are in use.
  UmemFrame allocate() {
    if (free_.empty()) return {};
    const std::uint32_t chunk = free_.back();
    free_.pop_back();
    return UmemFrame(this, chunk);
  }
  // The frame in which `address` lies: what a ring gave back. Each address that was released comes back once.
  UmemFrame reclaim(std::uint64_t address) {
    return UmemFrame(this, static_cast<std::uint32_t>(address / chunk_size_));
  }

  std::size_t available() const { return free_.size(); }
  std::uint32_t frames() const { return frames_; }
  std::uint32_t chunk_size() const { return chunk_size_; }
  std::uint32_t headroom() const { return headroom_; }
  bool huge_pages() const { return huge_; }
  std::byte* base() const { return base_; }
  std::size_t size() const { return std::size_t{frames_} * chunk_size_; }
  // The descriptor stays this object's.
  UmemFds fds() const { return {memfd_.get(), frames_, chunk_size_, headroom_}; }
  // In a fork's child: closes the descriptor and forgets the mapping, which is not there.
  void abandon();

 private:
  friend class UmemFrame;
  Umem(Fd memfd, std::uint32_t frames, std::uint32_t chunk_size, std::uint32_t headroom)
      : memfd_(std::move(memfd)), frames_(frames), chunk_size_(chunk_size), headroom_(headroom) {}
  Outcome<void> map();
  void give_back(std::uint32_t chunk) { free_.push_back(chunk); }

  Fd memfd_;
  std::uint32_t frames_;
  std::uint32_t chunk_size_;
  std::uint32_t headroom_;
  bool huge_ = false;
  std::byte* base_ = nullptr;
  std::size_t mapped_ = 0;           // size(), rounded up to the page size of the memfd
  std::vector<std::uint32_t> free_;  // a stack: the chunk used last is the one in the cache
};

inline Bytes UmemFrame::bytes() const {
  return Bytes(umem_->base() + std::size_t{chunk_} * umem_->chunk_size(), umem_->chunk_size());
}
inline std::uint64_t UmemFrame::address() const { return std::uint64_t{chunk_} * umem_->chunk_size(); }
inline std::uint64_t UmemFrame::release() {
  const std::uint64_t a = address();
  umem_ = nullptr;
  return a;
}
inline void UmemFrame::reset() {
  if (umem_ != nullptr) umem_->give_back(chunk_);
  umem_ = nullptr;
}

}  // namespace weir::xdp
