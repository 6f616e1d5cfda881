// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/base/time.h"

namespace weir::tcp {

// What an ACK of new text outside recovery tells a congestion controller.
struct AckEvent {
  Instant now;
  std::uint32_t acked = 0;  // bytes of text
  std::uint32_t mss = 0;
  // The most that was in flight at once in this round trip and the last. A window that was not used says nothing about
  // the path, and does not grow (RFC 7661 4.3).
  std::uint32_t peak_in_flight = 0;
};

}  // namespace weir::tcp
