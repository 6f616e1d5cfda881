// SPDX-License-Identifier: MIT
// Changes of a set that a feed writes to standard input: one process for any number of them.
#pragma once

#include <cstdint>

#include "table.h"
#include "weir/control/set_changes.h"

namespace weir::cli {

// Reads lines until the input ends, and puts each read's in force before the next read: the lock is held for that long
// and no longer. `verb` is of lines that say none, `ttl` of entries that say none. A line that is wrong ends it; what
// the lines before it said is in force, and the error says how much that was.
Outcome<int> stream_set_changes(const Context& context, control::SetVerb verb, std::uint32_t ttl);

}  // namespace weir::cli
