// SPDX-License-Identifier: MIT
// What `weir status` tells: the model's facts, the firewall's, and what follows from both.
#pragma once

#include <string>
#include <vector>

#include "output.h"
#include "weir/control/firewall.h"
#include "weir/control/status.h"

namespace weir::cli {

struct InterfaceStatus {
  control::Status facts;
  control::FirewallReport firewall;
  std::vector<std::string> advice;  // a line each: what is not as it should be, and the command that mends it
};

// A pure judgement: fills in `advice`.
std::vector<std::string> advise(const control::Status& facts, const control::FirewallReport& firewall);
// One line: is there a firewall, is it bypassed, what does that mean.
std::string firewall_line(const control::FirewallReport& firewall, bool bypassed);

Json to_json(const InterfaceStatus& status);
std::string to_text(const InterfaceStatus& status);

}  // namespace weir::cli
