// SPDX-License-Identifier: MIT
#include "weir/control/filter_generation.h"

#include "weir/control/filter_field.h"

namespace weir::control {
namespace {

__extension__ typedef unsigned __int128 Wide;

weir_rule_limit limit_of(const weir_rule& rule) {
  weir_rule_limit out{};
  if (rule.limit == 0) return out;
  out.rate = rule.rate;
  out.depth = static_cast<weir_u64>(Wide{rule.burst} * WEIR_LIMIT_SECOND / rule.rate);
  // Rounded up, so that the rate is not exceeded; the burst is then counted in the same rounded packets.
  if ((rule.limit & WEIR_LIMIT_PACKETS) != 0) {
    out.cost = (WEIR_LIMIT_SECOND + rule.rate - 1) / rule.rate;
    out.depth = rule.burst * out.cost;
  }
  return out;
}

}  // namespace

std::vector<weir_chunk> compile(std::span<const weir_rule> rules, std::uint32_t next_name, std::uint32_t sets) {
  weir_generation header{};
  header.rules = static_cast<weir_u32>(rules.size());
  header.next_name = next_name;
  header.sets = sets;
  std::vector<weir_rule_verdict> verdicts;
  std::vector<weir_rule_limit> limits;
  bool limited = false;
  for (const weir_rule& rule : rules) {
    header.fields |= rule.fields;
    header.source_sets |= rule.source_sets;
    header.destination_sets |= rule.destination_sets;
    verdicts.push_back({rule.action, rule.limit, rule.counter, rule.sample});
    limits.push_back(limit_of(rule));
    limited |= rule.limit != 0;
  }
  for (unsigned bit = 0; bit < 64; ++bit)
    header.bits[(std::uint64_t{1} << bit) * WEIR_BITS_FACTOR >> 58] = static_cast<weir_u8>(bit);
  std::vector<FieldTables> fields;
  fields.reserve(WEIR_FIELD_COUNT);
  Layout layout;
  for (unsigned f = 0; f < WEIR_FIELD_COUNT; ++f)
    if ((header.fields >> f & 1u) != 0)
      fields.emplace_back(static_cast<weir_field>(f), rules).place(header.field[f], layout);
  layout.add<weir_rule_verdict>(verdicts, sizeof(weir_rule_verdict), header.verdicts);
  if (limited) layout.add_last<weir_rule_limit>(limits, sizeof(weir_rule_limit), header.limits);
  layout.add_last<weir_rule>(rules, alignof(weir_rule), header.definitions);
  return layout.make(header);
}

}  // namespace weir::control
