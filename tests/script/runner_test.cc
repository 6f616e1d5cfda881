// SPDX-License-Identifier: MIT
// The runner itself: what is right passes, and each kind of wrong expectation fails and says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "script.h"

namespace weir::script {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Line 7 is what the tests change.
std::string script(std::string_view seventh, std::string_view eighth = "") {
  return "+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n"
         "+0 bind(3, ..., ...) = 0\n"
         "+0 listen(3, 1) = 0\n"
         "+0 < S 0:0(0) win 32792 <mss 1000,nop,wscale 7>\n"
         "+0 > S. 0:0(0) ack 1 <mss 1460,nop,wscale 3>\n"
         "+.1 < . 1:1(0) ack 1 win 257\n" +
         std::string(seventh) + "\n" + std::string(eighth) + "\n";
}
std::string run(const std::string& text, Family family = Family::v4) {
  return run_script(parse_script("test", text), family);
}

TEST(ScriptRunner, ARightScriptPasses) {
  for (Family f : {Family::v4, Family::v6}) {
    EXPECT_EQ(run(script("+0 accept(3, ..., ...) = 4", "+0 %{ 4: state == ESTAB, mss == 1000, send_scale == 7 }%"), f),
              "");
    EXPECT_EQ(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > . 1:1(0) ack 101"), f), "");
    EXPECT_EQ(run(script("+0 accept(3, ..., ...) = 4", "+0 read(4, ..., 10) = -1 EAGAIN (Try again)"), f), "");
  }
}

TEST(ScriptRunner, AWrongPacketFailsAndIsShown) {
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > . 1:1(0) ack 102")),
              AllOf(HasSubstr("test:8: +0 > . 1:1(0) ack 102"), HasSubstr("expected: . 1:1(0) ack 102"),
                    HasSubstr("actual:   [noecn] . 1:1(0) ack 101 win"), HasSubstr("acknowledgement"),
                    HasSubstr("0.100000 < P. 1:101(100)")));
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > P. 1:1(0) ack 101")), HasSubstr("flags"));
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > . 2:2(0) ack 101")), HasSubstr("sequence number"));
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > . 1:2(1) ack 101")), HasSubstr("length"));
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > . 1:1(0) ack 101 win 7")), HasSubstr("window"));
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > . 1:1(0) ack 101 <nop>")), HasSubstr("options"));
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+0 > [ce] . 1:1(0) ack 101")), HasSubstr("ECN"));
}

TEST(ScriptRunner, OptionsAreComparedInTheirOrder) {
  std::string right = script("");
  auto at = right.find("<mss 1460,nop,wscale 3>");
  for (const char* wrong : {"<nop,wscale 3,mss 1460>", "<mss 1460>", "<mss 1461,nop,wscale 3>", ""}) {
    std::string text = right;
    text.replace(at, 23, wrong);
    EXPECT_THAT(run(text), HasSubstr("differs:  options")) << wrong;
  }
  right.replace(at, 23, "<...>");
  EXPECT_EQ(run(right), "");
}

TEST(ScriptRunner, APacketThatIsMissingOrLateFails) {
  EXPECT_THAT(run(script("+0 > . 1:1(0) ack 1")), HasSubstr("actual:   nothing left until then"));
  std::string text = script("+0 accept(3, ..., ...) = 4", "+0 write(4, ..., 100) = 100");
  EXPECT_EQ(run(text + "+0 > P. 1:101(100) ack 1\n+0 < R. 1:1(0) ack 101 win 0\n"), "");
  std::string again = text + "+0 > P. 1:101(100) ack 1\n";
  EXPECT_EQ(run(again + "* > P. 1:101(100) ack 1\n+0 < R. 1:1(0) ack 101 win 0\n"), "");
  EXPECT_EQ(run(again + "+.1~+.4 > P. 1:101(100) ack 1\n+0 < R. 1:1(0) ack 101 win 0\n"), "");
  EXPECT_THAT(run(again + "+1.0~+1.1 > P. 1:101(100) ack 1\n"), HasSubstr("left at"));
  EXPECT_THAT(run(again + "+.01 > P. 1:101(100) ack 1\n"), HasSubstr("nothing left until then"));
}

TEST(ScriptRunner, APacketThatNobodyExpectsFails) {
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257")),
              AllOf(HasSubstr("the end of the script"), HasSubstr("expected: nothing"), HasSubstr(". 1:1(0) ack 101")));
  EXPECT_THAT(run(script("+0 < P. 1:101(100) ack 1 win 257", "+1 < . 101:101(0) ack 1 win 257")),
              AllOf(HasSubstr("test:8"), HasSubstr("expected: nothing")));
}

TEST(ScriptRunner, AWrongResultFails) {
  EXPECT_THAT(run(script("+0 accept(3, ..., ...) = 4", "+0 read(4, ..., 10) = 5")),
              AllOf(HasSubstr("expected: 5"), HasSubstr("actual:   -1 EAGAIN")));
  EXPECT_THAT(run(script("+0 accept(3, ..., ...) = 4", "+0 read(4, ..., 10) = -1 EPIPE")), HasSubstr("-1 EAGAIN"));
  EXPECT_THAT(run(script("+0 accept(3, ..., ...) = -1 EAGAIN")), HasSubstr("a connection"));
}

TEST(ScriptRunner, AConditionThatDoesNotHoldFails) {
  for (const char* condition : {"state == CLOSED", "state != ESTAB", "mss == 2 * 501", "mss > 1000", "cwnd < mss"}) {
    EXPECT_THAT(run(script("+0 accept(3, ..., ...) = 4", "+0 %{ 4: " + std::string(condition) + " }%")),
                HasSubstr("expected: " + std::string(condition)));
  }
  EXPECT_THAT(run(script("+0 %{ host: bad_checksum == 1 }%")), HasSubstr("actual:   bad_checksum 0"));
}

TEST(ScriptRunner, TextIsComparedWithThePattern) {
  EXPECT_EQ(run(script("+0 < . 1:11(10) ack 1 win 257",
                       "+0 > . 1:1(0) ack 11\n"
                       "+0 accept(3, ..., ...) = 4\n+0 read(4, ..., 100) = 10")),
            "");
  EXPECT_NE(pattern(true, 5), pattern(false, 5));
  EXPECT_NE(pattern(true, 5), pattern(true, 6));
}

TEST(ScriptRunner, WhatIsNoScriptIsRefusedWithItsLine) {
  for (const char* line :
       {"+0 < X 0:0(0) win 1", "+0 < S 0:1(0) win 1", "+0 < S 0:0(0) win", "+0 < . 0:0(0) win 1", "+0 < S 0:0(0) <mss>",
        "+0 < S 0:0(0) <unheard 1>", "+0 < S 0:0(0) <mss 1", "+x < S 0:0(0)", "+0 listen(3, 1)", "+0 %{ 4 state }%",
        "+0 < icmp unreachable frag_needed mtu 1", "+0 < S 0:0(0) win 5000000000", "+0 < [ect7] S 0:0(0)"}) {
    try {
      parse_script("test", "// a comment\n" + std::string(line));
      ADD_FAILURE() << line << " was taken";
    } catch (const Error& e) { EXPECT_EQ(e.line, 2) << line; }
  }
  EXPECT_THAT(run("--unheard=1\n+0 socket(...) = 3"), HasSubstr("unknown option --unheard"));
  EXPECT_THAT(run("+0 fork() = 3"), HasSubstr("an argument is missing"));
  EXPECT_THAT(run("+0 fork(3) = 3"), HasSubstr("unknown call"));
}

}  // namespace
}  // namespace weir::script
