// SPDX-License-Identifier: MIT
// What `weir run` passes to the program it starts: descriptors, by number, in one environment variable.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/xdp/error.h"
#include "weir/xdp/maps.h"
#include "weir/xdp/socket.h"

namespace weir::xdp {

inline constexpr const char* kInheritVariable = "WEIR_INHERIT";

// One attached interface.
struct Inherited {
  MapFds maps{};
  std::vector<SocketFds> sockets;  // one a queue, created and not yet bound
};

// "v1;maps=3,4,...;socket=fd,ifindex,queue,fill,completion,rx,tx,memfd,frames,chunk,headroom;..."; interfaces are
// joined by '|'. Digits and punctuation only.
std::string encode(const std::vector<Inherited>& interfaces);
Outcome<std::vector<Inherited>> decode(std::string_view text);
// What this process was given; empty where the variable is not set. Marks the descriptors close-on-exec and removes the
// variable, so that a grandchild does not mistake them for its own. Call once, before threads are started.
Outcome<std::vector<Inherited>> take_inherited();

}  // namespace weir::xdp
