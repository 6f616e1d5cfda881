// SPDX-License-Identifier: MIT
// An AF_XDP socket on one queue of one interface, with a UMEM of its own.
//
// The way from nothing to frames: create() as root (CAP_NET_RAW), then, in the process that will use it, map_rings()
// and bind(), then Maps::set_xsk(queue, fd()). The kernel maps rings only before bind, so `weir run` creates, and the
// program it starts adopts, maps and binds; bind needs no privilege.
//
// The queue is free again when the descriptor is closed and the rings are unmapped, in every process: so the rings are
// MADV_DONTFORK, and a fork's child closes the descriptors of all sockets (pthread_atfork). In the child a Socket is
// dead: valid() is false and nothing but its destructor may be called.
//
// Not thread-safe: one thread owns a socket and its Umem; fork in any thread is safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "weir/base/bytes.h"
#include "weir/base/time.h"
#include "weir/common/abi.h"
#include "weir/xdp/error.h"
#include "weir/xdp/rings.h"
#include "weir/xdp/umem.h"

namespace weir::xdp {

// Entries, each a power of two. The UMEM should hold at least fill + tx frames.
struct RingSizes {
  std::uint32_t fill = 2048;
  std::uint32_t completion = 2048;
  std::uint32_t rx = 2048;
  std::uint32_t tx = 2048;
};

struct SocketConfig {
  std::uint32_t ifindex = 0;
  std::uint32_t queue = 0;
  RingSizes rings;
  UmemConfig umem;
};

enum class BindMode : std::uint8_t { automatic, copy, zero_copy };  // automatic: zero-copy, or else copy

// A created, unbound socket as another process needs to know it.
struct SocketFds {
  int fd = -1;
  std::uint32_t ifindex = 0;
  std::uint32_t queue = 0;
  RingSizes rings;
  UmemFds umem;
};

// XDP_STATISTICS, in reasons.h's words: in copy mode a lost frame is in one of them. All since the socket was created.
struct SocketStatistics {
  std::uint64_t rx_dropped = 0;          // RING_RX_DROPPED
  std::uint64_t rx_ring_full = 0;        // RING_RX_FULL
  std::uint64_t rx_fill_ring_empty = 0;  // RING_RX_NO_FILL
  std::uint64_t rx_invalid = 0;          // fill entries refused: an error of ours
  std::uint64_t tx_invalid = 0;          // RING_TX_INVALID
  std::uint64_t tx_failed = 0;           // RING_TX_FAILED: counted by kick_tx
};

// A received frame. `bytes` lies in `frame` and ends with it.
struct RxFrame {
  UmemFrame frame;
  Bytes bytes;
  std::optional<weir_meta> meta;  // absent where the driver does not carry metadata
};

struct TxRequest {
  UmemFrame frame;
  std::uint32_t length = 0;  // octets from the chunk's first on
  std::uint32_t offset = 0;  // of the frame in its chunk
};

enum class KickResult : std::uint8_t {
  done,         // the tx ring is drained, or the kernel drains it by itself
  again,        // the kernel is out of room; kick again after the next completion, or in a moment
  link_down,    // the interface is down: the frames stay in the ring
  device_gone,  // the interface no longer exists: close the socket
};

class Socket {
 public:
  // Makes the UMEM, the socket and its rings. Errors name the missing privilege.
  static Outcome<Socket> create(const SocketConfig& config);
  // Takes the descriptors of a socket that another process created. Nothing of `fds` is closed upon failure.
  static Outcome<Socket> adopt(const SocketFds& fds);

  Socket(Socket&&) noexcept;
  Socket& operator=(Socket&&) noexcept;
  // Unmaps the rings, closes the descriptor, then frees the UMEM: every UmemFrame must be gone by then.
  ~Socket();

  // False in a fork's child, after a move, and after close().
  bool valid() const;
  void close();

  Outcome<void> map_rings();
  // Needs map_rings(). An EBUSY (another socket, or one whose owner has just died: the kernel frees a queue a moment
  // later) is retried until `patience` has passed and then reported with code EBUSY; the caller decides.
  Outcome<void> bind(BindMode mode, Duration patience = Duration::milliseconds(200));
  // One attempt of the same, for those who must not block.
  Outcome<void> try_bind(BindMode mode);

  int fd() const;
  std::uint32_t ifindex() const;
  std::uint32_t queue() const;
  Umem& umem() const;
  bool is_zero_copy() const;  // by XDP_OPTIONS; after bind
  SocketStatistics statistics() const;

  // --- receive ---

  // Up to out.size() frames. The caller keeps each UmemFrame as long as it reads it.
  std::size_t receive(std::span<RxFrame> out);
  // Gives free chunks to the fill ring, at most as many as it holds in all, counting those on their way back to us, so
  // that a burst of arrivals cannot take the chunks that transmission needs. Call after receive(), before sleeping, and
  // once after bind.
  std::size_t refill();
  // The fill ring sleeps: poll() or wake_rx() before waiting for frames. epoll does it too.
  bool rx_needs_wakeup() const;
  void wake_rx();

  // --- transmit ---

  // Queues frames, in order, and returns how many were taken (each taken handle is empty afterwards). Nothing leaves
  // before kick_tx().
  std::size_t transmit(std::span<TxRequest> requests);
  // How many frames transmit() would take now.
  std::uint32_t tx_room();
  // Makes the kernel send what was queued. A copy-mode call sends at most 32 frames: it is repeated until the ring is
  // drained. Does nothing where the kernel needs no waking.
  KickResult kick_tx();
  // Takes sent frames back to the UMEM; returns how many.
  std::size_t complete();
  // Frames queued and not yet taken back.
  std::uint32_t tx_in_flight() const;

  // The descriptors for exec: close-on-exec is cleared and a later fork in this process no longer closes them.
  SocketFds pass_on();

 private:
  struct State;
  explicit Socket(std::unique_ptr<State> state);
  std::unique_ptr<State> s_;
};

}  // namespace weir::xdp
