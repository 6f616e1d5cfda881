// SPDX-License-Identifier: MIT
// The machine: kernel, capabilities, BPF file system, locked memory, huge pages, JIT.
#include <fmt/core.h>
#include <linux/bpf.h>
#include <linux/magic.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <optional>

#include "doctor.h"
#include "output.h"
#include "weir/control/caps.h"
#include "weir/xdp/fd.h"

namespace weir::cli {
namespace {

// What is tested: Debian 12's, and newer.
constexpr int kOldestMajor = 6;
constexpr int kOldestMinor = 1;

Check check_kernel() {
  utsname names{};
  uname(&names);
  int major = 0, minor = 0;
  const bool readable = std::sscanf(names.release, "%d.%d", &major, &minor) == 2;
  const bool new_enough = readable && (major > kOldestMajor || (major == kOldestMajor && minor >= kOldestMinor));
  if (new_enough) return {Health::ok, "kernel", names.release, ""};
  return {Health::warn, "kernel",
          fmt::format("{}: weir is tested on {}.{} and newer", names.release, kOldestMajor, kOldestMinor),
          "boot a newer kernel"};
}

// 0, or the errno with which the kernel refuses a two-instruction XDP program.
int probe_xdp() {
  bpf_insn program[2]{};
  program[0].code = BPF_ALU64 | BPF_MOV | BPF_K;
  program[0].imm = XDP_PASS;
  program[1].code = BPF_JMP | BPF_EXIT;
  bpf_attr attr{};
  attr.prog_type = BPF_PROG_TYPE_XDP;
  attr.insns = reinterpret_cast<std::uint64_t>(program);
  attr.insn_cnt = 2;
  attr.license = reinterpret_cast<std::uint64_t>("GPL");
  const xdp::Fd fd(static_cast<int>(syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr)));
  return fd ? 0 : errno;
}

Check check_xdp() {
  switch (const int error = probe_xdp()) {
    case 0:
      return {Health::ok, "xdp", "the kernel loads XDP programs", ""};
    case EPERM:
      return {Health::warn, "xdp", "cannot be tried: loading a program needs CAP_BPF and CAP_NET_ADMIN",
              "sudo weir doctor"};
    default:
      return {Health::fail, "xdp", fmt::format("the kernel loads no XDP program: {}", std::strerror(error)),
              "use a kernel with CONFIG_BPF_SYSCALL and CONFIG_NET"};
  }
}

Check check_af_xdp() {
  const xdp::Fd fd(socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0));
  if (fd) return {Health::ok, "af_xdp", "the kernel has AF_XDP sockets", ""};
  if (errno == EPERM)
    return {Health::warn, "af_xdp", "cannot be tried: an AF_XDP socket needs CAP_NET_RAW", "sudo weir doctor"};
  return {Health::fail, "af_xdp", fmt::format("no AF_XDP sockets: {}", std::strerror(errno)),
          "use a kernel with CONFIG_XDP_SOCKETS=y"};
}

Check check_capabilities() {
  std::vector<std::string> missing;
  for (const auto& wanted : {control::kAttachCapabilities, control::kEngineCapabilities}) {
    for (const control::Capability capability : control::missing_capabilities(wanted)) {
      const std::string one = control::capability_name(capability);
      bool known = false;
      for (const std::string& other : missing) known = known || other == one;
      if (!known) missing.push_back(one);
    }
  }
  if (missing.empty()) return {Health::ok, "capabilities", "all that attach and an engine need", ""};
  return {Health::warn, "capabilities",
          fmt::format("without {}: this user cannot attach, nor open an engine's sockets", join(missing)),
          "sudo weir ..., and `weir run --user USER -- CMD` for the engine"};
}

Check check_bpffs() {
  struct statfs fs {};
  if (statfs("/sys/fs/bpf", &fs) == 0 && fs.f_type == BPF_FS_MAGIC)
    return {Health::ok, "bpffs", "mounted at /sys/fs/bpf", ""};
  return {Health::warn, "bpffs", "no BPF file system at /sys/fs/bpf: `weir attach` mounts it, until the next boot",
          "mount -t bpf bpf /sys/fs/bpf   (inside `ip netns exec`, use `weir -n NETNS` from outside instead)"};
}

Check check_memlock() {
  rlimit limit{};
  getrlimit(RLIMIT_MEMLOCK, &limit);
  if (control::has_capability(control::Capability::ipc_lock))
    return {Health::ok, "memlock", "CAP_IPC_LOCK: no limit applies", ""};
  if (limit.rlim_cur == RLIM_INFINITY) return {Health::ok, "memlock", "unlimited", ""};
  constexpr rlim_t kQueue = rlim_t{8192} * 2048;  // the UMEM of one queue
  const auto mib = [](rlim_t octets) { return octets >> 20; };
  if (limit.rlim_cur >= kQueue)
    return {Health::ok, "memlock", fmt::format("{} MiB; a queue's UMEM locks {} MiB", mib(limit.rlim_cur), mib(kQueue)),
            ""};
  return {Health::warn, "memlock",
          fmt::format("{} MiB, and a queue's UMEM locks {} MiB", mib(limit.rlim_cur), mib(kQueue)),
          "ulimit -l unlimited, or LimitMEMLOCK=infinity in a unit; `weir run` needs neither"};
}

std::optional<long> number_in(const char* path) {
  std::ifstream file(path);
  long value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

Check check_huge_pages() {
  std::ifstream file("/proc/meminfo");
  std::string key;
  long free_pages = 0;
  while (file >> key) {
    if (key == "HugePages_Free:") file >> free_pages;
  }
  if (free_pages > 0) return {Health::ok, "huge pages", fmt::format("{} free: UMEM takes what fits", free_pages), ""};
  return {Health::ok, "huge pages", "none reserved: UMEM uses ordinary pages (sysctl vm.nr_hugepages=64 reserves some)",
          ""};
}

Check check_jit() {
  const auto enabled = number_in("/proc/sys/net/core/bpf_jit_enable");
  if (!enabled || *enabled != 0) return {Health::ok, "bpf jit", "on", ""};
  return {Health::warn, "bpf jit", "off: XDP programs are interpreted, several times slower",
          "sysctl -w net.core.bpf_jit_enable=1"};
}

}  // namespace

std::vector<Check> check_machine() {
  return {check_kernel(), check_xdp(),     check_af_xdp(),     check_capabilities(),
          check_bpffs(),  check_memlock(), check_huge_pages(), check_jit()};
}

}  // namespace weir::cli
