// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include "top_view.h"

namespace weir::cli {
namespace {

control::Rule rule(const std::string& name, std::uint64_t packets) {
  control::Rule r;
  r.name = name;
  r.hits = {packets, packets * 100};
  return r;
}

Traffic traffic(std::size_t rules) {
  Observation before;
  Observation now;
  now.snapshot.at = Instant::from_ns(1'000'000'000);
  for (std::size_t i = 0; i < rules; ++i) {
    before.snapshot.rules.push_back(rule("r" + std::to_string(i), 0));
    now.snapshot.rules.push_back(rule("r" + std::to_string(i), i * 10));
  }
  now.snapshot.xdp[WEIR_R_DROP_FILTER] = {10, 1000};
  now.snapshot.xdp[WEIR_R_PASS_ARP] = {20, 1200};
  return make_traffic(now, &before);
}

std::string text(const std::vector<Line>& lines) {
  std::string out;
  for (const Line& line : lines) out += line.text + "\n";
  return out;
}

TEST(TopView, IsNeverWiderOrHigherThanTheScreen) {
  const Traffic t = traffic(50);
  for (int v = 0; v < kViews; ++v) {
    for (const unsigned width : {1u, 7u, 80u, 300u}) {
      for (const unsigned height : {1u, 2u, 5u, 24u, 100u}) {
        for (const std::size_t offset : {std::size_t{0}, std::size_t{10}, std::size_t{100'000}}) {
          Look look;
          look.view = static_cast<View>(v);
          look.width = width;
          look.height = height;
          look.offset = offset;
          look.keys = true;
          const auto lines = render({"eth0", "native mode", &t, "a notice"}, look);
          EXPECT_LE(lines.size(), height);
          EXPECT_FALSE(lines.empty());
          for (const Line& line : lines) EXPECT_LE(line.text.size(), width);
        }
      }
    }
  }
}

TEST(TopView, RowsAreInTheOrderThatIsAskedFor) {
  const Traffic t = traffic(3);
  Look look;
  look.view = View::rules;
  const auto order = [&] {
    std::string out;
    for (const Line& line : render({"eth0", "", &t, ""}, look))
      if (line.text.substr(0, 1) == "r") out += line.text.substr(0, 2);
    return out;
  };
  EXPECT_EQ(order(), "r2r1r0");
  look.reverse = true;
  EXPECT_EQ(order(), "r0r1r2");
  look.reverse = false;
  look.sort = Sort::name;
  EXPECT_EQ(order(), "r0r1r2");
}

TEST(TopView, ScrollsToTheLastRowAndNoFurther) {
  const Traffic t = traffic(50);
  Look look;
  look.view = View::rules;
  look.height = 20;
  look.width = 80;
  look.sort = Sort::packets;
  const Seen seen{"eth0", "", &t, ""};
  look.offset = 100'000;
  const auto lines = render(seen, look);
  EXPECT_EQ(lines.size(), 20u);
  EXPECT_EQ(lines.back().text.substr(0, 3), "r0 ");
  look.offset = last_offset(seen, look);
  EXPECT_EQ(text(render(seen, look)), text(lines));
}

TEST(TopView, ShowsTheVerdictsRates) {
  const Traffic t = traffic(0);
  const std::string shown = text(render({"eth0", "native mode, program id 7", &t, ""}, Look()));
  EXPECT_NE(shown.find("weir top: eth0, native mode, program id 7"), std::string::npos) << shown;
  EXPECT_NE(shown.find("pass 20 pkt/s 9600 bit/s   steer 0 pkt/s 0 bit/s   drop 10 pkt/s 8000 bit/s"),
            std::string::npos)
      << shown;
  EXPECT_NE(shown.find("no rules: every frame is accepted"), std::string::npos) << shown;
  EXPECT_NE(shown.find("no engine is there"), std::string::npos) << shown;
}

TEST(TopView, NamesCannotCommandATerminal) {
  Traffic t = traffic(1);
  t.rules[0].name = "\033]0;x\007";
  EngineTraffic engine;
  engine.application = "\033[2J\nserver";
  engine.queues = {0, 1, 2, 5};
  t.engines = {engine};
  ConnectionTraffic connection;
  connection.connection.remote =
      "\x9b"
      "5m";
  t.connections = std::vector{connection};
  const auto lines = render({"\033[2Jeth", "\n", &t, "\r\033c"}, Look());
  for (const Line& line : lines)
    for (const char c : line.text) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line.text;
  EXPECT_NE(text(lines).find("?[2J?server"), std::string::npos);
  EXPECT_NE(text(lines).find("0-2,5"), std::string::npos);
}

TEST(TopView, WithNothingToSeeItSaysWhy) {
  const auto lines = render({"eth0", "", nullptr, "eth0: weir has been detached"}, Look());
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1].text, "eth0: weir has been detached");
}

}  // namespace
}  // namespace weir::cli
