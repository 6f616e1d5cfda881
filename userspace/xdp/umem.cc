// SPDX-License-Identifier: MIT
#include "weir/xdp/umem.h"

#include <fcntl.h>
#include <linux/memfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace weir::xdp {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} * 1024 * 1024;

std::size_t round_up(std::size_t n, std::size_t to) { return (n + to - 1) / to * to; }

// Free pages of the pool: where there are too few, MFD_HUGETLB would succeed and the first touch raise SIGBUS.
std::size_t free_huge_pages() {
  std::FILE* f = std::fopen("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages", "re");
  if (f == nullptr) return 0;
  unsigned long n = 0;
  if (std::fscanf(f, "%lu", &n) != 1) n = 0;
  std::fclose(f);
  return n;
}

Fd huge_memfd(std::size_t size) {
  if (free_huge_pages() < round_up(size, kHugePage) / kHugePage) return Fd();
  Fd fd(memfd_create("weir-umem", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(round_up(size, kHugePage))) != 0) return Fd();
  // Takes the pages out of the pool now: another process may be about to.
  if (fallocate(fd.get(), 0, 0, static_cast<off_t>(round_up(size, kHugePage))) != 0) return Fd();
  return fd;
}

}  // namespace

std::uint32_t chunk_size_for_mtu(std::uint32_t mtu, std::uint32_t headroom) {
  constexpr std::uint32_t kEthernetAndVlan = 14 + 4;
  for (const std::uint32_t chunk : {2048u, 4096u}) {
    if (mtu <= chunk && mtu + kEthernetAndVlan + kKernelHeadroom + headroom <= chunk) return chunk;
  }
  return 0;
}

Outcome<std::unique_ptr<Umem>> Umem::create(const UmemConfig& config) {
  if (config.frames == 0 || (config.chunk_size != 2048 && config.chunk_size != 4096))
    return fail("a UMEM needs at least one frame, and chunks of 2048 or 4096 octets", EINVAL);
  const std::size_t size = std::size_t{config.frames} * config.chunk_size;
  Fd memfd;
  if (config.huge_pages) memfd = huge_memfd(size);
  if (!memfd) {
    memfd = Fd(memfd_create("weir-umem", MFD_CLOEXEC));
    if (!memfd) return Err(system_error(errno, "making a UMEM"));
    if (ftruncate(memfd.get(), static_cast<off_t>(size)) != 0)
      return Err(system_error(errno, "making a UMEM of " + std::to_string(size) + " octets"));
  }
  std::unique_ptr<Umem> umem(new Umem(std::move(memfd), config.frames, config.chunk_size, config.headroom));
  if (auto r = umem->map(); !r) return Err(r.error());
  return umem;
}

Outcome<std::unique_ptr<Umem>> Umem::adopt(const UmemFds& fds) {
  std::unique_ptr<Umem> umem(new Umem(Fd(fds.memfd), fds.frames, fds.chunk_size, fds.headroom));
  if (auto r = umem->map(); !r) {
    umem->memfd_.release();
    return Err(r.error());
  }
  return umem;
}

Outcome<void> Umem::map() {
  struct stat st {};
  if (fstat(memfd_.get(), &st) != 0) return Err(system_error(errno, "mapping a UMEM"));
  if (chunk_size_ == 0 || static_cast<std::size_t>(st.st_size) < size())
    return fail("mapping a UMEM: the memory handed over is smaller than said", EINVAL);
  huge_ = static_cast<std::size_t>(st.st_blksize) >= kHugePage;
  mapped_ = round_up(size(), huge_ ? kHugePage : static_cast<std::size_t>(sysconf(_SC_PAGESIZE)));
  void* p = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, memfd_.get(), 0);
  if (p == MAP_FAILED) return Err(system_error(errno, "mapping a UMEM of " + std::to_string(size()) + " octets"));
  base_ = static_cast<std::byte*>(p);
  if (madvise(p, mapped_, MADV_DONTFORK) != 0) return Err(system_error(errno, "keeping a UMEM out of forks"));
  // A wish: it takes effect where the host's shmem_enabled is advise, and costs nothing elsewhere.
  if (!huge_) madvise(p, mapped_, MADV_HUGEPAGE);
  free_.reserve(frames_);
  for (std::uint32_t i = frames_; i > 0; --i) free_.push_back(i - 1);
  return {};
}

void Umem::abandon() {
  memfd_.reset();
  base_ = nullptr;
}

Umem::~Umem() {
  if (base_ != nullptr) munmap(base_, mapped_);
}

}  // namespace weir::xdp
