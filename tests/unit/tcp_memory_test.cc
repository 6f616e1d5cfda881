// SPDX-License-Identifier: MIT
// Buffers that grow with use and shrink when idle.
#include "tcp_harness.h"

namespace weir::tcp {
namespace {

using test::Peer;
using test::Scene;

constexpr std::uint32_t kBegin = 64 * 1024;
constexpr std::uint32_t kMost = 1024 * 1024;

class TcpMemory : public testing::TestWithParam<Family> {
 protected:
  static Scene scene() {
    Scene s;
    s.birth.family = GetParam();
    s.config.timestamps = false;
    s.config.receive_buffer = s.config.send_buffer = kBegin;
    s.config.most_receive_buffer = s.config.most_send_buffer = kMost;
    return s;
  }
  static void open(Peer& p) {
    p.connect();
    p.take();
    p.wait(Duration::milliseconds(50));
    p.in("S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 7>");
    p.take();
  }
  // Whatever becomes of it: some of it may have come before.
  static void segment(Peer& p, std::uint32_t offset, std::uint32_t size) {
    std::uint32_t seq = 1 + offset;
    p.deliver(". " + std::to_string(seq) + ":" + std::to_string(seq + size) + "(" + std::to_string(size) + ") ack 1");
    p.take();
  }
  // The peer fills the window every round trip of 50 ms; what has come is read, or not.
  static std::uint32_t rounds(Peer& p, int n, bool reads, std::uint32_t seq = 1) {
    for (int i = 0; i < n; ++i) {
      std::uint32_t room = p.info().receive_window;
      for (; room >= 1'000; room -= 1'000, seq += 1'000) {
        p.in(". " + std::to_string(seq) + ":" + std::to_string(seq + 1'000) + "(1000) ack 1");
      }
      if (reads) p.read();
      p.take();
      p.wait(Duration::milliseconds(50));
      p.take();
    }
    return seq;
  }
};
INSTANTIATE_TEST_SUITE_P(Families, TcpMemory, testing::Values(Family::v4, Family::v6),
                         [](const auto& param) { return param.param == Family::v4 ? "v4" : "v6"; });

TEST_P(TcpMemory, TheReceiveBufferGrowsForAReaderThatKeepsUp) {
  Peer p(scene());
  open(p);
  EXPECT_EQ(p.info().receive_buffer, kBegin);
  rounds(p, 12, true);
  EXPECT_EQ(p.info().receive_buffer, kMost);
  EXPECT_GT(p.info().receive_window, kMost / 2);
}

TEST_P(TcpMemory, ItDoesNotGrowForOneThatDoesNotRead) {
  Peer p(scene());
  open(p);
  rounds(p, 12, false);
  EXPECT_EQ(p.info().receive_buffer, kBegin);
  EXPECT_LE(p->buffer_memory(), std::size_t{kBegin} * 2);
}

TEST_P(TcpMemory, AnIdleConnectionGivesItAllBack) {
  Peer p(scene());
  open(p);
  rounds(p, 12, true);
  p.wait(Duration::seconds(3));
  EXPECT_EQ(p->buffer_memory(), 0u);
  EXPECT_EQ(p.info().receive_buffer, kBegin);
}

TEST_P(TcpMemory, TheSendBufferGrowsWithTheCongestionWindow) {
  Peer p(scene());
  open(p);
  EXPECT_EQ(p.info().send_buffer, kBegin);
  for (int i = 0; i < 8; ++i) {
    p.write(2 * kMost);
    std::uint32_t end = 1;
    for (const auto& packet : p.take()) end = std::max(end, packet.seq + packet.length);
    p.wait(Duration::milliseconds(50));
    for (std::uint32_t at = static_cast<std::uint32_t>(p.info().bytes_acked) + 1; at < end;) {
      at = std::min(at + 2'920, end);
      p.in(". 1:1(0) ack " + std::to_string(at) + " win 65535");
    }
  }
  EXPECT_GT(p.info().send_buffer, 4 * kBegin);
  EXPECT_LE(p.info().send_buffer, kMost);
}

TEST_P(TcpMemory, SmallSegmentsCannotPinLargeBuffers) {
  Peer p(scene());
  open(p);
  for (std::uint32_t seq = 1; seq <= 2'000; ++seq) {
    p.in(". " + std::to_string(seq) + ":" + std::to_string(seq + 1) + "(1) ack 1");
    p.take();
  }
  EXPECT_LE(p->buffer_memory(), 4'096u) << "two thousand segments of a byte";
}

TEST_P(TcpMemory, AByteAtTheEdgeOfTheWindowPinsNoBuffer) {
  Peer p(scene());
  open(p);
  segment(p, 60'000, 1);
  segment(p, 50'000, 1);
  EXPECT_LE(p->buffer_memory(), sizeof(Assembler::Slots) + 2);
}

// What came far ahead is delivered in its place, whether the ring grew over it or the reading brought it near.
TEST_P(TcpMemory, TextThatCameFarAheadIsDeliveredInItsPlace) {
  constexpr std::uint32_t kEnd = 40'000;
  for (bool reads : {false, true}) {
    SCOPED_TRACE(reads);
    Peer p(scene());
    open(p);
    for (std::uint32_t at : {30'000u, 20'000u, 30'500u, 39'000u}) segment(p, at, 1'000);
    EXPECT_LE(p->buffer_memory(), sizeof(Assembler::Slots) + 4'000);
    std::size_t got = 0;
    for (std::uint32_t at = 0; at < kEnd; at += 500) {
      segment(p, at, 500);
      if (reads) got += p.read();
    }
    got += p.read();
    EXPECT_EQ(got, kEnd);
  }
}

// More of them than are worth keeping apart get the ring, and none is lost.
TEST_P(TcpMemory, ManyBytesFarAheadAreKeptAndTheWindowBoundsThem) {
  Peer p(scene());
  open(p);
  std::uint32_t end = 20'000;
  for (std::size_t i = 0; i < 2 * Strays::kMost; ++i, end += 2) segment(p, end, 1);
  EXPECT_LE(p->buffer_memory(), sizeof(Assembler::Slots) + kBegin);
  for (std::uint32_t at = 0; at < end; at += 1'000) segment(p, at, 1'000);
  EXPECT_GE(p.read(), std::size_t{end});
}

TEST_P(TcpMemory, UnderPressureTheWindowClosesUntilTheReaderHasRead) {
  Peer p(scene());
  open(p);
  p->set_memory_pressure(true);
  std::uint32_t seq = rounds(p, 3, false);
  EXPECT_LT(p.info().receive_window, 1'000u) << "what was promised has come, and no more is";
  EXPECT_EQ(seq, 1u + 65'000u);
  p.read();
  for (const auto& packet : p.take()) EXPECT_EQ(packet.flags, ".");
  EXPECT_GE(p.info().receive_window, 1'460u);
  EXPECT_LE(p.info().receive_window, 2u * 1'460u);
  EXPECT_LE(p->writable_bytes(), 2u * 1'460u);
  p->set_memory_pressure(false);
  EXPECT_EQ(p->writable_bytes(), kBegin);
}

// RFC 6429 4
TEST_P(TcpMemory, UnderPressureAWindowThatIsHeldShutIsAnAttack) {
  for (bool pressed : {true, false}) {
    Peer p(scene());
    open(p);
    p.write(1'000);
    p.take();
    p.in(". 1:1(0) ack 1001 win 0");
    p.write(1'000);
    p->set_memory_pressure(pressed);
    for (int i = 0; i < 2'000 && p.state() != State::closed; ++i) {
      p.wait(Duration::milliseconds(100));
      if (!p.take().empty() && p.state() != State::closed) p.in(". 1:1(0) ack 1001 win 0");
    }
    EXPECT_EQ(p.error(), pressed ? Errc::timed_out : Errc::none);
  }
}

}  // namespace
}  // namespace weir::tcp
