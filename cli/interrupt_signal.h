// SPDX-License-Identifier: MIT
// SIGINT and SIGTERM as a descriptor: a command that runs until then ends in good order.
#pragma once

#include <sys/signalfd.h>

#include <unistd.h>

#include <csignal>

#include "weir/xdp/fd.h"

namespace weir::cli {

class InterruptSignal {
 public:
  InterruptSignal() {
    sigemptyset(&wanted_);
    sigaddset(&wanted_, SIGINT);
    sigaddset(&wanted_, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted_, &before_);
    fd_ = xdp::Fd(signalfd(-1, &wanted_, SFD_CLOEXEC | SFD_NONBLOCK));
  }
  InterruptSignal(const InterruptSignal&) = delete;
  InterruptSignal& operator=(const InterruptSignal&) = delete;
  ~InterruptSignal() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

  // Readable once one has come.
  int descriptor() const { return fd_.get(); }
  // Takes it: it would else end the process when it is let through again.
  void take() const {
    signalfd_siginfo taken{};
    while (read(fd_.get(), &taken, sizeof taken) == sizeof taken) {}
  }

 private:
  sigset_t wanted_{};
  sigset_t before_{};
  xdp::Fd fd_;
};

}  // namespace weir::cli
