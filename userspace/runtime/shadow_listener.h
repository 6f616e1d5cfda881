// SPDX-License-Identifier: MIT
// The kernel's half of an acceptor: a listening socket on the same port. It keeps the port from being taken, makes `ss`
// show it, and serves connections that the engine does not get.
#pragma once

#include "weir/base/ip_address.h"
#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"

namespace weir::runtime {

struct ShadowListener {
  xdp::Fd socket;  // non-blocking, close-on-exec
  Endpoint local;
  bool v4 = false;  // the families it accepts
  bool v6 = false;
  bool adopted = false;  // came with LISTEN_FDS
};

struct ShadowOptions {
  int backlog = 4096;  // the kernel caps it by net.core.somaxconn
  bool ipv6_only = false;
  bool reuse_address = true;
};

// Takes a listening TCP socket of that address from those passed by LISTEN_FDS (sd_listen_fds(3)), or else opens one.
// `local` :: without ipv6_only accepts both families. Port 0: the kernel chooses. Errors are the kernel's.
xdp::Outcome<ShadowListener> open_shadow_listener(const Endpoint& local, const ShadowOptions& options);

}  // namespace weir::runtime
