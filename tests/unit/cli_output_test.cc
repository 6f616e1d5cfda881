// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "output.h"

namespace weir::cli {
namespace {

TEST(Harmless, WhatATerminalObeysIsAQuestionMark) {
  const struct {
    std::string_view text;
    std::string_view expected;
  } cases[] = {
      {"eth0\n\tplain", "eth0\n\tplain"},
      {"\033[2Jgone", "?[2Jgone"},
      {"a\033]0;title\007b", "a?]0;title?b"},
      {"\r\b\x7f", "???"},
      {"\x9b"
       "31m",
       "?31m"},  // CSI in one octet
      {"\xc2\x9b"
       "2J",
       "??2J"},  // and as UTF-8
      {"caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
      {"\xc3", "?"},            // cut short
      {"\xc0\x9b", "??"},       // longer than it need be
      {"\xed\xa0\x80", "???"},  // a surrogate
      {"\033[31mred\033[0m", "\033[31mred\033[0m"},
      {"\033[8mhidden", "?[8mhidden"},
  };
  for (const auto& c : cases) EXPECT_EQ(harmless(c.text), c.expected);
}

TEST(Fit, CutsAtTheColumnAndKeepsTheColours) {
  EXPECT_EQ(fit("abcdef", 3), "abc");
  EXPECT_EQ(fit("abc", 3), "abc");
  EXPECT_EQ(fit("\033[31mabcdef\033[0m", 2), "\033[31mab\033[0m");
  EXPECT_EQ(fit("\xc3\xa9\xc3\xa9\xc3\xa9", 2), "\xc3\xa9\xc3\xa9");
}

}  // namespace
}  // namespace weir::cli
