// SPDX-License-Identifier: MIT
// TCP Fast Open's cookies as a server makes and checks them (RFC 7413 4.1.2): nothing is kept of any.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "weir/base/bytes.h"
#include "weir/base/time.h"
#include "weir/stack/flow_key.h"
#include "weir/stack/siphash.h"
#include "weir/tcp/fast_open.h"

namespace weir::stack {

// Eight bytes: a keyed hash of both addresses and of a clock that ticks every six hours, which is how the key changes.
// The cookie of the tick before is good too, and a new one goes to who brings it: so one that is used at least as often
// never goes stale, and one that was stolen is of no use after twelve hours. The key is drawn from that of SYN cookies,
// and lives as long.
class FastOpenCookies {
 public:
  enum class Verdict : std::uint8_t { bad, old, good };

  explicit FastOpenCookies(const std::array<std::uint8_t, 16>& key) : hash_(derive(key)) {}

  tcp::FastOpenCookie make(const FlowKey& key, Instant now) const {
    return tcp::FastOpenCookie(bytes_of(value(key, tick(now))));
  }
  Verdict check(const FlowKey& key, ConstBytes cookie, Instant now) const {
    if (cookie.size() != kSize) return Verdict::bad;
    auto brought = load_be<std::uint64_t>(cookie.data());
    if (brought == value(key, tick(now))) return Verdict::good;
    return brought == value(key, tick(now) - 1) ? Verdict::old : Verdict::bad;
  }

  static constexpr Duration kPeriod = Duration::seconds(6 * 3'600);

 private:
  static constexpr std::size_t kSize = 8;

  static std::array<std::uint8_t, 16> derive(const std::array<std::uint8_t, 16>& from) {
    SipHash hash(from);
    std::array<std::uint8_t, 16> key;
    for (std::size_t half = 0; half < 2; ++half) {
      // No message of the SYN cookies' is so short.
      const std::array<std::byte, 1> label{static_cast<std::byte>(half)};
      auto word = bytes_of(hash(label));
      std::memcpy(key.data() + half * word.size(), word.data(), word.size());
    }
    return key;
  }
  static std::array<std::byte, kSize> bytes_of(std::uint64_t value) {
    std::array<std::byte, kSize> bytes;
    store_be(bytes.data(), value);
    return bytes;
  }
  static std::uint64_t tick(Instant now) {
    return static_cast<std::uint64_t>(now.ns()) / static_cast<std::uint64_t>(kPeriod.count_ns());
  }
  std::uint64_t value(const FlowKey& key, std::uint64_t tick) const {
    std::array<std::byte, 40> message;
    std::memcpy(message.data(), key.local.data(), 16);
    std::memcpy(message.data() + 16, key.remote.data(), 16);
    store_be(message.data() + 32, tick);
    return hash_(message);
  }

  SipHash hash_;
};

}  // namespace weir::stack
