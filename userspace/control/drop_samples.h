// SPDX-License-Identifier: MIT
// The latest frame that XDP has dropped for each reason (common/capture_abi.h), where there was one: of several in a
// moment the first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weir/base/time.h"
#include "weir/common/reasons.h"
#include "weir/control/netns.h"
#include "weir/xdp/maps.h"

namespace weir::control {

struct DropSample {
  weir_reason reason = WEIR_R_DROP_MALFORMED;
  Instant at;                    // CLOCK_MONOTONIC
  std::uint64_t generation = 0;  // with `rule`: RuleNames::find()
  std::uint32_t rule = WEIR_NONE;
  std::uint32_t length = 0;       // of the frame
  std::vector<std::byte> octets;  // at most WEIR_DROP_SAMPLE_OCTETS of it
};

// In the order of the reasons. EPERM: the map is root's.
Outcome<std::vector<DropSample>> read_drop_samples(const xdp::Maps& maps);

}  // namespace weir::control
