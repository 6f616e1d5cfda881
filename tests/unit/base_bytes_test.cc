// SPDX-License-Identifier: MIT
#include "weir/base/bytes.h"

#include <gtest/gtest.h>

#include <array>

#include "bytes_util.h"

namespace weir {
namespace {

TEST(Bytes, LoadsAreBigEndianAtEveryAlignment) {
  std::array<std::byte, 16> memory{};
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<std::byte>(i + 1);
  EXPECT_EQ(load_be<std::uint8_t>(&memory[0]), 0x01);
  EXPECT_EQ(load_be<std::uint16_t>(&memory[0]), 0x0102);
  EXPECT_EQ(load_be<std::uint16_t>(&memory[1]), 0x0203);
  EXPECT_EQ(load_be<std::uint32_t>(&memory[1]), 0x02030405u);
  EXPECT_EQ(load_be<std::uint64_t>(&memory[3]), 0x0405060708090a0bu);
}

TEST(Bytes, StoresUndoLoads) {
  std::array<std::byte, 8> memory{};
  store_be(&memory[1], std::uint32_t{0xdeadbeef});
  EXPECT_EQ(test::to_hex(memory), "00 de ad be ef 00 00 00");
  EXPECT_EQ(load_be<std::uint32_t>(&memory[1]), 0xdeadbeefu);
  store_be(&memory[0], std::uint64_t{0x0102030405060708});
  EXPECT_EQ(load_be<std::uint64_t>(&memory[0]), 0x0102030405060708u);
}

TEST(Bytes, ToBe16IsWhatMemoryWouldHold) {
  std::uint16_t v = to_be16(0x1234);
  std::byte memory[2];
  std::memcpy(memory, &v, 2);
  EXPECT_EQ(test::to_hex(memory), "12 34");
  EXPECT_EQ(from_be16(v), 0x1234);
}

}  // namespace
}  // namespace weir
