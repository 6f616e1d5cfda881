// SPDX-License-Identifier: MIT
// Network namespaces, entered alone: the mount namespace stays, so that /sys/fs/bpf and /run stay in sight. (sysfs then
// still shows the interfaces of the namespace one came from: nothing here reads it.)
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"

namespace weir::control {

using xdp::Error;
using xdp::Outcome;

// SO_NETNS_COOKIE of the calling thread's namespace; never reused while the system runs.
Outcome<std::uint64_t> netns_cookie();

// The calling thread is in another network namespace while this lives. Destroy it in the thread that made it.
class NetnsScope {
 public:
  // `where`: a name under /run/netns, a path, or a process id.
  static Outcome<NetnsScope> enter(std::string_view where);
  NetnsScope(NetnsScope&&) noexcept = default;
  NetnsScope& operator=(NetnsScope&&) = delete;
  ~NetnsScope();

 private:
  explicit NetnsScope(xdp::Fd home) : home_(std::move(home)) {}
  xdp::Fd home_;  // the namespace to return to
};

}  // namespace weir::control
