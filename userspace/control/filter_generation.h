// SPDX-License-Identifier: MIT
// From rules to what XDP reads: a generation (common/filter_abi.h), complete and by itself. Pure: no map is touched,
// the same rules give the same octets.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "weir/common/abi.h"

namespace weir::control {

// At most WEIR_MAX_RULES, each sound by check_rule(). Cost: some tens of milliseconds and some megabytes at the most.
// `sets`: the slot of the table that has their sets.
std::vector<weir_chunk> compile(std::span<const weir_rule> rules, std::uint32_t next_name,
                                std::uint32_t sets = WEIR_NO_SET_TABLE);

}  // namespace weir::control
