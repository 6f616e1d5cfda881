// SPDX-License-Identifier: MIT
// Copies of frames for who listens, and the latest dropped frame of each reason.
#include "weir/control/capture.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gmock/gmock.h>
#include <net/if.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "weir/control/drop_samples.h"
#include "weir/control/heartbeat.h"
#include "weir/control/rule_names.h"
#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

using control::CaptureOptions;
using control::monotonic_now;

class Capture : public XdpTest {
 protected:
  struct Copy {
    weir_capture_record record;
    Octets octets;
  };

  void SetUp() override {
    XdpTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    maps_ = std::make_unique<xdp::Maps>(maps());
  }

  // A lease from then does not run out while a slow machine takes its time.
  static Instant later() { return monotonic_now() + Duration::seconds(3600); }
  control::Capture listen(const CaptureOptions& options = {}) {
    auto capture = control::Capture::open(*maps_, options, monotonic_now());
    EXPECT_TRUE(capture.ok()) << capture.error().message;
    EXPECT_TRUE(capture->renew(later()).ok());
    return std::move(*capture);
  }
  static std::vector<Copy> copies(control::Capture& capture) {
    std::vector<Copy> out;
    capture.drain([&](const weir_capture_record& record, std::span<const std::byte> octets) {
      Copy c{record, Octets(octets.size())};
      std::memcpy(c.octets.data(), octets.data(), octets.size());
      out.push_back(std::move(c));
    });
    return out;
  }
  static weir_rule named(const char* name, weir_action action, std::uint16_t counter) {
    weir_rule r = rule(action, counter);
    std::snprintf(r.name, sizeof r.name, "%s", name);
    return r;
  }
  std::uint32_t listening() const { return xdp::load(maps_->config().captures); }

  std::unique_ptr<xdp::Maps> maps_;
};

TEST_F(Capture, TellsWhatBecameOfAFrameAndWhy) {
  weir_rule refused = named("refused", WEIR_ACTION_DROP, 0);
  refused.fields = 1u << WEIR_FIELD_PROTOCOL;
  refused.protocol = IPPROTO_UDP;
  weir_rule other = named("other", WEIR_ACTION_DROP, 1);
  other.fields = 1u << WEIR_FIELD_PROTOCOL;
  other.protocol = IPPROTO_ICMP;
  set_filter(0, {other, refused});
  control::Capture capture = listen();
  for (const Packet& p : {tcp4("A", kKernelPort), tcp6("S"), udp4(), udp6()}) run(p);
  const auto told = copies(capture);
  ASSERT_EQ(told.size(), 4u);
  EXPECT_EQ(told[0].record.reason, WEIR_R_PASS_NOT_STEERED);
  EXPECT_EQ(told[0].octets, tcp4("A", kKernelPort).bytes());
  EXPECT_EQ(told[0].record.rule, WEIR_NONE);
  EXPECT_EQ(told[0].record.steer, WEIR_NONE);
  EXPECT_EQ(told[1].record.reason, WEIR_R_STEER_SYN);
  EXPECT_EQ(told[1].octets, tcp6("S").bytes());
  EXPECT_EQ(told[1].record.steer, kTcpEntry);
  control::RuleNames names(*maps_);
  for (const std::size_t i : {2u, 3u}) {
    EXPECT_EQ(told[i].record.reason, WEIR_R_DROP_FILTER);
    EXPECT_EQ(names.find(told[i].record.generation, told[i].record.rule, monotonic_now()), "refused");
    EXPECT_GE(told[i].record.time_ns, told[i - 1].record.time_ns);
  }
  EXPECT_EQ(names.find(told[2].record.generation + 7, told[2].record.rule, monotonic_now()), std::nullopt);
  EXPECT_EQ(capture.totals().captured, 4u);
}

TEST_F(Capture, NamesTheQueue) {
  ASSERT_TRUE(ip("link add cq0 numrxqueues 4 numtxqueues 4 type veth peer name cq1 numrxqueues 4 numtxqueues 4"));
  const unsigned ifindex = if_nametoindex("cq0");
  ASSERT_NE(ifindex, 0u);
  control::Capture capture = listen();
  run(udp4(53), {3, ifindex});
  run(udp6(53), {0, ifindex});
  const auto told = copies(capture);
  ASSERT_EQ(told.size(), 2u);
  EXPECT_EQ(told[0].record.queue, 3u);
  EXPECT_EQ(told[1].record.queue, 0u);
}

TEST_F(Capture, GivesWhatWasAskedForAndNoMore) {
  weir_rule sampled = rule(WEIR_ACTION_ACCEPT, 0);
  sampled.sample = 1;
  sampled.fields = 1u << WEIR_FIELD_PROTOCOL;
  sampled.protocol = IPPROTO_UDP;
  set_filter(0, {sampled});
  control::Capture everything = listen({~std::uint64_t{0}, 20, false});
  control::Capture steered = listen({std::uint64_t{1} << WEIR_R_STEER_SYN, 9000, false});
  control::Capture samples = listen({~std::uint64_t{0}, 9000, true});
  for (const Packet& p : {tcp4("A", kKernelPort), tcp4("S"), udp4(), tcp6("S")}) run(p);
  const auto cut = copies(everything);
  ASSERT_EQ(cut.size(), 4u);
  for (const Copy& c : cut) EXPECT_EQ(c.octets.size(), 20u);
  EXPECT_EQ(cut[2].record.flags, WEIR_CAPTURE_SAMPLED);
  EXPECT_EQ(cut[2].record.length, udp4().bytes().size());
  EXPECT_EQ(copies(steered).size(), 2u);
  const auto one = copies(samples);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0].octets, udp4().bytes());
  EXPECT_EQ(samples.totals().captured, 1u);
}

TEST_F(Capture, SamplesOneInSoMany) {
  weir_rule few = rule(WEIR_ACTION_ACCEPT, 0);
  few.sample = 100;
  set_filter(0, {few});
  control::Capture samples = listen({~std::uint64_t{0}, 1, true});
  run_repeatedly(tcp4("A", kKernelPort), 100'000);
  // Seven standard deviations of a fair choice.
  EXPECT_NEAR(static_cast<double>(samples.totals().captured), 1000, 220);
}

TEST_F(Capture, CountsWhatFindsNoRoom) {
  control::Capture capture = listen();
  constexpr std::uint32_t kFrames = 200'000;
  run_repeatedly(tcp4("A", kKernelPort), kFrames);
  const std::size_t came = copies(capture).size();
  ASSERT_TRUE(capture.stop(later()).ok());
  EXPECT_EQ(capture.totals().captured, kFrames);
  EXPECT_GT(capture.totals().lost, 0u);
  EXPECT_EQ(capture.totals().lost + came, kFrames);
  EXPECT_EQ(listening(), 0u);
}

TEST_F(Capture, EndsWithItsLease) {
  control::Capture capture = listen();
  EXPECT_EQ(listening(), 1u);
  // As if its owner had been stopped: the deadline is what it was a while ago.
  const std::uint32_t slot = 0;
  weir_capture_slot raw{};
  const int map = bpf_map__fd(skeleton()->maps.capture_slots);
  ASSERT_EQ(bpf_map_lookup_elem(map, &slot, &raw), 0);
  raw.until_ns = 1;
  ASSERT_EQ(bpf_map_update_elem(map, &slot, &raw, BPF_ANY), 0);
  run(tcp4("S"));
  EXPECT_EQ(listening(), 0u);
  EXPECT_EQ(copies(capture).size(), 0u);
  // Nobody has come in between: it goes on.
  ASSERT_TRUE(capture.renew(later()).ok());
  run(tcp4("S"));
  EXPECT_EQ(copies(capture).size(), 1u);
  // Now somebody does.
  raw.until_ns = 1;
  ASSERT_EQ(bpf_map_update_elem(map, &slot, &raw, BPF_ANY), 0);
  control::Capture next = listen();
  const auto renewed = capture.renew(later());
  ASSERT_FALSE(renewed.ok());
  EXPECT_EQ(renewed.error().code, EOWNERDEAD);
  run(tcp4("S"));
  EXPECT_EQ(copies(next).size(), 1u);
}

TEST_F(Capture, TakesAsManyAsThereAreSlots) {
  std::vector<control::Capture> all;
  for (int i = 0; i < WEIR_CAPTURE_SLOTS; ++i) all.push_back(listen());
  const auto refused = control::Capture::open(*maps_, {}, monotonic_now());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, EBUSY);
  EXPECT_THAT(refused.error().message, testing::HasSubstr(std::to_string(getpid())));
  run(udp6());
  for (control::Capture& c : all) EXPECT_EQ(copies(c).size(), 1u);
  all.clear();
  EXPECT_EQ(listening(), 0u);
  listen();
}

TEST_F(Capture, KeepsTheLatestDropOfEachReason) {
  EXPECT_TRUE(control::read_drop_samples(*maps_)->empty());
  weir_rule refused = rule(WEIR_ACTION_DROP, 0);
  refused.fields = 1u << WEIR_FIELD_PROTOCOL;
  refused.protocol = IPPROTO_UDP;
  weir_rule other = rule(WEIR_ACTION_DROP, 1);
  other.fields = 1u << WEIR_FIELD_PROTOCOL;
  other.protocol = IPPROTO_ICMP;
  set_filter(0, {other, refused});
  Octets malformed = tcp4("A").bytes();
  malformed.resize(20);
  run(malformed);
  run(udp6().text(200));
  run(tcp4("S"));
  const auto samples = control::read_drop_samples(*maps_);
  ASSERT_TRUE(samples.ok()) << samples.error().message;
  ASSERT_EQ(samples->size(), 2u);
  EXPECT_EQ((*samples)[0].reason, WEIR_R_DROP_MALFORMED);
  EXPECT_EQ((*samples)[0].length, 20u);
  EXPECT_EQ((*samples)[0].octets.size(), 20u);
  EXPECT_EQ((*samples)[1].reason, WEIR_R_DROP_FILTER);
  EXPECT_EQ((*samples)[1].octets.size(), std::size_t{WEIR_DROP_SAMPLE_OCTETS});
  EXPECT_EQ((*samples)[1].length, udp6().text(200).bytes().size());
  EXPECT_EQ((*samples)[1].rule, 1u);
  EXPECT_EQ(std::memcmp((*samples)[1].octets.data(), udp6().text(200).bytes().data(), WEIR_DROP_SAMPLE_OCTETS), 0);
}

TEST_F(Capture, KeepsOneDropOfManyInAMoment) {
  set_filter(0, {rule(WEIR_ACTION_DROP, 0)});
  run_repeatedly(udp6(), 10'000);
  const std::uint32_t key = WEIR_R_DROP_FILTER;
  std::vector<weir_drop_sample> each(static_cast<std::size_t>(libbpf_num_possible_cpus()));
  ASSERT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton()->maps.drop_samples), &key, each.data()), 0);
  std::uint32_t written = 0;
  for (const weir_drop_sample& s : each) written += s.sequence / 2;
  EXPECT_GE(written, 1u);
  EXPECT_LT(written, 1000u);
}

// Printed for information, as Speed's.
TEST_F(Capture, SpeedWhileSomebodyListens) {
  const Packet frame = tcp4("A", kKernelPort);
  const auto best = [&](auto measure) {
    std::uint32_t ns = ~0u;
    for (int i = 0; i < 20; ++i) ns = std::min(ns, measure());
    return ns;
  };
  const auto some = [&] { return run_repeatedly(frame, 5000).mean_ns; };
  std::printf("  %4u ns  nobody listens\n", best(some));
  // On a busy machine a lease may run out between two runs.
  const auto listened_to = [&](control::Capture& capture) {
    EXPECT_TRUE(capture.renew(later()).ok());
    return some();
  };
  {
    control::Capture other = listen({std::uint64_t{1} << WEIR_R_DROP_FILTER, 96, false});
    std::printf("  %4u ns  a dump of other frames\n", best([&] { return listened_to(other); }));
  }
  control::Capture capture = listen();
  std::printf("  %4u ns  a dump that reads them\n", best([&] {
                const std::uint32_t ns = listened_to(capture);
                copies(capture);
                return ns;
              }));
  run_repeatedly(frame, 100'000);
  std::printf("  %4u ns  a dump that reads none\n", best([&] { return listened_to(capture); }));
}

}  // namespace
}  // namespace weir::bpf_test
