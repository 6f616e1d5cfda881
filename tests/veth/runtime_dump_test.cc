// SPDX-License-Identifier: MIT
// The frames that the engine sends, as it tells them to a dump (control/engine_tap.h).
#include <cstring>
#include <vector>

#include "runtime_fixture.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/engine_tap.h"

namespace weir::testing {
namespace {

using control::EngineTap;
using control::TapRecord;
using runtime::Engine;

class TapTest : public RuntimeTest {
 protected:
  static EngineTap listen(std::uint32_t snaplen = kSnaplen) {
    auto instance = instance_here();
    auto tap =
        EngineTap::open(control::engine_socket_path(instance.config().netns_cookie, instance.ifindex()), snaplen);
    EXPECT_TRUE(tap.ok()) << tap.error().message;
    return std::move(*tap);
  }
  // True while there is more to come.
  bool drain(EngineTap& tap) {
    const auto more = tap.drain([this](const TapRecord& record, std::span<const std::byte> octets) {
      EXPECT_EQ(octets.size(), std::min(record.length, snaplen_));
      EXPECT_LE(record.lost, tap_lost_most_);
      octets_ += record.length;
      types_.push_back(static_cast<unsigned>(octets[12]) << 8 | static_cast<unsigned>(octets[13]));
    });
    EXPECT_TRUE(more.ok()) << more.error().message;
    return more.ok() && *more;
  }

  static constexpr std::uint32_t kSnaplen = 64;
  std::uint32_t snaplen_ = kSnaplen;
  std::uint64_t tap_lost_most_ = 0;
  std::uint64_t octets_ = 0;
  std::vector<unsigned> types_;
};

TEST_F(TapTest, HasEveryFrameThatLeaves) {
  steer_port();
  Engine engine(on_veth());
  ASSERT_TRUE(engine.attached()) << engine.why_detached();
  EchoServer server(engine, kAny);
  EngineTap tap = listen();
  ASSERT_TRUE(run_until(engine, {&server}, [&] { return drain(tap) && tap.reader().greeted(); }));
  constexpr std::size_t kText = 300'000;
  auto v4 = client("10.77.0.1", kPort, kText, 1);
  auto v6 = client("fd77::1", kPort, kText, 2);
  ASSERT_TRUE(run_until(engine, {&server, v4.get(), v6.get()}, [&] {
    drain(tap);
    return v4->done() && v6->done();
  }));
  tap.stop();
  ASSERT_TRUE(run_until(engine, {&server, v4.get(), v6.get()}, [&] { return !drain(tap); }));
  EXPECT_TRUE(tap.reader().ended());
  EXPECT_EQ(tap.reader().lost(), 0u);
  EXPECT_GT(octets_, 2 * kText);
  for (const unsigned type : {0x0800u, 0x86ddu})
    EXPECT_GT(std::count(types_.begin(), types_.end(), type), static_cast<std::ptrdiff_t>(kText / 1500)) << type;
  EXPECT_EQ(tap.reader().frames(), types_.size());
}

TEST_F(TapTest, IsNotWaitedForAndHearsWhatItMissed) {
  steer_port();
  Engine engine(on_veth());
  ASSERT_TRUE(engine.attached()) << engine.why_detached();
  EchoServer server(engine, kAny);
  EngineTap idle = listen(WEIR_CAPTURE_MOST);
  EngineTap gone = listen();
  ASSERT_TRUE(run_until(engine, {&server}, [&] { return drain(gone) && gone.reader().greeted(); }));
  { const EngineTap killed = std::move(gone); }
  // Beyond what its socket and the engine keep for it.
  constexpr std::size_t kMuch = 10'000'000;
  auto much = client("10.77.0.1", kPort, kMuch);
  ASSERT_TRUE(run_until(engine, {&server, much.get()}, [&] { return much->done(); }));
  EXPECT_EQ(much->error(), 0);
  tap_lost_most_ = ~std::uint64_t{0};
  snaplen_ = WEIR_CAPTURE_MOST;
  idle.stop();
  ASSERT_TRUE(run_until(engine, {&server, much.get()}, [&] { return !drain(idle); }));
  EXPECT_TRUE(idle.reader().ended());
  EXPECT_GT(idle.reader().frames(), 1000u);
  EXPECT_GT(idle.reader().lost(), 0u);
  EXPECT_GT(idle.reader().frames() + idle.reader().lost(), kMuch / 1514);
}

TEST_F(TapTest, TakesAsManyAsItBears) {
  steer_port();
  Engine engine(on_veth());
  EchoServer server(engine, kAny);
  std::vector<EngineTap> taps;
  for (int i = 0; i < 4; ++i) {
    taps.push_back(listen());
    ASSERT_TRUE(run_until(engine, {&server}, [&] { return drain(taps.back()) && taps.back().reader().greeted(); }));
  }
  EngineTap refused = listen();
  std::string why;
  ASSERT_TRUE(run_until(engine, {&server}, [&] {
    const auto more = refused.drain([](const TapRecord&, auto) {});
    if (!more.ok()) why = more.error().message;
    return !more.ok();
  }));
  EXPECT_NE(why.find("as many listen"), std::string::npos) << why;
  taps.pop_back();
  EngineTap next = listen();
  EXPECT_TRUE(run_until(engine, {&server}, [&] { return drain(next) && next.reader().greeted(); }));
}

}  // namespace
}  // namespace weir::testing
