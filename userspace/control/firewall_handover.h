// SPDX-License-Identifier: MIT
// What `weir run` saw of the host's firewall while it was allowed to look, for the program that it starts, which is
// not: a verdict for each interface, and a socket that hears of changes. The first change makes the verdict void, and
// acceptors stay on kernel sockets until the program is started anew. Legacy iptables gives no notice of changes: they
// are seen at that start.
//
// inspect_firewall() and FirewallWatch consult it where they may not look themselves; their callers need not know.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weir/control/firewall.h"
#include "weir/control/netns.h"
#include "weir/xdp/fd.h"

namespace weir::control {

inline constexpr const char* kFirewallVariable = "WEIR_FIREWALL";

struct FirewallVerdict {
  std::string interface;
  FirewallReport report;
};

// The value of the variable: "v1/<fd>/<interface>:<state>:<what>/...". Slashes within `what` become spaces.
std::string encode_firewall(int watch, const std::vector<FirewallVerdict>& verdicts);
struct InheritedFirewall {
  int watch = -1;
  std::vector<FirewallVerdict> verdicts;
};
// Nothing where the text is malformed.
std::optional<InheritedFirewall> decode_firewall(const std::string& text);

// For `weir run`: subscribes, then looks, so that no change falls in between; sets the variable. The socket that it
// returns is open across exec.
Outcome<xdp::Fd> hand_over_firewall(const std::vector<std::string>& interfaces);

// In the program, of the whole process and thread-safe. The variable is read and removed by the first call.
namespace inherited_firewall {
// Nothing where none was handed over.
std::optional<FirewallReport> verdict(const std::string& interface);
// The socket, to the first who asks; empty where there is none, or it is taken.
xdp::Fd take_watch();
// The firewall has changed, or nobody hears of changes any more.
void expire();
}  // namespace inherited_firewall

}  // namespace weir::control
