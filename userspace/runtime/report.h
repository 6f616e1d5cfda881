// SPDX-License-Identifier: MIT
// What the engine answers on its own socket, as control/engine_protocol.h documents it.
#pragma once

#include <cstdint>
#include <string>

#include "weir/runtime/listeners.h"
#include "weir/stack/stack.h"

namespace weir::runtime {

enum class Request : std::uint8_t { unknown, ping, sync, sockets };
Request parse_request(const std::string& line);

std::string report_unknown();
std::string report_ok();
std::string report_ping();
// `firewall_line` is empty, or why listeners are the kernel's.
std::string report_sockets(const std::string& interface, const Listeners& listeners, const stack::Stack& stack,
                           const std::string& firewall_line, Instant now);

}  // namespace weir::runtime
