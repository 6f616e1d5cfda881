// SPDX-License-Identifier: MIT
// More clients than the engine has room for.
#include "weir/runtime/engine_socket.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <vector>

#include "weir/control/engine_protocol.h"

namespace weir::runtime {
namespace {

using ::testing::HasSubstr;

class EngineSocketTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(mkdtemp(directory_), nullptr);
    path_ = std::string(directory_) + "/engine.sock";
    ASSERT_TRUE(socket_.open(path_).ok());
  }
  void TearDown() override {
    ::unlink(path_.c_str());
    ::rmdir(directory_);
  }

  control::EngineQuestion ask() {
    return std::move(control::EngineQuestion::ask(path_, R"({"cmd":"ping"})", now_, {}).value());
  }
  void serve() {
    socket_.serve([](const std::string&) { return whole_answer("{\"ok\":true}"); },
                  [](const std::string&, xdp::Fd&) { return false; }, now_);
  }

  Instant now_ = Instant::from_ns(1'000'000'000);
  EngineSocket socket_;

 private:
  char directory_[32] = "/tmp/weir-socket-XXXXXX";
  std::string path_;
};

TEST_F(EngineSocketTest, TheOneTooManyIsToldSoWheneverItsQuestionComes) {
  // They have come, and have not asked yet.
  std::vector<control::EngineQuestion> first;
  for (std::size_t i = 0; i < EngineSocket::kMaxClients; ++i) first.push_back(ask());
  serve();
  for (const bool asks_before_it_is_refused : {true, false}) {
    control::EngineQuestion question = ask();
    if (asks_before_it_is_refused) { EXPECT_FALSE(question.go_on(now_).has_value()); }
    serve();
    const auto answer = question.go_on(now_);
    ASSERT_TRUE(answer.has_value());
    ASSERT_TRUE(answer->ok()) << answer->error().message;
    EXPECT_THAT(answer->value(), HasSubstr("16 ask the engine at this moment"));
  }
  // The others are served as ever.
  for (control::EngineQuestion& question : first) {
    EXPECT_FALSE(question.go_on(now_).has_value());
    serve();
    const auto answer = question.go_on(now_);
    ASSERT_TRUE(answer.has_value() && answer->ok());
    EXPECT_EQ(answer->value(), "{\"ok\":true}\n");
  }
}

}  // namespace
}  // namespace weir::runtime
