// SPDX-License-Identifier: MIT
// One field of a generation: from the rules that ask for it, the pages from value to class, and for each class its head
// and vector.
//
// Values between two neighbouring limits of the rules' ranges belong to the same rules, so a sweep over the limits, in
// order, with the set of the rules that hold, meets every class there is; equal sets share one vector.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "weir/common/abi.h"
#include "weir/control/filter_layout.h"

namespace weir::control {

// A set of rules, by their place in the table.
class RuleSet {
 public:
  void insert(std::size_t rule) { words_[rule / 64] |= std::uint64_t{1} << (rule % 64); }
  void insert(const RuleSet& rules) {
    for (std::size_t w = 0; w < words_.size(); ++w) words_[w] |= rules.words_[w];
  }
  void erase(std::size_t rule) { words_[rule / 64] &= ~(std::uint64_t{1} << (rule % 64)); }
  const std::array<std::uint64_t, WEIR_RULE_WORDS>& words() const { return words_; }
  // Of `rules` rules in all: a word that has all of its rules becomes like every other such word.
  RuleSet filled(std::size_t rules) const;
  weir_head head() const;
  friend bool operator==(const RuleSet&, const RuleSet&) = default;

 private:
  std::array<std::uint64_t, WEIR_RULE_WORDS> words_{};
};

class FieldTables {
 public:
  FieldTables(weir_field field, std::span<const weir_rule> rules);

  // Has the tables placed. The layout refers to `place` and to this object until it is made.
  void place(weir_field_place& place, Layout& layout) const;

 private:
  // Keys of one interval: from `start` to the next one's; the last has no end.
  struct Interval {
    std::uint64_t start = 0;
    std::uint32_t entry = 0;
  };
  // Rule `rule` holds from `first` to `last`; without a rule (kNoRule) only the limits count.
  struct Span {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
    std::size_t rule = 0;
  };
  static constexpr std::size_t kNoRule = WEIR_MAX_RULES;

  template <class Entry>
  static std::vector<Interval> sweep(std::span<const Span> spans, RuleSet holding, Entry entry);
  std::uint32_t class_of(const RuleSet& rules);
  bool asks(const weir_rule& rule) const { return (rule.fields >> field_ & 1u) != 0; }

  void by_octet(std::span<const weir_rule> rules);
  void by_word(std::span<const weir_rule> rules, std::size_t values);
  std::vector<std::uint16_t> classes(std::span<const weir_rule> rules, std::size_t values);
  void make_pages(std::span<const std::uint16_t> entries);
  void by_flags(std::span<const weir_rule> rules);
  void by_sets(std::span<const weir_rule> rules);
  void by_address(std::span<const weir_rule> rules);
  const weir_prefix& prefix(const weir_rule& rule) const {
    return field_ == WEIR_FIELD_SOURCE ? rule.source : rule.destination;
  }
  std::uint16_t page_entry(std::span<const Interval> classes, std::size_t& at, std::uint64_t start, unsigned bits);
  std::uint32_t tree(std::span<const Interval> intervals);

  weir_field field_;
  std::size_t rules_;
  RuleSet unasked_;  // the rules that do not ask for the field: they hold everywhere
  std::vector<weir_page> pages_;
  std::vector<weir_u16> top_;  // IPv4, instead of pages
  std::vector<weir_page> nodes_;
  std::vector<weir_tree_node> tree_;
  std::uint32_t root_ = 0;
  std::uint32_t none_ = 0;
  std::vector<weir_head> heads_;
  std::vector<RuleSet> vectors_;
  std::unordered_multimap<std::uint64_t, std::uint32_t> by_hash_;
};

}  // namespace weir::control
