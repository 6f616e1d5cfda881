// SPDX-License-Identifier: MIT
// Congestion control by name.
#include "weir/stack/stack.h"
#include "weir/stack/stack_impl.h"

namespace weir::stack {
namespace {

tcp::CongestionChange find_controller(const tcp::Config& config, std::string_view name, tcp::ControllerIndex& found) {
  auto index = config.controllers.find(name);
  if (!index) return tcp::CongestionChange::no_such_controller;
  if (config.ecn == tcp::EcnMode::off && config.controllers.make(*index)->needs_ecn()) {
    return tcp::CongestionChange::needs_ecn;
  }
  found = *index;
  return tcp::CongestionChange::done;
}

}  // namespace

tcp::CongestionChange Stack::set_congestion_control(std::string_view name) {
  tcp::ControllerIndex index;
  auto change = find_controller(impl_->config.tcp, name, index);
  if (change == tcp::CongestionChange::done) impl_->config.tcp.congestion = name;
  return change;
}

tcp::CongestionChange Stack::set_congestion_control(ListenerId id, std::string_view name) {
  Listener* listener = impl_->listeners.get(id);
  if (listener == nullptr) return tcp::CongestionChange::no_such_connection;
  return find_controller(*listener->tcp, name, listener->congestion);
}

tcp::CongestionChange Stack::set_congestion_control(ConnectionId id, std::string_view name, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return tcp::CongestionChange::no_such_connection;
  auto change = slot->tcp->set_congestion_control(name, now);
  impl_->settle(*slot, now);
  return change;
}

std::vector<std::string> Stack::congestion_controllers() const { return impl_->config.tcp.controllers.names(); }

std::string_view Stack::congestion_control() const { return impl_->config.tcp.congestion; }

}  // namespace weir::stack
