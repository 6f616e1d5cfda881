// SPDX-License-Identifier: MIT
// A peer that sends anything, a user who calls anything, in any order: what must hold holds, and it always ends.
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <vector>

#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

class Hostile {
 public:
  explicit Hostile(std::uint64_t seed) : random_(seed) {
    config_.receive_buffer = one_in(2) ? 10'000 : 300'000;
    config_.send_buffer = one_in(2) ? 5'000 : 100'000;
    config_.timestamps = one_in(2);
    config_.window_scale = one_in(2);
    Birth birth{SeqNum(below(0xffff'ffff)), below(0xffff'ffff), static_cast<std::uint16_t>(below(2'000)),
                one_in(2) ? Family::v4 : Family::v6};
    iss_ = birth.iss;
    peer_ = SeqNum(below(0xffff'ffff));
    if (one_in(2)) {
      c_.emplace(Connection::active_open(config_, birth, now_));
    } else {
      Segment syn = segment();
      syn.flags = wire::kSyn;
      syn.seq = peer_;
      syn.text = {};
      c_.emplace(Connection::passive_open(config_, birth, syn, now_));
    }
  }

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      check();
      if (::testing::Test::HasFailure()) return;
    }
    // Left alone with a user who goes away, it ends: there is a deadline for everything.
    c_->close(now_);
    for (int i = 0; i < 500 && c_->state() != State::closed; ++i) {
      drain();
      ASSERT_NE(c_->next_deadline(), Instant::never()) << name(c_->state());
      now_ = std::max(now_, c_->next_deadline());
      c_->on_deadline(now_);
    }
    EXPECT_EQ(c_->state(), State::closed);
    drain();
    EXPECT_TRUE(c_->finished());
    EXPECT_EQ(c_->next_deadline(), Instant::never());
    EXPECT_EQ(c_->buffer_memory(), 0u);
  }

 private:
  std::uint32_t below(std::uint32_t n) { return n == 0 ? 0 : static_cast<std::uint32_t>(random_() % n); }
  bool one_in(std::uint32_t n) { return below(n) == 0; }

  // Mostly close to what would be right.
  Segment segment() {
    Segment seg;
    static constexpr std::uint8_t kFlags[] = {0x10, 0x10, 0x10, 0x10, 0x18, 0x11, 0x02, 0x12, 0x04, 0x14, 0x00, 0x01};
    seg.flags = wire::TcpFlags(one_in(16) ? static_cast<std::uint8_t>(below(256)) : kFlags[below(sizeof kFlags)]);
    if (seg.flags.rst() && !one_in(20)) seg.flags = wire::kAck;
    if (seg.flags.fin() && !one_in(10)) seg.flags = wire::kAck;
    seg.seq = one_in(20) ? SeqNum(below(0xffff'ffff))
                         : expected_ + (one_in(2) ? 0 : below(4'000)) - (one_in(4) ? below(3'000) : 0);
    seg.ack = one_in(20) ? SeqNum(below(0xffff'ffff)) : one_in(2) ? sent_ : sent_ - below(5'000);
    seg.window = wire::WireWindow(static_cast<std::uint16_t>(one_in(4) ? 0 : below(0x10000)));
    if (!one_in(6)) seg.options.timestamps = wire::TcpTimestamps{clock_ += below(3), below(0xffff'ffff)};
    if (seg.flags.syn()) {
      if (one_in(2)) seg.options.mss = static_cast<std::uint16_t>(below(0x10000));
      if (one_in(2)) seg.options.window_scale = static_cast<std::uint8_t>(below(15));
      seg.options.sack_permitted = one_in(2);
    }
    for (std::uint32_t n = one_in(2) ? 0 : below(5); n > 0; --n) {
      SeqNum left = one_in(10) ? SeqNum(below(0xffff'ffff)) : sent_ - below(8'000);
      seg.options.add_sack({left.raw(), (left + below(4'000) - (one_in(5) ? below(2'000) : 0)).raw()});
    }
    text_.assign(one_in(2) ? 0 : below(3'000), std::byte{7});
    seg.text = text_;
    return seg;
  }

  void step() {
    switch (below(12)) {
      case 0: {
        std::vector<std::byte> text(below(6'000));
        c_->write(text, now_);
        break;
      }
      case 1: {
        std::vector<std::byte> to(below(20'000));
        c_->read(to, now_);
        break;
      }
      case 2:
        now_ += Duration::microseconds(below(one_in(10) ? 3'000'000 : 20'000));
        if (c_->next_deadline() <= now_) c_->on_deadline(now_);
        break;
      case 3:
        drain();
        break;
      case 4: {
        if (!one_in(4)) break;
        IcmpError e{static_cast<IcmpError::Kind>(below(5))};
        e.mtu = below(2'000);
        c_->on_icmp_error(e, one_in(2) ? sent_ - 1 : SeqNum(below(0xffff'ffff)), now_);
        break;
      }
      case 5:
        if (one_in(20)) c_->on_path_mss(static_cast<std::uint16_t>(below(3'000)), now_);
        if (one_in(40)) c_->shutdown_write(now_);
        if (one_in(60)) c_->shutdown_read(now_);
        if (one_in(80)) c_->close(now_);
        if (one_in(200)) c_->abort(now_);
        if (one_in(10)) c_->set_no_delay(one_in(2));
        break;
      default: {
        Segment seg = segment();
        c_->on_segment(seg, now_);
        break;
      }
    }
  }

  void drain() {
    OutSegment out;
    int sent = 0;
    for (;;) {
      bool wanted = c_->wants_transmit(now_);
      bool filled = c_->poll_transmit(out, now_);
      ASSERT_EQ(wanted, filled);
      if (!filled) break;
      ASSERT_LT(++sent, 10'000) << "it sends without end";
      if (out.header.flags.rst()) continue;
      SeqNum end = SeqNum(out.header.seq) + static_cast<std::uint32_t>(out.text_size()) +
                   (out.header.flags.syn() || out.header.flags.fin() ? 1u : 0u);
      ASSERT_FALSE(out.header.flags.syn() && out.header.flags.fin());
      if (end.after(sent_) || out.header.flags.syn()) sent_ = end;
      if (out.header.flags.ack()) expected_ = SeqNum(out.header.ack);
    }
  }

  void check() {
    Info i = c_->info(now_);
    ASSERT_LE(i.receive_queue, config_.receive_buffer);
    ASSERT_LE(i.send_queue, config_.send_buffer);
    ASSERT_EQ(i.receive_queue, c_->readable_bytes());
    ASSERT_LE(c_->buffer_memory(), 4 * (config_.receive_buffer + config_.send_buffer));
    ASSERT_LE(i.rto, config_.max_rto);
    if (is_synchronized(i.state)) { ASSERT_GE(i.cwnd, 1u); }
    // Nothing outstanding is ever left without a deadline.
    if (i.state != State::closed && (i.send_queue > 0 || i.in_flight > 0 || !is_synchronized(i.state))) {
      ASSERT_NE(c_->next_deadline(), Instant::never()) << name(i.state);
    }
  }

  std::mt19937_64 random_;
  Config config_;
  Instant now_ = Instant::from_ns(1'000'000);
  std::optional<Connection> c_;
  SeqNum iss_;
  SeqNum peer_;
  SeqNum expected_;
  SeqNum sent_;
  std::uint32_t clock_ = 1;
  std::vector<std::byte> text_;
};

TEST(TcpHostile, WhateverComesItHoldsAndEnds) {
  for (std::uint64_t seed = 1; seed <= 3'000; ++seed) {
    SCOPED_TRACE(seed);
    Hostile(seed).run(400);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace weir::tcp
