// SPDX-License-Identifier: MIT
#include "weir/base/result.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

namespace weir {
namespace {

enum class Errc { small, large };

Result<int, Errc> half(int v) {
  if (v % 2 != 0) return Err(Errc::small);
  return v / 2;
}

TEST(Result, HoldsAValueOrAReason) {
  EXPECT_TRUE(half(4).ok());
  EXPECT_EQ(*half(4), 2);
  EXPECT_FALSE(half(3));
  EXPECT_EQ(half(3).error(), Errc::small);
}

TEST(Result, ValueAndErrorMayBeOfOneType) {
  Result<std::string, std::string> good(std::string("yes"));
  Result<std::string, std::string> bad(Err(std::string("no")));
  EXPECT_TRUE(good.ok());
  EXPECT_EQ(good.value(), "yes");
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error(), "no");
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>, Errc> r(std::make_unique<int>(7));
  std::unique_ptr<int> p = std::move(r).value();
  EXPECT_EQ(*p, 7);
}

TEST(Result, OfNothing) {
  Result<void, Errc> fine;
  Result<void, Errc> bad = Err(Errc::large);
  EXPECT_TRUE(fine.ok());
  EXPECT_FALSE(bad.ok());
  EXPECT_EQ(bad.error(), Errc::large);
}

}  // namespace
}  // namespace weir
