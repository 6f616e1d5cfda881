// SPDX-License-Identifier: MIT
#include "weir/control/caps.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace weir::control {
namespace {

struct Facts {
  const char* name;
  unsigned number;
  bool by_sys_admin;  // CAP_SYS_ADMIN implies it
};

Facts facts(Capability c) {
  switch (c) {
    case Capability::bpf:
      return {"CAP_BPF", 39, true};
    case Capability::net_admin:
      return {"CAP_NET_ADMIN", CAP_NET_ADMIN, false};
    case Capability::net_raw:
      return {"CAP_NET_RAW", CAP_NET_RAW, false};
    case Capability::sys_admin:
      return {"CAP_SYS_ADMIN", CAP_SYS_ADMIN, false};
    case Capability::perfmon:
      return {"CAP_PERFMON", 38, true};
    case Capability::ipc_lock:
      return {"CAP_IPC_LOCK", CAP_IPC_LOCK, false};
  }
  return {"?", 0, false};
}

std::uint64_t effective_set() {
  __user_cap_header_struct header{};
  header.version = _LINUX_CAPABILITY_VERSION_3;
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (syscall(SYS_capget, &header, data) != 0) return 0;
  return data[0].effective | (std::uint64_t{data[1].effective} << 32);
}

}  // namespace

const char* capability_name(Capability c) { return facts(c).name; }

bool has_capability(Capability c) {
  const std::uint64_t set = effective_set();
  auto bit = [&](unsigned number) { return ((set >> number) & 1) != 0; };
  return bit(facts(c).number) || (facts(c).by_sys_admin && bit(CAP_SYS_ADMIN));
}

std::vector<Capability> missing_capabilities(std::initializer_list<Capability> wanted) {
  std::vector<Capability> out;
  for (const Capability c : wanted)
    if (!has_capability(c)) out.push_back(c);
  return out;
}

Outcome<void> require_capabilities(const std::string& doing, std::initializer_list<Capability> wanted) {
  const auto missing = missing_capabilities(wanted);
  if (missing.empty()) return {};
  std::string names;
  for (std::size_t i = 0; i < missing.size(); ++i) {
    if (i > 0) names += i + 1 == missing.size() ? " and " : ", ";
    names += capability_name(missing[i]);
  }
  return xdp::fail(doing + " needs " + names + ", which this process lacks: run it as root (sudo)", EPERM);
}

}  // namespace weir::control
