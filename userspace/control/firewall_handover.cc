// SPDX-License-Identifier: MIT
#include "weir/control/firewall_handover.h"

#include <fcntl.h>
#include <linux/netfilter/nfnetlink.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <mutex>
#include <span>
#include <string_view>

#include "weir/control/netlink.h"
#include "weir/control/netns.h"

namespace weir::control {
namespace {

using State = FirewallReport::State;
constexpr std::string_view kVersion = "v1/";

const char* state_name(State state) {
  return state == State::open ? "open" : state == State::rules ? "rules" : "not_known";
}

std::optional<State> parse_state(std::string_view text) {
  for (const State state : {State::open, State::rules, State::not_known})
    if (text == state_name(state)) return state;
  return std::nullopt;
}

// Up to the next `end`, which is taken too; the rest where there is none.
std::string_view next(std::string_view& text, char end) {
  const std::size_t at = text.find(end);
  const std::string_view field = text.substr(0, at);
  text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
  return field;
}

class Process {
 public:
  std::optional<FirewallReport> verdict(const std::string& interface) {
    const std::lock_guard lock(mutex_);
    read();
    for (const FirewallVerdict& one : verdicts_) {
      if (one.interface != interface) continue;
      if (!expired_) return one.report;
      return FirewallReport{State::not_known, "it has changed since `weir run` looked at it: start this program anew"};
    }
    return std::nullopt;
  }
  xdp::Fd take_watch() {
    const std::lock_guard lock(mutex_);
    read();
    return std::move(watch_);
  }
  void expire() {
    const std::lock_guard lock(mutex_);
    expired_ = true;
  }

 private:
  void read() {
    if (read_) return;
    read_ = true;
    const char* text = std::getenv(kFirewallVariable);
    if (text == nullptr) return;
    auto decoded = decode_firewall(text);
    unsetenv(kFirewallVariable);
    if (!decoded) return;
    // A grandchild is not to take the descriptor for its own.
    if (fcntl(decoded->watch, F_SETFD, FD_CLOEXEC) != 0) return;
    watch_ = xdp::Fd(decoded->watch);
    verdicts_ = std::move(decoded->verdicts);
  }

  std::mutex mutex_;
  bool read_ = false;
  bool expired_ = false;
  xdp::Fd watch_;
  std::vector<FirewallVerdict> verdicts_;
};

Process& process() {
  static Process one;
  return one;
}

}  // namespace

std::string encode_firewall(int watch, const std::vector<FirewallVerdict>& verdicts) {
  std::string out = std::string(kVersion) + std::to_string(watch);
  for (const FirewallVerdict& one : verdicts) {
    std::string what = one.report.what;
    std::replace(what.begin(), what.end(), '/', ' ');
    out += "/" + one.interface + ":" + state_name(one.report.state) + ":" + what;
  }
  return out;
}

std::optional<InheritedFirewall> decode_firewall(const std::string& text) {
  std::string_view left = text;
  if (left.substr(0, kVersion.size()) != kVersion) return std::nullopt;
  left.remove_prefix(kVersion.size());
  InheritedFirewall out;
  const std::string_view number = next(left, '/');
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), out.watch);
  if (error != std::errc{} || end != number.data() + number.size() || out.watch < 0) return std::nullopt;
  while (!left.empty()) {
    std::string_view entry = next(left, '/');
    FirewallVerdict one;
    one.interface = next(entry, ':');
    const auto state = parse_state(next(entry, ':'));
    if (one.interface.empty() || !state) return std::nullopt;
    one.report = {*state, std::string(entry)};
    out.verdicts.push_back(std::move(one));
  }
  return out;
}

Outcome<xdp::Fd> hand_over_firewall(const std::vector<std::string>& interfaces) {
  NetlinkSocket socket;
  const unsigned group = NFNLGRP_NFTABLES;
  if (const int e = socket.open(NETLINK_NETFILTER, std::span(&group, 1)))
    return Err(
        xdp::system_error(e, "subscribing to the firewall's changes", e == EPERM ? "it needs CAP_NET_ADMIN" : ""));
  std::vector<FirewallVerdict> verdicts;
  for (const std::string& interface : interfaces) verdicts.push_back({interface, inspect_firewall(interface)});
  xdp::Fd watch = socket.release();
  if (fcntl(watch.get(), F_SETFD, 0) != 0) return Err(xdp::system_error(errno, "handing over a socket"));
  setenv(kFirewallVariable, encode_firewall(watch.get(), verdicts).c_str(), 1);
  return watch;
}

namespace inherited_firewall {
std::optional<FirewallReport> verdict(const std::string& interface) { return process().verdict(interface); }
xdp::Fd take_watch() { return process().take_watch(); }
void expire() { process().expire(); }
}  // namespace inherited_firewall

}  // namespace weir::control
