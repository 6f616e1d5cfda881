// SPDX-License-Identifier: MIT
// The guarded sessions of an interface: TCP from an operator's address to sshd's port is the kernel's, whatever the
// rules and the steering say (map `guarded`). Attach, `filter add`, `filter apply` and `steer add` put their caller's
// there.
//
// An entry goes with the instance (detach), by guard_del(), or when another is put: those from whose address nothing
// has come for kGuardIdle then go, and where there are WEIR_MAX_GUARDS, the one that was heard of longest ago does.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "weir/base/time.h"
#include "weir/control/netns.h"
#include "weir/control/ssh_session.h"
#include "weir/xdp/maps.h"

namespace weir::control {

inline constexpr Duration kGuardIdle = Duration::seconds(86400);

struct GuardedSession {
  IpAddress remote;
  std::uint16_t port = 0;         // sshd's
  IpAddress local;                // ::, where it is not known
  std::uint16_t remote_port = 0;  // of the session that was found; 0: it was typed
  std::uint32_t uid = 0;          // whose command put it
  Duration age;
  std::optional<Duration> last_heard;  // nothing: no frame has come yet
};

// By address and port.
Outcome<std::vector<GuardedSession>> guard_list(const xdp::Maps& maps, Instant now);
// The caller holds the Lock for these. To put what is there is no error, and renews it.
Outcome<void> guard_put(const xdp::Maps& maps, const SshSession& session, std::uint32_t uid, Instant now);
// Of one port, or of all. Returns how many there were; ENOENT: none.
Outcome<std::uint32_t> guard_del(const xdp::Maps& maps, const IpAddress& remote, std::optional<std::uint16_t> port);

}  // namespace weir::control
