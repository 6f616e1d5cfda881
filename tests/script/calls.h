// SPDX-License-Identifier: MIT
// The user's side of a script: its options, calls and checks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "script.h"
#include "weir/harness/host.h"

namespace weir::script {

inline constexpr std::uint16_t kServicePort = 8080;

IpAddress host_address(Family family);
IpAddress peer_address(Family family);
// Throws std::invalid_argument for an option that is not known.
harness::HostOptions host_options(const Script& script, Family family);

class Calls {
 public:
  Calls(harness::Host& host, Family family) : host_(host), family_(family) {}

  // The result as a script writes it. Throws where the call makes no sense, or text that was read is not the peer's.
  std::string call(const Call& call);
  // Throws std::runtime_error where a condition does not hold.
  void check(const Check& check);
  std::optional<std::uint16_t> local_port(const std::string& descriptor);

 private:
  int live(const std::string& descriptor) const;
  std::string read(int descriptor, std::uint32_t most);
  std::string write(int descriptor, std::uint32_t bytes);
  std::string options(const Call& call, bool set);

  harness::Host& host_;
  Family family_;
  std::map<int, int> live_;  // descriptors: the script's and the host's
  std::map<int, std::uint64_t> read_;
  std::map<int, std::uint64_t> written_;
};

}  // namespace weir::script
