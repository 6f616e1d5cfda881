// SPDX-License-Identifier: MIT
// libxdp's dispatcher: several XDP programs on one interface, run one after another. Each replaces a function of the
// dispatcher (freplace), which a kernel without BPF trampolines refuses. Its pins lie under /sys/fs/bpf/xdp and are
// libxdp's own.
//
// All calls act on the calling thread's network namespace.
#pragma once

#include <bpf/libbpf.h>

#include <cstdint>
#include <string>
#include <vector>

#include "weir/xdp/error.h"

namespace weir::xdp {

struct DispatchedProgram {
  std::uint32_t id = 0;
  std::string name;
};
// What a dispatcher runs on the interface, in its order; empty where it has none.
std::vector<DispatchedProgram> dispatched_programs(std::uint32_t ifindex);
bool is_dispatched(std::uint32_t ifindex, std::uint32_t program_id);

// Loads the opened object's program of that name into the interface's dispatcher, beside what is there. Returns a
// descriptor of it, the caller's. Codes: EOPNOTSUPP the kernel cannot replace functions; EBUSY a program is attached
// there without a dispatcher, or the driver lacks the mode. Nothing is left behind on failure.
Outcome<int> dispatch(bpf_object* object, const char* name, std::uint32_t ifindex, bool native);
// Takes a program out; the dispatcher goes with the last. No error where it is not there.
Outcome<void> undispatch(std::uint32_t ifindex, std::uint32_t program_id);

}  // namespace weir::xdp
