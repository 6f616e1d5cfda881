// SPDX-License-Identifier: MIT
// A file descriptor with one owner.
#pragma once

#include <utility>

namespace weir::xdp {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = std::exchange(other.fd_, -1);
    }
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  // Gives the descriptor up without closing it.
  int release() { return std::exchange(fd_, -1); }
  // Closes it; errno is kept, so that an error path can clean up before it reports.
  void reset();

 private:
  int fd_ = -1;
};

// CLOCK_MONOTONIC in nanoseconds: the clock of weir_heartbeat and of bpf_ktime_get_ns.
long long monotonic_ns();

}  // namespace weir::xdp
