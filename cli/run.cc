// SPDX-License-Identifier: MIT
// weir run: what needs privileges is done here, as root; the program gets descriptors and nothing else.
#include <fmt/core.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/caps.h"
#include "weir/control/firewall_handover.h"
#include "weir/control/heartbeat.h"
#include "weir/control/interface.h"
#include "weir/xdp/inherit.h"

namespace weir::cli {
namespace {

// What an engine needs, and what the firewall's rules are read with.
constexpr auto kRunCapabilities = {control::Capability::bpf, control::Capability::net_raw,
                                   control::Capability::net_admin};

// What keeps descriptors open until exec.
struct Prepared {
  std::vector<control::Instance> instances;
  std::vector<xdp::Socket> sockets;
  std::vector<xdp::Inherited> handed;
  xdp::Fd firewall;
};

Outcome<void> prepare(control::Instance instance, uid_t uid, Prepared& out) {
  const auto link = control::read_interface(instance.ifindex());
  if (!link) return Err(link.error());
  xdp::Inherited one;
  const bool unused = control::engines_gone(instance.maps(), control::monotonic_now());
  for (std::uint32_t queue = 0; queue < link->rx_queues && queue < WEIR_MAX_QUEUES; ++queue) {
    xdp::SocketConfig config;
    config.ifindex = instance.ifindex();
    config.queue = queue;
    config.umem.frames = 8192;
    config.umem.chunk_size = xdp::chunk_size_for_mtu(link->mtu);
    if (config.umem.chunk_size == 0)
      config.umem.chunk_size = 4096;  // the largest; larger frames are counted as rx_dropped
    auto socket = xdp::Socket::create(config);
    if (!socket) return Err(socket.error());
    // On 6.1 a program without CAP_BPF may not write a map, not even by a descriptor it was given. Until the engine
    // has bound the socket and its heart beats, XDP sends nothing there.
    if (unused) {
      if (const auto set = instance.maps().set_xsk(queue, socket->fd()); !set) return Err(set.error());
    }
    one.sockets.push_back(socket->pass_on());
    out.sockets.push_back(std::move(*socket));
  }
  // The engine makes its socket there (`weir sockets`), as the user that it runs as.
  const std::string directory = control::run_directory(instance.config().netns_cookie, instance.ifindex());
  if (chown(directory.c_str(), uid, static_cast<gid_t>(-1)) != 0)
    return Err(xdp::system_error(errno, "giving " + directory + " to the engine's user"));
  one.maps = instance.maps().pass_on();
  out.handed.push_back(std::move(one));
  out.instances.push_back(std::move(instance));
  return {};
}

struct User {
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;
  std::string name;
  std::string home;
  std::string shell;
};

Outcome<User> find_user(const std::string& text) {
  errno = 0;
  const passwd* entry = getpwnam(text.c_str());
  if (entry == nullptr) {
    if (const auto number = parse_number(text)) entry = getpwuid(*number);
  }
  if (entry == nullptr) return fail(fmt::format("no user '{}': a name or number of passwd(5) is wanted", text), ENOENT);
  User user{entry->pw_uid, entry->pw_gid, {}, entry->pw_name, entry->pw_dir, entry->pw_shell};
  int count = 32;
  user.groups.resize(static_cast<std::size_t>(count));
  if (getgrouplist(user.name.c_str(), user.gid, user.groups.data(), &count) < 0) {
    user.groups.resize(static_cast<std::size_t>(count));
    if (getgrouplist(user.name.c_str(), user.gid, user.groups.data(), &count) < 0)
      return fail(fmt::format("the groups of '{}' could not be read", text), EIO);
  }
  user.groups.resize(static_cast<std::size_t>(count));
  return user;
}

// Order matters: the bounding set and the groups need the privileges that the ids take away. The emptied bounding set
// is what keeps a program that stays uid 0 from getting them back at exec.
Outcome<void> drop_privileges(const std::optional<User>& user) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return Err(xdp::system_error(errno, "setting no_new_privs"));
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0)
      return Err(xdp::system_error(errno, "emptying the capability bounding set", "run it as root (sudo)"));
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
    return Err(xdp::system_error(errno, "clearing ambient capabilities"));
  if (user) {
    if (setgroups(user->groups.size(), user->groups.data()) != 0)
      return Err(xdp::system_error(errno, "setting groups"));
    if (setresgid(user->gid, user->gid, user->gid) != 0) return Err(xdp::system_error(errno, "setting the group id"));
    if (setresuid(user->uid, user->uid, user->uid) != 0) return Err(xdp::system_error(errno, "setting the user id"));
    setenv("HOME", user->home.c_str(), 1);
    setenv("USER", user->name.c_str(), 1);
    setenv("LOGNAME", user->name.c_str(), 1);
    if (!user->shell.empty()) setenv("SHELL", user->shell.c_str(), 1);
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2]{};
  if (syscall(SYS_capset, &header, none) != 0) return Err(xdp::system_error(errno, "dropping capabilities"));
  return {};
}

}  // namespace

Outcome<int> run_run(const Context& context) {
  if (context.json) return fail("run has no output of its own: leave -j out", EINVAL);
  if (const auto allowed = control::require_capabilities("run", kRunCapabilities); !allowed)
    return Err(allowed.error());
  std::optional<User> user;
  if (const auto name = context.args.get("--user")) {
    auto found = find_user(*name);
    if (!found) return Err(found.error());
    user = std::move(*found);
  }

  if (const auto app = context.args.get("--app")) setenv("WEIR_APP", app->c_str(), 1);
  Prepared prepared;
  const auto interface = context.args.get("--interface");
  auto instances = choose_instances(interface);
  if (!instances && (interface || instances.error().code != ENOENT)) return Err(instances.error());
  if (!instances)
    fmt::print(stderr, "weir: {}; until then the program runs on kernel sockets\n", instances.error().message);
  if (instances) {
    for (control::Instance& instance : *instances)
      if (const auto done = prepare(std::move(instance), user ? user->uid : getuid(), prepared); !done)
        return Err(done.error());
    setenv(xdp::kInheritVariable, xdp::encode(prepared.handed).c_str(), 1);
    std::vector<std::string> names;
    for (const control::Instance& instance : prepared.instances) names.push_back(instance.interface());
    auto watch = control::hand_over_firewall(names);
    if (!watch) return Err(watch.error());
    prepared.firewall = std::move(*watch);
    if (interface) setenv("WEIR_INTERFACE", interface->c_str(), 1);
  }
  if (const auto dropped = drop_privileges(user); !dropped) return Err(dropped.error());

  std::vector<char*> argv;
  std::vector<std::string> words = context.args.rest();
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  return Err(xdp::system_error(errno, fmt::format("starting '{}'", words[0]),
                               errno == ENOENT ? "give its path, or put it on PATH" : ""));
}

}  // namespace weir::cli
