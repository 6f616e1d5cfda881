// SPDX-License-Identifier: MIT
// The values that only a command line has. Prefixes, port ranges and protocols are control's to parse.
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/base/time.h"
#include "weir/control/filter_rule.h"
#include "weir/control/netns.h"

namespace weir::cli {

using control::Outcome;

Outcome<std::uint16_t> parse_port(std::string_view text);        // 1-65535, or a name of services(5) for TCP
Outcome<control::PortRange> parse_ports(std::string_view text);  // the same, or P-Q
Outcome<std::uint32_t> parse_number(std::string_view text);
Outcome<std::uint8_t> parse_protocol(std::string_view text);  // as control's, and icmp6
Outcome<double> parse_seconds(std::string_view text);         // 0.05-86400
Outcome<Duration> parse_timespan(std::string_view text);      // 60s, 5m, 1h, 60 (seconds): 1 s to 24 h

}  // namespace weir::cli
