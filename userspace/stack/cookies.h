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
#include "weir/common/syn_cookie.h"
#include "weir/stack/flow_key.h"
#include "weir/stack/siphash.h"
#include "weir/tcp/seq_num.h"
#include "weir/wire/tcp.h"

namespace weir::stack {

// By flow and time, as common/syn_cookie.h makes and checks them.
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

  explicit Cookies(const std::array<std::uint8_t, 16>& key) : key_(siphash_key(key)) {}

  // Of a SYN with the ISN `irs`. `timestamps`: both sides use them; without, only the MSS is kept.
  tcp::SeqNum isn(const FlowKey& key, tcp::SeqNum irs, const Kept& kept, bool timestamps, Instant now) const {
    const weir_cookie_flow flow = flow_of(key, irs);
    return tcp::SeqNum(weir_cookie_make(key_.data(), &flow, tick(now), weir_cookie_mss_index(kept.mss),
                                        timestamps ? bits(kept) : WEIR_COOKIE_NO_BITS));
  }
  // The timestamp that goes with it: `clock`, or up to 63 ms before it, never after it.
  static std::uint32_t timestamp(const Kept& kept, std::uint32_t clock) {
    return weir_cookie_timestamp(clock, bits(kept));
  }

  // What the SYN said, if its answer was `isn` with the timestamp `echo`; nothing for a cookie that is not ours, or is
  // older than two ticks.
  std::optional<Kept> open(const FlowKey& key, tcp::SeqNum irs, tcp::SeqNum isn, std::optional<std::uint32_t> echo,
                           Instant now) const {
    const weir_cookie_flow flow = flow_of(key, irs);
    const std::uint32_t options = echo ? *echo & WEIR_COOKIE_BITS : WEIR_COOKIE_NO_BITS;
    if (weir_cookie_is_good(key_.data(), &flow, isn.raw(), options, tick(now)) == 0) return std::nullopt;
    Kept kept{weir_cookie_mss((isn.raw() >> 24) & 7), {}, false, false};
    if (echo) {
      const auto scale = static_cast<std::uint8_t>(options & WEIR_COOKIE_SCALE);
      if (scale != WEIR_COOKIE_NO_SCALE) kept.window_scale = scale;
      kept.sack = (options & WEIR_COOKIE_SACK) != 0;
      kept.ecn = (options & WEIR_COOKIE_ECN) != 0;
    }
    return kept;
  }

  // How long after its making a cookie may still be taken.
  static constexpr Duration life() { return Duration::nanoseconds(static_cast<std::int64_t>(WEIR_COOKIE_LIFE_NS)); }

 private:
  static std::uint32_t tick(Instant now) { return weir_cookie_tick(static_cast<std::uint64_t>(now.ns())); }
  static std::uint32_t bits(const Kept& kept) {
    return (kept.window_scale ? *kept.window_scale : std::uint32_t{WEIR_COOKIE_NO_SCALE}) |
           (kept.sack ? std::uint32_t{WEIR_COOKIE_SACK} : 0u) | (kept.ecn ? std::uint32_t{WEIR_COOKIE_ECN} : 0u);
  }
  static weir_cookie_flow flow_of(const FlowKey& key, tcp::SeqNum irs) {
    weir_cookie_flow flow{};
    for (std::size_t i = 0; i < 2; ++i) {
      flow.local[i] = load_le(key.local.data() + 8 * i);
      flow.remote[i] = load_le(key.remote.data() + 8 * i);
    }
    flow.irs = irs.raw();
    flow.local_port = key.local_port;
    flow.remote_port = key.remote_port;
    return flow;
  }

  std::array<std::uint64_t, 2> key_;
};

}  // namespace weir::stack
