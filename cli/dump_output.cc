// SPDX-License-Identifier: MIT
#include "dump_output.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace weir::cli {

Outcome<DumpOutput> DumpOutput::open(const std::string& path) {
  xdp::Fd own;
  int fd = STDOUT_FILENO;
  if (!path.empty() && path != "-") {
    own = xdp::Fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (!own) return Err(xdp::system_error(errno, "opening " + path));
    fd = own.get();
  }
  struct stat facts {};
  const bool regular = fstat(fd, &facts) == 0 && S_ISREG(facts.st_mode);
  return DumpOutput(std::move(own), fd, regular);
}

bool DumpOutput::is_terminal() const { return isatty(fd_) == 1; }

// The descriptor may be shared with who started us, so it stays in blocking mode: where poll() says that there is room,
// a pipe takes PIPE_BUF octets at once.
Outcome<bool> DumpOutput::write_some() {
  std::size_t done = 0;
  bool open = true;
  while (done < pending_.size()) {
    std::size_t n = pending_.size() - done;
    if (!regular_) {
      pollfd ready{fd_, POLLOUT, 0};
      if (poll(&ready, 1, 0) <= 0 || (ready.revents & (POLLOUT | POLLERR | POLLHUP)) == 0) break;
      n = std::min<std::size_t>(n, PIPE_BUF);
    }
    const ssize_t written = write(fd_, pending_.data() + done, n);
    if (written > 0) {
      done += static_cast<std::size_t>(written);
    } else if (written < 0 && errno == EPIPE) {
      open = false;
      done = pending_.size();
    } else if (written < 0 && errno != EINTR && errno != EAGAIN) {
      return Err(xdp::system_error(errno, "writing the dump"));
    } else if (written < 0 && errno == EAGAIN) {
      break;
    }
  }
  pending_.erase(0, done);
  return open;
}

Outcome<bool> DumpOutput::finish(int interrupted) {
  while (!pending_.empty()) {
    const auto open = write_some();
    if (!open || !*open) return open;
    if (pending_.empty()) break;
    pollfd either[2] = {{fd_, POLLOUT, 0}, {interrupted, POLLIN, 0}};
    if (poll(either, 2, -1) < 0 && errno != EINTR) return Err(xdp::system_error(errno, "writing the dump"));
    if ((either[1].revents & POLLIN) != 0) break;
  }
  return true;
}

}  // namespace weir::cli
