// SPDX-License-Identifier: MIT
#include "weir/control/filter_field.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <map>

#include "weir/base/bytes.h"

namespace weir::control {
namespace {

constexpr std::uint64_t kLastKey = std::numeric_limits<std::uint64_t>::max();

std::uint64_t hash(const RuleSet& set) {
  std::uint64_t h = 0;
  for (const std::uint64_t w : set.words()) h = (h ^ w) * 0x9e3779b97f4a7c15u + (h >> 29);
  return h;
}

// The values of a field that is a range of numbers.
std::pair<std::uint64_t, std::uint64_t> range_of(const weir_rule& r, weir_field field) {
  const auto of = [](const auto& pair) { return std::pair<std::uint64_t, std::uint64_t>(pair[0], pair[1]); };
  switch (field) {
    case WEIR_FIELD_SOURCE_PORT:
      return of(r.source_port);
    case WEIR_FIELD_DESTINATION_PORT:
      return of(r.destination_port);
    case WEIR_FIELD_ICMP_TYPE:
      return of(r.icmp_type);
    case WEIR_FIELD_VLAN:
      return of(r.vlan);
    case WEIR_FIELD_FRAGMENT:
      return of(r.fragment);
    case WEIR_FIELD_LENGTH:
      return of(r.length);
    default:
      return {r.protocol, r.protocol};
  }
}

// The last key of a prefix that begins at `first` and leaves `free` bits open.
std::uint64_t last_of(std::uint64_t first, unsigned free) {
  return free >= 64 ? kLastKey : first | ((std::uint64_t{1} << free) - 1);
}

template <class To, class From>
void append(std::vector<weir_row>& rows, To weir_row::*member, const std::vector<From>& from) {
  for (const From& f : from) {
    weir_row row{};
    row.*member = f;
    rows.push_back(row);
  }
}

}  // namespace

weir_vector RuleSet::vector() const {
  weir_vector out{};
  for (std::size_t w = 0; w < words_.size(); ++w) {
    out.words[w] = words_[w];
    if (words_[w] != 0) out.summary |= std::uint64_t{1} << w;
  }
  return out;
}

FieldRows::FieldRows(weir_field field, std::span<const weir_rule> rules) : field_(field) {
  for (std::size_t i = 0; i < rules.size(); ++i)
    if (!asks(rules[i])) unasked_.insert(i);
  none_ = class_of(unasked_);
  switch (field) {
    case WEIR_FIELD_SOURCE:
    case WEIR_FIELD_DESTINATION:
      by_address(rules);
      break;
    case WEIR_FIELD_TCP_FLAGS:
      by_flags(rules);
      break;
    case WEIR_FIELD_SOURCE_SETS:
    case WEIR_FIELD_DESTINATION_SETS:
      by_sets(rules);
      break;
    case WEIR_FIELD_SOURCE_PORT:
    case WEIR_FIELD_DESTINATION_PORT:
    case WEIR_FIELD_LENGTH:
      by_value(rules, 65536);
      break;
    case WEIR_FIELD_VLAN:
      by_value(rules, WEIR_VLAN_VALUES);
      break;
    default:
      by_value(rules, 256);
  }
}

std::uint32_t FieldRows::class_of(const RuleSet& set) {
  const std::uint64_t h = hash(set);
  const weir_vector vector = set.vector();
  const auto [first, last] = by_hash_.equal_range(h);
  for (auto at = first; at != last; ++at)
    if (std::memcmp(&vectors_[at->second], &vector, sizeof vector) == 0) return at->second;
  const auto number = static_cast<std::uint32_t>(vectors_.size());
  vectors_.push_back(vector);
  by_hash_.emplace(h, number);
  return number;
}

// Calls entry(start, last, holding) for each interval, in order, from key 0 to the last key.
template <class Entry>
std::vector<FieldRows::Interval> FieldRows::sweep(std::span<const Span> spans, RuleSet holding, Entry entry) {
  struct Limit {
    std::uint64_t key;
    std::size_t rule;
    bool begins;
  };
  std::vector<Limit> limits;
  limits.reserve(2 * spans.size());
  for (const Span& s : spans) {
    limits.push_back({s.first, s.rule, true});
    if (s.last != kLastKey) limits.push_back({s.last + 1, s.rule, false});
  }
  std::sort(limits.begin(), limits.end(), [](const Limit& a, const Limit& b) { return a.key < b.key; });
  std::vector<Interval> out;
  std::size_t next = 0;
  std::uint64_t start = 0;
  for (;;) {
    for (; next < limits.size() && limits[next].key == start; ++next) {
      if (limits[next].rule == kNoRule) continue;
      if (limits[next].begins)
        holding.insert(limits[next].rule);
      else
        holding.erase(limits[next].rule);
    }
    const std::uint64_t last = next < limits.size() ? limits[next].key - 1 : kLastKey;
    const std::uint32_t e = entry(start, last, holding);
    if (out.empty() || out.back().entry != e) out.push_back({start, e});
    if (last == kLastKey) return out;
    start = last + 1;
  }
}

void FieldRows::by_value(std::span<const weir_rule> rules, std::size_t values) {
  std::vector<Span> spans;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!asks(rules[i])) continue;
    const auto [first, last] = range_of(rules[i], field_);
    spans.push_back({first, last, i});
  }
  table_.resize((values + 255) / 256);
  static_cast<void>(sweep(spans, unasked_, [&](std::uint64_t start, std::uint64_t last, const RuleSet& set) {
    // Rows are whole: values beyond the field's own never come, and belong to the last class.
    const std::uint64_t end = std::min<std::uint64_t>(last, table_.size() * 256 - 1);
    if (start > end) return 0u;
    const std::uint32_t c = class_of(set);
    for (std::uint64_t v = start; v <= end; ++v) table_[v / 256].entries[v % 256] = static_cast<weir_u16>(c);
    return c;
  }));
}

void FieldRows::by_flags(std::span<const weir_rule> rules) {
  table_.resize(1);
  for (unsigned flags = 0; flags < 256; ++flags) {
    RuleSet set = unasked_;
    for (std::size_t i = 0; i < rules.size(); ++i)
      if (asks(rules[i]) && (flags & rules[i].tcp_mask) == rules[i].tcp_flags) set.insert(i);
    table_[0].entries[flags] = static_cast<weir_u16>(class_of(set));
  }
}

// Values are memberships, a bit for each set; those of sets that no rule asks for never come.
void FieldRows::by_sets(std::span<const weir_rule> rules) {
  std::map<weir_u32, RuleSet> asking;  // by the sets that all of them ask for
  weir_u32 asked = 0;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!asks(rules[i])) continue;
    const weir_u32 sets = field_ == WEIR_FIELD_SOURCE_SETS ? rules[i].source_sets : rules[i].destination_sets;
    asking[sets].insert(i);
    asked |= sets;
  }
  const std::size_t values = std::size_t{1} << std::bit_width(asked);
  table_.resize((values + 255) / 256);
  for (std::size_t v = 0; v < values; ++v) {
    if ((v & ~std::size_t{asked}) != 0) continue;
    RuleSet set = unasked_;
    for (const auto& [sets, more] : asking)
      if ((v & sets) == sets) set.insert(more);
    table_[v / 256].entries[v % 256] = static_cast<weir_u16>(class_of(set));
  }
}

void FieldRows::by_address(std::span<const weir_rule> rules) {
  std::vector<Span> v4;
  std::vector<Span> high;
  std::map<std::uint64_t, std::vector<Span>> low;  // by the upper half, of prefixes longer than that
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!asks(rules[i])) continue;
    const weir_prefix& p = prefix(rules[i]);
    const auto* bytes = reinterpret_cast<const std::byte*>(p.address.bytes);
    if (p.family == 4) {
      const std::uint64_t first = load_be<std::uint32_t>(bytes + 12);
      v4.push_back({first, last_of(first, 32u - p.length), i});
      continue;
    }
    const auto upper = load_be<std::uint64_t>(bytes);
    if (p.length <= 64) {
      high.push_back({upper, last_of(upper, 64u - p.length), i});
      continue;
    }
    const auto lower = load_be<std::uint64_t>(bytes + 8);
    low[upper].push_back({lower, last_of(lower, 128u - p.length), i});
    high.push_back({upper, upper, kNoRule});
  }

  const auto just_class = [&](std::uint64_t, std::uint64_t, const RuleSet& set) { return class_of(set); };
  const std::vector<Interval> classes = sweep(v4, unasked_, just_class);
  table_.resize(256);
  std::size_t at = 0;
  for (std::uint64_t top = 0; top < 65536; ++top)
    table_[top / 256].entries[top % 256] = table_entry(classes, at, top << 16, 16);

  const auto tree_class = [&](std::uint64_t, std::uint64_t, const RuleSet& set) {
    return class_of(set) | WEIR_TREE_CLASS;
  };
  root_ = tree(sweep(high, unasked_, [&](std::uint64_t start, std::uint64_t last, const RuleSet& set) -> std::uint32_t {
    const auto found = start == last ? low.find(start) : low.end();
    if (found == low.end()) return tree_class(start, last, set);
    return tree(sweep(found->second, set, tree_class)) | WEIR_TREE_LOW;
  }));
}

// The class of the 2^bits addresses from `start` on, where they have one in common; else a further table of 256 parts.
// `at` is an interval that begins at or before `start`, and moves forward.
std::uint16_t FieldRows::table_entry(std::span<const Interval> classes, std::size_t& at, std::uint64_t start,
                                     unsigned bits) {
  while (at + 1 < classes.size() && classes[at + 1].start <= start) ++at;
  const std::uint64_t last = last_of(start, bits);
  if (bits == 0 || at + 1 == classes.size() || classes[at + 1].start > last)
    return static_cast<std::uint16_t>(classes[at].entry);
  const std::size_t node = nodes_.size();
  nodes_.emplace_back();
  for (std::uint64_t part = 0; part < 256; ++part) {
    const std::uint16_t entry = table_entry(classes, at, start + (part << (bits - 8)), bits - 8);
    nodes_[node].entries[part] = entry;
  }
  return static_cast<std::uint16_t>(node | WEIR_TABLE_NODE);
}

// Nodes over the intervals, level by level from the leaves; returns the root.
std::uint32_t FieldRows::tree(std::span<const Interval> intervals) {
  std::vector<Interval> level(intervals.begin(), intervals.end());
  for (;;) {
    std::vector<Interval> above;
    for (std::size_t i = 0; i < level.size(); i += WEIR_TREE_KEYS) {
      weir_tree_node node{};
      for (std::size_t k = 0; k < WEIR_TREE_KEYS; ++k) {
        const Interval& from = level[std::min(i + k, level.size() - 1)];
        node.keys[k] = from.start;
        node.entries[k] = from.entry;
      }
      above.push_back({node.keys[0], static_cast<std::uint32_t>(tree_.size())});
      tree_.push_back(node);
    }
    if (above.size() == 1) return above[0].entry;
    level = std::move(above);
  }
}

weir_field_rows FieldRows::place(std::vector<weir_row>& rows) const {
  weir_field_rows out{};
  const auto here = [&] { return static_cast<weir_u32>(rows.size()); };
  out.table = here();
  append(rows, &weir_row::table, table_);
  out.nodes = here();
  append(rows, &weir_row::table, nodes_);
  const weir_u32 tree = here();
  out.tree = tree + root_;
  for (weir_tree_node node : tree_) {
    for (weir_u32& e : node.entries)
      if ((e & WEIR_TREE_CLASS) == 0) e += tree;  // the bit of WEIR_TREE_LOW stays
    weir_row row{};
    row.node = node;
    rows.push_back(row);
  }
  out.vectors = here();
  append(rows, &weir_row::vector, vectors_);
  out.none = none_;
  return out;
}

}  // namespace weir::control
