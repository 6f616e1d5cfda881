// SPDX-License-Identifier: MIT
// Files that commands read whole, and what a long command shows and hears meanwhile.
#pragma once

#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "table.h"
#include "weir/control/set_list.h"

namespace weir::cli {

// "-" is standard input. `kind` names what is wanted: "rules". At most 256 MiB.
Outcome<std::string> read_file(const std::string& path, std::string_view kind);
// As it is named in errors.
inline std::string name_of_file(const std::string& path) { return path == "-" ? "stdin" : path; }
// A set's list, with a bar on standard error where that is a terminal. ECANCELED where the user interrupts it.
Outcome<std::vector<control::SetItem>> read_set_list(const std::string& path);

}  // namespace weir::cli
