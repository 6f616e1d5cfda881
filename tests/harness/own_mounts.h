// SPDX-License-Identifier: MIT
#pragma once

#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "weir/common/abi.h"

namespace weir::testing {

// Gives the process a BPF file system and a WEIR_RUN_DIR that no other sees, so that a test waits for no lock of
// another's, and leaves no pin when it is killed. For root, once, while there is one thread; throws std::system_error.
inline void own_mounts() {
  const auto check = [](int status, const char* what) {
    if (status != 0) throw std::system_error(errno, std::generic_category(), what);
  };
  static bool done = false;
  if (done || ::geteuid() != 0) return;
  done = true;
  check(::unshare(CLONE_NEWNS), "unshare");
  check(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "making the mounts private");
  if (::mkdir(WEIR_RUN_DIR, 0755) != 0 && errno != EEXIST) check(-1, "mkdir " WEIR_RUN_DIR);
  check(::mount("tmpfs", WEIR_RUN_DIR, "tmpfs", 0, "mode=755"), "mounting " WEIR_RUN_DIR);
  check(::mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=700"), "mounting /sys/fs/bpf");
}

}  // namespace weir::testing
