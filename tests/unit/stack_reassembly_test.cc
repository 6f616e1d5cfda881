// SPDX-License-Identifier: MIT
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "weir/stack/reassembly.h"

namespace weir::stack {
namespace {

const IpAddress kUs4 = IpAddress::v4(192, 0, 2, 1);
const IpAddress kPeer4 = IpAddress::v4(192, 0, 2, 2);
const IpAddress kUs6 = *IpAddress::parse("2001:db8::1");
const IpAddress kPeer6 = *IpAddress::parse("2001:db8::2");
constexpr std::uint32_t kTotal = 64 * 1024;
constexpr std::uint32_t kPerSource = 32 * 1024;

std::vector<std::byte> pattern(std::size_t size, std::uint32_t seed = 0) {
  std::mt19937 random(seed);
  std::vector<std::byte> bytes(size);
  for (auto& b : bytes) b = static_cast<std::byte>(random());
  return bytes;
}

// [begin, end) of a datagram, and whether more follow.
struct Piece {
  std::uint16_t begin;
  std::size_t end;
  bool more;
  weir_reason expected = WEIR_R_TAKEN_FRAGMENT;
};

class StackReassembly : public testing::Test {
 protected:
  weir_reason give(const Piece& p, std::uint32_t id = 7) {
    whole_.reset();
    return reassembly_.on_fragment(
        {source_, destination_, protocol_, {id, p.begin, p.more}, ConstBytes(text_).subspan(p.begin, p.end - p.begin)},
        now_, whole_);
  }
  bool complete() const {
    return whole_ && std::equal(whole_->payload.begin(), whole_->payload.end(), text_.begin(), text_.end());
  }

  Reassembly reassembly_{{kTotal, kPerSource, {1, 2}}};
  std::vector<std::byte> text_ = pattern(4'000);
  IpAddress source_ = kPeer4;
  IpAddress destination_ = kUs4;
  wire::IpProtocol protocol_ = wire::IpProtocol::tcp;
  Instant now_ = Instant::from_ns(1'000'000'000);
  std::optional<Reassembly::Datagram> whole_;
};

TEST_F(StackReassembly, EveryOrderOfFourPiecesMakesTheDatagram) {
  std::vector<Piece> pieces{{0, 1000, true}, {1000, 2000, true}, {2000, 3000, true}, {3000, 4000, false}};
  std::vector<std::size_t> order{0, 1, 2, 3};
  std::uint32_t id = 0;
  do {
    ++id;
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_EQ(give(pieces[order[i]], id), WEIR_R_TAKEN_FRAGMENT);
      EXPECT_EQ(complete(), i == 3);
    }
    EXPECT_EQ(whole_->protocol, wire::IpProtocol::tcp);
  } while (std::next_permutation(order.begin(), order.end()));
  EXPECT_EQ(reassembly_.datagrams(), 0u);
  EXPECT_EQ(reassembly_.bytes(), 0u);
  EXPECT_EQ(reassembly_.next_deadline(), Instant::never());
}

// RFC 5722, RFC 8200 4.5: what is done with each kind of second fragment; the rest then does not complete the datagram.
TEST_F(StackReassembly, OverlapsCondemnTheDatagramAndWhatIsStillToCome) {
  struct Case {
    std::string name;
    std::vector<Piece> first;
    Piece overlapping;
  };
  std::vector<Case> cases{
      {"front", {{800, 1600, true}}, {0, 808, true}},
      {"back", {{0, 800, true}}, {792, 1600, true}},
      {"inside", {{0, 1600, true}}, {800, 1200, true}},
      {"around", {{800, 1200, true}}, {0, 1600, true}},
      {"same start, longer", {{0, 800, true}}, {0, 1600, true}},
      {"same start, shorter", {{0, 1600, true}}, {0, 800, true}},
      {"between two, touching the second", {{0, 800, true}, {1600, 2400, true}}, {800, 1608, true}},
      {"a second end", {{3200, 4000, false}}, {1600, 2400, false}},
      {"an end before what is there", {{1600, 2400, true}}, {0, 800, false}},
      {"text behind the end", {{800, 1600, false}}, {1600, 2400, true}},
      {"the last again, as if more followed", {{800, 1600, false}}, {800, 1600, true}},
  };
  std::uint32_t id = 0;
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    ++id;
    for (const Piece& p : c.first) EXPECT_EQ(give(p, id), WEIR_R_TAKEN_FRAGMENT);
    EXPECT_EQ(give(c.overlapping, id), WEIR_R_LOST_FRAG_OVERLAP);
    for (const Piece& p : {Piece{0, 2000, true}, Piece{2000, 4000, false}}) {
      EXPECT_EQ(give(p, id), WEIR_R_LOST_FRAG_OVERLAP);
      EXPECT_FALSE(whole_);
    }
  }
  EXPECT_EQ(reassembly_.bytes(), 0u) << "a condemned datagram holds no memory";
}

TEST_F(StackReassembly, AnExactRepetitionIsDiscardedAlone) {
  EXPECT_EQ(give({0, 2000, true}), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give({0, 2000, true}), WEIR_R_LOST_DUPLICATE);
  EXPECT_EQ(give({2000, 4000, false}), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_TRUE(complete());
}

TEST_F(StackReassembly, ARepetitionWithOtherTextIsAnOverlap) {
  EXPECT_EQ(give({0, 2000, true}), WEIR_R_TAKEN_FRAGMENT);
  text_ = pattern(4'000, 1);
  EXPECT_EQ(give({0, 2000, true}), WEIR_R_LOST_FRAG_OVERLAP);
}

TEST_F(StackReassembly, IllFormedFragmentsAreRefused) {
  EXPECT_EQ(give({0, 0, true}), WEIR_R_LOST_MALFORMED);
  EXPECT_EQ(give({0, 1001, true}), WEIR_R_LOST_MALFORMED);
  text_ = pattern(70'000);
  EXPECT_EQ(give({65'528, 65'536, false}), WEIR_R_LOST_MALFORMED);
  EXPECT_EQ(reassembly_.datagrams(), 0u);
}

// The largest datagram there is, in pieces of every kind of size.
TEST_F(StackReassembly, LargeDatagramsComeOutWhole) {
  Reassembly large({1024 * 1024, 128 * 1024, {1, 2}});
  std::mt19937 random(5);
  for (int round = 0; round < 30; ++round) {
    text_ = pattern(round == 0 ? 65'535 : 2'000 + random() % 60'000, static_cast<std::uint32_t>(round));
    std::vector<Piece> pieces;
    for (std::size_t at = 0; at < text_.size();) {
      std::size_t n = std::min<std::size_t>(8 * (130 + random() % 900), text_.size() - at);
      pieces.push_back({static_cast<std::uint16_t>(at), at + n, at + n < text_.size()});
      at += n;
    }
    std::shuffle(pieces.begin(), pieces.end(), random);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
      whole_.reset();
      ASSERT_EQ(large.on_fragment({source_,
                                   destination_,
                                   protocol_,
                                   {9, pieces[i].begin, pieces[i].more},
                                   ConstBytes(text_).subspan(pieces[i].begin, pieces[i].end - pieces[i].begin)},
                                  now_, whole_),
                WEIR_R_TAKEN_FRAGMENT);
      ASSERT_EQ(complete(), i + 1 == pieces.size());
    }
  }
  EXPECT_EQ(large.bytes(), 0u);
}

TEST_F(StackReassembly, WhatNamesADatagramIsAllOfItsName) {
  EXPECT_EQ(give({0, 2000, true}, 1), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give({2000, 4000, false}, 2), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_FALSE(whole_);
  source_ = IpAddress::v4(192, 0, 2, 3);
  EXPECT_EQ(give({2000, 4000, false}, 1), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_FALSE(whole_);
  source_ = kPeer4;
  protocol_ = wire::IpProtocol::udp;
  EXPECT_EQ(give({2000, 4000, false}, 1), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_FALSE(whole_);
  EXPECT_EQ(reassembly_.datagrams(), 4u);
}

// RFC 8200 4.5: IPv6 does not look at later fragments' next header; the first one's counts.
TEST_F(StackReassembly, InIpv6TheFirstFragmentNamesTheProtocol) {
  source_ = kPeer6;
  destination_ = kUs6;
  protocol_ = wire::IpProtocol::none;
  EXPECT_EQ(give({2000, 4000, false}), WEIR_R_TAKEN_FRAGMENT);
  protocol_ = wire::IpProtocol::tcp;
  EXPECT_EQ(give({0, 2000, true}), WEIR_R_TAKEN_FRAGMENT);
  ASSERT_TRUE(complete());
  EXPECT_EQ(whole_->protocol, wire::IpProtocol::tcp);
}

TEST_F(StackReassembly, TimesOutAfterThirtySecondsOfV4AndSixtyOfV6) {
  give({0, 2000, true});
  source_ = kPeer6;
  destination_ = kUs6;
  give({0, 2000, true});
  EXPECT_EQ(reassembly_.next_deadline(), now_ + Duration::seconds(30));
  EXPECT_EQ(reassembly_.on_deadline(now_ + Duration::milliseconds(29'999)), 0u);
  EXPECT_EQ(reassembly_.on_deadline(now_ + Duration::seconds(30)), 1u);
  EXPECT_EQ(reassembly_.next_deadline(), now_ + Duration::seconds(60));
  EXPECT_EQ(reassembly_.on_deadline(now_ + Duration::seconds(60)), 1u);
  EXPECT_EQ(reassembly_.datagrams(), 0u);
  EXPECT_EQ(reassembly_.bytes(), 0u);
}

TEST_F(StackReassembly, OneSourceCannotTakeAnothersShare) {
  std::uint32_t id = 0;
  weir_reason reason = WEIR_R_TAKEN_FRAGMENT;
  while (reason == WEIR_R_TAKEN_FRAGMENT && id < 1000) reason = give({0, 1000, true}, ++id);
  EXPECT_EQ(reason, WEIR_R_LOST_FRAG_LIMIT);
  EXPECT_EQ(reassembly_.bytes(), kPerSource);
  source_ = IpAddress::v4(192, 0, 2, 99);
  EXPECT_EQ(give({0, 2000, true}), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_EQ(give({2000, 4000, false}), WEIR_R_TAKEN_FRAGMENT);
  EXPECT_TRUE(complete());
}

TEST_F(StackReassembly, MemoryIsBoundedWhateverComes) {
  std::mt19937 random(3);
  text_ = pattern(65'535);
  for (int i = 0; i < 20'000; ++i) {
    source_ = IpAddress::v4(198, 51, 100, static_cast<std::uint8_t>(random()));
    auto begin = static_cast<std::uint16_t>(random() % 8'000 * 8);
    std::size_t end = std::min<std::size_t>(begin + 8 + random() % 180 * 8, 65'528);
    if (end <= begin) continue;
    give({begin, end, random() % 4 != 0}, static_cast<std::uint32_t>(random() % 50));
    ASSERT_LE(reassembly_.bytes(), kTotal);
    ASSERT_LE(reassembly_.datagrams(), kTotal / 2048);
    if (i % 1'000 == 999) {
      now_ += Duration::seconds(31);
      reassembly_.on_deadline(now_);
      ASSERT_EQ(reassembly_.bytes(), 0u);
    }
  }
}

TEST_F(StackReassembly, ADatagramOfTooManyPiecesIsRefused) {
  weir_reason reason = WEIR_R_TAKEN_FRAGMENT;
  std::uint16_t at = 0;
  while (reason == WEIR_R_TAKEN_FRAGMENT && at < 3'000) {
    reason = give({at, at + 8u, true});
    at = static_cast<std::uint16_t>(at + 16);
  }
  EXPECT_EQ(reason, WEIR_R_LOST_FRAG_LIMIT);
}

// RFC 3168 5.3
TEST_F(StackReassembly, AMarkOnOneFragmentIsAMarkOnTheWhole) {
  using wire::Ecn;
  auto piece = [&](std::uint16_t begin, std::size_t end, Ecn ecn) {
    whole_.reset();
    return reassembly_.on_fragment(
        {source_, destination_, protocol_, {9, begin, end < 4'000}, ConstBytes(text_).subspan(begin, end - begin), ecn},
        now_, whole_);
  };
  struct Case {
    Ecn first, second;
    std::optional<Ecn> whole;
  };
  for (const Case& c :
       {Case{Ecn::not_ect, Ecn::not_ect, Ecn::not_ect}, Case{Ecn::ect0, Ecn::ect0, Ecn::ect0},
        Case{Ecn::ect1, Ecn::ect1, Ecn::ect1}, Case{Ecn::ect0, Ecn::ce, Ecn::ce}, Case{Ecn::ce, Ecn::ect0, Ecn::ce},
        Case{Ecn::ce, Ecn::ect1, Ecn::ce}, Case{Ecn::ce, Ecn::not_ect, {}}, Case{Ecn::not_ect, Ecn::ce, {}}}) {
    EXPECT_EQ(piece(0, 2'000, c.first), WEIR_R_TAKEN_FRAGMENT);
    weir_reason reason = piece(2'000, 4'000, c.second);
    EXPECT_EQ(reason, c.whole ? WEIR_R_TAKEN_FRAGMENT : WEIR_R_LOST_MALFORMED);
    EXPECT_EQ(whole_.has_value(), c.whole.has_value());
    if (c.whole && whole_) { EXPECT_EQ(whole_->ecn, *c.whole); }
    EXPECT_EQ(reassembly_.datagrams(), 0u);
  }
  // A mark that comes with a repetition counts.
  piece(0, 2'000, Ecn::ect0);
  EXPECT_EQ(piece(0, 2'000, Ecn::ce), WEIR_R_LOST_DUPLICATE);
  piece(2'000, 4'000, Ecn::ect0);
  ASSERT_TRUE(whole_);
  EXPECT_EQ(whole_->ecn, Ecn::ce);
}

}  // namespace
}  // namespace weir::stack
