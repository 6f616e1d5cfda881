// SPDX-License-Identifier: MIT
#include "weir/runtime/steering.h"

#include <netinet/in.h>

#include <utility>

namespace weir::runtime {
namespace {

// The port of a TCP entry, or 0.
std::uint16_t tcp_port(const weir_steer& entry) {
  return xdp::load(entry.protocol) == IPPROTO_TCP ? from_be16(xdp::load(entry.port_be)) : std::uint16_t{0};
}

void set_flows(weir_steer& entry, std::uint32_t flows) {
  if (xdp::load(entry.flows) != flows) xdp::store(entry.flows, flows);
}

}  // namespace

void Steering::clear_marks() {
  for (weir_steer& entry : entries()) {
    if ((xdp::load(entry.listeners) & queues_) != 0) xdp::fetch_and(entry.listeners, ~queues_);
    set_flows(entry, 0);
  }
}

Steering::Scan Steering::scan(const std::set<std::uint16_t>& ports, stack::Stack& stack, Instant now) {
  Scan result;
  std::array<std::uint16_t, WEIR_MAX_STEER> before = ports_;
  std::set<std::uint16_t> steered;
  tcp_.clear();
  for (std::uint32_t i = 0; i < WEIR_MAX_STEER; ++i) {
    weir_steer& entry = entries()[i];
    const std::uint16_t port = tcp_port(entry);
    ports_[i] = port;
    const std::uint32_t flags = xdp::load(entry.flags);
    const bool draining = (flags & WEIR_STEER_DRAINING) != 0;
    const bool accepts = port != 0 && !draining && (flags & WEIR_STEER_RESERVED) == 0 && ports.contains(port);
    const std::uint64_t marks = xdp::load(entry.listeners) & queues_;
    if (accepts && marks != queues_) xdp::fetch_or(entry.listeners, queues_);
    if (!accepts && marks != 0) xdp::fetch_and(entry.listeners, ~queues_);
    if (port == 0) continue;
    result.listening = result.listening || accepts;
    steered.insert(port);
    tcp_.push_back({i, port});
    set_flows(entry, stack.flows(port));
    if (draining && stack.flows(port) == 0) result.drained = true;
  }

  // `steer del --now`: the port is gone, or its entry is, and the entry may be used again once its flows are.
  std::set<std::uint16_t> taken_away;
  for (std::uint32_t i = 0; i < WEIR_MAX_STEER; ++i) {
    if (before[i] == 0 || before[i] == ports_[i]) continue;
    if (!steered.contains(before[i]) && stack.flows(before[i]) != 0) taken_away.insert(before[i]);
    if (ports_[i] == 0) set_flows(entries()[i], 0);
  }
  if (!taken_away.empty()) {
    stack.for_each_connection(now, [&](const stack::ConnectionSummary& c) {
      if (taken_away.contains(c.local.port)) stack.abort(c.id, now);
    });
  }
  return result;
}

void Steering::update_flows(const stack::Stack& stack) {
  for (const Entry& e : tcp_) {
    weir_steer& entry = entries()[e.index];
    const std::uint32_t flows = stack.flows(e.port);
    if (xdp::load(entry.flows) != flows && tcp_port(entry) == e.port) xdp::store(entry.flows, flows);
  }
}

void Steering::clear_kernel(SockDiag& diag) {
  // The count is read before the question: a SYN that falls to the kernel meanwhile leaves the two unequal.
  const std::map<std::uint32_t, std::uint32_t> before = std::exchange(counts_, {});
  std::set<std::uint16_t> ports;
  for (const Entry& e : tcp_) {
    weir_steer& entry = entries()[e.index];
    const std::uint32_t syns = xdp::load(entry.syns_to_kernel);
    if (syns == xdp::load(entry.kernel_clear)) continue;
    counts_[e.index] = syns;
    if (auto b = before.find(e.index); b != before.end() && b->second == syns) ports.insert(e.port);
  }
  if (ports.empty()) return;
  auto held = diag.ports_with_connections(ports);
  if (!held) return;
  for (const Entry& e : tcp_) {
    auto count = counts_.find(e.index);
    weir_steer& entry = entries()[e.index];
    if (count == counts_.end() || !ports.contains(e.port) || held->contains(e.port) || tcp_port(entry) != e.port) {
      continue;
    }
    xdp::store(entry.kernel_clear, count->second);
  }
}

void Steering::clear_kernel(std::uint32_t index) {
  weir_steer& entry = entries()[index];
  xdp::store(entry.kernel_clear, xdp::load(entry.syns_to_kernel));
}

}  // namespace weir::runtime
