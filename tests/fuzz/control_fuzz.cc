// SPDX-License-Identifier: MIT
// Every text that the control plane reads: the words of a rule, and what a parent passes on in the environment. What is
// accepted must be printed as something that is accepted again, and means the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "weir/control/filter.h"
#include "weir/control/firewall_handover.h"
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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  using Target = void(std::string_view);
  constexpr Target* kTargets[] = {prefix, port_range, port, protocol, inherited, firewall};
  kTargets[data[0] % std::size(kTargets)](text);
  return 0;
}
