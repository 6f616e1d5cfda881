// SPDX-License-Identifier: MIT
#include "weir/runtime/steering.h"

#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace weir::runtime {
namespace {

bool is_tcp(const weir_steer& entry) { return xdp::load(entry.protocol) == IPPROTO_TCP; }

void set_flows(weir_steer& entry, std::uint32_t flows) {
  if (xdp::load(entry.flows) != flows) xdp::store(entry.flows, flows);
}

bool is_for(const weir_steer& entry, const std::string& app) {
  const std::string wanted(entry.app, ::strnlen(entry.app, sizeof entry.app));
  return wanted.empty() || wanted == app;
}

}  // namespace

void Steering::clear_marks() {
  for (weir_steer& entry : entries()) {
    if ((xdp::load(entry.listeners) & queues_) != 0) xdp::fetch_and(entry.listeners, ~queues_);
    set_flows(entry, 0);
  }
  mark_ports({});
}

std::vector<Steering::Entry> Steering::read_entries() const {
  std::vector<Entry> found;
  for (std::uint32_t i = 0; i < WEIR_MAX_STEER; ++i) {
    const weir_steer& entry = entries()[i];
    if (!is_tcp(entry)) continue;
    const bool draining = (xdp::load(entry.flags) & WEIR_STEER_DRAINING) != 0;
    found.push_back({i, control::selector_of(entry), draining, kWholePort});
  }
  return found;
}

void Steering::divide_into_classes(std::vector<Entry>& found) {
  std::map<std::uint16_t, std::size_t> of_port;
  bool ranges = false;
  for (const Entry& e : found) {
    if (e.selector.is_range())
      ranges = true;
    else
      ++of_port[e.selector.first];
  }
  std::vector<Entry*> classes;
  for (Entry& e : found) {
    const bool whole = e.selector.is_plain() && of_port[e.selector.first] == 1 && !(ranges && e.draining);
    if (!whole) classes.push_back(&e);
  }
  std::stable_sort(classes.begin(), classes.end(), [](const Entry* a, const Entry* b) {
    return a->draining != b->draining ? b->draining : a->selector.before(b->selector);
  });
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i]->flow_class = static_cast<std::uint16_t>(i);
}

std::uint16_t Steering::classify(const Endpoint& local, const Endpoint& remote) const {
  if (whole_ports_[local.port]) return kWholePort;
  for (const Entry& e : classes_) {
    if (e.selector.matches(local.address, local.port, remote.address)) return e.flow_class;
  }
  return kWholePort;
}

std::uint32_t Steering::flows_of(const Entry& e, const stack::Stack& stack) const {
  return e.flow_class == kWholePort ? stack.flows(e.selector.first) : stack.class_flows(e.flow_class);
}

// True where the engine accepts what the entry gives it.
bool Steering::mark(const Entry& e, const std::set<std::uint16_t>& ports, const Accepts& accepts) {
  weir_steer& entry = entries()[e.index];
  bool accepted = false;
  if (!e.draining && (xdp::load(entry.flags) & WEIR_STEER_RESERVED) == 0 && is_for(entry, app_)) {
    const auto first = ports.lower_bound(e.selector.first);
    accepted = e.selector.is_range() ? first != ports.end() && *first <= e.selector.last : accepts(e.selector);
  }
  const std::uint64_t marks = xdp::load(entry.listeners) & queues_;
  if (accepted && marks != queues_) xdp::fetch_or(entry.listeners, queues_);
  if (!accepted && marks != 0) xdp::fetch_and(entry.listeners, ~queues_);
  return accepted;
}

void Steering::mark_ports(const std::set<std::uint16_t>& ports) {
  std::array<std::uint64_t, WEIR_LISTENING_WORDS> wanted{};
  for (std::uint16_t port : ports) wanted[weir_listening_word(IPPROTO_TCP, port)] |= std::uint64_t{1} << (port % 64);
  const auto words = maps_.listening();
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    if (xdp::load(words[i]) != wanted[i]) xdp::store(words[i], weir_u64{wanted[i]});
  }
}

void Steering::reset_flows(const std::vector<Entry>& gone, stack::Stack& stack, Instant now) {
  stack.for_each_connection(now, [&](const stack::ConnectionSummary& c) {
    const std::uint16_t flow_class = classify(c.local, c.remote);
    for (const Entry& e : gone) {
      if (e.flow_class != flow_class) continue;
      if (flow_class != kWholePort || e.selector.first == c.local.port) stack.abort(c.id, now);
    }
  });
}

Steering::Scan Steering::scan(const std::set<std::uint16_t>& ports, const Accepts& accepts, stack::Stack& stack,
                              Instant now) {
  std::vector<Entry> found = read_entries();
  divide_into_classes(found);
  if (found != tcp_) {
    // `steer del --now`: an entry is gone and has flows still. It may be used again once they are.
    std::vector<Entry> gone;
    for (const Entry& e : tcp_) {
      const bool there =
          std::any_of(found.begin(), found.end(), [&](const Entry& f) { return f.selector == e.selector; });
      if (!there && flows_of(e, stack) != 0) gone.push_back(e);
    }
    if (!gone.empty()) reset_flows(gone, stack, now);
    for (const Entry& e : tcp_) {
      if (!is_tcp(entries()[e.index])) set_flows(entries()[e.index], 0);
    }
    tcp_ = std::move(found);
    classes_.clear();
    whole_ports_.assign(65'536, false);
    for (const Entry& e : tcp_) {
      if (e.flow_class == kWholePort)
        whole_ports_[e.selector.first] = true;
      else
        classes_.push_back(e);
    }
    std::sort(classes_.begin(), classes_.end(),
              [](const Entry& a, const Entry& b) { return a.flow_class < b.flow_class; });
    stack::FlowClassifier by_entry = [this](const Endpoint& l, const Endpoint& r) { return classify(l, r); };
    stack.set_flow_classes(static_cast<std::uint16_t>(classes_.size()),
                           classes_.empty() ? nullptr : std::move(by_entry));
  }

  Scan result;
  mark_ports(ports);
  for (const Entry& e : tcp_) {
    result.listening = mark(e, ports, accepts) || result.listening;
    const std::uint32_t flows = flows_of(e, stack);
    set_flows(entries()[e.index], flows);
    if (e.draining && flows == 0) result.drained = true;
  }
  return result;
}

void Steering::update_flows(const stack::Stack& stack) {
  for (const Entry& e : tcp_) {
    weir_steer& entry = entries()[e.index];
    const std::uint32_t flows = flows_of(e, stack);
    if (xdp::load(entry.flows) != flows && is_tcp(entry) && from_be16(xdp::load(entry.port_be)) == e.selector.first)
      xdp::store(entry.flows, flows);
  }
}

void Steering::clear_kernel(SockDiag& diag) {
  // The count is read before the question: a SYN that falls to the kernel meanwhile leaves the two unequal.
  const std::map<std::uint32_t, std::uint32_t> before = std::exchange(counts_, {});
  std::set<std::uint16_t> ports;
  for (const Entry& e : tcp_) {
    if (e.selector.is_range()) continue;
    weir_steer& entry = entries()[e.index];
    const std::uint32_t syns = xdp::load(entry.syns_to_kernel);
    if (syns == xdp::load(entry.kernel_clear)) continue;
    counts_[e.index] = syns;
    if (auto b = before.find(e.index); b != before.end() && b->second == syns) ports.insert(e.selector.first);
  }
  if (ports.empty()) return;
  auto held = diag.ports_with_connections(ports);
  if (!held) return;
  for (const Entry& e : tcp_) {
    auto count = counts_.find(e.index);
    weir_steer& entry = entries()[e.index];
    const std::uint16_t port = e.selector.first;
    if (count == counts_.end() || !ports.contains(port) || held->contains(port)) continue;
    if (!is_tcp(entry) || from_be16(xdp::load(entry.port_be)) != port) continue;
    xdp::store(entry.kernel_clear, count->second);
  }
}

void Steering::clear_kernel(std::uint32_t index) {
  weir_steer& entry = entries()[index];
  xdp::store(entry.kernel_clear, xdp::load(entry.syns_to_kernel));
}

}  // namespace weir::runtime
