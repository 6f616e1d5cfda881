// SPDX-License-Identifier: MIT
// rtnetlink's notices: what changed in the kernel since one last looked.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "weir/control/netlink.h"
#include "weir/runtime/link.h"
#include "weir/runtime/neighbours.h"

namespace weir::runtime {

struct KernelChanges {
  std::optional<Link> link;           // the interface as it is now
  bool gone = false;                  // it no longer exists
  bool addresses = false;             // some of the interface's own
  bool routes = false;                // routes or rules of the namespace, or an address or link that routes depend on
  bool overrun = false;               // notices were lost: ask for everything anew
  std::vector<Neighbour> neighbours;  // of the interface, in order

  bool any() const { return link || gone || addresses || routes || overrun || !neighbours.empty(); }
};

class KernelWatch {
 public:
  // 0 or an errno. In the calling thread's network namespace.
  int open(std::uint32_t ifindex);
  int descriptor() const { return socket_.descriptor(); }
  void close() { socket_.close(); }
  // Does not wait.
  KernelChanges drain();

 private:
  control::NetlinkSocket socket_;
  std::uint32_t ifindex_ = 0;
};

}  // namespace weir::runtime
