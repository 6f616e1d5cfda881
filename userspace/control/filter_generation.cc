// SPDX-License-Identifier: MIT
#include "weir/control/filter_generation.h"

#include <cstring>

#include "weir/control/filter_field.h"

namespace weir::control {
namespace {

__extension__ typedef unsigned __int128 Wide;

weir_rule_verdict verdict_of(const weir_rule& rule) {
  weir_rule_verdict out{};
  out.action = rule.action;
  out.limit = rule.limit;
  out.counter = rule.counter;
  out.sample = rule.sample;
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

template <class T>
void append(std::vector<weir_row>& rows, std::span<const T> values, std::size_t a_row) {
  for (std::size_t i = 0; i < values.size(); i += a_row) {
    weir_row row{};
    std::memcpy(&row, &values[i], sizeof(T) * std::min(a_row, values.size() - i));
    rows.push_back(row);
  }
}

}  // namespace

std::vector<weir_row> compile(std::span<const weir_rule> rules, std::uint32_t next_name, std::uint32_t sets) {
  weir_generation header{};
  header.rules = static_cast<weir_u32>(rules.size());
  header.next_name = next_name;
  header.sets = sets;
  RuleSet every;
  std::vector<weir_rule_verdict> verdicts;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    every.insert(i);
    header.fields |= rules[i].fields;
    header.source_sets |= rules[i].source_sets;
    header.destination_sets |= rules[i].destination_sets;
    verdicts.push_back(verdict_of(rules[i]));
  }
  std::vector<weir_row> rows(2);
  rows[WEIR_ROW_ALL].vector = every.vector();
  for (unsigned f = 0; f < WEIR_FIELD_COUNT; ++f)
    if ((header.fields >> f & 1u) != 0) header.field[f] = FieldRows(static_cast<weir_field>(f), rules).place(rows);

  const auto here = [&] { return static_cast<weir_u32>(rows.size()); };
  header.verdicts = here();
  append(rows, std::span<const weir_rule_verdict>(verdicts), WEIR_VERDICTS_A_ROW);
  header.definitions = here();
  // Without gaps, so that they read as an array.
  std::vector<weir_u8> octets(rules.size_bytes());
  if (!rules.empty()) std::memcpy(octets.data(), rules.data(), octets.size());
  append(rows, std::span<const weir_u8>(octets), WEIR_ROW_SIZE);
  header.rows = here();
  rows[0].generation = header;
  return rows;
}

}  // namespace weir::control
