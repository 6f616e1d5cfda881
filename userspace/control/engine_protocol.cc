// SPDX-License-Identifier: MIT
#include "weir/control/engine_protocol.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "weir/control/status.h"

namespace weir::control {
namespace {

// False when `until` has passed first.
bool wait_for(int fd, short events, Instant until) {
  for (;;) {
    const std::int64_t left = (until - monotonic_now()).count_ms();
    if (left <= 0) return false;
    pollfd p{fd, events, 0};
    const int n = ::poll(&p, 1, static_cast<int>(std::min<std::int64_t>(left, 60'000)));
    if (n > 0) return true;
    if (n < 0 && errno != EINTR) return false;
  }
}

Err<Error> silent() { return xdp::fail("the engine does not answer: it is stopped, or very busy", ETIMEDOUT); }

}  // namespace

std::string engine_socket_path(std::uint64_t netns_cookie, std::uint32_t ifindex) {
  return run_directory(netns_cookie, ifindex) + "/engine.sock";
}

Outcome<std::string> ask_engine(const std::string& path, const std::string& request, Duration patience) {
  Instant until = monotonic_now() + patience;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return xdp::fail("the engine's socket path is too long", ENAMETOOLONG);
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  xdp::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return Err(xdp::system_error(errno, "opening a Unix socket"));
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    if (errno == EAGAIN) return silent();  // its queue of clients is full
    const bool none = errno == ENOENT || errno == ECONNREFUSED;
    return Err(xdp::system_error(errno, "asking the engine at " + path,
                                 none              ? "no engine runs on that interface"
                                 : errno == EACCES ? "run it as root or as the engine's user"
                                                   : ""));
  }
  const std::string line = request + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t n = ::send(fd.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (n > 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno != EAGAIN && errno != EINTR) {
      return Err(xdp::system_error(errno, "asking the engine at " + path));
    } else if (!wait_for(fd.get(), POLLOUT, until)) {
      return silent();
    }
  }
  std::string answer;
  std::array<char, 16'384> buffer;
  for (;;) {
    const ssize_t n = ::recv(fd.get(), buffer.data(), buffer.size(), 0);
    if (n > 0) {
      answer.append(buffer.data(), static_cast<std::size_t>(n));
      until = monotonic_now() + patience;  // thousands of connections take their time to tell; silence is what counts
    } else if (n == 0) {
      if (answer.empty()) return xdp::fail("the engine refused to answer: it is another user's", EACCES);
      return answer;
    } else if (errno != EAGAIN && errno != EINTR) {
      return Err(xdp::system_error(errno, "reading the engine's answer"));
    } else if (!wait_for(fd.get(), POLLIN, until)) {
      return silent();
    }
  }
}

}  // namespace weir::control
