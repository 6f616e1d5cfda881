// SPDX-License-Identifier: MIT
#include "weir/xdp/error.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <utility>

#include "weir/xdp/fd.h"

namespace weir::xdp {

Error system_error(int code, const std::string& what, const std::string& hint) {
  std::string message = what + ": " + std::strerror(code);
  if (!hint.empty()) message += ": " + hint;
  return {code, std::move(message)};
}

Err<Error> fail(std::string message, int code) { return Err(Error{code, std::move(message)}); }

void Fd::reset() {
  if (fd_ < 0) return;
  const int saved = errno;
  ::close(std::exchange(fd_, -1));
  errno = saved;
}

long long monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<long long>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}

}  // namespace weir::xdp
