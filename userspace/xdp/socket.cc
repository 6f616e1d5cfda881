// SPDX-License-Identifier: MIT
#include "weir/xdp/socket.h"

#include <fcntl.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "weir/xdp/fork_registry.h"

#ifndef SOL_XDP
#define SOL_XDP 283
#endif

namespace weir::xdp {
namespace {

struct Mapping {
  void* at = nullptr;
  std::size_t length = 0;
};

// What a call of the kernel sends at most in copy mode.
constexpr std::uint32_t kBudgetOfACall = 32;

bool is_power_of_two(std::uint32_t n) { return n != 0 && (n & (n - 1)) == 0; }

std::string label(std::uint32_t ifindex, std::uint32_t queue) {
  char name[IF_NAMESIZE];
  const char* n = if_indextoname(ifindex, name);
  return "queue " + std::to_string(queue) + " of " + (n != nullptr ? n : "interface " + std::to_string(ifindex));
}

Outcome<void> set_ring(int fd, int option, std::uint32_t size, const char* name) {
  if (setsockopt(fd, SOL_XDP, option, &size, sizeof size) != 0)
    return Err(
        system_error(errno, std::string("making the ") + name + " ring of " + std::to_string(size) + " entries"));
  return {};
}

Outcome<void> configure(int fd, const Umem& umem, const RingSizes& rings) {
  // Flags and TX metadata came after the 6.1 header: the kernel takes the short form as having neither.
  xdp_umem_reg reg{};
  reg.addr = reinterpret_cast<std::uint64_t>(umem.base());
  reg.len = umem.size();
  reg.chunk_size = umem.chunk_size();
  reg.headroom = umem.headroom();
  if (setsockopt(fd, SOL_XDP, XDP_UMEM_REG, &reg, sizeof reg) != 0) {
    const int code = errno;
    return Err(system_error(code, "registering " + std::to_string(umem.size() / 1024) + " KiB of UMEM",
                            code == ENOBUFS || code == ENOMEM || code == EPERM
                                ? "raise the limit of locked memory (ulimit -l) or run it with CAP_IPC_LOCK"
                                : ""));
  }
  if (auto r = set_ring(fd, XDP_UMEM_FILL_RING, rings.fill, "fill"); !r) return r;
  if (auto r = set_ring(fd, XDP_UMEM_COMPLETION_RING, rings.completion, "completion"); !r) return r;
  if (auto r = set_ring(fd, XDP_RX_RING, rings.rx, "rx"); !r) return r;
  return set_ring(fd, XDP_TX_RING, rings.tx, "tx");
}

}  // namespace

struct Socket::State final : ForkRegistry::Entry {
  // Registered from here on; in a fork's child on_fork_child() closes the descriptors of this process's copy.
  State(Fd f, std::uint32_t index, std::uint32_t q, const RingSizes& sizes, std::unique_ptr<Umem> memory)
      : umem(std::move(memory)), fd(std::move(f)), ifindex(index), queue(q), rings(sizes) {}
  ~State() override { close(); }

  // Rings first: the kernel holds the queue as long as one of them is mapped, and a close that frees it at once is what
  // the next owner waits for.
  void close() {
    if (!alive) return;
    ForkRegistry::remove(*this);
    unmap();
    fd.reset();
    alive = false;
  }
  void unmap() {
    for (Mapping* m : {&rx_map, &tx_map, &fill_map, &completion_map}) {
      if (m->at != nullptr) munmap(m->at, m->length);
      *m = {};
    }
  }
  void on_fork_child() override {
    // The mappings are not here (MADV_DONTFORK); unmapping those addresses could hit something of the child's own.
    for (Mapping* m : {&rx_map, &tx_map, &fill_map, &completion_map}) *m = {};
    fd.reset();
    umem->abandon();
    alive = false;
  }

  template <class Ring>
  Outcome<void> map_ring(Mapping& mapping, Ring& ring, const xdp_ring_offset& offset, std::uint32_t entries,
                         std::size_t entry_size, off_t page_offset) {
    const std::size_t length = offset.desc + entries * entry_size;
    void* p = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd.get(), page_offset);
    if (p == MAP_FAILED) return Err(system_error(errno, "mapping the rings of " + label(ifindex, queue)));
    mapping = {p, length};
    if (madvise(p, length, MADV_DONTFORK) != 0)
      return Err(system_error(errno, "keeping the rings of " + label(ifindex, queue) + " out of forks"));
    auto* bytes = static_cast<std::byte*>(p);
    ring = Ring(RingMemory{reinterpret_cast<std::uint32_t*>(bytes + offset.producer),
                           reinterpret_cast<std::uint32_t*>(bytes + offset.consumer),
                           reinterpret_cast<std::uint32_t*>(bytes + offset.flags), bytes + offset.desc, entries});
    return {};
  }

  bool alive = true;
  // Freed after close(): the kernel must have let go of the pages' users first.
  std::unique_ptr<Umem> umem;
  Fd fd;
  std::uint32_t ifindex;
  std::uint32_t queue;
  RingSizes rings;
  Mapping rx_map, tx_map, fill_map, completion_map;
  ConsumerRing<xdp_desc> rx;
  ProducerRing<xdp_desc> tx;
  ProducerRing<std::uint64_t> fill;
  ConsumerRing<std::uint64_t> completion;
  bool zero_copy = false;
  std::uint32_t with_kernel_rx = 0;  // chunks in the fill or rx ring, or between them
  std::uint32_t with_kernel_tx = 0;  // chunks in the tx or completion ring, or between them
  std::uint64_t tx_failed = 0;
};

Socket::Socket(std::unique_ptr<State> state) : s_(std::move(state)) {}
Socket::Socket(Socket&&) noexcept = default;
Socket& Socket::operator=(Socket&&) noexcept = default;
Socket::~Socket() = default;

Outcome<Socket> Socket::create(const SocketConfig& config) {
  const RingSizes& r = config.rings;
  for (const std::uint32_t size : {r.fill, r.completion, r.rx, r.tx})
    if (!is_power_of_two(size))
      return fail("a ring of " + std::to_string(size) + " entries: the size must be a power of two", EINVAL);
  Fd fd(::socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (!fd) {
    const int code = errno;
    const char* hint = code == EPERM          ? "it needs CAP_NET_RAW: run it as root, or under `weir run`"
                       : code == EAFNOSUPPORT ? "this kernel is built without CONFIG_XDP_SOCKETS"
                                              : "";
    return Err(system_error(code, "opening an AF_XDP socket", hint));
  }
  auto umem = Umem::create(config.umem);
  if (!umem) return Err(umem.error());
  if (auto done = configure(fd.get(), **umem, r); !done) return Err(done.error());
  auto state = std::make_unique<State>(std::move(fd), config.ifindex, config.queue, r, std::move(umem).value());
  ForkRegistry::add(*state);
  return Socket(std::move(state));
}

Outcome<Socket> Socket::adopt(const SocketFds& fds) {
  int domain = 0;
  socklen_t length = sizeof domain;
  if (getsockopt(fds.fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_XDP)
    return fail("descriptor " + std::to_string(fds.fd) + " is not an AF_XDP socket: start this program by `weir run`",
                EBADF);
  auto umem = Umem::adopt(fds.umem);
  if (!umem) return Err(umem.error());
  auto state = std::make_unique<State>(Fd(fds.fd), fds.ifindex, fds.queue, fds.rings, std::move(umem).value());
  ForkRegistry::add(*state);
  return Socket(std::move(state));
}

bool Socket::valid() const { return s_ != nullptr && s_->alive; }
void Socket::close() {
  if (s_ != nullptr) s_->close();
}

Outcome<void> Socket::map_rings() {
  xdp_mmap_offsets offsets{};
  socklen_t length = sizeof offsets;
  if (getsockopt(fd(), SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &length) != 0)
    return Err(system_error(errno, "asking for the layout of the rings"));
  if (length != sizeof offsets) return fail("this kernel is older than 5.4: its AF_XDP rings have no flags", ENOSYS);
  State& s = *s_;
  auto map = [&]() -> Outcome<void> {
    if (auto r = s.map_ring(s.rx_map, s.rx, offsets.rx, s.rings.rx, sizeof(xdp_desc), XDP_PGOFF_RX_RING); !r) return r;
    if (auto r = s.map_ring(s.tx_map, s.tx, offsets.tx, s.rings.tx, sizeof(xdp_desc), XDP_PGOFF_TX_RING); !r) return r;
    if (auto r = s.map_ring(s.fill_map, s.fill, offsets.fr, s.rings.fill, sizeof(std::uint64_t),
                            static_cast<off_t>(XDP_UMEM_PGOFF_FILL_RING));
        !r)
      return r;
    return s.map_ring(s.completion_map, s.completion, offsets.cr, s.rings.completion, sizeof(std::uint64_t),
                      static_cast<off_t>(XDP_UMEM_PGOFF_COMPLETION_RING));
  };
  auto r = map();
  if (!r) s.unmap();
  return r;
}

Outcome<void> Socket::try_bind(BindMode mode) {
  State& s = *s_;
  if (s.rx_map.at == nullptr) return fail("bind before map_rings: the kernel maps rings only before bind", EINVAL);
  auto once = [&](unsigned flags) {
    sockaddr_xdp address{};
    address.sxdp_family = AF_XDP;
    address.sxdp_flags = static_cast<std::uint16_t>(flags);
    address.sxdp_ifindex = s.ifindex;
    address.sxdp_queue_id = s.queue;
    return ::bind(s.fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ? 0 : errno;
  };
  int code = EOPNOTSUPP;
  if (mode != BindMode::copy) code = once(XDP_ZEROCOPY | XDP_USE_NEED_WAKEUP);
  // EBUSY is the same answer in both modes, and a copy-mode bind in its place would be a lesser service for no reason.
  if (code != 0 && code != EBUSY && mode != BindMode::zero_copy) code = once(XDP_COPY | XDP_USE_NEED_WAKEUP);
  if (code != 0) {
    std::string hint;
    if (code == EBUSY) hint = "another AF_XDP socket has it: `weir status` names its engine";
    if (code == ENODEV || code == ENXIO) hint = "the interface is gone, or has no such queue";
    if (code == EINVAL) hint = "the interface has no such queue, or its MTU is over the chunk size";
    if (code == EOPNOTSUPP) hint = "the driver has no zero-copy mode: use copy mode";
    if (code == ENETDOWN) hint = "bring the interface up (ip link set ... up)";
    return Err(system_error(code, "binding an AF_XDP socket to " + label(s.ifindex, s.queue), hint));
  }
  xdp_options options{};
  socklen_t length = sizeof options;
  s.zero_copy = getsockopt(s.fd.get(), SOL_XDP, XDP_OPTIONS, &options, &length) == 0 &&
                (options.flags & XDP_OPTIONS_ZEROCOPY) != 0;
  return {};
}

Outcome<void> Socket::bind(BindMode mode, Duration patience) {
  constexpr long long kPause = 5'000'000;
  const long long until = monotonic_ns() + patience.count_ns();
  for (;;) {
    auto r = try_bind(mode);
    if (r || r.error().code != EBUSY || monotonic_ns() >= until) return r;
    std::this_thread::sleep_for(std::chrono::nanoseconds(kPause));
  }
}

int Socket::fd() const { return s_->fd.get(); }
std::uint32_t Socket::ifindex() const { return s_->ifindex; }
std::uint32_t Socket::queue() const { return s_->queue; }
Umem& Socket::umem() const { return *s_->umem; }
bool Socket::is_zero_copy() const { return s_->zero_copy; }

SocketStatistics Socket::statistics() const {
  xdp_statistics raw{};
  socklen_t length = sizeof raw;
  SocketStatistics out;
  out.tx_failed = s_->tx_failed;
  if (getsockopt(fd(), SOL_XDP, XDP_STATISTICS, &raw, &length) != 0) return out;
  // In copy mode the kernel counts a frame that finds no free buffer as dropped, too (6.18: __xsk_rcv and __xp_alloc).
  const std::uint64_t twice = is_zero_copy() ? 0 : std::min(raw.rx_dropped, raw.rx_fill_ring_empty_descs);
  out.rx_dropped = raw.rx_dropped - twice;
  out.rx_ring_full = raw.rx_ring_full;
  out.rx_fill_ring_empty = raw.rx_fill_ring_empty_descs;
  out.rx_invalid = raw.rx_invalid_descs;
  out.tx_invalid = raw.tx_invalid_descs;
  return out;
}

std::size_t Socket::receive(std::span<RxFrame> out) {
  State& s = *s_;
  const std::uint32_t n = s.rx.peek(static_cast<std::uint32_t>(out.size()));
  for (std::uint32_t i = 0; i < n; ++i) {
    const xdp_desc& d = s.rx[i];
    std::byte* start = s.umem->base() + d.addr;
    RxFrame& f = out[i];
    f.frame = s.umem->reclaim(d.addr);
    f.bytes = Bytes(start, d.len);
    // What XDP wrote in front of the frame (bpf_xdp_adjust_meta). The kernel's headroom is always there, so the load is
    // within the chunk; the magic is cleared so that a frame that came without metadata does not show the last one's.
    weir_meta meta;
    std::memcpy(&meta, start - sizeof meta, sizeof meta);
    if (meta.magic == WEIR_META_MAGIC) {
      f.meta = meta;
      constexpr std::uint32_t kNone = 0;
      std::memcpy(start - sizeof meta, &kNone, sizeof kNone);
    } else {
      f.meta.reset();
    }
  }
  s.rx.release(n);
  s.with_kernel_rx -= n;
  return n;
}

std::size_t Socket::refill() {
  State& s = *s_;
  if (s.with_kernel_rx >= s.rings.fill) return 0;
  const std::uint32_t wanted =
      std::min(s.rings.fill - s.with_kernel_rx, static_cast<std::uint32_t>(s.umem->available()));
  const std::uint32_t n = s.fill.reserve(wanted);
  if (n == 0) return 0;
  for (std::uint32_t i = 0; i < n; ++i) s.fill[i] = s.umem->allocate().release();
  s.fill.submit(n);
  s.with_kernel_rx += n;
  return n;
}

bool Socket::rx_needs_wakeup() const { return s_->fill.needs_wakeup(); }

void Socket::wake_rx() { recvfrom(fd(), nullptr, 0, MSG_DONTWAIT, nullptr, nullptr); }

std::size_t Socket::transmit(std::span<TxRequest> requests) {
  State& s = *s_;
  const std::uint32_t n = s.tx.reserve(static_cast<std::uint32_t>(requests.size()));
  for (std::uint32_t i = 0; i < n; ++i) {
    TxRequest& r = requests[i];
    s.tx[i] = xdp_desc{r.frame.address() + r.offset, r.length, 0};
    r.frame.release();
  }
  s.tx.submit(n);
  s.with_kernel_tx += n;
  return n;
}

std::uint32_t Socket::tx_room() { return s_->tx.free(s_->rings.tx); }

KickResult Socket::kick_tx() {
  State& s = *s_;
  if (!s.tx.needs_wakeup()) return KickResult::done;
  // A call sends up to 32 frames (kBudgetOfACall), or the one that it was refused, so this bounds the calls to what a
  // full ring takes.
  std::uint32_t left = s.tx.pending();
  std::uint32_t unseen = 0;  // calls in a row whose budget was spent and whose frames are not seen to be gone
  for (std::uint32_t call = 0; left != 0 && call <= s.rings.tx; ++call) {
    const int code = sendto(s.fd.get(), nullptr, 0, MSG_DONTWAIT, nullptr, 0) >= 0 ? 0 : errno;
    const std::uint32_t before = left;
    left = s.tx.pending();
    const bool moved = left != before;
    switch (code) {
      case 0:
        // In zero-copy mode the driver was woken and works by itself.
        if (s.zero_copy) return KickResult::done;
        if (!moved) return KickResult::again;
        break;
      case EBUSY:
        // In copy mode the driver refused a frame (over the MTU, peer down, queue full): it is consumed and comes back
        // by the completion ring, though the kernel publishes that only with its next look at the ring.
        if (s.zero_copy) return KickResult::again;
        ++s.tx_failed;
        break;
      case EAGAIN:
        // The call's budget is spent, or the driver, the completion ring or the socket's send memory has no room. Where
        // nothing moved it may still be the budget: kernels before 6.18 publish what they took only when they have
        // taken all that they saw at first, so as many calls are made as that would need.
        if (moved) {
          unseen = 0;
        } else if (++unseen > left / kBudgetOfACall) {
          return KickResult::again;
        }
        break;
      case ENETDOWN:
        return KickResult::link_down;
      case ENXIO:
      case ENODEV:
      case EBADF:
        return KickResult::device_gone;
      default:  // ENOBUFS, ENOMEM: short of memory
        return KickResult::again;
    }
  }
  return left == 0 ? KickResult::done : KickResult::again;
}

std::size_t Socket::complete() {
  State& s = *s_;
  const std::uint32_t n = s.completion.peek(s.rings.completion);
  for (std::uint32_t i = 0; i < n; ++i) s.umem->reclaim(s.completion[i]);
  s.completion.release(n);
  s.with_kernel_tx -= n;
  return n;
}

std::uint32_t Socket::tx_in_flight() const { return s_->with_kernel_tx; }

SocketFds Socket::pass_on() {
  State& s = *s_;
  ForkRegistry::remove(s);
  for (const int fd : {s.fd.get(), s.umem->fds().memfd}) fcntl(fd, F_SETFD, 0);
  return {s.fd.get(), s.ifindex, s.queue, s.rings, s.umem->fds()};
}

}  // namespace weir::xdp
