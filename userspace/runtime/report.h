// SPDX-License-Identifier: MIT
// What the engine answers on its own socket, as control/engine_protocol.h documents it.
#pragma once

#include <cstdint>
#include <set>
#include <string>

#include "weir/runtime/engine_socket.h"
#include "weir/runtime/listeners.h"
#include "weir/stack/stack.h"

namespace weir::runtime {

enum class Command : std::uint8_t { unknown, ping, sync, sockets, cc, cc_set, dump };
struct Request {
  Command command = Command::unknown;
  std::string name{};         // cc_set
  bool time_wait = false;     // sockets: those too
  std::uint32_t snaplen = 0;  // dump
};
Request parse_request(const std::string& line);

std::string report_unknown();
std::string report_ok();
// To one who asks for a dump, and is one too many.
std::string report_busy();
std::string report_ping();
struct SocketsView {
  const std::string& interface;
  const Listeners& listeners;
  const stack::Stack& stack;
  const std::string& firewall_line;             // empty, or why all listeners are the kernel's
  const std::set<std::uint16_t>& shared_ports;  // left to the kernel, see kSharedPort
};
// `time_wait`: with those in TIME-WAIT, which are else only counted. The view is looked at now, its stack piece by
// piece.
Answer report_sockets(const SocketsView& view, bool time_wait);
std::string report_cc(const std::string& interface, const stack::Stack& stack, Instant now);
// Of new connections and of those that run.
std::string change_cc(const std::string& name, stack::Stack& stack, Instant now);

inline constexpr const char* kSharedPort =
    "another program listens on the port, on an address that this listener leaves out";

}  // namespace weir::runtime
