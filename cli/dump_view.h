// SPDX-License-Identifier: MIT
// One frame of a dump, and the forms in which it is shown.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "output.h"

namespace weir::cli {

struct DumpedFrame {
  std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC
  bool outbound = false;
  const char* verdict = "";
  const char* reason = "";
  std::optional<std::string> rule;  // its name; "#3" where its generation is gone
  std::optional<std::uint32_t> queue;
  std::optional<std::uint64_t> xdp_action;
  bool sampled = false;
  std::uint32_t length = 0;  // of the frame
  std::vector<std::byte> octets;
};

// "verdict=drop reason=filter_drop rule=ssh queue=0"
std::string comment(const DumpedFrame& frame);
// A line for people; `epoch_ns` is the time since 1970.
std::string line(const DumpedFrame& frame, std::uint64_t epoch_ns);
Json to_json(const DumpedFrame& frame, std::uint64_t epoch_ns);
std::string hex(const std::byte* octets, std::size_t count);

}  // namespace weir::cli
