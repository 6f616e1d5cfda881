// SPDX-License-Identifier: MIT
// The scoreboard, beside a plain one.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "weir/tcp/transmissions.h"

namespace weir::tcp {
namespace {

using Where = Transmission::Where;

struct Plain {
  SeqNum begin;
  SeqNum end;
  Where where = Where::network;
  std::uint64_t order = 0;
};

class Both {
 public:
  explicit Both(SeqNum una) : una_(una), nxt_(una) { EXPECT_TRUE(t_.open(una)); }

  void push(std::uint32_t bytes) {
    Transmission t;
    t.end = nxt_ + bytes;
    t_.push(t);
    plain_.push_back({nxt_, t.end, Where::network, ++clock_});
    nxt_ += bytes;
  }
  void acknowledge(SeqNum una) {
    std::uint32_t seen = 0;
    std::uint32_t expected = 0;
    t_.acknowledge(una, [&](const Transmission&, std::uint32_t bytes, bool) { seen += bytes; });
    while (!plain_.empty() && plain_[0].begin.before(una)) {
      SeqNum to = earlier_of(una, plain_[0].end);
      if (plain_[0].where != Where::peer) expected += static_cast<std::uint32_t>(to - plain_[0].begin);
      plain_[0].begin = to;
      if (to == plain_[0].end) plain_.erase(plain_.begin());
    }
    una_ = una;
    EXPECT_EQ(seen, expected);
  }
  void sack(SeqNum left, SeqNum right) {
    std::uint32_t seen = 0;
    std::uint32_t expected = 0;
    t_.sack(left, right, [&](const Transmission&, std::uint32_t bytes, bool) { seen += bytes; });
    for (Plain& p : plain_) {
      if (p.begin.before(left) || p.end.after(right) || p.where == Where::peer) continue;
      p.where = Where::peer;
      expected += static_cast<std::uint32_t>(p.end - p.begin);
    }
    EXPECT_EQ(seen, expected);
  }
  void lose(std::size_t i) {
    t_.mark_lost(t_.first() + static_cast<std::uint32_t>(i));
    if (plain_[i].where == Where::network) plain_[i].where = Where::lost;
  }
  void resend_first_lost() {
    Transmissions::Id id = t_.first_lost();
    if (id == t_.behind()) return;
    t_.resend(id, {});
    plain_[id - t_.first()].where = Where::network;
    plain_[id - t_.first()].order = ++clock_;
  }
  void split_first_lost() {
    Transmissions::Id id = t_.first_lost();
    if (id == t_.behind() || t_.length(id) < 2) return;
    std::size_t i = id - t_.first();
    SeqNum at = t_.begin_of(id) + t_.length(id) / 2;
    ASSERT_TRUE(t_.split(id, at));
    plain_.insert(plain_.begin() + static_cast<std::ptrdiff_t>(i), plain_[i]);
    plain_[i].end = plain_[i + 1].begin = at;
  }
  void forget_sacked() {
    t_.forget_sacked();
    for (Plain& p : plain_)
      if (p.where == Where::peer) p.where = Where::lost;
  }
  void check() {
    std::uint32_t bytes[3] = {};
    std::vector<std::pair<std::uint64_t, std::size_t>> by_time;
    std::size_t first_lost = plain_.size();
    for (std::size_t i = 0; i < plain_.size(); ++i) {
      const Plain& p = plain_[i];
      auto id = t_.first() + static_cast<std::uint32_t>(i);
      bytes[static_cast<int>(p.where)] += static_cast<std::uint32_t>(p.end - p.begin);
      if (p.where == Where::network) by_time.emplace_back(p.order, i);
      if (p.where == Where::lost) first_lost = std::min(first_lost, i);
      ASSERT_EQ(t_[id].where, p.where) << i;
      ASSERT_EQ(t_[id].end, p.end);
      ASSERT_EQ(t_.begin_of(id), p.begin);
    }
    ASSERT_EQ(t_.size(), plain_.size());
    ASSERT_EQ(t_.begin(), una_);
    ASSERT_EQ(t_.end(), nxt_);
    ASSERT_EQ(t_.pipe(), bytes[0]);
    ASSERT_EQ(t_.sacked(), bytes[1]);
    ASSERT_EQ(t_.lost(), bytes[2]);
    ASSERT_EQ(t_.first_lost() - t_.first(), first_lost);
    std::sort(by_time.begin(), by_time.end());
    Transmissions::Id id = t_.oldest();
    for (auto [order, i] : by_time) {
      ASSERT_EQ(id, t_.first() + i);
      id = t_.after(id);
    }
    ASSERT_EQ(id, t_.behind());
  }

  Transmissions t_;
  std::vector<Plain> plain_;
  SeqNum una_;
  SeqNum nxt_;
  std::uint64_t clock_ = 0;
};

TEST(TcpTransmissions, AgreesWithAPlainScoreboard) {
  std::mt19937 engine(11);
  auto below = [&](std::size_t n) { return static_cast<std::uint32_t>(engine() % n); };
  for (int run = 0; run < 300; ++run) {
    Both both(SeqNum(0u - below(20'000)));
    for (int step = 0; step < 300; ++step) {
      std::uint32_t flight = static_cast<std::uint32_t>(both.nxt_ - both.una_);
      switch (below(10)) {
        case 0:
        case 1:
        case 2:
          both.push(1 + below(1'000));
          break;
        case 3:
          both.acknowledge(both.una_ + (below(3) == 0 ? below(flight + 1) : std::min(flight, below(2'000))));
          break;
        case 4:
        case 5:
        case 6: {
          std::uint32_t at = below(flight + 1);
          both.sack(both.una_ + at, both.una_ + at + below(flight - at + 1));
          break;
        }
        case 7:
          if (!both.plain_.empty()) both.lose(below(both.plain_.size()));
          break;
        case 8:
          both.resend_first_lost();
          break;
        default:
          if (below(10) == 0) both.forget_sacked();
          if (below(3) == 0) both.split_first_lost();
          break;
      }
      both.check();
      if (testing::Test::HasFatalFailure()) FAIL() << "run " << run << " step " << step;
    }
  }
}

TEST(TcpTransmissions, ABlockOverAPartOfASegmentSaysNothing) {
  Both both(SeqNum(1));
  for (int i = 0; i < 3; ++i) both.push(1'000);
  both.sack(SeqNum(500), SeqNum(2'500));
  EXPECT_EQ(both.t_.sacked(), 1'000u);
  both.sack(SeqNum(1'002), SeqNum(2'000));
  EXPECT_EQ(both.t_.sacked(), 1'000u);
  both.check();
}

// RFC 2018's receiver may tell the same again in each ACK, and a hostile one does: that costs no walk over what is
// known.
TEST(TcpTransmissions, WhatIsKnownIsNotWalkedOverAgain) {
  Transmissions t;
  ASSERT_TRUE(t.open(SeqNum(0)));
  constexpr std::uint32_t kSegments = 20'000;
  for (std::uint32_t i = 1; i <= kSegments; ++i) {
    Transmission s;
    s.end = SeqNum(i * 10);
    t.push(s);
  }
  auto nothing = [](const Transmission&, std::uint32_t, bool) {};
  // One at a time, from behind: each is new, and each makes the block longer.
  for (std::uint32_t i = kSegments - 1; i > 1; --i) t.sack(SeqNum(i * 10), SeqNum(kSegments * 10), nothing);
  EXPECT_EQ(t.sacked_segments(), kSegments - 2);
  // A million tellings of 20,000 segments would be minutes.
  for (std::uint32_t i = 0; i < 1'000'000; ++i) {
    t.sack(SeqNum(20 + 10 * (i % 19'000)), SeqNum(kSegments * 10), nothing);
  }
  EXPECT_EQ(t.pipe(), 20u);
}

TEST(TcpTransmissions, IdsBeginAgainBeforeTheyWrap) {
  Transmissions t;
  ASSERT_TRUE(t.open(SeqNum(0), (1u << 31) - 100));
  auto nothing = [](const Transmission&, std::uint32_t, bool) {};
  std::uint32_t at = 0;
  auto push = [&] {
    Transmission s;
    s.end = SeqNum(++at);
    t.push(s);
  };
  for (int i = 0; i < 5; ++i) push();
  // Never empty, so that it does not begin anew by itself.
  for (std::uint32_t i = 0; i < 200; ++i) {
    push();
    t.mark_lost(t.first() + 1);
    t.sack(t.begin() + 2, t.begin() + 4, nothing);
    if (i % 3 == 0 && t.lost() != 0) t.resend(t.first_lost(), {});
    t.acknowledge(t.begin() + 1, nothing);
    ASSERT_LE(t.first(), 1u << 31) << i;
    ASSERT_EQ(t.pipe() + t.lost() + t.sacked(), 5u) << i;
    std::uint32_t seen = 0;
    for (auto id = t.oldest(); id != t.behind(); id = t.after(id)) seen += t.length(id);
    ASSERT_EQ(seen, t.pipe()) << i;
  }
  EXPECT_LT(t.first(), 1'000u);
}

}  // namespace
}  // namespace weir::tcp
