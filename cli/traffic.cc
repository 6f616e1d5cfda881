// SPDX-License-Identifier: MIT
#include "traffic.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <unordered_map>

#include "engines.h"
#include "words.h"

namespace weir::cli {
namespace {

double over(std::uint64_t count, double seconds) { return seconds > 0 ? static_cast<double>(count) / seconds : 0; }

std::uint64_t since(std::uint64_t later, std::uint64_t earlier) { return later >= earlier ? later - earlier : later; }

// `total` so far, of which `change` in `interval`.
Volume volume_of(const weir_counter& total, const weir_counter* change, const std::optional<double>& interval) {
  Volume out;
  out.packets = total.packets;
  out.bytes = total.bytes;
  if (change != nullptr && interval) {
    out.packets_per_second = over(change->packets, *interval);
    out.bits_per_second = over(change->bytes, *interval) * 8;
  }
  return out;
}

void add(Volume& sum, const Volume& one) {
  sum.packets += one.packets;
  sum.packets_per_second += one.packets_per_second;
  if (one.bytes) sum.bytes = sum.bytes.value_or(0) + *one.bytes;
  if (one.bits_per_second) sum.bits_per_second = sum.bits_per_second.value_or(0) + *one.bits_per_second;
}

std::uint64_t number(const Json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}
std::string text(const Json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The worse of two, where an engine's queues are not of one age.
int badness(const std::string& state) {
  static const std::vector<std::string> order = {"alive", "silent", "stopped", "dead"};
  return static_cast<int>(std::find(order.begin(), order.end(), state) - order.begin());
}

std::vector<EngineTraffic> engines_of(const Observation& now, const control::Snapshot* change,
                                      const std::optional<double>& interval) {
  std::map<std::uint32_t, EngineTraffic> by_pid;
  const control::Snapshot& s = now.snapshot;
  for (std::size_t i = 0; i < s.queues.size(); ++i) {
    const control::QueueStatus& queue = s.queues[i];
    if (queue.engine == control::EngineState::absent) continue;
    EngineTraffic& engine = by_pid[queue.pid];
    const std::string state = view(queue).name;
    if (engine.queues.empty() || badness(state) > badness(engine.state)) engine.state = state;
    engine.pid = queue.pid;
    if (i < now.applications.size()) engine.application = now.applications[i];
    engine.queues.push_back(queue.queue);
    engine.heartbeat_age = std::max(engine.heartbeat_age, queue.heartbeat_age);
    engine.uptime = std::max(engine.uptime, queue.uptime);
    engine.loop_lag = std::max(engine.loop_lag, queue.loop_lag);
    if (change == nullptr || !interval) continue;
    for (const control::EngineQueueCounters& counted : change->engine) {
      if (counted.queue != queue.queue) continue;
      for (const control::ReasonFacts& r : control::reasons()) {
        const double rate = over(counted.by_reason[r.reason], *interval);
        if (r.verdict == WEIR_V_TAKEN) engine.taken_per_second += rate;
        if (r.verdict == WEIR_V_LOST) engine.lost_per_second += rate;
        if (r.verdict == WEIR_V_RING) engine.ring_per_second += rate;
      }
    }
  }
  std::vector<EngineTraffic> out;
  for (auto& [pid, engine] : by_pid) out.push_back(std::move(engine));
  // An interface has one engine; its connections are counted by port.
  if (out.size() == 1)
    for (const control::SteerEntry& entry : s.steered) out.front().connections += entry.flows;
  return out;
}

std::vector<ConnectionTraffic> connections_of(const Connections& now, const Connections* before) {
  std::unordered_map<std::string, const Connection*> earlier;
  double seconds = 0;
  if (before != nullptr) {
    seconds = static_cast<double>((now.at - before->at).count_ns()) / 1e9;
    for (const Connection& c : before->all) earlier.emplace(c.local + " " + c.remote, &c);
  }
  std::vector<ConnectionTraffic> out;
  out.reserve(now.all.size());
  for (const Connection& c : now.all) {
    static const Connection kNew;
    const auto found = earlier.find(c.local + " " + c.remote);
    const Connection& then = found == earlier.end() ? kNew : *found->second;
    ConnectionTraffic t;
    t.connection = c;
    t.received_per_second = over(since(c.bytes_received, then.bytes_received), seconds) * 8;
    t.sent_per_second = over(since(c.bytes_acked, then.bytes_acked), seconds) * 8;
    t.retransmits_per_second = over(since(c.retransmits, then.retransmits), seconds);
    out.push_back(std::move(t));
  }
  return out;
}

}  // namespace

Connections read_connections(const Json& answer, Instant at) {
  Connections out;
  out.at = at;
  out.time_wait = number(answer, "time_wait");
  const auto list = answer.find("connections");
  if (list == answer.end() || !list->is_array()) return out;
  for (const Json& one : *list) {
    if (!one.is_object()) continue;
    out.all.push_back({text(one, "local"), text(one, "remote"), text(one, "state"), number(one, "bytes_received"),
                       number(one, "bytes_acked"), number(one, "retransmits"), number(one, "srtt_us"),
                       number(one, "recv_queue"), number(one, "send_queue")});
  }
  return out;
}

Traffic make_traffic(const Observation& now, const Observation* before) {
  Traffic out;
  const control::Snapshot& s = now.snapshot;
  std::optional<control::Snapshot> change;
  if (before != nullptr) {
    change = control::difference(s, before->snapshot);
    out.interval = static_cast<double>((s.at - before->snapshot.at).count_ns()) / 1e9;
  }
  const control::Snapshot* changed = change ? &*change : nullptr;
  for (int v = 0; v < WEIR_VERDICT_COUNT; ++v) out.verdicts.push_back({static_cast<weir_verdict>(v), {}});
  for (const control::ReasonFacts& facts : control::reasons()) {
    Volume volume;
    if (control::is_of_xdp(facts)) {
      volume = volume_of(s.xdp[facts.reason], changed ? &changed->xdp[facts.reason] : nullptr, out.interval);
    } else {
      volume.packets = s.engine_total(facts.reason);
      if (changed) volume.packets_per_second = over(changed->engine_total(facts.reason), *out.interval);
    }
    add(out.verdicts[facts.verdict].volume, volume);
    out.reasons.push_back({&facts, volume});
  }
  for (std::size_t i = 0; i < s.rules.size(); ++i)
    out.rules.push_back({s.rules[i].name, s.rules[i].to_string(),
                         volume_of(s.rules[i].hits, changed ? &changed->rules[i].hits : nullptr, out.interval)});
  const std::uint64_t serving = serving_queues(s.queues);
  for (std::size_t i = 0; i < s.steered.size(); ++i)
    out.ports.push_back(
        {s.steered[i], listening_name(s.steered[i], serving),
         volume_of(s.steered[i].counter, changed ? &changed->steered[i].counter : nullptr, out.interval)});
  out.engines = engines_of(now, changed, out.interval);
  if (now.connections) {
    out.connections =
        connections_of(*now.connections, before != nullptr && before->connections ? &*before->connections : nullptr);
    out.connections_have_rates = before != nullptr && before->connections;
    out.time_wait = now.connections->time_wait;
  }
  out.filter_pending = s.filter_pending;
  out.filter_rolled_back = s.filter_rolled_back;
  return out;
}

std::string rate_text(double rate) {
  if (rate >= 1e9) return fmt::format("{:.2f}G", rate / 1e9);
  if (rate >= 1e6) return fmt::format("{:.2f}M", rate / 1e6);
  if (rate >= 1e4) return fmt::format("{:.1f}k", rate / 1e3);
  // A frame every few seconds is not none.
  if (rate > 0 && rate < 10) return fmt::format("{:.1f}", rate);
  return fmt::format("{:.0f}", rate);
}

void put_volume(Json& into, const Volume& volume, bool rates) {
  into["packets"] = volume.packets;
  into["bytes"] = volume.bytes ? Json(*volume.bytes) : Json(nullptr);
  if (!rates) return;
  into["packets_per_second"] = volume.packets_per_second;
  into["bits_per_second"] = volume.bits_per_second ? Json(*volume.bits_per_second) : Json(nullptr);
}

}  // namespace weir::cli
