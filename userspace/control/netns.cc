// SPDX-License-Identifier: MIT
#include "weir/control/netns.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

namespace weir::control {

Outcome<std::uint64_t> netns_cookie() {
  const xdp::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return Err(xdp::system_error(errno, "opening a socket"));
  std::uint64_t cookie = 0;
  socklen_t length = sizeof cookie;
  if (getsockopt(socket.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) != 0)
    return Err(xdp::system_error(errno, "asking for the network namespace's cookie", "it needs Linux 5.14 or newer"));
  return cookie;
}

Outcome<NetnsScope> NetnsScope::enter(std::string_view where) {
  if (where.empty())
    return xdp::fail("the name of the network namespace is empty: `ip netns list` shows those there are", EINVAL);
  const bool is_pid = std::all_of(where.begin(), where.end(), [](char c) { return c >= '0' && c <= '9'; });
  std::string path(where);
  if (where.find('/') == std::string_view::npos) path = "/run/netns/" + path;
  xdp::Fd target(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  // A namespace may be named by digits alone; a name that exists wins over a process id.
  if (!target && is_pid)
    target = xdp::Fd(open(("/proc/" + std::string(where) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC));
  if (!target) {
    const int code = errno;
    return Err(xdp::system_error(code, "opening network namespace " + std::string(where),
                                 code == ENOENT ? "`ip netns list` shows those there are" : ""));
  }
  xdp::Fd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home) return Err(xdp::system_error(errno, "opening this network namespace"));
  if (setns(target.get(), CLONE_NEWNET) != 0) {
    const int code = errno;
    return Err(
        xdp::system_error(code, "entering network namespace " + std::string(where),
                          code == EPERM ? "it needs CAP_SYS_ADMIN: run it as root" : "is it a network namespace?"));
  }
  return NetnsScope(std::move(home));
}

NetnsScope::~NetnsScope() {
  // It was ours a moment ago: failure is not possible short of lost privileges, and then there is nothing to be done.
  if (home_) static_cast<void>(setns(home_.get(), CLONE_NEWNET));
}

}  // namespace weir::control
