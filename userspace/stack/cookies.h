// SPDX-License-Identifier: MIT
// SYN cookies (RFC 4987 3.6): a SYN-ACK whose initial sequence number and timestamp hold all that is to be remembered
// of the SYN, so that a SYN costs no memory until its sender has shown that it hears the answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/base/time.h"
#include "weir/stack/flow_key.h"
#include "weir/stack/siphash.h"
#include "weir/tcp/seq_num.h"
#include "weir/wire/tcp.h"

namespace weir::stack {

// The ISN: five bits of a clock that ticks every 64 s, three that stand for an MSS, and 24 of a keyed hash of these,
// the flow, the peer's ISN and the options. The timestamp, where the peer offers one: in the six lowest bits its window
// scale (15: none), SACK and ECN; RFC 7323 has the peer return it untouched.
class Cookies {
 public:
  // What a cookie keeps of a SYN.
  struct Kept {
    std::uint16_t mss = 0;
    std::optional<std::uint8_t> window_scale;
    bool sack = false;
    bool ecn = false;
    friend bool operator==(const Kept&, const Kept&) = default;
  };

  explicit Cookies(const std::array<std::uint8_t, 16>& key) : hash_(key) {}

  // Of a SYN with the ISN `irs`. `timestamps`: both sides use them; without, only the MSS is kept.
  tcp::SeqNum isn(const FlowKey& key, tcp::SeqNum irs, const Kept& kept, bool timestamps, Instant now) const {
    std::uint32_t mss = mss_index(kept.mss);
    return tcp::SeqNum(make(key, irs, tick(now), mss, timestamps ? bits(kept) : kNoBits));
  }
  // The timestamp that goes with it: `clock`, or up to 63 ms before it, never after it.
  static std::uint32_t timestamp(const Kept& kept, std::uint32_t clock) {
    std::uint32_t value = (clock & ~0x3fu) | bits(kept);
    return tcp::SeqNum(value).after(tcp::SeqNum(clock)) ? value - 0x40 : value;
  }

  // What the SYN said, if its answer was `isn` with the timestamp `echo`; nothing for a cookie that is not ours, or is
  // older than two ticks.
  std::optional<Kept> open(const FlowKey& key, tcp::SeqNum irs, tcp::SeqNum isn, std::optional<std::uint32_t> echo,
                           Instant now) const {
    std::uint32_t age = (tick(now) - (isn.raw() >> 27)) & 0x1f;
    if (age > kMostTicks) return std::nullopt;
    std::uint32_t mss = (isn.raw() >> 24) & 7;
    std::uint32_t options = echo ? *echo & 0x3f : kNoBits;
    if (make(key, irs, tick(now) - age, mss, options) != isn.raw()) return std::nullopt;
    Kept kept{kMss[mss], {}, false, false};
    if (echo) {
      auto scale = static_cast<std::uint8_t>(options & 0x0f);
      if (scale != kNoScale) kept.window_scale = scale;
      kept.sack = (options & 0x10) != 0;
      kept.ecn = (options & 0x20) != 0;
    }
    return kept;
  }

  // How long after its making a cookie may still be taken.
  static constexpr Duration life() { return Duration::seconds(kTickSeconds * (kMostTicks + 1)); }

 private:
  static constexpr std::int64_t kTickSeconds = 64;
  static constexpr std::uint32_t kMostTicks = 2;
  static constexpr std::uint32_t kNoBits = 0xff;
  static constexpr std::uint8_t kNoScale = 15;
  // RFC 9293's defaults, a tunnel's, PPPoE's neighbour below, Ethernet's with either family, and jumbo frames'. What a
  // SYN says is rounded down. The first is the least that a connection takes.
  static constexpr std::array<std::uint16_t, 8> kMss{64, 536, 1220, 1360, 1400, 1440, 1460, 8940};

  static std::uint32_t tick(Instant now) {
    return static_cast<std::uint32_t>(now.ns() / (kTickSeconds * 1'000'000'000));
  }
  static std::uint32_t mss_index(std::uint16_t mss) {
    std::uint32_t i = kMss.size() - 1;
    while (i > 0 && kMss[i] > mss) --i;
    return i;
  }
  static std::uint32_t bits(const Kept& kept) {
    return (kept.window_scale ? *kept.window_scale : std::uint32_t{kNoScale}) | (kept.sack ? 0x10u : 0u) |
           (kept.ecn ? 0x20u : 0u);
  }
  std::uint32_t make(const FlowKey& key, tcp::SeqNum irs, std::uint32_t tick, std::uint32_t mss,
                     std::uint32_t options) const {
    std::array<std::byte, 52> message;
    std::memcpy(message.data(), key.local.data(), 16);
    std::memcpy(message.data() + 16, key.remote.data(), 16);
    store_be(message.data() + 32, key.local_port);
    store_be(message.data() + 34, key.remote_port);
    store_be(message.data() + 36, irs.raw());
    store_be(message.data() + 40, tick);
    store_be(message.data() + 44, mss);
    store_be(message.data() + 48, options);
    auto mac = static_cast<std::uint32_t>(hash_(message)) & 0xffffff;
    return (tick & 0x1f) << 27 | mss << 24 | mac;
  }

  SipHash hash_;
};

}  // namespace weir::stack
