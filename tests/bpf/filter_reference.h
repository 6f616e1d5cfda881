// SPDX-License-Identifier: MIT
// What the filter must do with a frame, read off the frame and the rules in the plainest way: one rule after the other,
// one field after the other. It shares nothing with the program but the layout of a rule.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "weir/common/abi.h"

namespace weir::bpf_test {

// What a rule can ask of a frame.
struct FilterFacts {
  bool v6 = false;
  std::array<std::uint8_t, 16> source{};  // IPv4: the last four
  std::array<std::uint8_t, 16> destination{};
  std::uint8_t protocol = 0;
  std::optional<std::uint16_t> source_port;
  std::optional<std::uint16_t> destination_port;
  std::optional<std::uint8_t> tcp_flags;
  std::optional<std::uint8_t> icmp_type;
  std::uint16_t vlan = 0;
  std::uint8_t fragment = 0;
  std::uint16_t length = 0;
  std::uint32_t source_sets = 0;  // of the named sets, by number
  std::uint32_t destination_sets = 0;
};

// An entry of a named set.
struct SetFact {
  unsigned set = 0;
  weir_prefix prefix{};
  std::uint32_t end = 0;  // second from which on it is none; 0: it stays
};

struct Reading {
  enum class Kind : std::uint8_t {
    dropped,     // malformed: no rule sees it
    unfiltered,  // not IP, or guarded
    filtered,    // `facts` say what the rules see
  };
  Kind kind = Kind::dropped;
  FilterFacts facts;
};
Reading read_frame(std::span<const std::uint8_t> frame);
// Asks every entry, at the second `now`.
void find_sets(std::span<const SetFact> entries, std::uint32_t now, FilterFacts& facts);

bool rule_matches(const weir_rule& rule, const FilterFacts& facts);
// The first that matches.
std::optional<std::size_t> first_match(std::span<const weir_rule> rules, const FilterFacts& facts);

}  // namespace weir::bpf_test
