// SPDX-License-Identifier: MIT
#include "weir/control/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "weir/common/abi.h"

namespace weir::control {
namespace {

constexpr const char* kLockPath = WEIR_RUN_DIR "/lock";
// Held by who waits next for the lock: one that lets it go and wants it again at once does not pass by who waits.
constexpr const char* kTurnPath = WEIR_RUN_DIR "/lock.next";

std::string holder(int file) {
  char text[16] = {};
  const ssize_t n = pread(file, text, sizeof text - 1, 0);
  const std::string_view pid = std::string_view(text, static_cast<std::size_t>(std::max<ssize_t>(n, 0)));
  return n > 0 ? "process " + std::string(pid.substr(0, pid.find(' '))) : "another process";
}

Outcome<xdp::Fd> open_lock(const char* path) {
  xdp::Fd file(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  if (!file)
    return Err(xdp::system_error(errno, std::string("opening ") + path, errno == EACCES ? "run it as root" : ""));
  return file;
}

// False: not until then.
Outcome<bool> lock_file(const xdp::Fd& file, long long until) {
  constexpr auto kPause = std::chrono::milliseconds(5);
  while (flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return Err(xdp::system_error(errno, "locking weir's configuration"));
    if (xdp::monotonic_ns() >= until) return false;
    std::this_thread::sleep_for(kPause);
  }
  return true;
}

}  // namespace

Outcome<void> prepare_run_directory() {
  if (mkdir(WEIR_RUN_DIR, 0755) != 0 && errno != EEXIST)
    return Err(xdp::system_error(errno, "making " WEIR_RUN_DIR, errno == EACCES ? "run it as root" : ""));
  return {};
}

Outcome<Lock> Lock::acquire(Duration patience) {
  if (auto r = prepare_run_directory(); !r) return Err(r.error());
  const long long until = xdp::monotonic_ns() + patience.count_ns();
  auto turn = open_lock(kTurnPath);
  if (!turn) return Err(turn.error());
  auto file = open_lock(kLockPath);
  if (!file) return Err(file.error());
  for (const xdp::Fd* wanted : {&*turn, &*file}) {
    const auto got = lock_file(*wanted, until);
    if (!got) return Err(got.error());
    if (!*got)
      return xdp::fail(holder(file->get()) + " is changing weir's configuration (it holds " + kLockPath +
                           "): wait for it, or end it",
                       EWOULDBLOCK);
  }
  // For the message above; a stale number in an unlocked file misleads nobody. Of one length, not cut first: a file
  // that is cut and written goes to the disk when it is closed (ext4), and the next holder would wait for that.
  std::string pid = std::to_string(getpid());
  pid.resize(12, ' ');
  static_cast<void>(pwrite(file->get(), pid.data(), pid.size(), 0) < 0);
  return Lock(std::move(*file));
}

}  // namespace weir::control
