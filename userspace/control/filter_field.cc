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

}  // namespace

static_assert(sizeof(RuleSet) == WEIR_VECTOR_SIZE, "it is laid out as it is");

RuleSet RuleSet::filled(std::size_t rules) const {
  RuleSet out = *this;
  if (rules % 64 != 0 && words_[rules / 64] == (std::uint64_t{1} << (rules % 64)) - 1)
    out.words_[rules / 64] = ~std::uint64_t{0};
  return out;
}

weir_head RuleSet::head() const {
  weir_head out{};
  for (std::size_t w = 0; w < words_.size(); ++w) {
    if (words_[w] == 0) continue;
    const std::uint64_t bit = std::uint64_t{1} << w;
    if (out.summary == 0) out.lead = words_[w];
    if (words_[w] == out.lead) out.span |= bit;
    out.summary |= bit;
  }
  return out;
}

FieldTables::FieldTables(weir_field field, std::span<const weir_rule> rules) : field_(field), rules_(rules.size()) {
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
      by_word(rules, 65536);
      break;
    case WEIR_FIELD_VLAN:
      by_word(rules, WEIR_VLAN_VALUES);
      break;
    default:
      by_octet(rules);
  }
}

std::uint32_t FieldTables::class_of(const RuleSet& rules) {
  const RuleSet set = rules.filled(rules_);
  const std::uint64_t h = hash(set);
  const auto [first, last] = by_hash_.equal_range(h);
  for (auto at = first; at != last; ++at)
    if (vectors_[at->second] == set) return at->second;
  const auto number = static_cast<std::uint32_t>(vectors_.size());
  vectors_.push_back(set);
  heads_.push_back(set.head());
  by_hash_.emplace(h, number);
  return number;
}

// Calls entry(start, last, holding) for each interval, in order, from key 0 to the last key.
template <class Entry>
std::vector<FieldTables::Interval> FieldTables::sweep(std::span<const Span> spans, RuleSet holding, Entry entry) {
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

// Pages are whole: values beyond the field's own never come, and belong to the last class.
std::vector<std::uint16_t> FieldTables::classes(std::span<const weir_rule> rules, std::size_t values) {
  std::vector<Span> spans;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!asks(rules[i])) continue;
    const auto [first, last] = range_of(rules[i], field_);
    spans.push_back({first, last, i});
  }
  std::vector<std::uint16_t> out((values + WEIR_PAGE - 1) / WEIR_PAGE * WEIR_PAGE);
  static_cast<void>(sweep(spans, unasked_, [&](std::uint64_t start, std::uint64_t last, const RuleSet& set) {
    const std::uint64_t end = std::min<std::uint64_t>(last, out.size() - 1);
    if (start > end) return 0u;
    const std::uint32_t c = class_of(set);
    for (std::uint64_t v = start; v <= end; ++v) out[v] = static_cast<std::uint16_t>(c);
    return c;
  }));
  return out;
}

void FieldTables::by_octet(std::span<const weir_rule> rules) {
  const std::vector<std::uint16_t> entries = classes(rules, WEIR_PAGE);
  std::copy(entries.begin(), entries.end(), pages_.emplace_back().entries);
}

void FieldTables::by_word(std::span<const weir_rule> rules, std::size_t values) { make_pages(classes(rules, values)); }

// The first page, and those that it names. Entries that are not there never are asked for.
void FieldTables::make_pages(std::span<const std::uint16_t> entries) {
  pages_.emplace_back();
  for (std::size_t upper = 0; upper < entries.size() / WEIR_PAGE; ++upper) {
    weir_page page{};
    std::copy_n(&entries[upper * WEIR_PAGE], WEIR_PAGE, page.entries);
    const auto same = std::find_if(pages_.begin() + 1, pages_.end(), [&](const weir_page& other) {
      return std::memcmp(&other, &page, sizeof page) == 0;
    });
    pages_[0].entries[upper] = static_cast<weir_u16>(same - pages_.begin());
    if (same == pages_.end()) pages_.push_back(page);
  }
}

void FieldTables::by_flags(std::span<const weir_rule> rules) {
  pages_.emplace_back();
  for (unsigned flags = 0; flags < WEIR_PAGE; ++flags) {
    RuleSet set = unasked_;
    for (std::size_t i = 0; i < rules.size(); ++i)
      if (asks(rules[i]) && (flags & rules[i].tcp_mask) == rules[i].tcp_flags) set.insert(i);
    pages_[0].entries[flags] = static_cast<weir_u16>(class_of(set));
  }
}

// Values are memberships, a bit for each set; those of sets that no rule asks for never come.
void FieldTables::by_sets(std::span<const weir_rule> rules) {
  std::map<weir_u32, RuleSet> asking;  // by the sets that all of them ask for
  weir_u32 asked = 0;
  for (std::size_t i = 0; i < rules.size(); ++i) {
    if (!asks(rules[i])) continue;
    const weir_u32 sets = field_ == WEIR_FIELD_SOURCE_SETS ? rules[i].source_sets : rules[i].destination_sets;
    asking[sets].insert(i);
    asked |= sets;
  }
  const std::size_t values = std::size_t{1} << std::bit_width(asked);
  std::vector<std::uint16_t> entries(std::max<std::size_t>(values, WEIR_PAGE));
  for (std::size_t v = 0; v < values; ++v) {
    if ((v & ~std::size_t{asked}) != 0) continue;
    RuleSet set = unasked_;
    for (const auto& [sets, more] : asking)
      if ((v & sets) == sets) set.insert(more);
    entries[v] = static_cast<std::uint16_t>(class_of(set));
  }
  make_pages(entries);
}

void FieldTables::by_address(std::span<const weir_rule> rules) {
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
  top_.resize(65536);
  std::size_t at = 0;
  for (std::uint64_t upper = 0; upper < top_.size(); ++upper) top_[upper] = page_entry(classes, at, upper << 16, 16);

  const auto tree_class = [&](std::uint64_t, std::uint64_t, const RuleSet& set) {
    return class_of(set) | WEIR_TREE_CLASS;
  };
  root_ = tree(sweep(high, unasked_, [&](std::uint64_t start, std::uint64_t last, const RuleSet& set) -> std::uint32_t {
    const auto found = start == last ? low.find(start) : low.end();
    if (found == low.end()) return tree_class(start, last, set);
    return tree(sweep(found->second, set, tree_class)) | WEIR_TREE_LOW;
  }));
}

// The class of the 2^bits addresses from `start` on, where they have one in common; else a further page of 256 parts.
// `at` is an interval that begins at or before `start`, and moves forward.
std::uint16_t FieldTables::page_entry(std::span<const Interval> classes, std::size_t& at, std::uint64_t start,
                                      unsigned bits) {
  while (at + 1 < classes.size() && classes[at + 1].start <= start) ++at;
  const std::uint64_t last = last_of(start, bits);
  if (bits == 0 || at + 1 == classes.size() || classes[at + 1].start > last)
    return static_cast<std::uint16_t>(classes[at].entry);
  const std::size_t node = nodes_.size();
  nodes_.emplace_back();
  for (std::uint64_t part = 0; part < 256; ++part) {
    const std::uint16_t entry = page_entry(classes, at, start + (part << (bits - 8)), bits - 8);
    nodes_[node].entries[part] = entry;
  }
  return static_cast<std::uint16_t>(node | WEIR_PAGE_NODE);
}

// Nodes over the intervals, level by level from the leaves; returns the root.
std::uint32_t FieldTables::tree(std::span<const Interval> intervals) {
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

void FieldTables::place(weir_field_place& place, Layout& layout) const {
  place.root = root_;
  place.none = none_;
  if (top_.empty())
    layout.add<weir_page>(pages_, sizeof(weir_page), place.pages);
  else
    layout.add<weir_u16>(top_, sizeof(weir_u16), place.pages);
  layout.add<weir_page>(nodes_, sizeof(weir_page), place.nodes);
  layout.add<weir_tree_node>(tree_, sizeof(weir_tree_node), place.tree);
  layout.add<weir_head>(heads_, sizeof(weir_head), place.heads);
  layout.add<RuleSet>(vectors_, WEIR_VECTOR_SIZE, place.vectors);
}

}  // namespace weir::control
