// SPDX-License-Identifier: MIT
// Does this network namespace have a firewall that a steered frame would slip past? Frames that XDP hands to the engine
// are seen by none of nftables, iptables, conntrack or tc, so acceptors stay on kernel sockets where there are rules on
// the way in, unless the operator said `attach --bypass-firewall`.
#pragma once

#include <cstdint>
#include <string>

#include "weir/control/netlink.h"

namespace weir::control {

struct FirewallReport {
  enum class State : std::uint8_t {
    open,       // nothing on the way in
    rules,      // a chain with rules, or that drops by policy: `what` names it
    not_known,  // looking needs CAP_NET_ADMIN: `what` says so
  };
  State state = State::open;
  // "nftables: chain inet filter input (policy drop)"; empty when open.
  std::string what;
};

// Looks at the calling thread's network namespace: base chains of nftables at prerouting, input or ingress (families
// ip, ip6, inet, and netdev for the device `ifname`), and the tables of legacy iptables. It reads, and changes nothing.
// Where it may not look, it answers what `weir run` saw, if that was handed over (firewall_handover.h).
FirewallReport inspect_firewall(const std::string& ifname);

// Hears of changes to nftables. Legacy iptables gives no notice: look again now and then.
class FirewallWatch {
 public:
  FirewallWatch() = default;
  FirewallWatch(const FirewallWatch&) = delete;
  FirewallWatch& operator=(const FirewallWatch&) = delete;
  ~FirewallWatch() { close(); }
  // 0 or an errno; EPERM without CAP_NET_ADMIN, and without a socket from `weir run`.
  int open();
  // -1 where open() failed.
  int descriptor() const { return socket_.descriptor(); }
  void close();
  // True if anything changed since the last call. Does not wait.
  bool changed();

 private:
  NetlinkSocket socket_;
  bool inherited_ = false;
};

}  // namespace weir::control
