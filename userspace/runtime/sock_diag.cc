// SPDX-License-Identifier: MIT
#include "weir/runtime/sock_diag.h"

#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include <cerrno>

#include "weir/base/bytes.h"

namespace weir::runtime {
namespace {

// The kernel's numbers of TCP states (include/net/tcp_states.h); glibc's list ends at CLOSING.
enum KernelState : unsigned { kEstablished = 1, kClose = 7, kListen = 10, kNewSynRecv = 12 };

constexpr std::uint32_t connected_states() {
  std::uint32_t mask = 0;
  for (unsigned s = kEstablished; s <= kNewSynRecv; ++s) {
    if (s != kClose && s != kListen) mask |= 1u << s;
  }
  return mask;
}

}  // namespace

Result<std::set<std::uint16_t>, int> SockDiag::ports_with_connections(const std::set<std::uint16_t>& ports) {
  return ports_with(connected_states(), ports, {});
}

Result<std::set<std::uint16_t>, int> SockDiag::ports_with_other_listeners(const std::set<std::uint16_t>& ports,
                                                                          const std::set<std::uint64_t>& own) {
  return ports_with(1u << kListen, ports, own);
}

Result<std::set<std::uint16_t>, int> SockDiag::ports_with(std::uint32_t states, const std::set<std::uint16_t>& ports,
                                                          const std::set<std::uint64_t>& except) {
  std::set<std::uint16_t> found;
  for (std::uint8_t family : {std::uint8_t{AF_INET}, std::uint8_t{AF_INET6}}) {
    for (int attempt = 0;; ++attempt) {
      inet_diag_req_v2 body{};
      body.sdiag_family = family;
      body.sdiag_protocol = IPPROTO_TCP;
      body.idiag_states = states;
      // One port is filtered by the kernel; more than one by us, in one pass over its table.
      if (ports.size() == 1) body.id.idiag_sport = to_be16(*ports.begin());
      control::NetlinkRequest request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, body);
      int error = socket_.request(request, [&](const control::NetlinkMessage& m) {
        auto socket = m.fixed<inet_diag_msg>();
        if (m.type != SOCK_DIAG_BY_FAMILY || !socket) return;
        std::uint16_t port = from_be16(socket->id.idiag_sport);
        if (ports.contains(port) && !except.contains(socket->idiag_inode)) found.insert(port);
      });
      if (error == EINTR && attempt < 5) continue;
      if (error != 0) return Err(error);
      break;
    }
  }
  return found;
}

}  // namespace weir::runtime
