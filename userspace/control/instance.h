// SPDX-License-Identifier: MIT
// An instance is weir attached to one interface of one network namespace: the program, its link and its maps.
// Everything it is lies in the pins; these functions find, make and remove it.
//
// All act on the calling thread's network namespace (see NetnsScope). Functions that change something take the Lock.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/time.h"
#include "weir/control/interface.h"
#include "weir/xdp/maps.h"
#include "weir/xdp/program.h"

namespace weir::control {

using xdp::AttachMode;

// automatic: partial where may_carry_partial_checksums() says so, else verify.
enum class ChecksumChoice : std::uint8_t { automatic, verify, partial };

struct AttachOptions {
  std::string interface;
  AttachMode mode = AttachMode::automatic;
  ChecksumChoice checksum = ChecksumChoice::automatic;
  bool bypass_firewall = false;
  // Puts this binary's program in the place of the attached one, with the maps as they are. The mode stays; the choices
  // above are taken over where they differ from their default, otherwise they stay too.
  bool replace = false;
  // Beside other XDP programs, by libxdp's dispatcher; not with replace.
  bool shared = false;
  std::string* log = nullptr;  // gets what libbpf and the verifier said
};

struct AttachReport {
  std::string interface;
  std::uint32_t ifindex = 0;
  std::uint64_t netns_cookie = 0;
  std::uint32_t program_id = 0;
  weir_xdp_mode mode = WEIR_XDP_NATIVE;
  std::uint32_t queues = 0;
  bool partial_checksums = false;
  bool bypass_firewall = false;
  bool replaced = false;
  bool shared = false;
  std::vector<IpAddress> addresses;
  std::vector<std::string> notes;  // what the operator should know, a line each
};

// Takes the lock. On failure nothing is left behind. Codes: ENODEV no such interface; EPERM not allowed; EEXIST
// attached already; EBUSY another XDP program is there; EOPNOTSUPP bond, bridge or team port, loopback, or not
// Ethernet; EPROTO other ABI (replace); ENOENT nothing to replace.
Outcome<AttachReport> attach(const AttachOptions& options);

struct DetachOptions {
  std::string interface;
  // With live flows: asks the engine to reset them and to close its sockets, waits for that up to `patience`, then
  // detaches whatever the engine does. Without force live flows are a refusal (code EBUSY) that counts them.
  bool force = false;
  Duration patience = Duration::seconds(2);
};
struct DetachReport {
  std::string interface;
  std::uint32_t removed = 0;         // instances; more than one only of stale ones
  std::uint64_t flows_reset = 0;     // that were live when force was used
  bool stale = false;                // what was removed steered nothing (InstanceSummary::stale)
  bool engine_unresponsive = false;  // it did not close its sockets in time
};
// Takes the lock. Code ENOENT where weir is not attached to that interface.
Outcome<DetachReport> detach(const DetachOptions& options);

// A line of what is attached.
struct InstanceSummary {
  std::string interface;  // its name now; for a stale one the name at attach
  std::uint32_t ifindex = 0;
  std::uint64_t netns_cookie = 0;
  std::string directory;  // of the pins
  std::uint32_t abi = 0;  // 0: unreadable
  // It steers nothing: its interface or namespace no longer exists, or an attach was killed half-way. `weir detach`
  // removes it, the next attach replaces it.
  bool stale = false;
  bool interrupted = false;  // stale, by such an attach: the interface is there
};
// Those of this namespace, and stale ones of any. Empty where nothing is attached; EPERM where the pins cannot be read.
Outcome<std::vector<InstanceSummary>> list();

// An attached instance, opened.
class Instance {
 public:
  // Code ENOENT: not attached ("weir is not attached to X; `weir attach X`"); EPROTO: other ABI; ENODEV: no such
  // interface.
  static Outcome<Instance> open(std::string_view interface);
  static Outcome<Instance> open(const InstanceSummary& summary);
  // Of maps that were inherited: no directory, no link facts.
  static Instance adopt(xdp::Maps maps);

  const xdp::Maps& maps() const { return maps_; }
  xdp::Maps& maps() { return maps_; }
  const weir_config& config() const { return maps_.config(); }
  const std::string& interface() const { return interface_; }
  const std::string& directory() const { return directory_; }  // empty for an adopted one
  std::uint32_t ifindex() const { return config().ifindex; }

 private:
  Instance(std::string interface, std::string directory, xdp::Maps maps)
      : interface_(std::move(interface)), directory_(std::move(directory)), maps_(std::move(maps)) {}
  std::string interface_;
  std::string directory_;
  xdp::Maps maps_;
};

// /run/weir/<cookie>-<ifindex>: made by attach (0755), removed with its contents by detach. Engines put their sockets
// there.
std::string run_directory(std::uint64_t netns_cookie, std::uint32_t ifindex);

}  // namespace weir::control
