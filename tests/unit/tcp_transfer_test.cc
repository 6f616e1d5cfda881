// SPDX-License-Identifier: MIT
// Two connections joined by a link that delays, loses, doubles and reorders, in virtual time: every byte arrives once
// and in order, both ends close, and nobody sends for ever.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tcp_harness.h"
#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

using test::pattern;

struct Link {
  const char* name;
  Duration delay = Duration::milliseconds(5);
  double loss = 0;
  double duplicate = 0;
  double reorder = 0;  // held back by up to `jitter`
  Duration jitter = Duration::milliseconds(3);
  Duration per_byte = Duration::nanoseconds(80);  // 100 Mbit/s
  std::uint32_t every_nth_lost = 0;
  double mark = 0;  // of what is ECN-capable
};

struct Case {
  Link link;
  std::uint64_t seed = 1;
  std::size_t bytes_each_way = 2'000'000;
  Config a = {};
  Config b = {};
  std::uint32_t iss_a = 1'000;
  std::uint32_t iss_b = 0xffff'0000;  // wraps on the way
  Duration read_every = {};           // 0: whatever is there, at once; else 100 bytes a time
  Duration change_every = {};         // 0: never; else both ends go on with the next controller
};

const IpAddress kA = IpAddress::v4(192, 0, 2, 1);
const IpAddress kB = IpAddress::v4(192, 0, 2, 2);

struct End {
  std::optional<Connection> c;
  bool is_a = false;
  std::size_t to_write = 0;
  std::size_t written = 0;
  std::size_t read = 0;
  bool shut = false;
  bool intact = true;
  Instant link_free;
  Instant next_read;
  std::size_t controller = 0;
};

class Transfer {
 public:
  explicit Transfer(const Case& c) : case_(c), random_(c.seed) {
    a_.is_a = true;
    a_.to_write = b_.to_write = c.bytes_each_way;
    b_.controller = 1;
    if (c.change_every != Duration()) next_change_ = now_ + c.change_every;
    a_.c.emplace(Connection::active_open(case_.a, {SeqNum(c.iss_a), 1, 1460, Family::v4}, now_));
  }

  // False: it was not over within `limit`.
  bool run(Duration limit) {
    Instant end = now_ + limit;
    while (now_ < end) {
      step(a_);
      step(b_);
      if (a_.c && b_.c && done(a_) && done(b_)) return true;
      Instant next = Instant::never();
      if (!on_the_way_.empty()) next = on_the_way_.begin()->first;
      for (End* e : {&a_, &b_})
        if (e->c) next = std::min({next, e->c->next_deadline(), e->next_read > now_ ? e->next_read : Instant::never()});
      next = std::min(next, next_change_);
      if (next == Instant::never()) return false;
      now_ = std::max(now_, next);
      while (!on_the_way_.empty() && on_the_way_.begin()->first <= now_) {
        Packet packet = std::move(on_the_way_.begin()->second);
        on_the_way_.erase(on_the_way_.begin());
        deliver(packet);
      }
      for (End* e : {&a_, &b_})
        if (e->c && e->c->next_deadline() <= now_) e->c->on_deadline(now_);
      if (now_ >= next_change_) change_controllers();
    }
    return false;
  }

  const End& a() const { return a_; }
  const End& b() const { return b_; }
  Instant now() const { return now_; }
  std::size_t frames() const { return frames_; }
  std::uint32_t changes() const { return changes_; }

 private:
  struct Packet {
    bool to_a = false;
    wire::Ecn ecn = wire::Ecn::not_ect;
    std::vector<std::byte> bytes;
  };

  void change_controllers() {
    next_change_ = now_ + case_.change_every;
    auto names = case_.a.controllers.names();
    for (End* e : {&a_, &b_}) {
      if (!e->c || e->c->state() != State::established) continue;
      Info before = e->c->info(now_);
      const std::string& to = names[++e->controller % names.size()];
      ASSERT_EQ(e->c->set_congestion_control(to, now_), CongestionChange::done);
      ++changes_;
      Info after = e->c->info(now_);
      EXPECT_EQ(after.congestion, to);
      // Where a recovery goes on, it goes on by the rules of the controller that is there.
      if (before.congestion == "bbr" || to == "bbr") continue;
      EXPECT_EQ(after.cwnd, before.cwnd) << before.congestion << " to " << to;
      EXPECT_EQ(after.ssthresh, before.ssthresh) << before.congestion << " to " << to;
    }
  }

  bool done(const End& e) const {
    return e.read == case_.bytes_each_way && (e.c->state() == State::closed || e.c->state() == State::time_wait);
  }

  void deliver(const Packet& packet) {
    bool to_a = packet.to_a;
    End& e = to_a ? a_ : b_;
    auto view = wire::TcpView::parse(packet.bytes);
    ASSERT_TRUE(view && view->checksum_ok(to_a ? kB : kA, to_a ? kA : kB, wire::ChecksumPolicy::verify));
    Segment seg = Segment::from(*view);
    seg.ecn = packet.ecn;
    if (!e.c) {
      if (!seg.flags.syn()) return;
      e.c.emplace(Connection::passive_open(case_.b, {SeqNum(case_.iss_b), 2, 1460, Family::v4}, seg, now_));
      return;
    }
    e.c->on_segment(seg, now_);
  }

  void step(End& e) {
    if (!e.c) return;
    std::byte buffer[4096];
    while (e.written < e.to_write) {
      std::size_t n = std::min(sizeof buffer, e.to_write - e.written);
      for (std::size_t i = 0; i < n; ++i) buffer[i] = pattern(e.is_a, e.written + i);
      std::size_t taken = e.c->write(ConstBytes(buffer, n), now_);
      if (taken == 0) break;
      e.written += taken;
    }
    if (e.written == e.to_write && !e.shut) {
      e.c->shutdown_write(now_);
      e.shut = true;
    }
    bool slow = case_.read_every != Duration();
    while (now_ >= e.next_read) {
      std::size_t n = e.c->read(Bytes(buffer, slow ? 100 : sizeof buffer), now_);
      for (std::size_t i = 0; i < n; ++i) e.intact &= buffer[i] == pattern(!e.is_a, e.read + i);
      e.read += n;
      if (n == 0) break;
      if (slow) e.next_read = now_ + case_.read_every;
    }
    OutSegment out;
    std::vector<std::byte> bytes;
    while (e.c->poll_transmit(out, now_)) {
      bytes.resize(out.header.size() + out.text_size());
      out.header.write(bytes, e.is_a ? kA : kB, e.is_a ? kB : kA, out.text[0], out.text[1]);
      send(e, bytes, out.ecn);
    }
  }

  void send(End& from, const std::vector<std::byte>& bytes, wire::Ecn ecn) {
    ++frames_;
    const Link& l = case_.link;
    Instant start = std::max(now_, from.link_free);
    from.link_free = start + l.per_byte * static_cast<std::int64_t>(bytes.size() + 34);
    if (l.every_nth_lost != 0 && frames_ % l.every_nth_lost == 0) return;
    std::uniform_real_distribution<double> chance(0, 1);
    if (chance(random_) < l.loss) return;
    if (ecn != wire::Ecn::not_ect && l.mark > 0 && chance(random_) < l.mark) ecn = wire::Ecn::ce;
    int copies = chance(random_) < l.duplicate ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      Instant at = from.link_free + l.delay;
      if (chance(random_) < l.reorder) {
        at += Duration::nanoseconds(
            static_cast<std::int64_t>(chance(random_) * static_cast<double>(l.jitter.count_ns())));
      }
      on_the_way_.emplace(at, Packet{!from.is_a, ecn, bytes});
    }
  }

  Case case_;
  std::mt19937_64 random_;
  Instant now_ = Instant::from_ns(5'000'000'000);
  End a_, b_;
  std::multimap<Instant, Packet> on_the_way_;
  std::size_t frames_ = 0;
  Instant next_change_ = Instant::never();
  std::uint32_t changes_ = 0;
};

void expect_complete(const Case& c, Duration limit = Duration::seconds(600)) {
  SCOPED_TRACE(std::string(c.link.name) + ", seed " + std::to_string(c.seed));
  Transfer t(c);
  bool over = t.run(limit);
  EXPECT_TRUE(over) << "states " << name(t.a().c->state()) << ", " << (t.b().c ? name(t.b().c->state()) : "none")
                    << "; read " << t.a().read << " and " << t.b().read;
  EXPECT_TRUE(t.a().intact && t.b().intact);
  EXPECT_EQ(t.a().c->error(), Errc::none);
}

TEST(TcpTransfer, EveryByteArrivesOnceAndInOrder) {
  const Link links[] = {
      {.name = "clean"},
      {.name = "instant", .delay = Duration::nanoseconds(0), .per_byte = Duration::nanoseconds(0)},
      {.name = "loss 1 %", .loss = 0.01},
      {.name = "loss 10 %", .loss = 0.1},
      {.name = "reordering", .reorder = 0.3},
      {.name = "duplication", .duplicate = 0.3},
      {.name = "every 50th lost, some reordered", .reorder = 0.02, .every_nth_lost = 50},
      {.name = "everything at once", .loss = 0.03, .duplicate = 0.05, .reorder = 0.2},
      {.name = "long and fat", .delay = Duration::milliseconds(100), .loss = 0.002},
  };
  for (const Link& link : links) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) expect_complete({.link = link, .seed = seed});
  }
}

TEST(TcpTransfer, WithoutOptionsToo) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Case c{.link = {.name = "plain", .loss = 0.02, .duplicate = 0.02, .reorder = 0.1}, .seed = seed};
    c.a.timestamps = c.a.window_scale = false;
    expect_complete(c);
    c.b = c.a;
    expect_complete(c);
  }
}

TEST(TcpTransfer, ThroughSmallBuffersAndASlowReader) {
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    Case c{.link = {.name = "small", .loss = 0.02, .reorder = 0.1}, .seed = seed, .bytes_each_way = 300'000};
    c.a.receive_buffer = 3'000;
    c.b.receive_buffer = 1'000;
    c.a.send_buffer = 2'000;
    c.read_every = Duration::milliseconds(1);
    expect_complete(c);
  }
}

TEST(TcpTransfer, SequenceNumbersWrapAnywhere) {
  for (std::uint32_t back = 0; back < 6'000; back += 731) {
    Case c{.link = {.name = "wrap", .loss = 0.05, .reorder = 0.1}, .seed = back, .bytes_each_way = 50'000};
    c.iss_a = 0u - back;
    c.iss_b = 0x8000'0000u - back;
    expect_complete(c);
  }
}

TEST(TcpTransfer, ControllersChangeInMidTransfer) {
  for (bool sack : {true, false}) {
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      Case c{.link = {.name = "change", .loss = 0.03, .reorder = 0.05, .mark = 0.05},
             .seed = seed,
             .bytes_each_way = 2'000'000,
             .change_every = Duration::milliseconds(11)};
      c.a.sack = c.b.sack = sack;
      c.a.ecn = c.b.ecn = EcnMode::request;
      Transfer t(c);
      ASSERT_TRUE(t.run(Duration::seconds(600))) << "seed " << seed;
      EXPECT_TRUE(t.a().intact && t.b().intact) << "seed " << seed;
      EXPECT_GE(t.changes(), 50u) << "of each controller to each of its successors, many times";
    }
  }
}

// RFC 9293 3.7.1: the text of a transfer over a clean link takes no time-out and no retransmission.
TEST(TcpTransfer, ACleanLinkSeesNoRetransmission) {
  Case c{.link = {.name = "clean"}, .bytes_each_way = 4'000'000};
  Transfer t(c);
  ASSERT_TRUE(t.run(Duration::seconds(60)));
  EXPECT_EQ(t.a().c->info(t.now()).retransmits, 0u);
  EXPECT_EQ(t.b().c->info(t.now()).retransmits, 0u);
}

}  // namespace
}  // namespace weir::tcp
