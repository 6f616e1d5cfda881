// SPDX-License-Identifier: MIT
#include "weir/control/drop_samples.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>

#include "weir/control/stats.h"

namespace weir::control {
namespace {

// XDP writes one for some dozens of nanoseconds, and then leaves it alone for a good part of a second.
constexpr int kAttempts = 16;

bool is_whole(const weir_drop_sample& before, const weir_drop_sample& after) {
  return before.sequence == after.sequence && before.sequence % 2 == 0;
}

DropSample sample_of(weir_reason reason, const weir_drop_sample& raw) {
  DropSample out;
  out.reason = reason;
  out.at = Instant::from_ns(static_cast<std::int64_t>(raw.time_ns));
  out.generation = raw.generation;
  out.rule = raw.rule;
  out.length = raw.length;
  const auto* octets = reinterpret_cast<const std::byte*>(raw.octets);
  out.octets.assign(octets, octets + std::min<std::uint32_t>(raw.captured, WEIR_DROP_SAMPLE_OCTETS));
  return out;
}

}  // namespace

Outcome<std::vector<DropSample>> read_drop_samples(const xdp::Maps& maps) {
  const int map = maps.fds()[static_cast<std::size_t>(xdp::MapId::drop_samples)];
  if (map < 0) return xdp::fail("the samples of dropped frames are root's: run it as root", EPERM);
  const int cpus = libbpf_num_possible_cpus();
  if (cpus < 1) return xdp::fail("counting the CPUs failed: is /sys mounted?", -cpus);
  std::vector<weir_drop_sample> before(static_cast<std::size_t>(cpus));
  std::vector<weir_drop_sample> after(before.size());
  std::vector<DropSample> out;
  for (const ReasonFacts& facts : reasons()) {
    if (facts.verdict != WEIR_V_DROP || facts.reason >= WEIR_DROP_SAMPLES) continue;
    const std::uint32_t key = facts.reason;
    const weir_drop_sample* latest = nullptr;
    std::vector<bool> taken(before.size());
    std::vector<weir_drop_sample> whole(before.size());
    for (int i = 0; i < kAttempts && std::find(taken.begin(), taken.end(), false) != taken.end(); ++i) {
      if (bpf_map_lookup_elem(map, &key, before.data()) != 0 || bpf_map_lookup_elem(map, &key, after.data()) != 0)
        return Err(xdp::system_error(errno, "reading the samples of dropped frames"));
      for (std::size_t cpu = 0; cpu < before.size(); ++cpu) {
        if (taken[cpu] || !is_whole(before[cpu], after[cpu])) continue;
        taken[cpu] = true;
        whole[cpu] = before[cpu];
      }
    }
    for (const weir_drop_sample& s : whole)
      if (s.time_ns != 0 && (latest == nullptr || s.time_ns > latest->time_ns)) latest = &s;
    if (latest != nullptr) out.push_back(sample_of(facts.reason, *latest));
  }
  return out;
}

}  // namespace weir::control
