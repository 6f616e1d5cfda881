// SPDX-License-Identifier: MIT
// What the engine answers on its own socket about congestion control.
#include "weir/runtime/report.h"

#include <nlohmann/json.hpp>

#include "stack_fixture.h"

namespace weir::runtime {
namespace {

using nlohmann::json;

class RuntimeReport : public stack::StackFixture {
 protected:
  json list() { return json::parse(report_cc("eth0", *stack, now)); }
};

TEST_F(RuntimeReport, RequestsAreUnderstoodOrUnknown) {
  EXPECT_EQ(parse_request(R"({"cmd":"cc"})").command, Command::cc);
  Request set = parse_request(R"({"cmd":"cc_set","name":"bbr"})");
  EXPECT_EQ(set.command, Command::cc_set);
  EXPECT_EQ(set.name, "bbr");
  EXPECT_FALSE(parse_request(R"({"cmd":"sockets"})").time_wait);
  EXPECT_FALSE(parse_request(R"({"cmd":"sockets","time_wait":3})").time_wait);
  EXPECT_TRUE(parse_request(R"({"cmd":"sockets","time_wait":true})").time_wait);
  for (const char* bad : {"", "cc", "[]", R"({"cmd":1})", R"({"cmd":"cc_set"})", R"({"cmd":"cc_set","name":3})"}) {
    EXPECT_EQ(parse_request(bad).command, Command::unknown) << bad;
  }
}

TEST_F(RuntimeReport, TheListSaysWhatThereIsAndWhoHasIt) {
  start();
  stack::ListenerId listener = listen();
  establish(listener, 1);
  establish(listener, 2);
  json told = list();
  EXPECT_EQ(told["default"], "cubic");
  EXPECT_EQ(told["controllers"], json({"cubic", "reno", "bbr", "dctcp"}));
  EXPECT_EQ(told["connections"], (json{{"cubic", 2}, {"reno", 0}, {"bbr", 0}, {"dctcp", 0}}));
}

// However many there are, each piece holds few, and what comes and goes between two of them breaks nothing.
TEST_F(RuntimeReport, SocketsAreToldPieceByPiece) {
  start();
  stack::ListenerId listener = listen(1'000);
  for (std::uint16_t i = 1; i <= 300; ++i) establish(listener, i);
  const Listeners none;
  const std::string interface = "eth0";
  const std::string firewall;
  const std::set<std::uint16_t> shared;
  Answer answer = report_sockets({interface, none, *stack, firewall, shared}, false);
  std::string told;
  int pieces = 0;
  for (bool more = true; more; ++pieces) {
    std::string piece;
    more = answer(piece, now);
    told += piece;
    // The first of all goes, with those that have been told of, and another comes.
    if (pieces == 1) {
      stack->abort(stack->list_connections(now).front().id, now);
      EXPECT_TRUE(only().flags.rst());
    }
    if (pieces == 2) establish(listener, 301);
  }
  EXPECT_GT(pieces, 3);
  json document = json::parse(told);
  EXPECT_EQ(document["ok"], true);
  EXPECT_GE(document["connections"].size(), 300u);
  std::set<std::string> remotes;
  for (const json& c : document["connections"]) EXPECT_TRUE(remotes.insert(c["remote"].get<std::string>()).second);
}

TEST_F(RuntimeReport, AChangeIsForNewConnectionsAndForThoseThatRun) {
  start();
  stack::ListenerId listener = listen();
  establish(listener, 1);
  establish(listener, 2);
  json told = json::parse(change_cc("bbr", *stack, now));
  EXPECT_EQ(told, (json{{"ok", true}, {"name", "bbr"}, {"changed", 2}, {"refused", 0}}));
  establish(listener, 3);
  EXPECT_EQ(list()["connections"]["bbr"], 3);
  EXPECT_EQ(list()["default"], "bbr");
}

TEST_F(RuntimeReport, WhatCannotBeIsRefusedInWords) {
  stack::Config c = default_config();
  c.tcp.ecn = tcp::EcnMode::request;
  start(c);
  establish(listen());
  json unknown = json::parse(change_cc("vegas", *stack, now));
  EXPECT_EQ(unknown["ok"], false);
  EXPECT_NE(unknown["error"].get<std::string>().find("cubic, reno, bbr, dctcp"), std::string::npos);
  // ECN is on here, and this peer has none.
  json dctcp = json::parse(change_cc("dctcp", *stack, now));
  EXPECT_EQ(dctcp["changed"], 0);
  EXPECT_EQ(dctcp["refused"], 1);
  EXPECT_EQ(list()["connections"]["cubic"], 1);
  c.tcp.ecn = tcp::EcnMode::off;
  start(c);
  EXPECT_EQ(json::parse(change_cc("dctcp", *stack, now))["ok"], false);
}

}  // namespace
}  // namespace weir::runtime
