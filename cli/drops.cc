// SPDX-License-Identifier: MIT
// weir drops: why XDP has dropped frames, and the latest of each reason.
#include <fmt/core.h>

#include "dump_view.h"
#include "output.h"
#include "table.h"
#include "weir/control/drop_samples.h"
#include "weir/control/heartbeat.h"
#include "weir/control/rule_names.h"
#include "weir/control/stats.h"
#include "weir/control/test_packet.h"

namespace weir::cli {
namespace {

struct Row {
  const control::ReasonFacts* facts = nullptr;
  weir_counter count{};
  const control::DropSample* sample = nullptr;  // the latest, where there is one
  std::optional<std::string> rule;
};

std::string ago(Duration age) { return seconds_text(age) + " ago"; }

Json to_json(const Row& row, Instant now) {
  Json out;
  out["reason"] = row.facts->name;
  out["text"] = row.facts->text;
  out["packets"] = row.count.packets;
  out["bytes"] = row.count.bytes;
  out["latest"] = nullptr;
  if (row.sample == nullptr) return out;
  const control::DropSample& s = *row.sample;
  out["latest"] = {{"monotonic_ns", s.at.ns()},
                   {"age_ns", (now - s.at).count_ns()},
                   {"rule", row.rule ? Json(*row.rule) : Json(nullptr)},
                   {"length", s.length},
                   {"packet", control::frame_text(s.octets, s.length)},
                   {"octets", hex(s.octets.data(), s.octets.size())}};
  return out;
}

std::string to_text(const std::string& interface, const std::vector<Row>& rows, Instant now) {
  using Align = Columns::Align;
  Columns columns({{"REASON"}, {"PACKETS", Align::right}, {"LATEST", Align::right}, {"RULE"}, {"PACKET"}});
  std::uint64_t sum = 0;
  for (const Row& row : rows) {
    sum += row.count.packets;
    const control::DropSample* s = row.sample;
    columns.row({row.facts->name, std::to_string(row.count.packets), s != nullptr ? ago(now - s->at) : "-",
                 row.rule.value_or("-"), s != nullptr ? control::frame_text(s->octets, s->length) : "-"});
  }
  return fmt::format("{}: {} dropped since attach\n", interface, count_text(sum, "frame", "frames")) +
         (rows.empty() ? "" : columns.text());
}

}  // namespace

Outcome<int> run_drops(const Context& context) {
  const auto instance = choose_instance(context.args.get("IFACE"));
  if (!instance) return Err(instance.error());
  const xdp::Maps& maps = instance->maps();
  const auto samples = control::read_drop_samples(maps);
  if (!samples) return Err(samples.error());
  const auto counters = maps.counters();
  if (!counters) return Err(counters.error());
  const Instant now = control::monotonic_now();
  control::RuleNames names(maps);
  names.look();
  std::vector<Row> rows;
  for (const control::ReasonFacts& facts : control::reasons()) {
    if (facts.verdict != WEIR_V_DROP || (*counters)[facts.reason].packets == 0) continue;
    Row row{&facts, (*counters)[facts.reason], nullptr, {}};
    for (const control::DropSample& s : *samples)
      if (s.reason == facts.reason) row.sample = &s;
    if (row.sample != nullptr && row.sample->rule != WEIR_NONE) {
      row.rule = names.find(row.sample->generation, row.sample->rule, now);
      if (!row.rule) row.rule = fmt::format("#{}", row.sample->rule);
    }
    rows.push_back(std::move(row));
  }
  if (context.json) {
    Json drops = Json::array();
    for (const Row& row : rows) drops.push_back(to_json(row, now));
    print_line({{"interface", instance->interface()}, {"drops", std::move(drops)}});
  } else {
    print(to_text(instance->interface(), rows, now));
  }
  return kOk;
}

}  // namespace weir::cli
