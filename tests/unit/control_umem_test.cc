// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <set>

#include "weir/xdp/umem.h"

namespace weir::xdp {
namespace {

std::unique_ptr<Umem> make(std::uint32_t frames, std::uint32_t chunk = 2048) {
  auto umem = Umem::create({.frames = frames, .chunk_size = chunk, .headroom = 0, .huge_pages = false});
  return umem ? std::move(umem).value() : nullptr;
}

TEST(Umem, GivesEachChunkOnceAndTakesItBack) {
  const auto umem = make(16);
  ASSERT_NE(umem, nullptr);
  std::set<std::uint64_t> seen;
  {
    std::vector<UmemFrame> held;
    for (UmemFrame f = umem->allocate(); f; f = umem->allocate()) {
      EXPECT_EQ(f.bytes().size(), 2048u);
      EXPECT_EQ(f.address() % 2048, 0u);
      EXPECT_TRUE(seen.insert(f.address()).second);
      held.push_back(std::move(f));
    }
    EXPECT_EQ(held.size(), 16u);
    EXPECT_EQ(umem->available(), 0u);
  }
  EXPECT_EQ(umem->available(), 16u);
}

TEST(Umem, AReleasedChunkComesBackByItsAddress) {
  const auto umem = make(2);
  UmemFrame f = umem->allocate();
  const std::uint64_t address = f.release();
  EXPECT_FALSE(f);
  EXPECT_EQ(umem->available(), 1u);
  // What the rx ring gives points behind the headroom.
  f = umem->reclaim(address + 256);
  EXPECT_EQ(f.address(), address);
  f.reset();
  EXPECT_EQ(umem->available(), 2u);
}

TEST(Umem, AssigningAFrameGivesBackTheOneBefore) {
  const auto umem = make(2);
  UmemFrame a = umem->allocate();
  a = umem->allocate();
  EXPECT_EQ(umem->available(), 1u);
}

TEST(Umem, AdoptedSeesTheSameBytes) {
  const auto umem = make(4, 4096);
  UmemFrame f = umem->allocate();
  f.bytes()[100] = std::byte{42};
  UmemFds fds = umem->fds();
  fds.memfd = dup(fds.memfd);
  auto other = Umem::adopt(fds);
  ASSERT_TRUE(other.ok()) << other.error().message;
  UmemFrame g = (*other)->reclaim(f.address());
  EXPECT_EQ(g.bytes()[100], std::byte{42});
  g.release();
}

TEST(Umem, RefusesToAdoptLessThanWasSaid) {
  const auto umem = make(4);
  UmemFds fds = umem->fds();
  fds.frames = 1024;
  fds.memfd = dup(fds.memfd);
  EXPECT_FALSE(Umem::adopt(fds).ok());
  close(fds.memfd);
}

TEST(Umem, IsNotInAForksMemory) {
  const auto umem = make(4);
  UmemFrame f = umem->allocate();
  f.bytes()[0] = std::byte{1};
  const pid_t child = fork();
  if (child == 0) {
    // The kernel refuses to read from an address that is not mapped.
    int pipe_fds[2];
    if (pipe(pipe_fds) != 0) _exit(2);
    _exit(write(pipe_fds[1], f.bytes().data(), 1) < 0 && errno == EFAULT ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST(ChunkSize, FollowsTheMtu) {
  EXPECT_EQ(chunk_size_for_mtu(1500), 2048u);
  EXPECT_EQ(chunk_size_for_mtu(1774), 2048u);
  EXPECT_EQ(chunk_size_for_mtu(1775), 4096u);
  EXPECT_EQ(chunk_size_for_mtu(3822), 4096u);
  EXPECT_EQ(chunk_size_for_mtu(3823), 0u);
  EXPECT_EQ(chunk_size_for_mtu(9000), 0u);
  EXPECT_EQ(chunk_size_for_mtu(0xffffffffu), 0u);
}

}  // namespace
}  // namespace weir::xdp
