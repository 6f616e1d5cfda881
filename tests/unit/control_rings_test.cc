// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <array>

#include "weir/xdp/rings.h"

namespace weir::xdp {
namespace {

// A ring whose other side is this test instead of the kernel.
struct SharedRing {
  explicit SharedRing(std::uint32_t start = 0) : producer(start), consumer(start) {}
  RingMemory memory() { return {&producer, &consumer, &flags, entries.data(), 8}; }
  std::uint32_t producer;
  std::uint32_t consumer;
  std::uint32_t flags = 0;
  std::array<std::uint64_t, 8> entries{};
};

TEST(ProducerRing, FillsAndStopsWhenFull) {
  SharedRing shared;
  ProducerRing<std::uint64_t> ring(shared.memory());
  EXPECT_EQ(ring.reserve(5), 5u);
  for (std::uint32_t i = 0; i < 5; ++i) ring[i] = i;
  EXPECT_EQ(shared.producer, 0u);  // not before submit
  ring.submit(5);
  EXPECT_EQ(shared.producer, 5u);
  EXPECT_EQ(ring.reserve(5), 3u);
  ring.submit(3);
  EXPECT_EQ(ring.reserve(1), 0u);
  EXPECT_EQ(ring.pending(), 8u);
  shared.consumer = 2;
  EXPECT_EQ(ring.reserve(5), 2u);
}

TEST(ProducerRing, WrapsItsIndexAndItsSlots) {
  SharedRing shared(0xfffffffdu);
  ProducerRing<std::uint64_t> ring(shared.memory());
  EXPECT_EQ(ring.reserve(8), 8u);
  for (std::uint32_t i = 0; i < 8; ++i) ring[i] = 100 + i;
  ring.submit(8);
  EXPECT_EQ(shared.producer, 5u);
  EXPECT_EQ(shared.entries[5], 100u);  // 0xfffffffd & 7
  EXPECT_EQ(shared.entries[0], 103u);
  EXPECT_EQ(ring.reserve(1), 0u);
  shared.consumer = 0;
  EXPECT_EQ(ring.reserve(8), 3u);
}

TEST(ConsumerRing, ReadsWhatIsThereAndGivesItBack) {
  SharedRing shared(0xffffffffu);
  ConsumerRing<std::uint64_t> ring(shared.memory());
  EXPECT_EQ(ring.peek(4), 0u);
  shared.entries[7] = 70;
  shared.entries[0] = 71;
  shared.producer = 1;
  EXPECT_EQ(ring.peek(1), 1u);
  EXPECT_EQ(ring.peek(4), 2u);
  EXPECT_EQ(ring[0], 70u);
  EXPECT_EQ(ring[1], 71u);
  EXPECT_EQ(shared.consumer, 0xffffffffu);
  ring.release(2);
  EXPECT_EQ(shared.consumer, 1u);
  EXPECT_EQ(ring.peek(4), 0u);
}

TEST(Rings, TakeUpWhereAnotherProcessLeft) {
  SharedRing shared(40);
  shared.producer = 43;
  ProducerRing<std::uint64_t> producer(shared.memory());
  ConsumerRing<std::uint64_t> consumer(shared.memory());
  EXPECT_EQ(producer.reserve(8), 5u);
  EXPECT_EQ(consumer.peek(8), 3u);
}

TEST(ProducerRing, SaysWhenTheKernelSleeps) {
  SharedRing shared;
  ProducerRing<std::uint64_t> ring(shared.memory());
  EXPECT_FALSE(ring.needs_wakeup());
  shared.flags = XDP_RING_NEED_WAKEUP;
  EXPECT_TRUE(ring.needs_wakeup());
}

}  // namespace
}  // namespace weir::xdp
