// SPDX-License-Identifier: MIT
// The SYN guard: XDP's answers to the octet, and which segments it lets through. What it answers is opened by the
// engine's own code.
#include <bpf/bpf.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/control/capture.h"
#include "weir/control/heartbeat.h"
#include "weir/stack/cookies.h"
#include "weir/xdp/maps.h"
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

constexpr std::uint32_t kIrs = 0xfffffffe, kTsval = 0x01020304;

struct Options {
  bool mss = true, sack = true, timestamps = true, scale = true;
};

// An answer, read without any of the program's own code.
struct Answer {
  std::uint32_t seq = 0, ack = 0, tsval = 0, tsecr = 0;
  std::uint16_t window = 0, mss = 0;
  std::uint8_t flags = 0;
  std::optional<std::uint8_t> scale;
  bool sack = false, timestamps = false, checksums = false;
  MacAddress to, from;
};

class SynGuard : public XdpTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    XdpTest::SetUp();
    maps_.emplace(maps());
    guard(WEIR_SYN_GUARD_ON);
    weir_syn_answer& says = maps_->syn_answer();
    says.flags = WEIR_ANSWER_TIMESTAMPS | WEIR_ANSWER_SCALE | WEIR_ANSWER_SACK | WEIR_ANSWER_ECN;
    says.mss4 = 1460;
    says.mss6 = 1440;
    says.window = 0x8123;
    says.scale = 9;
    for (std::size_t i = 0; i < key_.size(); ++i) key_[i] = static_cast<std::uint8_t>(0xa0 + i);
    std::memcpy(says.cookie_key, key_.data(), sizeof says.cookie_key);
    says.timestamp_key[0] = says.timestamp_key[1] = 0x1234;
    says.valid = 1;
  }
  void guard(weir_u32 mode, weir_u32 rate = 100) {
    weir_config c = config();
    c.syn_guard = mode;
    c.syn_guard_rate = rate;
    set_config(c);
  }
  IpAddress ours() const { return GetParam() ? kOurs6 : kOurs4; }
  IpAddress peer() const { return GetParam() ? kPeer6 : kPeer4; }
  std::size_t header() const { return GetParam() ? 54 : 34; }
  stack::FlowKey flow() const { return {ours(), peer(), kSteeredTcp, kPeerPort}; }

  Octets syn(Options o = {}, std::uint8_t flags = 0x02, std::size_t text = 0, std::size_t before = 0) const {
    Packet p = Packet().ip(peer(), ours());
    if (before != 0 && GetParam()) p.destination_options();
    Octets frame = p.tcp(kPeerPort, kSteeredTcp, "S", 20).text(text).bytes();
    const std::size_t tcp = frame.size() - text - 40;
    store(frame, tcp + 4, kIrs);
    frame[tcp + 13] = flags;
    std::size_t at = tcp + 20;
    const auto put = [&](std::initializer_list<int> octets) {
      for (int v : octets) frame[at++] = static_cast<std::uint8_t>(v);
    };
    if (o.mss) put({2, 4, 0x05, 0xb4});
    if (o.sack) put({4, 2});
    if (o.timestamps) put({8, 10, 1, 2, 3, 4, 0, 0, 0, 0});
    if (o.scale) put({1, 3, 3, 7});
    return frame;
  }
  std::size_t cell() const {
    const weir_config c = config();
    return stack::flow_hash(flow(), {c.hash_key[0], c.hash_key[1]}) & (WEIR_FLOW_CELLS - 1);
  }
  // What the peer sends next, after an answer.
  Octets reply(const Answer& to, std::uint8_t flags = 0x10, std::size_t text = 0, std::uint32_t ahead = 0) const {
    Octets frame =
        Packet().ip(peer(), ours()).tcp(kPeerPort, kSteeredTcp, "A", to.timestamps ? 12u : 0u).text(text).bytes();
    const std::size_t tcp = header();
    store(frame, tcp + 4, kIrs + 1 + ahead);
    store(frame, tcp + 8, to.seq + 1);
    frame[tcp + 13] = flags;
    if (to.timestamps) {
      frame[tcp + 22] = 8;
      frame[tcp + 23] = 10;
      store(frame, tcp + 24, kTsval + 1);
      store(frame, tcp + 28, to.tsval);
    }
    return frame;
  }
  // A SYN with these options, and what would be text behind them.
  Octets syn_of(std::vector<std::uint8_t> options, std::vector<std::uint8_t> text = {}) const {
    options.resize(20);
    Octets frame = syn({}, 0x02, text.size());
    std::copy(options.begin(), options.end(), frame.end() - static_cast<std::ptrdiff_t>(text.size()) - 20);
    std::copy(text.begin(), text.end(), frame.end() - static_cast<std::ptrdiff_t>(text.size()));
    return frame;
  }
  std::string what(const Octets& frame) { return run(frame).reason; }
  std::string asked(const Octets& frame) { return reason_id(ask(frame).words.reason); }
  Answer answered(const Octets& frame) {
    const Outcome o = run(frame);
    EXPECT_EQ(o.reason, "ANSWER_SYN");
    return o.reason == "ANSWER_SYN" ? read(o.frame) : Answer{};
  }

  static void store(Octets& to, std::size_t at, std::uint32_t v) {
    store_be(reinterpret_cast<std::byte*>(to.data() + at), v);
  }
  template <class T>
  static T load(const Octets& from, std::size_t at) {
    return load_be<T>(reinterpret_cast<const std::byte*>(from.data() + at));
  }
  static std::uint16_t sum(const Octets& f, std::size_t from, std::size_t to, std::uint32_t start = 0) {
    std::uint32_t total = start;
    for (std::size_t i = from; i < to; i += 2) total += load<std::uint16_t>(f, i);
    while (total >> 16 != 0) total = (total & 0xffff) + (total >> 16);
    return static_cast<std::uint16_t>(total);
  }
  Answer read(const Octets& f) const {
    Answer a;
    const std::size_t tcp = header();
    EXPECT_GE(f.size(), tcp + 24);
    if (f.size() < tcp + 24) return a;
    const std::size_t length = f.size() - tcp;
    std::copy_n(f.begin(), 6, a.to.bytes.begin());
    std::copy_n(f.begin() + 6, 6, a.from.bytes.begin());
    const IpAddress here = ours(), there = peer();  // wire() looks into them
    const ConstBytes us = here.wire(), them = there.wire();
    const std::size_t addresses = GetParam() ? 22 : 26;
    EXPECT_EQ(std::memcmp(f.data() + addresses, us.data(), us.size()), 0);
    EXPECT_EQ(std::memcmp(f.data() + addresses + us.size(), them.data(), them.size()), 0);
    if (GetParam()) {
      EXPECT_EQ(load<std::uint16_t>(f, 18), length);
      a.checksums = true;
    } else {
      EXPECT_EQ(load<std::uint16_t>(f, 16), length + 20);
      a.checksums = sum(f, 14, 34) == 0xffff;
    }
    const std::uint32_t pseudo = sum(f, addresses, tcp) + 6u + static_cast<std::uint32_t>(length);
    a.checksums = a.checksums && sum(f, tcp, f.size(), pseudo) == 0xffff;
    EXPECT_EQ(load<std::uint16_t>(f, tcp), kSteeredTcp);
    EXPECT_EQ(load<std::uint16_t>(f, tcp + 2), kPeerPort);
    a.seq = load<std::uint32_t>(f, tcp + 4);
    a.ack = load<std::uint32_t>(f, tcp + 8);
    EXPECT_EQ(f[tcp + 12] >> 4, length / 4);
    a.flags = f[tcp + 13];
    a.window = load<std::uint16_t>(f, tcp + 14);
    for (std::size_t at = tcp + 20; at < f.size();) {
      if (f[at] == 1) {
        ++at;
        continue;
      }
      if (f[at] == 2) a.mss = load<std::uint16_t>(f, at + 2);
      if (f[at] == 3) a.scale = f[at + 2];
      if (f[at] == 4) a.sack = true;
      if (f[at] == 8) {
        a.timestamps = true;
        a.tsval = load<std::uint32_t>(f, at + 2);
        a.tsecr = load<std::uint32_t>(f, at + 6);
      }
      EXPECT_GE(f[at + 1], 2);
      at += std::max<std::size_t>(f[at + 1], 2);
    }
    return a;
  }
  // What the engine makes of the cookie.
  std::optional<stack::Cookies::Kept> opened(const Answer& a) const {
    return stack::Cookies(key_).open(flow(), tcp::SeqNum(kIrs), tcp::SeqNum(a.seq),
                                     a.timestamps ? std::optional(a.tsval) : std::nullopt,
                                     Instant::from_ns(xdp::monotonic_ns()));
  }

  std::optional<xdp::Maps> maps_;
  std::array<std::uint8_t, 16> key_{};
};

INSTANTIATE_TEST_SUITE_P(Families, SynGuard, testing::Bool(),
                         [](const auto& p) { return std::string(p.param ? "v6" : "v4"); });

TEST_P(SynGuard, AnswersAsTheEngineWould) {
  const Answer a = answered(syn());
  EXPECT_TRUE(a.checksums);
  EXPECT_EQ(a.from, kOurMac);
  EXPECT_EQ(a.to, kPeerMac);
  EXPECT_EQ(a.ack, kIrs + 1);
  EXPECT_EQ(a.flags, 0x12);
  EXPECT_EQ(a.window, 0x8123);
  EXPECT_EQ(a.mss, GetParam() ? 1440 : 1460);
  EXPECT_EQ(a.scale, 9);
  EXPECT_TRUE(a.sack && a.timestamps);
  EXPECT_EQ(a.tsecr, kTsval);
  EXPECT_EQ(opened(a), (stack::Cookies::Kept{1460, std::uint8_t{7}, true, false}));
  EXPECT_NE(maps_->syn_answer().answered_ns, 0u);
}

TEST_P(SynGuard, SaysNoMoreThanIsAskedFor) {
  const Answer ecn = answered(syn({}, 0xc2));
  EXPECT_EQ(ecn.flags, 0x52);
  EXPECT_EQ(opened(ecn), (stack::Cookies::Kept{1460, std::uint8_t{7}, true, true}));
  const Answer plain = answered(syn({true, false, true, false}));
  EXPECT_TRUE(plain.checksums && !plain.sack && !plain.scale && plain.timestamps);
  EXPECT_EQ(opened(plain), (stack::Cookies::Kept{1460, {}, false, false}));
  const Answer bare = answered(syn({true, true, false, true}));
  EXPECT_TRUE(bare.checksums && !bare.sack && !bare.scale && !bare.timestamps);
  EXPECT_EQ(opened(bare), (stack::Cookies::Kept{1460, {}, false, false}));
  const Answer nothing = answered(syn({false, false, false, false}));
  EXPECT_EQ(opened(nothing)->mss, GetParam() ? 1220 : 536);
  maps_->syn_answer().flags = WEIR_ANSWER_TIMESTAMPS;
  const Answer little = answered(syn({}, 0xc2));
  EXPECT_EQ(little.flags, 0x12);
  EXPECT_EQ(opened(little), (stack::Cookies::Kept{1460, {}, false, false}));
}

TEST_P(SynGuard, ReadsOptionsAsTheyAreWritten) {
  const std::uint16_t least = GetParam() ? 1220 : 536;
  const struct {
    const char* about;
    Octets syn;
    stack::Cookies::Kept kept;
  } cases[] = {
      {"a scale beyond 14 is 14",
       syn_of({2, 4, 5, 0xb4, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 3, 3, 15}),
       {1460, std::uint8_t{14}, false, false}},
      {"the list ends", syn_of({1, 0, 2, 2, 4, 5, 0xb4}), {least, {}, false, false}},
      {"an MSS of another length", syn_of({2, 3, 5, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 4, 2}), {least, {}, true, false}},
      {"a timestamp of another length", syn_of({8, 9, 1, 2, 3, 4, 0, 0, 0, 4, 2}), {least, {}, false, false}},
      {"an option shorter than itself", syn_of({9, 1, 2, 4, 5, 0xb4}), {least, {}, false, false}},
      {"an option that the header cuts",
       syn_of({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 4}, {5, 0xb4, 0, 0}),
       {least, {}, false, false}},
      {"ECN by one of its two flags", syn({}, 0x42), {1460, std::uint8_t{7}, true, false}},
      {"ECN by the other", syn({}, 0x82), {1460, std::uint8_t{7}, true, false}},
  };
  for (const auto& c : cases) {
    const Answer a = answered(c.syn);
    EXPECT_TRUE(a.checksums) << c.about;
    EXPECT_EQ(a.flags, 0x12) << c.about;
    EXPECT_EQ(opened(a), c.kept) << c.about;
  }
}

TEST_P(SynGuard, ToBeAskedLeavesNoTrace) {
  weir_config c = config();
  c.explain_key = kExplainKey;
  set_config(c);
  EXPECT_EQ(asked(syn()), "ANSWER_SYN");
  EXPECT_EQ(maps_->syn_answer().answered_ns, 0u);
  const Answer a = answered(syn());
  EXPECT_EQ(asked(reply(a)), "STEER_COOKIE");
  EXPECT_EQ(maps_->flow_cells()[cell()].opened, 0u);
  EXPECT_EQ(what(reply(a, 0x10, 10, 10)), "DROP_BAD_COOKIE") << "nothing has opened it";
  guard(WEIR_SYN_GUARD_AUTO, 2);
  maps_->syn_guard()[kTcpEntry] = {};
  for (int i = 0; i < 10; ++i) EXPECT_EQ(asked(syn()), "STEER_SYN");
  EXPECT_EQ(maps_->syn_guard()[kTcpEntry].count, 0u);
}

TEST_P(SynGuard, WhoListensSeesTheSynAsItCameAndTheAnswer) {
  auto capture = control::Capture::open(*maps_, {}, control::monotonic_now());
  ASSERT_TRUE(capture.ok()) << capture.error().message;
  ASSERT_TRUE(capture->renew(control::monotonic_now() + Duration::seconds(3600)).ok());
  const Octets frame = syn({}, 0x02, 100);
  const Octets answer = run(frame).frame;
  const Octets* due[] = {&frame, &answer};
  std::uint64_t before = 0;
  std::size_t copies = 0;
  capture->drain([&](const weir_capture_record& record, std::span<const std::byte> octets) {
    ASSERT_LT(copies, std::size(due));
    EXPECT_EQ(record.flags, copies == 0 ? 0u : weir_u32{WEIR_CAPTURE_ANSWER});
    EXPECT_EQ(reason_id(record.reason), "ANSWER_SYN");
    EXPECT_GT(record.time_ns, before);
    before = record.time_ns;
    EXPECT_EQ(record.length, due[copies]->size());
    ASSERT_EQ(octets.size(), due[copies]->size());
    EXPECT_EQ(std::memcmp(octets.data(), due[copies]->data(), octets.size()), 0);
    ++copies;
  });
  EXPECT_EQ(copies, std::size(due));
}

TEST_P(SynGuard, TheFrameIsAsLongAsTheAnswer) {
  EXPECT_TRUE(answered(syn({}, 0x02, 700)).checksums) << "text in the SYN";
  if (GetParam()) { EXPECT_TRUE(answered(syn({}, 0x02, 0, 8)).checksums) << "an extension header"; }
  // Without options there is less in front of the answer's end than it needs.
  const Answer a = read(run(Packet().ip(peer(), ours()).tcp(kPeerPort, kSteeredTcp, "S").bytes()).frame);
  EXPECT_TRUE(a.checksums);
}

TEST_P(SynGuard, GoodCookiesOpenAndOthersAreRefused) {
  for (const Options o : {Options{}, Options{true, true, false, true}}) {
    maps_->flow_cells()[cell()].opened = 0;
    const Answer a = answered(syn(o));
    Answer wrong = a;
    wrong.seq ^= 1;
    EXPECT_EQ(what(reply(wrong)), "DROP_BAD_COOKIE");
    if (o.timestamps) {
      wrong = a;
      wrong.tsval ^= 0x10;
      EXPECT_EQ(what(reply(wrong)), "DROP_BAD_COOKIE") << "an option that the SYN had not";
    }
    EXPECT_EQ(what(reply(a, 0x10, 10, 1)), "DROP_BAD_COOKIE") << "not the first segment";
    EXPECT_EQ(what(reply(a, 0x04)), "DROP_BAD_COOKIE") << "RST";
    EXPECT_EQ(what(reply(a, 0x14)), "DROP_BAD_COOKIE") << "RST with a good cookie";
    EXPECT_EQ(what(reply(a, 0x18, 10)), "STEER_COOKIE") << "with the first text";
    // The rest of its flight may be here before the engine has made the connection.
    EXPECT_EQ(what(reply(a, 0x10, 10, 10)), "STEER_SEGMENT");
    maps_->flow_cells()[cell()].opened -= WEIR_FLOW_OPENS_S + 1;
    EXPECT_EQ(what(reply(a, 0x10, 10, 10)), "DROP_BAD_COOKIE") << "it has not made one";
  }
}

TEST_P(SynGuard, ConnectionsOfTheEngineGoOn) {
  const Octets segment = reply(Answer{}, 0x10, 10, 77);
  EXPECT_EQ(what(segment), "DROP_BAD_COOKIE");
  maps_->flow_cells()[cell()].flows = 1;
  EXPECT_EQ(what(segment), "STEER_SEGMENT");
  EXPECT_EQ(what(reply(Answer{}, 0x04)), "STEER_SEGMENT");
  maps_->flow_cells()[cell()].flows = 0;
  guard(WEIR_SYN_GUARD_OFF);
  EXPECT_EQ(what(segment), "STEER_SEGMENT");
}

TEST_P(SynGuard, OnlyForWhomTheEngineWouldTake) {
  edit_entry(kTcpEntry, [](weir_steer& e) { e.flags = WEIR_STEER_DRAINING; });
  EXPECT_EQ(what(syn()), "PASS_SYN_DRAINING");
  edit_entry(kTcpEntry, [](weir_steer& e) { e.flags = 0; });
  beat(0, 2 * kSecond);
  EXPECT_EQ(what(syn()), "PASS_SYN_STALE");
  beat(0, 0);
  maps_->syn_answer().valid = 0;
  EXPECT_EQ(what(syn()), "STEER_SYN") << "no engine has said what to answer";
  maps_->syn_answer().valid = 1;
  EXPECT_EQ(what(Packet().ip(peer(), ours()).fragment(0, true).tcp(1, kSteeredTcp, "S").text(8).bytes()),
            "DROP_BAD_COOKIE");
  EXPECT_EQ(what(syn()), "ANSWER_SYN");
  EXPECT_EQ(entry(kTcpEntry).syns_to_kernel, 2u) << "the two that passed, and none that was answered";
}

TEST_P(SynGuard, GoesOnByItselfAndOffAgain) {
  guard(WEIR_SYN_GUARD_AUTO, 4);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(what(syn()), "STEER_SYN") << i;
  EXPECT_EQ(what(syn()), "ANSWER_SYN");
  EXPECT_EQ(what(reply(Answer{})), "DROP_BAD_COOKIE");
  weir_syn_guard& state = maps_->syn_guard()[kTcpEntry];
  // A window that is over, with as many as half of it in the new one: it stays on while the hold lasts.
  const auto next_window = [&] { state.window_ns -= 2 * WEIR_SYN_GUARD_WINDOW_NS; };
  const std::uint64_t until = state.on_until_ns;
  next_window();
  EXPECT_EQ(what(syn()), "ANSWER_SYN");
  EXPECT_EQ(what(syn()), "ANSWER_SYN");
  EXPECT_EQ(state.on_until_ns, until) << "two are half of four";
  EXPECT_EQ(what(syn()), "ANSWER_SYN");
  EXPECT_GT(state.on_until_ns, until) << "three hold it";
  EXPECT_EQ(state.last_count, 5u);
  state.on_until_ns = 1;
  next_window();
  EXPECT_EQ(what(reply(Answer{})), "STEER_SEGMENT");
  EXPECT_EQ(what(syn()), "STEER_SYN");
  EXPECT_EQ(state.on_until_ns, 0u) << "segments need not look at the clock any more";
  EXPECT_EQ(what(reply(Answer{})), "STEER_SEGMENT");
}

// Printed for information, as Speed's. What is answered is another frame afterwards, so of those each run is by itself:
// a median that has the clock's own reading in it.
TEST_P(SynGuard, SpeedByItsMode) {
  const auto ns = [&](const Octets& frame, std::uint32_t times) {
    return least_mean_ns(program_fd(), frame, static_cast<int>(times), 1);
  };
  const auto alone = [&](const Octets& frame) {
    std::vector<std::uint32_t> all(1001);
    for (std::uint32_t& one : all) one = ns(frame, 1);
    std::nth_element(all.begin(), all.begin() + 500, all.end());
    return all[500];
  };
  const Octets segment = reply(Answer{}, 0x10, 10, 77);
  const Octets other = Packet().ip(peer(), ours()).tcp(kPeerPort, kKernelPort, "A").bytes();
  const struct {
    const char* name;
    weir_u32 mode;
    weir_u32 rate;
  } modes[] = {
      {"off", WEIR_SYN_GUARD_OFF, 100}, {"auto, no flood", WEIR_SYN_GUARD_AUTO, ~0u}, {"on", WEIR_SYN_GUARD_ON, 100}};
  std::printf("%s\n", GetParam() ? "IPv6" : "IPv4");
  for (const auto& mode : modes) {
    guard(mode.mode, mode.rate);
    refresh_beats();
    maps_->flow_cells()[cell()].flows = 1;
    std::printf("  %-15s not steered %3u ns, segment of a connection %3u, SYN alone %4u", mode.name, ns(other, 500'000),
                ns(segment, 500'000), alone(syn()));
    maps_->flow_cells()[cell()].flows = 0;
    if (mode.mode == WEIR_SYN_GUARD_ON) std::printf(", segment of none %3u", ns(segment, 500'000));
    std::printf("\n");
  }
}

}  // namespace
}  // namespace weir::bpf_test
