// SPDX-License-Identifier: MIT
#include "weir/base/time.h"

#include <gtest/gtest.h>

namespace weir {
namespace {

TEST(Duration, UnitsAndArithmetic) {
  EXPECT_EQ(1_s, 1000_ms);
  EXPECT_EQ(1_ms, 1000_us);
  EXPECT_EQ(1_us, 1000_ns);
  EXPECT_EQ((1500_ms).count_us(), 1'500'000);
  EXPECT_EQ((1999_us).count_ms(), 1);
  EXPECT_EQ(2 * 3_s, 6_s);
  EXPECT_EQ(7_s / 2, 3500_ms);
  EXPECT_EQ(-(1_s) + 1_s, Duration());
  EXPECT_LT(999_us, 1_ms);
}

TEST(Instant, DifferencesAreDurations) {
  Instant t = Instant::from_ns(5);
  EXPECT_EQ((t + 10_ns).ns(), 15);
  EXPECT_EQ((t + 10_ns) - t, 10_ns);
  EXPECT_EQ((t + 10_ns) - 10_ns, t);
  t += 1_us;
  EXPECT_EQ(t.ns(), 1005);
}

TEST(Instant, NeverIsLaterThanAll) { EXPECT_GT(Instant::never(), Instant::from_ns(1) + 100'000'000_s); }

}  // namespace
}  // namespace weir
