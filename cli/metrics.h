// SPDX-License-Identifier: MIT
// What weir knows, as metrics.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "prometheus.h"
#include "table.h"
#include "traffic.h"
#include "weir/control/sets.h"
#include "weir/control/syn_guard.h"

namespace weir::cli {

struct InterfaceMetrics {
  std::string interface;
  Observation seen;  // connections: nothing where the engine has not answered
  std::optional<std::vector<control::SetInfo>> sets;  // nothing where they could not be read
  control::SynGuard syn_guard;
};

// Pure.
Exposition metrics_of(const std::vector<InterfaceMetrics>& interfaces);

// ADDRESS:PORT, [ADDRESS]:PORT or PORT (of 127.0.0.1).
struct ListenAddress {
  IpAddress address;
  std::uint16_t port = 0;
  std::string to_string() const;
};
Outcome<ListenAddress> parse_listen(std::string_view text);

// Answers GET and HEAD of /metrics over HTTP/1.1, a request a connection, until SIGINT or SIGTERM. At most 16
// connections at a time, 5 seconds and 4 KiB each; one thread. `listening` is told the address when it is bound.
Outcome<int> serve_metrics(const ListenAddress& at, const std::function<Outcome<std::string>()>& text,
                           const std::function<void(const ListenAddress&)>& listening);

}  // namespace weir::cli
