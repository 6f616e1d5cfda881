// SPDX-License-Identifier: MIT
#include "weir/control/set_changes.h"

#include <algorithm>
#include <cerrno>
#include <string>

namespace weir::control {
namespace {

constexpr std::string_view kBlank = " \t\r";

struct Verb {
  SetVerb verb;
  std::size_t length;  // with what stands before it; 0: none is written
};
Verb verb_of(std::string_view line, SetVerb otherwise) {
  const std::size_t begin = std::min(line.find_first_not_of(kBlank), line.size());
  for (const auto& [word, verb] : {std::pair{"add", SetVerb::add}, std::pair{"del", SetVerb::del}}) {
    if (line.substr(begin, 3) != word) continue;
    const std::size_t end = begin + 3;
    if (end == line.size() || kBlank.find(line[end]) != std::string_view::npos) return {verb, end};
  }
  return {otherwise, 0};
}

}  // namespace

Outcome<void> parse_set_changes(std::string_view lines, const ListPlace& place, SetVerb verb, std::uint32_t ttl,
                                std::vector<SetChanges>& out) {
  std::size_t number = place.line;
  for (std::size_t at = 0; at < lines.size(); ++number) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    const std::string_view line = lines.substr(at, end - at);
    const Verb said = verb_of(line, verb);
    const auto items = parse_set_list(line.substr(said.length), {place.name, number, said.length + 1});
    if (!items) return Err(items.error());
    at = end + 1;
    const auto wrong = [&](const char* what) {
      return xdp::fail(std::string(place.name) + ":" + std::to_string(number) + ":1: " + what, EINVAL);
    };
    if (items->empty()) {
      if (said.length == 0) continue;
      return wrong("add and del are of an entry: write one behind it");
    }
    if (out.empty() || out.back().verb != said.verb) out.push_back({said.verb, {}});
    for (SetItem item : *items) {
      if (said.verb == SetVerb::del) item.ttl = 0;
      if (said.verb == SetVerb::add && item.ttl == 0) item.ttl = ttl;
      out.back().items.push_back(item);
    }
  }
  return {};
}

}  // namespace weir::control
