// SPDX-License-Identifier: MIT
// Capabilities: which are missing, said in one line.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

#include "weir/control/netns.h"

namespace weir::control {

enum class Capability : std::uint8_t {
  bpf,        // CAP_BPF (or CAP_SYS_ADMIN): load the program, write its maps
  net_admin,  // CAP_NET_ADMIN: attach it
  net_raw,    // CAP_NET_RAW: open an AF_XDP socket
  sys_admin,  // CAP_SYS_ADMIN: mount the BPF file system, enter a namespace
  perfmon,    // CAP_PERFMON (or CAP_SYS_ADMIN)
  ipc_lock,   // CAP_IPC_LOCK: UMEM beyond RLIMIT_MEMLOCK
};
const char* capability_name(Capability c);

// Of the calling thread's effective set.
bool has_capability(Capability c);
// Those of `wanted` that are missing.
std::vector<Capability> missing_capabilities(std::initializer_list<Capability> wanted);
// An error with code EPERM such as "attaching needs CAP_BPF and CAP_NET_ADMIN: run it as root (sudo)".
Outcome<void> require_capabilities(const std::string& doing, std::initializer_list<Capability> wanted);

// What attaching needs, and what an engine on AF_XDP needs to open its sockets and maps.
inline constexpr std::initializer_list<Capability> kAttachCapabilities = {Capability::bpf, Capability::net_admin,
                                                                          Capability::perfmon};
inline constexpr std::initializer_list<Capability> kEngineCapabilities = {Capability::bpf, Capability::net_raw};

}  // namespace weir::control
