// SPDX-License-Identifier: MIT
#include "weir/xdp/dispatcher.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <xdp/libxdp.h>

#include <cerrno>
#include <cstdarg>
#include <memory>

namespace weir::xdp {
namespace {

int silent(libxdp_print_level, const char*, va_list) { return 0; }

struct CloseMultiprog {
  void operator()(xdp_multiprog* p) const { xdp_multiprog__close(p); }
};
struct CloseProgram {
  void operator()(xdp_program* p) const { xdp_program__close(p); }
};
using Multiprog = std::unique_ptr<xdp_multiprog, CloseMultiprog>;
using ProgramHandle = std::unique_ptr<xdp_program, CloseProgram>;

// libxdp returns errors as pointers of the last page.
template <class T>
int error_of(T* p) {
  return static_cast<int>(-libxdp_get_error(p));
}

// What is on the interface by libxdp's account; empty where nothing is, or nothing that it knows.
Multiprog programs_of(std::uint32_t ifindex) {
  libxdp_set_print(silent);
  xdp_multiprog* p = xdp_multiprog__get_from_ifindex(static_cast<int>(ifindex));
  return Multiprog(error_of(p) == 0 ? p : nullptr);
}

template <class F>
void each_program(const Multiprog& all, F f) {
  if (!all || xdp_multiprog__is_legacy(all.get())) return;
  for (xdp_program* p = nullptr; (p = xdp_multiprog__next_prog(p, all.get())) != nullptr;) f(p);
}

}  // namespace

std::vector<DispatchedProgram> dispatched_programs(std::uint32_t ifindex) {
  std::vector<DispatchedProgram> out;
  each_program(programs_of(ifindex), [&](xdp_program* p) {
    const char* name = xdp_program__name(p);
    out.push_back({xdp_program__id(p), name == nullptr ? "" : name});
  });
  return out;
}

bool is_dispatched(std::uint32_t ifindex, std::uint32_t program_id) {
  for (const DispatchedProgram& p : dispatched_programs(ifindex))
    if (p.id == program_id) return true;
  return false;
}

Outcome<int> dispatch(bpf_object* object, const char* name, std::uint32_t ifindex, bool native) {
  libxdp_set_print(silent);
  DECLARE_LIBXDP_OPTS(xdp_program_opts, options, .obj = object, .prog_name = name);
  xdp_program* raw = xdp_program__create(&options);
  if (const int code = error_of(raw); code != 0)
    return Err(system_error(code, "preparing the program for libxdp's dispatcher"));
  const ProgramHandle program(raw);
  const xdp_attach_mode mode = native ? XDP_MODE_NATIVE : XDP_MODE_SKB;
  if (const int r = xdp_program__attach(raw, static_cast<int>(ifindex), mode, 0); r != 0)
    return Err(system_error(
        -r, std::string("attaching by libxdp's dispatcher in ") + (native ? "native" : "generic") + " mode"));
  // Where functions cannot be replaced libxdp attaches the program alone and says nothing.
  if (!is_dispatched(ifindex, xdp_program__id(raw))) {
    xdp_program__detach(raw, static_cast<int>(ifindex), mode, 0);
    return fail(
        "this kernel cannot run libxdp's dispatcher (no BPF trampolines, which freplace needs): attach without "
        "--shared, as the only program",
        EOPNOTSUPP);
  }
  const int fd = fcntl(xdp_program__fd(raw), F_DUPFD_CLOEXEC, 3);
  if (fd < 0) return Err(system_error(errno, "keeping the program"));
  return fd;
}

Outcome<void> undispatch(std::uint32_t ifindex, std::uint32_t program_id) {
  const Multiprog all = programs_of(ifindex);
  int code = 0;
  bool found = false;
  each_program(all, [&](xdp_program* p) {
    if (found || xdp_program__id(p) != program_id) return;
    found = true;
    code = -xdp_program__detach(p, static_cast<int>(ifindex), xdp_multiprog__attach_mode(all.get()), 0);
  });
  if (code != 0) return Err(system_error(code, "taking the program out of libxdp's dispatcher"));
  return {};
}

}  // namespace weir::xdp
