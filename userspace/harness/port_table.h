// SPDX-License-Identifier: MIT
// Which sockets are bound where. Private to this directory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "weir/base/ip_address.h"

namespace weir::harness {

struct Binding {
  IpAddress address;  // 0.0.0.0: all of IPv4; ::: all of both families, or of IPv6
  bool ipv6_only = false;
  bool reuse = false;
  bool listening = false;
  bool by_connect = false;  // chosen for a connection, whose port others may share

  bool has(Family family) const {
    if (!address.is_unspecified()) return address.family() == family;
    return address.is_v4() ? family == Family::v4 : family == Family::v6 || !ipv6_only;
  }
  bool overlaps(const Binding& other) const {
    if (!address.is_unspecified() && !other.address.is_unspecified()) return address == other.address;
    return (has(Family::v4) && other.has(Family::v4)) || (has(Family::v6) && other.has(Family::v6));
  }
};

class PortTable {
 public:
  void add(std::uint16_t port, int descriptor, const Binding& binding) {
    ports_[port].push_back({descriptor, binding});
  }
  void remove(std::uint16_t port, int descriptor) {
    auto at = ports_.find(port);
    if (at == ports_.end()) return;
    auto& all = at->second;
    all.erase(std::remove_if(all.begin(), all.end(), [&](const Entry& e) { return e.descriptor == descriptor; }),
              all.end());
    if (all.empty()) ports_.erase(at);
  }
  Binding* find(std::uint16_t port, int descriptor) {
    auto at = ports_.find(port);
    if (at == ports_.end()) return nullptr;
    for (Entry& e : at->second) {
      if (e.descriptor == descriptor) return &e.binding;
    }
    return nullptr;
  }
  // No socket has the port.
  bool free(std::uint16_t port) const { return !ports_.contains(port); }
  // None has it but for connections.
  bool shareable(std::uint16_t port) const {
    auto at = ports_.find(port);
    return at == ports_.end() ||
           std::all_of(at->second.begin(), at->second.end(), [](const Entry& e) { return e.binding.by_connect; });
  }
  // Another socket than `descriptor` stands in the way of `binding`.
  bool conflicts(std::uint16_t port, int descriptor, const Binding& binding) const {
    auto at = ports_.find(port);
    if (at == ports_.end()) return false;
    return std::any_of(at->second.begin(), at->second.end(), [&](const Entry& e) {
      if (e.descriptor == descriptor || !e.binding.overlaps(binding)) return false;
      return !(e.binding.reuse && binding.reuse) || e.binding.listening;
    });
  }

 private:
  struct Entry {
    int descriptor;
    Binding binding;
  };
  std::unordered_map<std::uint16_t, std::vector<Entry>> ports_;
};

}  // namespace weir::harness
