// SPDX-License-Identifier: MIT
// What a command that changes the filter begins with.
#pragma once

#include "table.h"
#include "weir/control/lock.h"

namespace weir::cli {

struct FilterChange {
  control::Instance instance;
  control::Lock lock;
};
// Of the interface that `dev` names; the privileges are there and the lock is held.
Outcome<FilterChange> begin_filter_change(const Context& context);

}  // namespace weir::cli
