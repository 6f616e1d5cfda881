// SPDX-License-Identifier: MIT
// The caller's SSH session, kept from what the caller's command does.
#pragma once

#include <vector>

#include "output.h"
#include "table.h"
#include "weir/control/guard.h"

namespace weir::cli {

// Puts the caller's sessions among those that the instance guards, and says so on standard error, a line each. Nothing
// with --no-guard, and for a caller without one. The caller holds the Lock.
Outcome<std::vector<control::SshSession>> guard_caller(const Context& context, const control::Instance& instance);

Json sessions_json(const std::vector<control::SshSession>& sessions);
Json to_json(const control::GuardedSession& session);
// "192.0.2.1 -> port 22"
std::string guard_text(const control::GuardedSession& session);

}  // namespace weir::cli
