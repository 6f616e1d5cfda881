// SPDX-License-Identifier: MIT
// What named sets cost by their size and by the length of their prefixes: a frame with another source each time, so
// that a large table is cold. Printed for information: machines differ, so nothing is asserted of the time.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <netinet/in.h>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

#include "random_source.h"
#include "weir/control/filter.h"
#include "weir/control/heartbeat.h"
#include "weir/control/sets.h"
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

using control::SetItem;
using control::SetPrefix;

class SpeedOfSets : public XdpTest {
 protected:
  void SetUp() override {
    XdpTest::SetUp();
    if (IsSkipped()) return;
    object_ = bpf_object__open_file(WEIR_RANDOM_SOURCE, nullptr);
    ASSERT_NE(object_, nullptr);
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, object_)
        bpf_program__set_autoload(program, std::string_view(bpf_program__name(program)) == "weir_random_source");
    ASSERT_EQ(bpf_object__load(object_), 0);
    program_ = bpf_program__fd(bpf_object__find_program_by_name(object_, "weir_random_source"));
    put("config", config());
  }
  void TearDown() override {
    if (object_ != nullptr) bpf_object__close(object_);
    XdpTest::TearDown();
  }

  template <class T>
  void put(const char* map, const T& value) {
    const std::uint32_t zero = 0;
    ASSERT_EQ(bpf_map_update_elem(bpf_object__find_map_fd_by_name(object_, map), &zero, &value, BPF_ANY), 0);
  }
  xdp::Maps maps() const { return adopt_maps(object_); }

  // The least of `times` runs, nanoseconds a frame.
  std::uint32_t measure(bool v6, std::uint64_t entries, unsigned misses, int times = 3) {
    put("random_source", random_source{0x9e3779b97f4a7c15, entries, v6 ? 1u : 0u, misses});
    const Octets frame = (v6 ? tcp6("A", kKernelPort) : tcp4("A", kKernelPort)).bytes();
    return least_mean_ns(program_, frame, 500'000, times);
  }

  static SetItem entry(bool v6, std::uint64_t i, unsigned length) {
    SetPrefix p;
    p.v4 = !v6;
    p.length = static_cast<std::uint8_t>(length);
    const unsigned bits = v6 ? length : 96 + length;
    const auto mask = [](unsigned b) { return b == 0 ? 0 : ~std::uint64_t{0} << (64 - b); };
    p.high = (v6 ? random_upper(i) : 0) & mask(std::min(bits, 64u));
    p.low = (v6 ? mixed64(i) : WEIR_SET_V4_LOW | mixed32(static_cast<weir_u32>(i))) & mask(bits > 64 ? bits - 64 : 0);
    return {p, 0};
  }

  static control::Rule drop_from_set() {
    control::Rule r;
    r.name = "sets";
    r.action = control::Action::drop;
    EXPECT_TRUE(control::set_word(r, "from", "@s").ok());
    return r;
  }

  bpf_object* object_ = nullptr;
  int program_ = -1;
};

TEST_F(SpeedOfSets, ByTheirSize) {
  const xdp::Maps maps = this->maps();
  const auto now = [] { return control::monotonic_now(); };
  const struct {
    const char* what;
    bool v6;
    std::vector<unsigned> lengths;
    std::uint32_t ttl;
  } cases[] = {
      {"IPv4 hosts", false, {32}, 0},
      {"IPv4 /24", false, {24}, 0},
      {"IPv4, lengths 16 to 32", false, {16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32}, 0},
      {"IPv4 hosts with a time to live", false, {32}, 3600},
      {"IPv6 hosts", true, {128}, 0},
      {"IPv6 /64", true, {64}, 0},
      {"IPv6, lengths 32, 36 to 64 by 4, 128", true, {32, 36, 40, 44, 48, 52, 56, 60, 64, 128}, 0},
  };
  control::Rule plain;
  plain.name = "plain";
  plain.action = control::Action::drop;
  plain.protocol = 47;
  ASSERT_TRUE(control::filter_apply(maps, {plain}, std::nullopt, now()).ok());
  const std::uint32_t base[] = {measure(false, 1, 0), measure(true, 1, 0)};
  std::printf(
      "  random sources, half of them in the set; ns a frame, the whole program (without a set: IPv4 %u, IPv6 %u)\n",
      base[0], base[1]);
  std::printf("      10    1000  100000 1000000   million/10: frame, look-up\n");
  for (const auto& c : cases) {
    std::uint32_t first = 0, last = 0;
    for (const std::uint64_t entries : {10ull, 1000ull, 100'000ull, 1'000'000ull}) {
      std::vector<SetItem> items;
      for (std::uint64_t i = 0; i < entries; ++i) {
        items.push_back(entry(c.v6, i, c.lengths[i % c.lengths.size()]));
        items.back().ttl = c.ttl;
      }
      ASSERT_TRUE(control::load_set(maps, "s", items, now()).ok());
      ASSERT_TRUE(control::filter_apply(maps, {drop_from_set()}, std::nullopt, now()).ok());
      last = measure(c.v6, entries, 128);
      if (entries == 10) first = last;
      std::printf("  %6u", last);
    }
    const double alone =
        static_cast<double>(last - base[c.v6 ? 1 : 0]) / std::max(1u, first - std::min(first - 1, base[c.v6 ? 1 : 0]));
    std::printf("   %4.1f %4.1f  %s\n", static_cast<double>(last) / first, alone, c.what);
  }
}

TEST_F(SpeedOfSets, LoadedWholeAndChangedOneByOne) {
  const xdp::Maps maps = this->maps();
  const auto now = [] { return control::monotonic_now(); };
  constexpr std::uint64_t kMillion = 1'000'000;
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  for (const bool v6 : {true, false}) {
    std::string text;
    for (std::uint64_t i = 0; i < kMillion; ++i) text += control::to_string(entry(v6, i, v6 ? 128 : 32)) + "\n";
    const auto begin = Clock::now();
    const auto items = control::parse_set_list(text, {"list", 1, 1});
    ASSERT_TRUE(items.ok());
    const auto parsed = Clock::now();
    ASSERT_EQ(control::load_set(maps, "s", *items, now())->after, kMillion);
    const auto end = Clock::now();
    std::printf("  a million IPv%d hosts: read in %.2f s, in force %.2f s later\n", v6 ? 6 : 4, seconds(parsed - begin),
                seconds(end - parsed));
  }
  ASSERT_TRUE(control::filter_apply(maps, {drop_from_set()}, std::nullopt, now()).ok());
  const std::uint32_t quiet = measure(false, kMillion, 128);
  std::atomic<bool> stop{false};
  std::uint64_t changes = 0;
  const auto begin = Clock::now();
  std::thread writer([&] {
    const SetPrefix p = entry(false, kMillion + 1, 32).prefix;
    for (; !stop; changes += 2) {
      static_cast<void>(control::add_to_set(maps, "s", std::span(&p, 1), 0, now()));
      static_cast<void>(control::remove_from_set(maps, "s", std::span(&p, 1), now()));
    }
  });
  const std::uint32_t busy = measure(false, kMillion, 128, 6);
  stop = true;
  writer.join();
  std::printf(
      "  %.0f changes of single entries a second, as a tool makes them; a frame takes %u ns meanwhile, %u without\n",
      static_cast<double>(changes) / seconds(Clock::now() - begin), busy, quiet);
  const auto memory = maps.set_table(control::filter_state(maps, now())->table);
  ASSERT_TRUE(memory.ok() && *memory);
  control::SetTable table((*memory)->rows());
  constexpr int kTimes = 200'000;
  const auto store = Clock::now();
  for (int i = 0; i < kTimes; ++i) {
    const SetPrefix p = entry(false, static_cast<std::uint64_t>(i % 1000) + kMillion, 32).prefix;
    if (i % 2000 < 1000)
      static_cast<void>(table.add(0, {p, 0}, 1));
    else
      static_cast<void>(table.remove(0, p, 1));
  }
  std::printf("  one entry in the open table: %.0f ns\n", seconds(Clock::now() - store) * 1e9 / kTimes);
}

}  // namespace
}  // namespace weir::bpf_test
