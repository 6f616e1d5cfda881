// SPDX-License-Identifier: MIT
// The writers' lock: one tool at a time changes rules, steering or attachments on this host.
#pragma once

#include "weir/base/time.h"
#include "weir/control/netns.h"
#include "weir/xdp/fd.h"

namespace weir::control {

// Makes /run/weir (0755, the caller's) where it is absent.
Outcome<void> prepare_run_directory();

// Held while it lives; given up by the kernel when the process dies. Not recursive: functions that say "takes the lock"
// must not be called by its holder.
class Lock {
 public:
  // Waits up to `patience` for another holder; then an error with code EWOULDBLOCK that names its process.
  static Outcome<Lock> acquire(Duration patience = Duration::seconds(10));
  Lock(Lock&&) noexcept = default;
  Lock& operator=(Lock&&) noexcept = default;

 private:
  explicit Lock(xdp::Fd file) : file_(std::move(file)) {}
  xdp::Fd file_;
};

}  // namespace weir::control
