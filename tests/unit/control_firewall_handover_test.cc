// SPDX-License-Identifier: MIT
#include "weir/control/firewall_handover.h"

#include <gtest/gtest.h>

namespace weir::control {
namespace {

using State = FirewallReport::State;

TEST(FirewallHandover, SurvivesTheEnvironment) {
  const auto back = decode_firewall(encode_firewall(
      7, {{"eth0", {State::open, ""}}, {"eth0.5@x", {State::rules, "nftables: chain inet a:b input (policy drop)"}}}));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->watch, 7);
  ASSERT_EQ(back->verdicts.size(), 2u);
  EXPECT_EQ(back->verdicts[0].interface, "eth0");
  EXPECT_EQ(back->verdicts[0].report.state, State::open);
  EXPECT_EQ(back->verdicts[1].interface, "eth0.5@x");
  EXPECT_EQ(back->verdicts[1].report.state, State::rules);
  EXPECT_EQ(back->verdicts[1].report.what, "nftables: chain inet a:b input (policy drop)");
}

TEST(FirewallHandover, NoInterfaceAtAll) {
  const auto back = decode_firewall(encode_firewall(3, {}));
  ASSERT_TRUE(back);
  EXPECT_TRUE(back->verdicts.empty());
}

TEST(FirewallHandover, ASlashInTheWordsIsNoSeparator) {
  const auto back = decode_firewall(encode_firewall(3, {{"a", {State::not_known, "x/y"}}}));
  ASSERT_TRUE(back);
  ASSERT_EQ(back->verdicts.size(), 1u);
  EXPECT_EQ(back->verdicts[0].report.what, "x y");
}

// A verdict that is misread could open a port past a firewall.
TEST(FirewallHandover, MalformedTextIsNoVerdict) {
  for (const char* text : {"", "v1/", "v2/3", "v1/x", "v1/-1", "v1/3x", "v1/3/eth0",
                           "v1/3/eth0:maybe:", "v1/3/:open:", "v1/3//", "3/eth0:open:"}) {
    EXPECT_FALSE(decode_firewall(text)) << text;
  }
}

}  // namespace
}  // namespace weir::control
