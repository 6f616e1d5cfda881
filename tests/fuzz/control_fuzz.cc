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
  const std::string written = weir::control::write_filter_file(*parsed);
  auto again = weir::control::parse_filter_file(written, "f");
  require(again.ok() && again->size() == parsed->size());
  std::vector<weir_rule> raw;
  for (std::size_t i = 0; i < again->size(); ++i) {
    require((*again)[i].same_rule((*parsed)[i]));
    raw.push_back(weir::control::to_map((*again)[i]));
    require(weir::control::from_map(raw.back()).same_rule((*parsed)[i]));
  }
  const auto rows = weir::control::compile(raw, 1);
  require(rows[0].generation.rows == rows.size() && rows[0].generation.rules == raw.size());
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  using Target = void(std::string_view);
  constexpr Target* kTargets[] = {prefix,      port_range, port,         protocol, inherited, firewall,
                                  filter_file, rule_word,  packet_words, hex,      frame,     tap};
  kTargets[data[0] % std::size(kTargets)](text);
  return 0;
}
