// SPDX-License-Identifier: MIT
// Named sets through the tools' own functions, as the program sees them: alone, on trial, and under traffic.
#include <netinet/in.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <random>
#include <thread>

#include "weir/control/heartbeat.h"
#include "weir/control/sets.h"
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

using control::Rule;
using control::SetItem;
using control::SetPrefix;

class Sets : public XdpTest {
 protected:
  static SetPrefix prefix(std::string_view text) { return control::parse_set_prefixes(text).value().at(0); }
  static std::vector<SetItem> items(std::string_view text) {
    return control::parse_set_list(text, {"list", 1, 1}).value();
  }
  static Rule drop_from(std::string_view set) {
    Rule r;
    r.name = "from-" + std::string(set);
    r.action = control::Action::drop;
    EXPECT_TRUE(control::set_word(r, "from", "@" + std::string(set)).ok());
    return r;
  }
  static Rule drop_to(std::string_view set) {
    Rule r = drop_from(set);
    r.name = "to-" + std::string(set);
    std::swap(r.source_set, r.destination_set);
    return r;
  }
  // Whether the peer's frame is dropped; v4, v6.
  bool dropped4() { return reason(tcp4("S")) == "DROP_FILTER"; }
  bool dropped6() { return reason(tcp6("S")) == "DROP_FILTER"; }
  static SetPrefix shortened(SetPrefix p, unsigned length) {
    const unsigned bits = p.v4 ? 96 + length : length;
    const auto mask = [](unsigned b) { return b == 0 ? 0 : ~std::uint64_t{0} << (64 - b); };
    p.high &= mask(std::min(bits, 64u));
    p.low &= mask(bits > 64 ? bits - 64 : 0);
    p.length = static_cast<std::uint8_t>(length);
    return p;
  }
  static Instant now() { return control::monotonic_now(); }
  static std::uint64_t add(const xdp::Maps& maps, std::string_view set, std::string_view entry, std::uint32_t ttl = 0,
                           Instant at = now()) {
    const SetPrefix p = prefix(entry);
    const auto done = control::add_to_set(maps, set, std::span(&p, 1), ttl, at);
    EXPECT_TRUE(done.ok()) << done.error().message;
    return done ? done->changed : 0;
  }
  static std::uint64_t del(const xdp::Maps& maps, std::string_view set, std::string_view entry) {
    const SetPrefix p = prefix(entry);
    const auto done = control::remove_from_set(maps, set, std::span(&p, 1), now());
    EXPECT_TRUE(done.ok()) << done.error().message;
    return done ? done->changed : 0;
  }
};

TEST_F(Sets, OfEveryLengthOfPrefix) {
  const xdp::Maps maps = this->maps();
  ASSERT_TRUE(control::make_set(maps, "s", now()).value());
  ASSERT_TRUE(control::filter_add(maps, drop_from("s"), std::nullopt, now()).ok());
  for (const bool v6 : {false, true})
    for (const std::uint32_t ttl : {0u, 60u})
      for (unsigned length = 0; length <= (v6 ? 128u : 32u); ++length) {
        SCOPED_TRACE(std::to_string(length) + (v6 ? " IPv6" : " IPv4"));
        const SetPrefix p = shortened(control::to_set_prefix(v6 ? kPeer6 : kPeer4), length);
        SetPrefix beside = p;  // the same length, with the last bit of it turned
        const unsigned from_end = (v6 ? 128 : 32) - length;
        if (length != 0) (from_end < 64 ? beside.low : beside.high) ^= std::uint64_t{1} << (from_end % 64);
        if (length != 0) { ASSERT_TRUE(control::add_to_set(maps, "s", std::span(&beside, 1), ttl, now()).ok()); }
        EXPECT_FALSE(v6 ? dropped6() : dropped4());
        ASSERT_TRUE(control::add_to_set(maps, "s", std::span(&p, 1), ttl, now()).ok());
        EXPECT_TRUE(v6 ? dropped6() : dropped4());
        EXPECT_FALSE(v6 ? dropped4() : dropped6());
        for (const SetPrefix& gone : {p, beside})
          ASSERT_TRUE(control::remove_from_set(maps, "s", std::span(&gone, 1), now()).ok());
      }
}

// Another address under the same hash and tag: what a hash cannot tell apart is told apart by the address, all of it.
TEST_F(Sets, AnEntryIsItsWholeAddress) {
  const xdp::Maps maps = this->maps();
  ASSERT_TRUE(control::make_set(maps, "s", now()).value());
  ASSERT_TRUE(control::filter_add(maps, drop_from("s"), std::nullopt, now()).ok());
  add(maps, "s", kPeer6.to_string());
  const auto memory = maps.set_table(control::filter_state(maps, now())->table);
  ASSERT_TRUE(memory.ok() && *memory);
  const std::span<weir_set_row> rows = (*memory)->rows();
  const SetPrefix p = prefix(kPeer6.to_string());
  std::uint64_t* halves[2] = {};
  for (std::size_t row = rows[0].header.wide; row < rows.size(); ++row)
    for (unsigned i = 0; i + 1 < WEIR_SET_SLOTS; ++i)
      if (rows[row].words[i] == p.high && rows[row].words[i + 1] == p.low) {
        halves[0] = &rows[row].words[i];
        halves[1] = &rows[row].words[i + 1];
      }
  ASSERT_NE(halves[0], nullptr);
  EXPECT_TRUE(dropped6());
  for (std::uint64_t* half : halves) {
    *half ^= 1;
    EXPECT_FALSE(dropped6());
    *half ^= 1;
  }
  EXPECT_TRUE(dropped6());
}

// Prefixes of every length, some inside others and many side by side, so that the guide has to tell them apart: what
// the program says of an address is what a look at each of them says.
TEST_F(Sets, OfAllLengthsAtOnce) {
  const xdp::Maps maps = this->maps();
  std::mt19937_64 random(41);
  std::vector<SetItem> entries;
  std::vector<SetPrefix> hosts;
  for (int i = 0; i < 1500; ++i) {
    SetPrefix host;
    host.v4 = i % 2 == 0;
    // Few upper halves, so that rows of the guide are full; or any, so that they are nearly empty.
    const std::uint64_t any = random();
    const bool crowded = i % 3 != 0;
    host.high = host.v4 ? 0 : crowded ? 0x20010db8'00000000 | (any & 0x3'0000'ffff) : any >> 2 | 1;
    host.low = host.v4 ? WEIR_SET_V4_LOW | (crowded ? 0x0a000000 | (random() & 0x3ffff) : random() >> 32) : random();
    hosts.push_back(host);
    const unsigned longest = host.v4 ? 32 : 128;
    const auto length = static_cast<unsigned>(8 + random() % (longest - 7));
    entries.push_back({shortened(host, i % 300 == 0 ? 3 + length % 5 : length), i % 5 == 0 ? 3600u : 0u});
  }
  ASSERT_TRUE(control::load_set(maps, "s", entries, now()).ok());
  ASSERT_TRUE(control::filter_add(maps, drop_from("s"), std::nullopt, now()).ok());
  int members = 0;
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    SetPrefix host = hosts[i];
    // Its neighbour at some distance: in the prefix, or just beside it.
    if (i % 4 != 0) host.low ^= std::uint64_t{1} << random() % (host.v4 ? 32 : 64);
    host.length = host.v4 ? 32 : 128;
    const bool member = std::any_of(entries.begin(), entries.end(),
                                    [&](const SetItem& item) { return control::covers(item.prefix, host); });
    members += member ? 1 : 0;
    const IpAddress from = *IpAddress::parse(control::to_string(host));
    const Packet frame = host.v4 ? Packet().ipv4(from, kOurs4).tcp(1, kKernelPort, "S")
                                 : Packet().ipv6(from, kOurs6).tcp(1, kKernelPort, "S");
    ASSERT_EQ(reason(frame) == "DROP_FILTER", member) << from.to_string();
  }
  EXPECT_GT(members, 500);
  EXPECT_LT(members, 1450);
}

TEST_F(Sets, SourceAndDestinationAndWhatHasEnded) {
  const xdp::Maps maps = this->maps();
  for (const char* name : {"a", "b"}) ASSERT_TRUE(control::make_set(maps, name, now()).value());
  ASSERT_TRUE(control::filter_apply(maps, {drop_from("a"), drop_to("b")}, std::nullopt, now()).value());
  EXPECT_FALSE(dropped4() || dropped6());
  add(maps, "b", kOurs6.to_string());
  EXPECT_TRUE(dropped6());
  EXPECT_FALSE(dropped4());
  del(maps, "b", kOurs6.to_string());
  // The clock is given: a second that began three seconds ago is over.
  const Instant before = now() - Duration::seconds(3);
  EXPECT_EQ(add(maps, "a", kPeer4.to_string(), 1, before), 1u);
  EXPECT_EQ(add(maps, "a", kPeer6.to_string(), 1, before), 1u);
  EXPECT_FALSE(dropped4() || dropped6());
  add(maps, "a", "198.51.100.0/24");
  add(maps, "a", "2001:db8::/32");
  EXPECT_TRUE(dropped4() && dropped6()) << "what has ended hides no shorter one";
  add(maps, "a", kPeer4.to_string(), 60);
  del(maps, "a", "198.51.100.0/24");
  EXPECT_TRUE(dropped4()) << "begun anew";
}

TEST_F(Sets, ARollbackTakesBackWhatTheFileBroughtAndNothingElse) {
  const xdp::Maps maps = this->maps();
  using control::WantedSet;
  const std::string peer4 = kPeer4.to_string(), peer6 = kPeer6.to_string();
  ASSERT_TRUE(control::filter_apply(maps, {drop_from("ban")}, std::nullopt, now(), nullptr,
                                    std::vector<WantedSet>{{"ban", items("192.0.2.77")}})
                  .value());
  ASSERT_TRUE(control::filter_apply(maps, {drop_from("ban"), drop_to("more")}, Duration::seconds(60), now(), nullptr,
                                    std::vector<WantedSet>{{"more", items("")}, {"ban", items(peer4)}})
                  .value());
  EXPECT_TRUE(dropped4());
  EXPECT_FALSE(dropped6());
  add(maps, "ban", peer6);
  EXPECT_TRUE(dropped6());
  EXPECT_EQ(control::delete_set(maps, "ban", now()).error().code, EBUSY);
  ASSERT_TRUE(control::filter_rollback(maps, now()).ok());
  EXPECT_FALSE(dropped4());
  EXPECT_TRUE(dropped6()) << "added meanwhile";
  EXPECT_EQ(control::show_set(maps, "ban", now())->size(), 2u);
  EXPECT_EQ(control::show_set(maps, "more", now()).error().code, ENOENT);
  // Numbers hold when a set of a lower one goes.
  ASSERT_TRUE(control::filter_apply(maps, {drop_from("z")}, std::nullopt, now(), nullptr,
                                    std::vector<WantedSet>{{"z", items(peer4)}, {"y", items("")}})
                  .value());
  EXPECT_EQ(control::delete_set(maps, "y", now()).value(), 0u);
  EXPECT_EQ(control::load_set(maps, "z", items(peer6 + " 192.0.2.1"), now())->before, 1u);
  EXPECT_TRUE(dropped6());
  EXPECT_FALSE(dropped4());
}

TEST_F(Sets, AreSixteenAndTheRestIsRefused) {
  const xdp::Maps maps = this->maps();
  for (int i = 0; i < WEIR_MAX_SETS; ++i) {
    EXPECT_TRUE(control::make_set(maps, "s" + std::to_string(i), now()).value());
    EXPECT_TRUE(control::filter_add(maps, drop_from("s" + std::to_string(i)), std::nullopt, now()).ok());
  }
  EXPECT_EQ(control::make_set(maps, "s16", now()).error().code, ENOSPC);
  EXPECT_EQ(control::load_set(maps, "s16", items("10.0.0.1"), now()).error().code, ENOSPC);
  EXPECT_EQ(control::filter_add(maps, drop_from("s16"), std::nullopt, now()).error().code, ENOENT);
  add(maps, "s15", kPeer6.to_string());
  EXPECT_TRUE(dropped6());
  // More than all of them take: nothing is changed.
  std::vector<SetItem> many(WEIR_MAX_SET_ENTRIES + 1);
  for (std::size_t i = 0; i < many.size(); ++i) many[i].prefix = {0, WEIR_SET_V4_LOW | (0x0a000000 + i), 32, true};
  EXPECT_EQ(control::load_set(maps, "s15", many, now()).error().code, ENOSPC);
  EXPECT_TRUE(dropped6());
  many.resize(WEIR_MAX_SET_ENTRIES);
  EXPECT_EQ(control::load_set(maps, "s15", many, now())->after, WEIR_MAX_SET_ENTRIES);
  EXPECT_FALSE(dropped6());
  const SetPrefix more[] = {prefix("192.0.2.1"), prefix("2001:db8::1")};
  EXPECT_EQ(control::add_to_set(maps, "s15", more, 0, now()).error().code, ENOSPC);
  EXPECT_EQ(control::test_set(maps, "s15", more[0], now())->size(), 0u);
  EXPECT_EQ(add(maps, "s15", "10.0.0.7"), 0u) << "there already";
  EXPECT_EQ(add(maps, "s14", "10.0.0.7"), 1u) << "another set's, but no other prefix";
  EXPECT_EQ(del(maps, "s15", "10.0.0.1"), 1u);
  const SetPrefix twice[] = {prefix("2001:db8::1"), prefix("2001:db8::1"), prefix("10.0.0.9")};
  const auto last = control::add_to_set(maps, "s15", twice, 0, now());
  ASSERT_TRUE(last.ok()) << last.error().message;
  EXPECT_EQ(last->changed + last->unchanged, 3u);
  EXPECT_EQ(control::add_to_set(maps, "s15", more, 0, now()).error().code, ENOSPC);
}

TEST_F(Sets, ATrialThatEndsTakesNothingElseBack) {
  using control::WantedSet;
  const xdp::Maps maps = this->maps();
  const std::string peer4 = kPeer4.to_string(), peer6 = kPeer6.to_string();
  ASSERT_TRUE(control::load_set(maps, "s", items(peer4), now()).ok());
  ASSERT_TRUE(control::filter_add(maps, drop_from("s"), std::nullopt, now()).ok());
  ASSERT_TRUE(control::filter_apply(maps, {drop_from("s")}, Duration::seconds(60), now(), nullptr,
                                    std::vector<WantedSet>{{"s", items("192.0.2.2")}})
                  .value());
  EXPECT_FALSE(dropped4());
  EXPECT_EQ(del(maps, "s", peer4), 1u) << "out of what there is to go back to";
  EXPECT_EQ(add(maps, "s", peer6), 1u);
  EXPECT_TRUE(control::make_set(maps, "made", now()).value());
  EXPECT_FALSE(control::make_set(maps, "made", now()).value());
  EXPECT_TRUE(control::load_set(maps, "loaded", items("192.0.2.3 192.0.2.4"), now())->made);
  ASSERT_TRUE(control::filter_rollback(maps, now()).ok());
  EXPECT_FALSE(dropped4());
  EXPECT_TRUE(dropped6());
  EXPECT_EQ(control::show_set(maps, "s", now())->size(), 1u);
  EXPECT_EQ(control::show_set(maps, "made", now())->size(), 0u);
  EXPECT_EQ(control::show_set(maps, "loaded", now())->size(), 2u);
}

TEST_F(Sets, WhereThereIsNoTableToGoBackToNoSetIsMadeOnTrial) {
  const xdp::Maps maps = this->maps();
  ASSERT_TRUE(control::filter_apply(maps, {drop_from("s")}, Duration::seconds(60), now(), nullptr,
                                    std::vector<control::WantedSet>{{"s", items("192.0.2.2")}})
                  .value());
  EXPECT_EQ(control::make_set(maps, "made", now()).error().code, EBUSY);
  EXPECT_EQ(control::load_set(maps, "made", items("192.0.2.3"), now()).error().code, EBUSY);
  EXPECT_TRUE(control::load_set(maps, "s", items(kPeer4.to_string()), now()).ok());
  EXPECT_TRUE(dropped4());
  ASSERT_TRUE(control::filter_confirm(maps, now()).ok());
  EXPECT_TRUE(control::make_set(maps, "made", now()).value());
}

// While the tables grow under it.
TEST_F(Sets, OneWriterForManyChanges) {
  const xdp::Maps maps = this->maps();
  ASSERT_TRUE(control::make_set(maps, "s", now()).value());
  ASSERT_TRUE(control::filter_add(maps, drop_from("s"), std::nullopt, now()).ok());
  auto writer = control::SetWriter::open(maps, "s", now());
  ASSERT_TRUE(writer.ok());
  std::uint64_t changed = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    const SetItem two[] = {{{0, WEIR_SET_V4_LOW | (0x0a000000 + i), 32, true}, 0},
                           {{0x20010db8ULL << 32, i, 128, false}, 60}};
    changed += writer->add(two, now())->changed;
    if (i % 2 == 0) changed += writer->remove(std::span(two).first(1), now()).changed;
  }
  EXPECT_EQ(changed, 1000u);
  EXPECT_EQ(writer->remove(items(kPeer4.to_string()), now()).unchanged, 1u);
  EXPECT_FALSE(dropped4());
  EXPECT_EQ(writer->add(items(kPeer4.to_string()), now())->changed, 1u);
  EXPECT_TRUE(dropped4());
  EXPECT_EQ(control::show_set(maps, "s", now())->size(), 601u);
}

// One address is in the set throughout, while other entries come and go one by one and grow the table, and while the
// set is replaced as a whole, by a list that has the address by another entry: no frame of it may pass. Another is
// never there: none of its frames may be dropped.
TEST_F(Sets, NoFrameSeesHalfOfAChange) {
  const xdp::Maps maps = this->maps();
  const std::string hosts = kPeer4.to_string() + " " + kPeer6.to_string();
  const std::string ways[] = {hosts, "198.51.100.0/24 2001:db8:ffff::/48",
                              kPeer4.to_string() + " ttl 3600 " + kPeer6.to_string() + " ttl 3600"};
  ASSERT_TRUE(control::load_set(maps, "s", items(hosts), now()).ok());
  ASSERT_TRUE(control::filter_add(maps, drop_from("s"), std::nullopt, now()).ok());
  std::atomic<bool> stop{false};
  std::uint64_t frames = 0, passed = 0, dropped = 0;
  std::thread traffic([&] {
    const Packet never = Packet().ipv4(kTransit4, kOurs4).tcp(1, kKernelPort, "S");
    while (!stop) {
      constexpr std::uint32_t kBatch = 20'000;
      // The last of a batch says of it alone; the rule's counter says of all.
      passed += run_repeatedly(tcp4("S"), kBatch).action == XDP_DROP ? 0u : 1u;
      passed += run_repeatedly(tcp6("S"), kBatch).action == XDP_DROP ? 0u : 1u;
      dropped += run_repeatedly(never, kBatch).action == XDP_DROP ? 1u : 0u;
      frames += kBatch;
    }
  });
  std::uint64_t changes = 0;
  for (int round = 0; round < 10; ++round) {
    std::string list = ways[round % 3];
    for (int i = 0; i < 300; ++i) {
      const std::string entry = i % 2 == 0 ? "10." + std::to_string(round) + "." + std::to_string(i / 2) + ".0/24"
                                           : "2001:db8:" + std::to_string(i) + "::/48";
      changes += add(maps, "s", entry, i % 3 == 0 ? 600 : 0);
      if (i % 5 == 0) changes += del(maps, "s", entry);
      list += " " + entry;
    }
    ASSERT_TRUE(control::load_set(maps, "s", items(list), now()).ok());
    ++changes;
    for (const std::string& way : ways) {
      ASSERT_TRUE(control::load_set(maps, "s", items(way), now()).ok());
      ++changes;
    }
  }
  stop = true;
  traffic.join();
  std::printf("  %llu frames of each kind during %llu changes\n", static_cast<unsigned long long>(frames),
              static_cast<unsigned long long>(changes));
  EXPECT_EQ(passed, 0u);
  EXPECT_EQ(dropped, 0u);
  const auto state = control::filter_state(maps, now());
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->rules[0].hits.packets, 2 * frames) << "every frame of what stayed, and no other";
}

}  // namespace
}  // namespace weir::bpf_test
