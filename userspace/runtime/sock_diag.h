// SPDX-License-Identifier: MIT
// The kernel's own TCP sockets of this network namespace, by sock_diag.
#pragma once

#include <cstdint>
#include <set>

#include "weir/base/result.h"
#include "weir/control/netlink.h"

namespace weir::runtime {

class SockDiag {
 public:
  // 0 or an errno.
  int open() { return socket_.open(NETLINK_SOCK_DIAG); }
  void close() { socket_.close(); }

  // Those of `ports` (host order) on which the kernel has a connection in any state: SYN-RECEIVED and TIME-WAIT count,
  // listeners and sockets that are merely bound do not. Both families. Errors are errno values.
  Result<std::set<std::uint16_t>, int> ports_with_connections(const std::set<std::uint16_t>& ports);
  // Those of `ports` on which a socket listens that is not one of `own` (inode numbers).
  Result<std::set<std::uint16_t>, int> ports_with_other_listeners(const std::set<std::uint16_t>& ports,
                                                                  const std::set<std::uint64_t>& own);

 private:
  Result<std::set<std::uint16_t>, int> ports_with(std::uint32_t states, const std::set<std::uint16_t>& ports,
                                                  const std::set<std::uint64_t>& except);

  control::NetlinkSocket socket_;
};

}  // namespace weir::runtime
