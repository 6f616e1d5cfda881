// SPDX-License-Identifier: MIT
// Every text that the control plane reads: the words of a rule, and what a parent passes on in the environment. What is
// accepted must be printed as something that is accepted again, and means the same.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "weir/control/engine_tap.h"
#include "weir/control/filter_file.h"
#include "weir/control/filter_generation.h"
#include "weir/control/firewall_handover.h"
#include "weir/control/set_changes.h"
#include "weir/control/set_list.h"
#include "weir/control/set_table.h"
#include "weir/control/test_packet.h"
#include "weir/xdp/inherit.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void prefix(std::string_view text) {
  auto parsed = weir::control::parse_prefix(text);
  if (!parsed) return require(!parsed.error().message.empty());
  auto again = weir::control::parse_prefix(parsed->to_string());
  require(again.ok() && *again == *parsed);
}

void port_range(std::string_view text) {
  auto parsed = weir::control::parse_port_range(text);
  if (!parsed) return require(!parsed.error().message.empty());
  require(parsed->min <= parsed->max);
  auto again = weir::control::parse_port_range(parsed->to_string());
  require(again.ok() && *again == *parsed);
}

void port(std::string_view text) {
  auto parsed = weir::control::parse_port(text);
  require(!parsed || *parsed != 0);
}

void protocol(std::string_view text) {
  auto parsed = weir::control::parse_protocol(text);
  if (!parsed || *parsed == 0) return;
  auto again = weir::control::parse_protocol(weir::control::ip_protocol_name(*parsed));
  require(again.ok() && *again == *parsed);
}

void inherited(std::string_view text) {
  auto parsed = weir::xdp::decode(text);
  if (!parsed) return require(!parsed.error().message.empty());
  auto again = weir::xdp::decode(weir::xdp::encode(*parsed));
  require(again.ok() && again->size() == parsed->size());
}

void firewall(std::string_view text) {
  auto parsed = weir::control::decode_firewall(std::string(text));
  if (!parsed) return;
  auto again = weir::control::decode_firewall(weir::control::encode_firewall(parsed->watch, parsed->verdicts));
  require(again && again->watch == parsed->watch && again->verdicts.size() == parsed->verdicts.size());
}

// What is read is written as a file that says the same; what is refused is refused at a place.
void filter_file(std::string_view text) {
  auto parsed = weir::control::parse_filter_file(text, "f");
  if (!parsed) return require(parsed.error().message.rfind("f:", 0) == 0);
  const std::string written = weir::control::write_filter_file(parsed->rules, parsed->sets);
  auto again = weir::control::parse_filter_file(written, "f");
  require(again.ok() && again->rules.size() == parsed->rules.size() && again->sets.size() == parsed->sets.size());
  for (std::size_t i = 0; i < again->sets.size(); ++i)
    require(again->sets[i].name == parsed->sets[i].name && again->sets[i].items == parsed->sets[i].items &&
            again->sets[i].path == parsed->sets[i].path);
  std::vector<weir_rule> raw;
  for (std::size_t i = 0; i < again->rules.size(); ++i) {
    weir::control::Rule& rule = again->rules[i];
    require(rule.same_rule(parsed->rules[i]));
    rule.source_set.number = static_cast<std::uint8_t>(i % WEIR_MAX_SETS);
    raw.push_back(weir::control::to_map(rule));
    auto back = weir::control::from_map(raw.back());
    require(back.source_set.name.empty() || back.source_set.number == rule.source_set.number);
    // Names of sets are the table's.
    back.source_set = rule.source_set;
    back.destination_set = rule.destination_set;
    require(back.same_rule(parsed->rules[i]));
  }
  const auto chunks = weir::control::compile(raw, 1);
  require(chunks[0].generation.chunks == chunks.size() && chunks[0].generation.rules == raw.size());
}

// A list, put into a table and read back: each prefix is there, and nothing else.
void set_list(std::string_view text) {
  auto parsed = weir::control::parse_set_list(text, {"l", 1, 1});
  if (!parsed) return require(parsed.error().message.rfind("l:", 0) == 0);
  std::string written;
  for (const auto& item : *parsed) written += weir::control::to_string(item) + "\n";
  auto again = weir::control::parse_set_list(written, {"l", 1, 1});
  require(again.ok() && *again == *parsed);
  static const auto size = weir::control::SetTableSize::for_entries(0, 0);
  static std::vector<weir_set_row> rows(size.rows());
  auto table = weir::control::SetTable::format(rows, size, 7);
  std::vector<weir::control::SetPrefix> in;
  for (const auto& item : *parsed)
    if (table.add(3, {item.prefix, item.ttl}, 0) != weir::control::SetTable::Change::full) in.push_back(item.prefix);
  for (const auto& prefix : in) require(table.entry(3, prefix, 0).has_value());
  std::size_t found = 0;
  table.each(0, [&](const weir::control::SetEntry& e, std::uint16_t sets) {
    require(sets == 1u << 3 && std::find(in.begin(), in.end(), e.prefix) != in.end());
    ++found;
  });
  require(found <= in.size());
  for (const auto& prefix : in) table.remove(3, prefix, 0);
  table.each(0, [](const weir::control::SetEntry&, std::uint16_t) { require(false); });
  std::fill(rows.begin(), rows.end(), weir_set_row{});
}

// One word of a rule and its value, divided by the first blank.
void rule_word(std::string_view text) {
  weir::control::Rule rule;
  const auto blank = text.find(' ');
  if (blank == std::string_view::npos) return;
  const auto set = weir::control::set_word(rule, text.substr(0, blank), text.substr(blank + 1));
  if (!set) return require(!set.error().message.empty());
  require(!rule.to_string().empty());
}

// Words make frames, and frames words, whatever the octets are.
void packet_words(std::string_view text) {
  weir::control::Rule rule;
  while (!text.empty()) {
    const auto line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    const auto blank = line.find(' ');
    if (blank != std::string_view::npos)
      static_cast<void>(weir::control::set_word(rule, line.substr(0, blank), line.substr(blank + 1)).ok());
  }
  weir::control::PacketDefaults defaults;
  defaults.addresses = {weir::IpAddress::v4(10, 0, 0, 1), *weir::IpAddress::parse("fd00::1")};
  const auto frame = weir::control::frame_of(rule, defaults);
  if (!frame) return require(!frame.error().message.empty());
  require(frame->size() >= 34 && frame->size() <= 65535 + 18);
  require(!weir::control::frame_text(*frame).empty());
}

void hex(std::string_view text) {
  const auto octets = weir::control::parse_hex(text);
  if (!octets) return require(!octets.error().message.empty());
  require(octets->size() * 2 <= text.size());
}

void frame(std::string_view text) {
  require(!weir::control::frame_text(std::as_bytes(std::span(text.data(), text.size()))).empty());
}

// A stream of an engine, in pieces of a length that the first octet says; it ends where one is refused.
void tap(std::string_view text) {
  weir::control::TapReader reader;
  if (text.empty()) return;
  const std::size_t size = 1 + static_cast<unsigned char>(text[0]);
  text.remove_prefix(1);
  std::uint64_t frames = 0;
  while (!text.empty()) {
    const auto piece = std::as_bytes(std::span(text.data(), std::min(size, text.size())));
    const auto fed = reader.feed(piece, [&](const weir::control::TapRecord& record, std::span<const std::byte> octets) {
      require(octets.size() == record.captured && record.captured <= record.length);
      ++frames;
    });
    if (!fed) return require(!fed.error().message.empty());
    text.remove_prefix(piece.size());
  }
  require(frames == reader.frames());
}

// A feed, whole and in two pieces that end with a line: the same changes.
void set_changes(std::string_view text) {
  using weir::control::SetVerb;
  std::vector<weir::control::SetChanges> whole;
  const auto parsed = weir::control::parse_set_changes(text, {"l", 1, 1}, SetVerb::add, 9, whole);
  if (!parsed) require(parsed.error().message.rfind("l:", 0) == 0);
  for (const auto& change : whole) {
    require(!change.items.empty());
    for (const auto& item : change.items) require((change.verb == SetVerb::del) == (item.ttl == 0));
  }
  const std::size_t middle = text.find('\n', text.size() / 2);
  if (!parsed || middle == std::string_view::npos) return;
  std::vector<weir::control::SetChanges> pieces;
  require(weir::control::parse_set_changes(text.substr(0, middle + 1), {"l", 1, 1}, SetVerb::add, 9, pieces).ok());
  require(weir::control::parse_set_changes(text.substr(middle + 1), {"l", 1, 1}, SetVerb::add, 9, pieces).ok());
  require(pieces == whole);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  using Target = void(std::string_view);
  constexpr Target* kTargets[] = {prefix,    port_range,   port, protocol, inherited, firewall, filter_file,
                                  rule_word, packet_words, hex,  frame,    tap,       set_list, set_changes};
  kTargets[data[0] % std::size(kTargets)](text);
  return 0;
}
