// SPDX-License-Identifier: MIT
// The checklist's hostile input: what an outsider sends costs bounded memory and bounded answers, each frame has its
// reason (StackFixture::give sees to that), and a connection that was there goes on.
#include <malloc.h>

#include <algorithm>
#include <array>
#include <map>
#include <random>
#include <vector>

#include "stack_fixture.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_TEST_HEAP_IS_REPLACED 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define WEIR_TEST_HEAP_IS_REPLACED 1
#endif

namespace weir::stack {
namespace {

// Bytes on the heap; 0 where a sanitizer has another one.
std::size_t heap_bytes() {
#ifdef WEIR_TEST_HEAP_IS_REPLACED
  return 0;
#else
  struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
#endif
}

class StackHostile : public StackBothFamilies {
 protected:
  void SetUp() override {
    Config c = default_config();
    c.tcp.options.no_delay = true;
    start(c);
    listener_ = listen();
    good_ = establish(listener_);
  }

  // Of anyone: a frame from a source of its own.
  weir_reason give_from(const IpAddress& source, const In& in) {
    wire::TcpHeader h;
    h.src_port = in.port;
    h.dst_port = in.to_port;
    h.seq = in.seq;
    h.ack = in.ack;
    h.flags = flags(in.flags);
    h.window = wire::WireWindow(in.window);
    h.options = in.options;
    std::vector<std::byte> bytes(h.size());
    h.write(bytes, source, us(family));
    return give(frame(packet(bytes, wire::IpProtocol::tcp, source)));
  }
  IpAddress spoofed(std::uint32_t n) const {
    if (family == Family::v4) {
      return IpAddress::v4(198, static_cast<std::uint8_t>(18 + (n >> 16) % 2), static_cast<std::uint8_t>(n >> 8),
                           static_cast<std::uint8_t>(n));
    }
    std::array<std::byte, 16> bytes{std::byte{0x20}, std::byte{0x01}, std::byte{0x0d}, std::byte{0xb8}, std::byte{7}};
    store_be(bytes.data() + 12, n + 1);
    return IpAddress::v6(bytes.data());
  }

  // The connection that was there takes text, and gives some.
  void goes_on() {
    sent();
    EXPECT_EQ(give({.flags = "PA", .seq = good_.seq, .ack = good_.ack, .text = 100}), WEIR_R_TAKEN_TCP);
    good_.seq += 100;
    std::array<std::byte, 200> buffer;
    EXPECT_EQ(stack->read(good_.id, buffer, now), 100u);
    EXPECT_EQ(stack->write(good_.id, Bytes(buffer).first(100), now), 100u);
    std::uint32_t text = 0;
    for (const Out& out : sent()) {
      if (out.dst_port != 40'000) continue;
      EXPECT_EQ(out.ack, good_.seq);
      if (out.text == 0) continue;
      EXPECT_EQ(out.seq, good_.ack);
      text += static_cast<std::uint32_t>(out.text);
    }
    EXPECT_EQ(text, 100u);
    good_.ack += 100;
    EXPECT_EQ(give({.flags = "A", .seq = good_.seq, .ack = good_.ack}), WEIR_R_TAKEN_TCP);
    EXPECT_EQ(stack->info(good_.id, now).state, tcp::State::established);
    EXPECT_EQ(stack->info(good_.id, now).retransmits, 0u);
  }

  std::uint32_t random() { return static_cast<std::uint32_t>(random_()); }

  ListenerId listener_;
  Peer good_;
  std::mt19937 random_{1};
};
INSTANTIATE_TEST_SUITE_P(Families, StackHostile, testing::Values(Family::v4, Family::v6), family_name);

TEST_P(StackHostile, SynFloodTakesTheBacklogsMemoryAndNoMore) {
  // The first of it fills the backlog, and whatever grows once.
  auto flood = [&](std::uint32_t from, std::uint32_t syns) {
    for (std::uint32_t i = from; i < from + syns; ++i) {
      weir_reason r = give_from(
          spoofed(i),
          {.flags = "S", .seq = random(), .port = static_cast<std::uint16_t>(i | 1), .options = with_mss(1'460)});
      EXPECT_TRUE(r == WEIR_R_TAKEN_TCP || r == WEIR_R_TAKEN_SYN_COOKIE || r == WEIR_R_LOST_REPLY_LIMIT) << r;
      if (i % 100 == 0) sent(32);
      EXPECT_LE(stack->connections(), 1u + 16u);
    }
    sent(32);
  };
  flood(0, 1'000);
  std::size_t before = heap_bytes();
  flood(1'000, 20'000);
  EXPECT_LT(heap_bytes(), before + 4'096);
  EXPECT_GE(count(WEIR_R_TAKEN_SYN_COOKIE), 19'000u);
  EXPECT_FALSE(stack->poll_next_hop_query()) << "a spoofed source costs no look-up";
  goes_on();
  // And a stranger is let in.
  Out syn_ack;
  give({.flags = "S", .seq = 77, .port = 41'000, .options = with_mss(1'460)});
  for (const Out& out : sent()) {
    if (out.dst_port == 41'000) syn_ack = out;
  }
  EXPECT_EQ(give({.flags = "A", .seq = 78, .ack = syn_ack.seq + 1, .port = 41'000}), WEIR_R_TAKEN_TCP);
  EXPECT_TRUE(stack->accept(listener_));
}

TEST_P(StackHostile, SynFloodIsForgottenWhenItEnds) {
  for (std::uint32_t i = 0; i < 2'000; ++i) give_from(spoofed(i), {.flags = "S", .seq = i, .port = 9});
  sent(32);
  for (int s = 0; s < 180; ++s) {
    advance(Duration::seconds(1));
    sent(32);
  }
  EXPECT_EQ(stack->connections(), 1u);
  goes_on();
}

TEST_P(StackHostile, AckFloodOnAConnectionIsAnsweredTenTimesInFiveSeconds) {
  std::size_t answers = 0;
  for (int i = 0; i < 20'000; ++i) {
    // Neither an ACK of what was sent nor a segment in the window but by the odds.
    give({.flags = "A", .seq = good_.seq + 0x4000'0000 + random() % 0x4000'0000, .ack = good_.ack + 1 + random() % 9});
    answers += sent().size();
  }
  EXPECT_LE(answers, 10u);
  goes_on();
}

TEST_P(StackHostile, AckFloodForNobodyIsAnsweredWithinTheReplyLimit) {
  std::size_t before = heap_bytes();
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    weir_reason r = give_from(spoofed(i), {.flags = "A", .seq = random(), .ack = random(), .port = 7});
    EXPECT_EQ(r, i < config.max_replies ? WEIR_R_LOST_NO_CONNECTION : WEIR_R_LOST_REPLY_LIMIT);
  }
  EXPECT_LT(heap_bytes(), before + 4'096);
  EXPECT_EQ(sent(32).size(), config.max_replies);
  goes_on();
}

TEST_P(StackHostile, TinySegmentsCostNoMoreThanTheirText) {
  std::size_t before = heap_bytes();
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    EXPECT_EQ(give({.flags = "A", .seq = good_.seq + i, .ack = good_.ack, .text = 1}), WEIR_R_TAKEN_TCP);
    sent();
  }
  EXPECT_EQ(stack->readable_bytes(good_.id), 20'000u);
  EXPECT_LT(heap_bytes(), before + 2 * 20'000 + 4'096);
  std::vector<std::byte> all(20'000);
  EXPECT_EQ(stack->read(good_.id, all, now), 20'000u);
  good_.seq += 20'000;
  goes_on();
}

TEST_P(StackHostile, TinySegmentsWithHolesBetweenAreBounded) {
  std::size_t before = heap_bytes();
  std::uint32_t kept = 0;
  for (std::uint32_t i = 1; i < 20'000; i += 2) {
    weir_reason r = give({.flags = "A", .seq = good_.seq + i, .ack = good_.ack, .text = 1});
    EXPECT_TRUE(r == WEIR_R_TAKEN_TCP || r == WEIR_R_LOST_OOO_LIMIT) << r;
    kept += r == WEIR_R_TAKEN_TCP ? 1 : 0;
    sent();
  }
  EXPECT_LT(kept, 1'000u);
  EXPECT_GT(count(WEIR_R_LOST_OOO_LIMIT), 9'000u);
  EXPECT_LT(heap_bytes(), before + 2 * 20'000 + 8'192);
  // What was refused comes again, and all of it is read.
  for (std::uint32_t i = 0; i < 20'000; i += 1'000) {
    give({.flags = "A", .seq = good_.seq + i, .ack = good_.ack, .text = 1'000});
  }
  std::vector<std::byte> all(30'000);
  EXPECT_EQ(stack->read(good_.id, all, now), 20'000u);
  good_.seq += 20'000;
  goes_on();
}

TEST_P(StackHostile, OptionBombsAreReadToTheirEndOrSkipped) {
  std::vector<std::vector<std::uint8_t>> bombs = {
      std::vector<std::uint8_t>(40, 1),     // no-operation
      std::vector<std::uint8_t>(40, 0),     // end
      std::vector<std::uint8_t>(40, 0xff),  // a length past the end
      std::vector<std::uint8_t>(40, 5),     // SACK with an odd length
      std::vector<std::uint8_t>(40, 2),     // MSS that repeats, and is 2 long
  };
  for (std::uint8_t kind = 2; kind < 40; ++kind) {
    for (std::uint8_t length : std::initializer_list<std::uint8_t>{0, 1, 2, 3, 10, 40, 41, 255}) {
      std::vector<std::uint8_t> bomb;
      while (bomb.size() < 40) {
        bomb.push_back(kind);
        bomb.push_back(length);
      }
      bombs.push_back(bomb);
    }
  }
  for (int i = 0; i < 500; ++i) {
    std::vector<std::uint8_t> bomb(40);
    for (auto& b : bomb) b = static_cast<std::uint8_t>(random() % 3 == 0 ? random() % 12 : random());
    bombs.push_back(bomb);
  }
  std::size_t before = heap_bytes();
  for (const auto& bomb : bombs) {
    for (const char* with : {"A", "S"}) {
      std::vector<std::byte> segment =
          this->segment({.flags = with,
                         .seq = good_.seq,
                         .ack = good_.ack,
                         .port = with[0] == 'A' ? std::uint16_t{40'000} : std::uint16_t{9}});
      segment.resize(60);
      std::transform(bomb.begin(), bomb.end(), segment.begin() + 20, [](std::uint8_t b) { return std::byte{b}; });
      segment[12] = std::byte{15 << 4};
      store_be(segment.data() + 16, std::uint16_t{0});
      auto sum = wire::pseudo_header(peer(family), us(family), wire::IpProtocol::tcp, 60);
      sum.add(segment);
      store_be(segment.data() + 16, sum.fold());
      give(frame(packet(segment, wire::IpProtocol::tcp)));
      sent();
    }
  }
  EXPECT_LT(heap_bytes(), before + 64 * 1'024);
  EXPECT_EQ(stack->info(good_.id, now).retransmits, 0u);
  goes_on();
}

TEST_P(StackHostile, SackBlocksOutOfThinAirChangeNothing) {
  std::vector<std::byte> text(3'000);
  ASSERT_EQ(stack->write(good_.id, text, now), 3'000u);
  sent();
  for (int i = 0; i < 5'000; ++i) {
    wire::TcpOptions o;
    for (int n = 0; n < 4; ++n) o.add_sack({good_.ack + 3'001 + random() % 0x7000'0000, random()});
    give({.flags = "A", .seq = good_.seq, .ack = good_.ack, .options = o});
  }
  EXPECT_EQ(give({.flags = "A", .seq = good_.seq, .ack = good_.ack + 3'000}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(stack->info(good_.id, now).bytes_acked, 3'000u);
  EXPECT_EQ(stack->info(good_.id, now).in_flight, 0u);
}

// Sockstress: handshakes that a peer completes, and a window that it never opens while it answers every probe.
TEST_P(StackHostile, ZeroWindowHoldEndsOnceTheUserIsGone) {
  constexpr std::uint16_t kPeers = 50;
  std::size_t before = heap_bytes();
  std::map<std::uint16_t, Peer> held;
  for (std::uint16_t port = 1; port <= kPeers; ++port) {
    Peer p = establish(listener_, port);
    EXPECT_EQ(give({.flags = "PA", .seq = p.seq, .ack = p.ack, .text = 10, .window = 0, .port = port}),
              WEIR_R_TAKEN_TCP);
    p.seq += 10;
    std::array<std::byte, 5'000> buffer{};
    EXPECT_EQ(stack->read(p.id, buffer, now), 10u);
    EXPECT_EQ(stack->write(p.id, buffer, now), 5'000u);
    stack->close(p.id, now);
    sent();
    held[port] = p;
  }
  std::uint32_t resets = 0;
  for (int minutes = 0; minutes < 120 && stack->connections() > 1; ++minutes) {
    for (int s = 0; s < 60; ++s) {
      advance(Duration::seconds(1));
      for (const Out& out : sent()) {
        auto p = held.find(out.dst_port);
        if (p == held.end()) continue;
        if (out.flags.rst()) {
          ++resets;
          held.erase(p);
          continue;
        }
        give({.flags = "A", .seq = p->second.seq, .ack = p->second.ack, .window = 0, .port = out.dst_port});
      }
    }
  }
  EXPECT_EQ(stack->connections(), 1u);
  EXPECT_EQ(resets, kPeers);
  EXPECT_LT(heap_bytes(), before + 128 * 1'024) << "the records stay, for others; the text does not";
  goes_on();
}

TEST_P(StackHostile, HandshakesThatNobodyAcceptsAreBounded) {
  for (std::uint16_t port = 1; port < 5'000; ++port) {
    weir_reason r = give({.flags = "S", .seq = 1'000, .port = port});
    for (const Out& out : sent()) {
      if (out.flags.syn()) give({.flags = "A", .seq = 1'001, .ack = out.seq + 1, .port = out.dst_port});
    }
    EXPECT_EQ(r, port <= 16 ? WEIR_R_TAKEN_TCP : WEIR_R_LOST_BACKLOG_FULL);
  }
  EXPECT_EQ(stack->connections(), 17u);
  goes_on();
}

TEST_P(StackHostile, PortScansFindWhatIsOpenAndLeaveNothing) {
  std::size_t before = heap_bytes();
  for (const char* kind : {"S", "A", "F", "FA", "", "FPU", "SA", "SF", "R", "RA"}) {
    for (std::uint16_t port = 1; port < 2'000; ++port) {
      if (port == 80) continue;
      weir_reason r = give({.flags = kind, .seq = 5, .ack = 9, .port = 1, .to_port = port});
      bool reset = kind[0] == 'R';
      EXPECT_EQ(r, reset ? WEIR_R_LOST_STRAY_RST : WEIR_R_LOST_NO_CONNECTION) << kind;
      auto answer = sent();
      ASSERT_EQ(answer.size(), reset ? 0u : 1u) << kind;
      if (!reset) {
        EXPECT_TRUE(answer[0].flags.rst());
        EXPECT_EQ(answer[0].seq, flags(kind).ack() ? 9u : 0u) << kind;
      }
    }
  }
  EXPECT_LT(heap_bytes(), before + 4'096);
  EXPECT_EQ(stack->connections(), 1u);
  goes_on();
}

TEST_P(StackHostile, ResetInjectionNeedsTheExactNumber) {
  // A sweep of the window, as one who knows the 4-tuple but not the number sends it.
  std::size_t answers = 0;
  for (std::uint32_t offset = 1; offset < 60'000; offset += 3) {
    EXPECT_EQ(give({.flags = "R", .seq = good_.seq + offset}), WEIR_R_LOST_CHALLENGED);
    answers += sent().size();
  }
  for (int i = 0; i < 10'000; ++i) {
    std::uint32_t seq = good_.seq + 0x1000'0000 + random() % 0x6000'0000;
    EXPECT_EQ(give({.flags = i % 2 == 0 ? "R" : "RA", .seq = seq, .ack = random()}), WEIR_R_LOST_OUT_OF_WINDOW);
  }
  EXPECT_LE(answers, 10u);
  EXPECT_EQ(described(), "");
  goes_on();
  EXPECT_EQ(give({.flags = "R", .seq = good_.seq}), WEIR_R_TAKEN_TCP);
  EXPECT_EQ(stack->error(good_.id), tcp::Errc::reset);
}

TEST_P(StackHostile, SynInjectionIsChallenged) {
  std::size_t answers = 0;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    give({.flags = "S", .seq = i % 2 == 0 ? random() : good_.seq + i});
    answers += sent().size();
  }
  EXPECT_LE(answers, 10u);
  goes_on();
}

TEST_P(StackHostile, DataInjectionNeedsAnAckThatIsRight) {
  for (int i = 0; i < 10'000; ++i) {
    // In the window, but acknowledging what was never sent, or what is too old for the window.
    std::uint32_t ack = good_.ack + 1 + random() % 0x7fff'0000;
    EXPECT_EQ(give({.flags = "PA", .seq = good_.seq + random() % 1'000, .ack = ack, .text = 50}), WEIR_R_LOST_BAD_ACK);
  }
  EXPECT_EQ(stack->readable_bytes(good_.id), 0u);
  EXPECT_LE(sent().size(), 10u);
  goes_on();
}

TEST_P(StackHostile, NoAnswerIsEverLouderThanWhatAskedForIt) {
  // Whoever is named as the source of a flood gets no more of it back than was sent.
  for (const char* kind : {"S", "A", "F", "FPU", "SA", "PA"}) {
    for (std::uint32_t i = 0; i < 100; ++i) {
      In in{.flags = kind, .seq = random(), .ack = random(), .port = 3, .options = with_mss(1'460)};
      give_from(spoofed(i), in);
      EXPECT_LE(sent().size(), 1u) << kind;
    }
  }
  goes_on();
}

}  // namespace
}  // namespace weir::stack
