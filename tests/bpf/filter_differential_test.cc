// SPDX-License-Identifier: MIT
// The program against the plain reading of the same rules (filter_reference.h): random rule sets, and for each of them
// random frames that keep close to the rules' limits.
//
// Named sets take part: their entries are added and removed between frames, some have an end, which is long past or far
// ahead of the clock that the program reads.
//
// A frame's action is compared by itself. Which rule decided is compared by the rules' counters after each round; where
// one differs, the round is run again frame by frame, and the frame is printed.
//
// WEIR_FILTER_PAIRS=N: so many pairs of a rule set and a frame (300,000). WEIR_FILTER_SEED=n: another beginning (1).
#include <bpf/bpf.h>
#include <netinet/in.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <random>

#include "filter_reference.h"
#include "weir/control/filter_rule.h"
#include "weir/control/set_list.h"
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

// Rules and frames of one seed.
class Generator {
 public:
  explicit Generator(std::uint64_t seed) : random_(seed) {}

  std::vector<weir_rule> rules() {
    // Mostly few, sometimes as many as there may be, and often a number around which a word or the summary ends.
    constexpr std::size_t kSizes[] = {1, 2, 3, 5, 8, 13, 30, 63, 64, 65, 100, 128, 500, 1000, 4095, 4096};
    const std::size_t count = one_in(4) ? pick(kSizes) : 1 + below(40);
    // Some sets leave fields alone, so that every combination of used ones comes.
    const auto allowed = static_cast<std::uint32_t>(random_()) | static_cast<std::uint32_t>(random_());
    std::vector<weir_rule> out;
    for (std::size_t i = 0; i < count; ++i) out.push_back(rule(allowed, static_cast<std::uint16_t>(i)));
    return out;
  }

  // A change of one entry, most often one that adds; `now` is the second that it is.
  SetFact entry(std::uint32_t now) {
    SetFact e;
    e.set = one_in(4) ? static_cast<unsigned>(below(WEIR_MAX_SETS)) : static_cast<unsigned>(below(3));
    e.prefix = prefix();
    // Long enough ago, or far enough ahead, that the program cannot see it change.
    if (one_in(3)) e.end = one_in(2) ? static_cast<std::uint32_t>(1 + below(now)) : now + 100'000;
    return e;
  }
  bool removes() { return one_in(4); }
  std::size_t choose(std::size_t n) { return below(n); }
  void near_sets(std::span<const SetFact> entries) { entries_ = entries; }

  Octets frame(std::span<const weir_rule> rules) {
    const weir_rule& near = rules[below(rules.size())];
    const weir_rule& also = one_in(4) ? rules[below(rules.size())] : near;
    const bool v6 = near.source.family != 0        ? near.source.family == 6
                    : also.destination.family != 0 ? also.destination.family == 6
                                                   : one_in(2);
    Packet p;
    const std::uint16_t vlan = value(near, WEIR_FIELD_VLAN, near.vlan, 4096);
    if (vlan != 0) {
      if (one_in(8))
        p.vlan(tag(vlan), 0x88a8).vlan(static_cast<std::uint16_t>(below(4096)));
      else
        p.vlan(tag(vlan));
      if (one_in(60)) p.vlan(1).vlan(2);
    }
    if (one_in(100)) return p.arp().bytes();
    const IpAddress source = address(near.source, v6);
    const IpAddress destination = address(also.destination, v6);
    p.ip(source, destination);
    const std::uint16_t kind = value(near, WEIR_FIELD_FRAGMENT, near.fragment, 2);
    if (v6 && one_in(6)) p.hop_by_hop(static_cast<std::uint8_t>(below(2)));
    if (v6 && one_in(10)) p.authentication();
    if (v6 && one_in(200))
      for (int i = 0; i < 8; ++i) p.destination_options();
    if (kind == WEIR_FRAGMENT_FIRST) p.fragment(0, true);
    if (kind == WEIR_FRAGMENT_LATER) p.fragment(static_cast<std::uint16_t>(8 * (1 + below(200))), one_in(2));
    if (v6 && kind == WEIR_FRAGMENT_NONE && one_in(20)) p.fragment(0, false);  // atomic
    std::size_t flags_at = 0;
    transport(p, near, v6, kind == WEIR_FRAGMENT_LATER, flags_at);
    Octets out = lengthened(std::move(p), near);
    if (flags_at != 0 && flags_at < out.size()) out[flags_at] = tcp_flags(near);
    if (one_in(25)) out.resize(14 + below(out.size() - 13));
    if (one_in(25)) out[12 + below(std::min<std::size_t>(out.size() - 12, 60))] = static_cast<std::uint8_t>(random_());
    return out;
  }

 private:
  std::size_t below(std::size_t n) { return random_() % n; }
  bool one_in(std::size_t n) { return below(n) == 0; }
  template <class T, std::size_t N>
  T pick(const T (&of)[N]) {
    return of[below(N)];
  }

  // Few addresses, so that prefixes nest and repeat.
  IpAddress some_address(bool v6) {
    std::array<std::byte, 16> a{};
    const auto set = [&](std::size_t i, std::size_t v) { a[i] = static_cast<std::byte>(v); };
    if (!v6) {
      set(0, pick({10u, 10u, 192u, 255u, 0u}));
      set(1, below(3));
      set(2, pick({0u, 1u, 127u, 128u, 255u}));
      set(3, one_in(2) ? pick({0u, 1u, 127u, 128u, 255u}) : below(256));
      return IpAddress::v4(a.data());
    }
    set(0, pick({0x20u, 0x20u, 0xfdu, 0xffu}));
    set(1, one_in(2) ? 1u : 0u);
    for (std::size_t i = 4; i < 8; ++i) set(i, one_in(3) ? pick({0u, 1u, 0x80u, 0xffu}) : 0);
    for (std::size_t i = 8; i < 16; ++i) set(i, one_in(2) ? pick({0u, 1u, 0x7fu, 0x80u, 0xffu}) : 0);
    if (one_in(20)) a = {};
    return IpAddress::v6(a.data());
  }
  template <class T>
  T pick(std::initializer_list<T> of) {
    return of.begin()[below(of.size())];
  }

  weir_prefix prefix() {
    const bool v6 = one_in(2);
    constexpr unsigned kLengths4[] = {0, 1, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 32};
    constexpr unsigned kLengths6[] = {0, 1, 3, 16, 31, 32, 33, 47, 48, 63, 64, 65, 80, 96, 127, 128, 128};
    weir_prefix p{};
    p.family = v6 ? 6 : 4;
    p.length = static_cast<weir_u8>(v6 ? pick(kLengths6) : pick(kLengths4));
    const IpAddress a = some_address(v6);
    std::memcpy(p.address.bytes, a.data(), 16);
    for (unsigned bit = p.length + (v6 ? 0u : 96u); bit < 128; ++bit)
      p.address.bytes[bit / 8] = static_cast<weir_u8>(p.address.bytes[bit / 8] & ~(0x80u >> bit % 8));
    return p;
  }

  // The first or last of a prefix, the one before or after, one within, or any.
  IpAddress address(const weir_prefix& p, bool v6) {
    if (!entries_.empty() && one_in(2)) {
      const weir_prefix& of_set = entries_[below(entries_.size())].prefix;
      if (of_set.family == (v6 ? 6 : 4)) return within(of_set, v6);
    }
    if (p.family != (v6 ? 6 : 4) || one_in(12)) return some_address(v6);
    return within(p, v6);
  }
  IpAddress within(const weir_prefix& p, bool v6) {
    std::array<std::uint8_t, 16> a{};
    std::memcpy(a.data(), p.address.bytes, 16);
    const unsigned first = p.length + (v6 ? 0u : 96u);
    const std::size_t where = below(5);
    if (where == 1 || where == 3 || where == 4)
      for (unsigned bit = first; bit < 128; ++bit)
        if (where != 4 || one_in(2)) a[bit / 8] = static_cast<std::uint8_t>(a[bit / 8] | (0x80u >> bit % 8));
    const auto step = [&](int by) {
      for (std::size_t i = 16; i > (v6 ? 0u : 12u); --i) {
        a[i - 1] = static_cast<std::uint8_t>(a[i - 1] + by);
        if (a[i - 1] != (by > 0 ? 0 : 0xff)) break;
      }
    };
    if (where == 2) step(-1);
    if (where == 3) step(1);
    return IpAddress::v6(reinterpret_cast<const std::byte*>(a.data()));
  }

  template <class T>
  void range(T (&to)[2], std::uint32_t most) {
    const std::uint32_t kEdges[] = {0, 1, most / 2, most - 1, most};
    const auto one = [&] { return one_in(2) ? pick(kEdges) : static_cast<std::uint32_t>(below(most + 1)); };
    std::uint32_t a = one();
    std::uint32_t b = one_in(3) ? a : one();
    if (a > b) std::swap(a, b);
    to[0] = static_cast<T>(a);
    to[1] = static_cast<T>(b);
  }

  weir_rule rule(std::uint32_t allowed, std::uint16_t counter) {
    weir_rule r{};
    r.counter = counter;
    r.action = static_cast<weir_u8>(below(3));
    if (r.action != WEIR_ACTION_DROP && one_in(8)) {  // never reached
      r.limit = static_cast<weir_u8>(one_in(2) ? WEIR_LIMIT_PACKETS : WEIR_LIMIT_BYTES);
      if (one_in(4)) r.limit = static_cast<weir_u8>(r.limit | WEIR_LIMIT_PER_SOURCE);
      r.rate = 4'000'000'000;
      r.burst = 400'000'000'000;
    }
    if (one_in(8)) r.sample = static_cast<weir_u32>(1 + below(1000));  // changes no verdict
    for (unsigned f = 0; f < WEIR_FIELD_COUNT; ++f)
      if (one_in(4)) r.fields |= 1u << f;
    r.fields &= allowed;
    const auto sets = [&](weir_field field) {
      if ((r.fields >> field & 1u) == 0) return 0u;
      return (1u << (one_in(4) ? below(WEIR_MAX_SETS) : below(3))) | (one_in(8) ? 1u << below(3) : 0u);
    };
    r.source_sets = sets(WEIR_FIELD_SOURCE_SETS);
    r.destination_sets = sets(WEIR_FIELD_DESTINATION_SETS);
    r.source = (r.fields >> WEIR_FIELD_SOURCE & 1u) != 0 ? prefix() : weir_prefix{};
    r.destination = (r.fields >> WEIR_FIELD_DESTINATION & 1u) != 0 ? prefix() : weir_prefix{};
    range(r.source_port, 65535);
    range(r.destination_port, 65535);
    range(r.vlan, 4096);
    range(r.length, one_in(2) ? 1500 : 65535);
    range(r.icmp_type, 255);
    range(r.fragment, 2);
    r.tcp_mask = static_cast<weir_u8>(random_());
    r.tcp_flags = static_cast<weir_u8>(random_() & r.tcp_mask);
    r.protocol = protocol();
    return r;
  }

  std::uint8_t protocol() {
    return static_cast<std::uint8_t>(one_in(8) ? random_() : pick({6u, 6u, 17u, 17u, 1u, 58u, 47u}));
  }

  // A value of a field near the rule's range, or any.
  template <class T>
  std::uint16_t value(const weir_rule& r, weir_field field, const T (&of)[2], std::uint32_t most) {
    if ((r.fields >> field & 1u) == 0 || one_in(10))
      return static_cast<std::uint16_t>(one_in(2) ? 0 : below(std::size_t{most} + 1));
    const std::int64_t kNear[] = {of[0], of[1], of[0] - 1, of[1] + 1, (of[0] + of[1]) / 2};
    return static_cast<std::uint16_t>(std::clamp<std::int64_t>(pick(kNear), 0, most));
  }
  std::uint16_t tag(std::uint16_t vlan) {
    return static_cast<std::uint16_t>((vlan - 1) | below(16) << 12);  // with a priority
  }

  void transport(Packet& p, const weir_rule& near, bool v6, bool later, std::size_t& flags_at) {
    std::uint8_t number = (near.fields >> WEIR_FIELD_PROTOCOL & 1u) != 0 && !one_in(10) ? near.protocol : protocol();
    const auto asks = [&](weir_field f) { return (near.fields >> f & 1u) != 0; };
    if (!asks(WEIR_FIELD_PROTOCOL)) {
      if (asks(WEIR_FIELD_TCP_FLAGS))
        number = 6;
      else if (asks(WEIR_FIELD_ICMP_TYPE))
        number = v6 ? 58 : 1;
      else if (asks(WEIR_FIELD_SOURCE_PORT) || asks(WEIR_FIELD_DESTINATION_PORT))
        number = one_in(2) ? 6 : 17;
    }
    const std::uint16_t sport = value(near, WEIR_FIELD_SOURCE_PORT, near.source_port, 65535);
    const std::uint16_t dport = value(near, WEIR_FIELD_DESTINATION_PORT, near.destination_port, 65535);
    if (later) {
      p.protocol(number).text(below(40));
    } else if (number == 6) {
      p.tcp(sport, dport, "", 4 * below(4));
      flags_at = p.l4_offset() + 13;
    } else if (number == 17) {
      p.udp(sport, dport).text(below(20));
    } else if (number == (v6 ? 58 : 1)) {
      p.icmp(value(near, WEIR_FIELD_ICMP_TYPE, near.icmp_type, 255)).text(8);
    } else {
      p.protocol(number).text(below(60));
    }
  }

  // As long as the rule asks, where that is within a frame's reach.
  Octets lengthened(Packet p, const weir_rule& near) {
    if ((near.fields >> WEIR_FIELD_LENGTH & 1u) != 0 && !one_in(4)) {
      const std::size_t now = p.bytes().size() - p.ip_offset();
      const std::size_t wanted = value(near, WEIR_FIELD_LENGTH, near.length, 65535);
      if (wanted > now && wanted <= 1600) p.text(wanted - now);
    }
    if (one_in(5)) p.padding(below(20));
    return p.bytes();
  }

  std::uint8_t tcp_flags(const weir_rule& near) {
    if ((near.fields >> WEIR_FIELD_TCP_FLAGS & 1u) == 0 || one_in(6)) return static_cast<std::uint8_t>(random_());
    const unsigned rest = static_cast<unsigned>(random_()) & ~unsigned{near.tcp_mask};
    const unsigned wrong = one_in(4) ? 1u << below(8) : 0;
    return static_cast<std::uint8_t>((near.tcp_flags | rest) ^ wrong);
  }

  std::mt19937_64 random_;
  std::span<const SetFact> entries_;
};

// The table under test and a plain list of the same entries.
class SetsTwice {
 public:
  SetsTwice(xdp::SetMemory memory, std::uint32_t now) : memory_(std::move(memory)), now_(now) {}

  void change(Generator& generator) {
    SetFact e = generator.entry(now_);
    const bool removes = generator.removes();
    if (removes && !plain_.empty()) e = plain_[generator.choose(plain_.size())];
    const auto same = [&](const SetFact& o) {
      return o.set == e.set && std::memcmp(&o.prefix, &e.prefix, sizeof e.prefix) == 0;
    };
    const auto at = std::find_if(plain_.begin(), plain_.end(), same);
    control::SetTable table(memory_.rows());
    control::Rule scratch = control::from_map(rule_from(e.prefix));
    const control::SetPrefix prefix = control::to_set_prefix(scratch.source);
    if (removes) {
      table.remove(e.set, prefix, now_);
      if (at != plain_.end()) plain_.erase(at);
      return;
    }
    if (table.add(e.set, {prefix, e.end}, now_) == control::SetTable::Change::full) return;
    if (at == plain_.end())
      plain_.push_back(e);
    else if (at->end != 0)
      at->end = e.end;
  }
  std::span<const SetFact> plain() const { return plain_; }
  std::uint32_t now() const { return now_; }

 private:
  static weir_rule rule_from(const weir_prefix& prefix) {
    weir_rule r{};
    r.fields = 1u << WEIR_FIELD_SOURCE;
    r.source = prefix;
    return r;
  }
  xdp::SetMemory memory_;
  std::uint32_t now_;
  std::vector<SetFact> plain_;
};

class FilterDifferential : public XdpTest {
 protected:
  std::uint32_t action(const Octets& frame) {
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = frame.data();
    opts.data_size_in = static_cast<std::uint32_t>(frame.size());
    opts.repeat = 1;
    EXPECT_EQ(bpf_prog_test_run_opts(program_fd(), &opts), 0) << frame.size();
    return opts.retval;
  }

  // Nothing is steered: what no rule drops passes.
  void steer_nothing() {
    for (const auto& [protocol, port] : {std::pair{IPPROTO_TCP, kSteeredTcp}, std::pair{IPPROTO_UDP, kSteeredUdp}}) {
      weir_steer_key key{};
      key.protocol = static_cast<std::uint8_t>(protocol);
      key.port_be = to_be16(port);
      ASSERT_EQ(bpf_map_delete_elem(bpf_map__fd(skeleton()->maps.steer_index), &key), 0);
    }
  }

  static std::uint32_t second() {
    timespec t{};
    clock_gettime(CLOCK_MONOTONIC, &t);
    return static_cast<std::uint32_t>(t.tv_sec);
  }

  static std::string describe(const Octets& frame, std::span<const weir_rule> rules,
                              std::optional<std::size_t> expected) {
    std::string out = "frame";
    char octet[4];
    for (const std::uint8_t b : frame) {
      std::snprintf(octet, sizeof octet, " %02x", b);
      out += octet;
      if (out.size() > 600) break;
    }
    return out + "\nexpected " +
           (expected ? std::to_string(*expected) + ": " + control::from_map(rules[*expected]).to_string() : "no rule");
  }

  // Which rule the program chose for each frame, one at a time.
  void find_difference(const std::vector<Octets>& frames, std::span<const weir_rule> rules, const SetsTwice& sets) {
    for (const Octets& frame : frames) {
      Reading reading = read_frame(frame);
      find_sets(sets.plain(), sets.now(), reading.facts);
      const auto expected =
          reading.kind == Reading::Kind::filtered ? first_match(rules, reading.facts) : std::optional<std::size_t>{};
      std::vector<std::uint64_t> before;
      for (std::size_t i = 0; i < rules.size(); ++i) before.push_back(rule_packets(static_cast<std::uint32_t>(i)));
      action(frame);
      for (std::size_t i = 0; i < rules.size(); ++i) {
        const bool chosen = rule_packets(static_cast<std::uint32_t>(i)) != before[i];
        if (chosen == (expected == i)) continue;
        ADD_FAILURE() << (chosen ? "chose " : "did not choose ") << i << ": " << control::from_map(rules[i]).to_string()
                      << "\n"
                      << describe(frame, rules, expected);
        return;
      }
    }
    ADD_FAILURE() << "the counters differed, and do not when the frames are run one by one";
  }
};

TEST_F(FilterDifferential, TheProgramAndThePlainReadingAgree) {
  constexpr std::size_t kFramesARound = 2000;
  steer_nothing();
  const std::uint64_t seed = from_environment("WEIR_FILTER_SEED", 1);
  const std::uint64_t pairs = from_environment("WEIR_FILTER_PAIRS", 300'000);
  std::vector<std::uint64_t> counted(WEIR_MAX_RULES);
  std::uint64_t done = 0, matched = 0, unmatched = 0, settled = 0;
  for (std::uint64_t round = 0; done < pairs; ++round) {
    SCOPED_TRACE("WEIR_FILTER_SEED=" + std::to_string(seed + round));
    Generator generator(seed + round);
    const std::vector<weir_rule> rules = generator.rules();
    const std::uint32_t table = static_cast<std::uint32_t>(round % WEIR_SET_TABLES);
    set_filter(0, rules, table);
    SetsTwice sets(make_sets(table, control::SetTableSize::for_entries(500, 500)), second());
    for (std::size_t i = generator.choose(2) * generator.choose(60); i > 0; --i) sets.change(generator);
    const bool live = generator.choose(2) == 0;
    std::vector<Octets> frames;
    for (std::size_t i = 0; i < kFramesARound; ++i, ++done) {
      if (live && generator.choose(20) == 0) sets.change(generator);
      generator.near_sets(sets.plain());
      frames.push_back(generator.frame(rules));
      const Octets& frame = frames.back();
      Reading reading = read_frame(frame);
      find_sets(sets.plain(), sets.now(), reading.facts);
      std::optional<std::size_t> expected;
      if (reading.kind == Reading::Kind::filtered) {
        expected = first_match(rules, reading.facts);
        ++(expected ? matched : unmatched);
        if (expected) ++counted[*expected];
      } else {
        ++settled;
      }
      const bool drop = expected ? rules[*expected].action == WEIR_ACTION_DROP : reading.kind == Reading::Kind::dropped;
      ASSERT_EQ(action(frame), drop ? XDP_DROP : XDP_PASS) << describe(frame, rules, expected);
    }
    for (std::size_t i = 0; i < rules.size(); ++i)
      if (rule_packets(static_cast<std::uint32_t>(i)) != counted[i]) {
        find_difference(frames, rules, sets);
        return;
      }
  }
  std::printf("  %llu pairs: %llu matched a rule, %llu none, %llu were settled before the filter\n",
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(matched),
              static_cast<unsigned long long>(unmatched), static_cast<unsigned long long>(settled));
  // The frames are worth something only while they get to the rules, and past them.
  EXPECT_GT(matched, done / 4);
  EXPECT_GT(unmatched, done / 50);
  EXPECT_GT(settled, done / 100);
}

}  // namespace
}  // namespace weir::bpf_test
