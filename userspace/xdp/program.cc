// SPDX-License-Identifier: MIT
#include "weir/xdp/program.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <vector>

#include "weir.skel.h"
#include "weir/xdp/dispatcher.h"

namespace weir::xdp {
namespace {

constexpr const char* kBpffs = "/sys/fs/bpf";
constexpr const char* kLinkPin = "link";
constexpr const char* kSharedPin = "shared";  // in the link's place: the program that libxdp's dispatcher runs

std::string link_path(const std::string& directory) { return directory + "/" + kLinkPin; }
std::string shared_path(const std::string& directory) { return directory + "/" + kSharedPin; }

// libbpf has one print function for all threads: each thread's log goes where that thread's load wants it.
thread_local std::string* t_log = nullptr;

int capture(enum libbpf_print_level level, const char* format, va_list arguments) {
  if (t_log == nullptr || level == LIBBPF_DEBUG) return 0;
  char line[4096];
  const int n = std::vsnprintf(line, sizeof line, format, arguments);
  if (n > 0) t_log->append(line, std::min<std::size_t>(static_cast<std::size_t>(n), sizeof line - 1));
  return n;
}

class LogCapture {
 public:
  explicit LogCapture(std::string* log) {
    t_log = log;
    libbpf_set_print(capture);
  }
  ~LogCapture() { t_log = nullptr; }
  LogCapture(const LogCapture&) = delete;
  LogCapture& operator=(const LogCapture&) = delete;
};

bool is_bpffs() {
  struct statfs fs {};
  return statfs(kBpffs, &fs) == 0 && static_cast<unsigned long>(fs.f_type) == BPF_FS_MAGIC;
}

// Whether this mount namespace is another than that of the process that started the system (or container).
bool in_private_mount_namespace() {
  char own[64];
  char first[64];
  const ssize_t a = readlink("/proc/self/ns/mnt", own, sizeof own);
  const ssize_t b = readlink("/proc/1/ns/mnt", first, sizeof first);
  return a > 0 && b > 0 &&
         std::string_view(own, static_cast<std::size_t>(a)) != std::string_view(first, static_cast<std::size_t>(b));
}

Err<Error> out_of_sight() {
  return fail(std::string("the BPF file system is not mounted in this mount namespace (inside `ip netns exec`?): use "
                          "`weir -n NETNS ...`, or nsenter --net=/run/netns/NETNS"),
              ENOENT);
}

std::string attach_hint(int code, bool native) {
  switch (code) {
    case EPERM:
    case EACCES:
      return "it needs CAP_NET_ADMIN and CAP_BPF: run it as root";
    case EBUSY:
    case EEXIST:
      return "another XDP program is attached: see `ip link`, and take it away first";
    case EOPNOTSUPP:
      return native ? "the driver has no native XDP: use --mode generic" : "this kernel has no XDP for it";
    case ENOSPC:
      return "native XDP on a veth wants as many receive queues as its peer has transmit queues: ethtool -L, or --mode "
             "generic";
    case EINVAL:
    case ERANGE:
    case E2BIG:
      return native ? "the MTU or an offload stands in the way of native XDP: lower the MTU (3506 on a veth), or "
                      "--mode generic"
                    : "";
    case ENODEV:
      return "the interface is gone";
    default:
      return "";
  }
}

}  // namespace

std::string pin_directory(std::uint64_t netns_cookie, std::uint32_t ifindex) {
  return std::string(WEIR_PIN_ROOT) + "/" + std::to_string(netns_cookie) + "-" + std::to_string(ifindex);
}

Outcome<void> require_bpffs() {
  if (!is_bpffs() && in_private_mount_namespace()) return out_of_sight();
  return {};
}

Outcome<void> prepare_bpffs() {
  if (!is_bpffs()) {
    if (in_private_mount_namespace()) return out_of_sight();
    if (mount("bpf", kBpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700") != 0)
      return Err(system_error(errno, std::string("mounting the BPF file system at ") + kBpffs,
                              "mount it by hand: mount -t bpf bpf /sys/fs/bpf"));
  }
  if (mkdir(WEIR_PIN_ROOT, 0755) != 0 && errno != EEXIST)
    return Err(system_error(errno, std::string("making ") + WEIR_PIN_ROOT, errno == EACCES ? "run it as root" : ""));
  return {};
}

Outcome<std::optional<AttachedProgram>> attached_program(std::uint32_t ifindex) {
  const LogCapture quiet(nullptr);
  LIBBPF_OPTS(bpf_xdp_query_opts, query);
  if (const int r = bpf_xdp_query(static_cast<int>(ifindex), 0, &query); r != 0)
    return Err(system_error(-r, "asking for the XDP program of interface " + std::to_string(ifindex)));
  AttachedProgram out;
  for (const std::uint32_t id : {query.drv_prog_id, query.hw_prog_id, query.skb_prog_id, query.prog_id}) {
    if (id == 0 || out.id != 0) continue;
    out.id = id;
    out.native = id != query.skb_prog_id;
  }
  if (out.id == 0) return std::optional<AttachedProgram>{};
  const Fd program(bpf_prog_get_fd_by_id(out.id));
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  if (program && bpf_obj_get_info_by_fd(program.get(), &info, &length) == 0) out.name = info.name;
  return std::optional(std::move(out));
}

struct Program::State {
  ~State() {
    link.reset();
    if (!kept && !directory.empty()) static_cast<void>(unpin_all(directory));
    weir_bpf__destroy(skeleton);
  }
  int program_fd() const { return bpf_program__fd(skeleton->progs.weir_xdp); }

  weir_bpf* skeleton = nullptr;
  Fd link;
  std::string directory;  // of pins that are ours to remove
  bool kept = false;
};

Program::Program(std::unique_ptr<State> state) : s_(std::move(state)) {}
Program::Program(Program&&) noexcept = default;
Program& Program::operator=(Program&&) noexcept = default;
Program::~Program() = default;

namespace {

Err<Error> load_error(int code) {
  const char* hint =
      code == EPERM || code == EACCES
          ? "it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON: run it as root, or see --verbose for the verifier's words"
      : code == EINVAL || code == ENOTSUP || code == ESRCH
          ? "this kernel may lack what the program needs (5.18 or newer, with BTF): `weir doctor`, and "
            "--verbose for the verifier's words"
          : "--verbose shows the verifier's words";
  return Err(system_error(code, "loading the XDP program", hint));
}

}  // namespace

Outcome<Program> Program::load(std::string* log) {
  const LogCapture capture_log(log);
  auto state = std::make_unique<State>();
  state->skeleton = weir_bpf__open();
  if (state->skeleton == nullptr) return load_error(errno);
  if (const int r = weir_bpf__load(state->skeleton); r != 0) return load_error(-r);
  return Program(std::move(state));
}

Outcome<Program> Program::load_with_maps_of(const std::string& directory, std::string* log) {
  const LogCapture capture_log(log);
  auto pinned = Maps::open(directory);
  if (!pinned) return Err(pinned.error());
  const MapFds fds = pinned->fds();
  auto state = std::make_unique<State>();
  state->skeleton = weir_bpf__open();
  if (state->skeleton == nullptr) return load_error(errno);
  for (std::size_t i = 0; i < kMapCount; ++i) {
    bpf_map* map = bpf_object__find_map_by_name(state->skeleton->obj, map_name(static_cast<MapId>(i)));
    if (map == nullptr || fds[i] < 0)
      return fail(std::string("map ") + map_name(static_cast<MapId>(i)) + " is missing: detach, and attach again",
                  EPROTO);
    // libbpf duplicates the descriptor.
    if (const int r = bpf_map__reuse_fd(map, fds[i]); r != 0)
      return Err(system_error(-r, std::string("taking over map ") + map_name(static_cast<MapId>(i))));
  }
  if (const int r = weir_bpf__load(state->skeleton); r != 0) return load_error(-r);
  return Program(std::move(state));
}

std::uint32_t Program::id() const {
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  return bpf_obj_get_info_by_fd(s_->program_fd(), &info, &length) == 0 ? info.id : 0;
}

Outcome<Maps> Program::maps() const {
  MapFds fds{};
  fds.fill(-1);
  auto close_all = [&] {
    for (const int fd : fds)
      if (fd >= 0) ::close(fd);
  };
  for (std::size_t i = 0; i < kMapCount; ++i) {
    const int fd = bpf_object__find_map_fd_by_name(s_->skeleton->obj, map_name(static_cast<MapId>(i)));
    if (fd >= 0) fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fds[i] < 0) {
      close_all();
      return fail(
          std::string("the embedded program has no map ") + map_name(static_cast<MapId>(i)) + ": build weir anew",
          ENOENT);
    }
  }
  // A fresh configuration is all zero; it says which ABI it is of before anybody else can see it.
  const int config = fds[static_cast<std::size_t>(MapId::config)];
  const std::uint32_t key = 0;
  weir_config value{};
  if (bpf_map_lookup_elem(config, &key, &value) == 0 && value.abi_version == 0) {
    value.abi_version = WEIR_ABI_VERSION;
    bpf_map_update_elem(config, &key, &value, BPF_ANY);
  }
  return Maps::adopt(fds);
}

Outcome<void> Program::pin_maps(const std::string& directory) {
  if (mkdir(directory.c_str(), 0755) != 0) return Err(system_error(errno, "making " + directory));
  s_->directory = directory;
  for (std::size_t i = 0; i < kMapCount; ++i) {
    const char* name = map_name(static_cast<MapId>(i));
    const std::string path = directory + "/" + name;
    const int fd = bpf_object__find_map_fd_by_name(s_->skeleton->obj, name);
    if (bpf_obj_pin(fd, path.c_str()) != 0) return Err(system_error(errno, "pinning " + path));
  }
  return {};
}

Outcome<AttachOutcome> Program::attach(std::uint32_t ifindex, AttachMode mode) {
  const LogCapture quiet(nullptr);
  auto once = [&](bool native) {
    LIBBPF_OPTS(bpf_link_create_opts, options, .flags = native ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE);
    const int fd = bpf_link_create(s_->program_fd(), static_cast<int>(ifindex), BPF_XDP, &options);
    if (fd < 0) return errno;
    s_->link = Fd(fd);
    return 0;
  };
  AttachOutcome out;
  int code = EOPNOTSUPP;
  if (mode != AttachMode::generic) {
    code = once(true);
    if (code != 0)
      out.native_refusal =
          std::string(strerror(code)) + (attach_hint(code, true).empty() ? "" : ": " + attach_hint(code, true));
  }
  const bool settled = code == 0 || code == EBUSY || code == EEXIST || code == EPERM || code == ENODEV;
  if (mode == AttachMode::generic || (mode == AttachMode::automatic && !settled)) {
    code = once(false);
    out.mode = WEIR_XDP_GENERIC;
  }
  if (code != 0)
    return Err(system_error(
        code, std::string("attaching in ") + (out.mode == WEIR_XDP_NATIVE ? "native" : "generic") + " mode",
        attach_hint(code, out.mode == WEIR_XDP_NATIVE)));
  const std::string path = link_path(s_->directory);
  if (bpf_obj_pin(s_->link.get(), path.c_str()) != 0) return Err(system_error(errno, "pinning " + path));
  return out;
}

Outcome<AttachOutcome> Program::attach_shared(std::uint32_t ifindex, AttachMode mode, std::string* log) {
  const LogCapture capture_log(log);
  // libxdp loads the program itself, as the replacement of a function: from an object of its own, with these maps.
  auto once = [&](bool native) -> Outcome<int> {
    const std::unique_ptr<weir_bpf, void (*)(weir_bpf*)> other(weir_bpf__open(), weir_bpf__destroy);
    if (!other) return load_error(errno);
    for (std::size_t i = 0; i < kMapCount; ++i) {
      const char* name = map_name(static_cast<MapId>(i));
      const int fd = bpf_object__find_map_fd_by_name(s_->skeleton->obj, name);
      bpf_map* map = bpf_object__find_map_by_name(other->obj, name);
      if (fd < 0 || map == nullptr || bpf_map__reuse_fd(map, fd) != 0)
        return fail(std::string("map ") + name + " cannot be shared with the dispatcher's program", ENOENT);
    }
    bpf_program__set_autoload(other->progs.weir_xdp, false);
    bpf_program__set_autoload(other->progs.weir_xdp_shared, true);
    return dispatch(other->obj, bpf_program__name(other->progs.weir_xdp_shared), ifindex, native);
  };
  AttachOutcome out;
  Outcome<int> fd = fail("no mode", EINVAL);
  if (mode != AttachMode::generic) {
    fd = once(true);
    if (!fd) out.native_refusal = fd.error().message;
  }
  if (mode == AttachMode::generic || (mode == AttachMode::automatic && !fd && fd.error().code != EOPNOTSUPP)) {
    fd = once(false);
    out.mode = WEIR_XDP_GENERIC;
  }
  if (!fd) return Err(fd.error());
  const Fd program(*fd);
  const std::string path = shared_path(s_->directory);
  if (bpf_obj_pin(program.get(), path.c_str()) != 0) {
    const int code = errno;
    bpf_prog_info info{};
    std::uint32_t length = sizeof info;
    if (bpf_obj_get_info_by_fd(program.get(), &info, &length) == 0) static_cast<void>(undispatch(ifindex, info.id));
    return Err(system_error(code, "pinning " + path));
  }
  return out;
}

Outcome<void> Program::replace(const std::string& directory) {
  const Fd link(bpf_obj_get(link_path(directory).c_str()));
  if (!link && errno == ENOENT && Fd(bpf_obj_get(shared_path(directory).c_str())))
    return fail("a program in libxdp's dispatcher is not replaced in place: detach, and attach again", EOPNOTSUPP);
  if (!link) return Err(system_error(errno, "opening " + link_path(directory), "detach, and attach again"));
  if (bpf_link_update(link.get(), s_->program_fd(), nullptr) != 0)
    return Err(system_error(errno, "replacing the program",
                            errno == ENOLINK ? "it was detached by force: detach, and attach again" : ""));
  return {};
}

void Program::keep() { s_->kept = true; }

namespace {

// The program that the dispatcher runs, where it is attached so; code ENOENT where it is not.
Outcome<LinkFacts> read_shared(const std::string& directory) {
  const Fd program(bpf_obj_get(shared_path(directory).c_str()));
  bpf_prog_info info{};
  std::uint32_t length = sizeof info;
  if (!program || bpf_obj_get_info_by_fd(program.get(), &info, &length) != 0)
    return Err(system_error(errno, "opening " + shared_path(directory)));
  auto maps = Maps::open(directory);
  if (!maps) return Err(maps.error());
  return LinkFacts{0, info.id, maps->config().ifindex, true};
}

}  // namespace

Outcome<LinkFacts> read_link(const std::string& directory) {
  const Fd link(bpf_obj_get(link_path(directory).c_str()));
  if (!link && errno == ENOENT) {
    if (auto shared = read_shared(directory)) return shared;
    errno = ENOENT;
  }
  if (!link) return Err(system_error(errno, "opening " + link_path(directory)));
  bpf_link_info info{};
  std::uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(link.get(), &info, &length) != 0)
    return Err(system_error(errno, "reading " + link_path(directory)));
  return LinkFacts{info.id, info.prog_id, info.xdp.ifindex, false};
}

Outcome<void> unpin_all(const std::string& directory) {
  {
    // Dropping the pin alone detaches later, from a kernel worker; this detaches before it returns.
    const Fd link(bpf_obj_get(link_path(directory).c_str()));
    if (link) bpf_link_detach(link.get());
    unlink(link_path(directory).c_str());
  }
  if (const auto shared = read_shared(directory)) {
    if (auto r = undispatch(shared->ifindex, shared->program_id); !r) return r;
    unlink(shared_path(directory).c_str());
  }
  DIR* d = opendir(directory.c_str());
  if (d == nullptr) {
    if (errno == ENOENT) return {};
    return Err(system_error(errno, "opening " + directory, errno == EACCES ? "run it as root" : ""));
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(d)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  closedir(d);
  for (const std::string& name : names) {
    std::string path = directory;
    path.append("/").append(name);
    if (unlink(path.c_str()) != 0 && errno != ENOENT)
      return Err(system_error(errno, "removing " + path, errno == EACCES ? "run it as root" : ""));
  }
  if (rmdir(directory.c_str()) != 0 && errno != ENOENT) return Err(system_error(errno, "removing " + directory));
  return {};
}

}  // namespace weir::xdp
