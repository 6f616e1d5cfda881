// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "weir/base/bytes.h"
#include "weir/base/time.h"
#include "weir/stack/flow_key.h"
#include "weir/stack/siphash.h"
#include "weir/tcp/seq_num.h"

namespace weir::stack {

// Where a connection's sequence numbers and timestamps begin: off its path nobody can tell, and on one 4-tuple they
// only go up, also across a restart that keeps the keys and the clock.
class InitialNumbers {
 public:
  InitialNumbers(const std::array<std::uint8_t, 16>& isn_key, const std::array<std::uint8_t, 16>& timestamp_key)
      : isn_(isn_key), timestamp_(timestamp_key) {}

  // RFC 6528 3: ISN = M + F(4-tuple, key), where M ticks every 4 us.
  tcp::SeqNum isn(const FlowKey& key, Instant now) const {
    std::array<std::byte, 36> message;
    put(message.data(), key);
    store_be(message.data() + 32, key.local_port);
    store_be(message.data() + 34, key.remote_port);
    return tcp::SeqNum(static_cast<std::uint32_t>(isn_(message)) + static_cast<std::uint32_t>(now.ns() / 4'000));
  }

  // RFC 7323 5.4: for a pair of hosts rather than a 4-tuple, so that a TIME-WAIT may be left by a newer timestamp and
  // PAWS holds across connections.
  std::uint32_t timestamp_offset(const FlowKey& key) const {
    std::array<std::byte, 32> message;
    put(message.data(), key);
    return static_cast<std::uint32_t>(timestamp_(message));
  }

 private:
  static void put(std::byte* to, const FlowKey& key) {
    std::memcpy(to, key.local.data(), 16);
    std::memcpy(to + 16, key.remote.data(), 16);
  }

  SipHash isn_;
  SipHash timestamp_;
};

}  // namespace weir::stack
