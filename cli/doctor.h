// SPDX-License-Identifier: MIT
// What `weir doctor` looks at. Each check only reads; each that is not well says the line that mends it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weir/control/interface.h"

namespace weir::cli {

enum class Health : std::uint8_t { ok, warn, fail };

struct Check {
  Health health = Health::ok;
  std::string subject;  // "kernel", "mtu", ...
  std::string text;
  std::string mend;  // a command, or what to change; empty where nothing is to be done
};

// What the kernel says that an interface's driver can do with XDP (netdev netlink, from 6.3 on).
struct DriverFeatures {
  bool native = false;
  bool redirect = false;
  bool zero_copy = false;
  bool known = false;  // false: the kernel does not tell
};
DriverFeatures read_driver_features(std::uint32_t ifindex);

std::vector<Check> check_machine();
// Of the calling thread's namespace. `interface` need not exist: that is a check too.
std::vector<Check> check_interface(const std::string& interface);

}  // namespace weir::cli
