// SPDX-License-Identifier: MIT
// What an engine answers on its own socket (control/engine_protocol.h), as a document.
#pragma once

#include "output.h"
#include "table.h"
#include "weir/control/instance.h"

namespace weir::cli {

// Without "ok", and with "interface". An engine that says no is an error with its words.
Outcome<Json> ask_engine(const control::Instance& instance, const Json& request);

}  // namespace weir::cli
