// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "weir/base/time.h"

namespace weir::stack {

// RFC 7413 5.1: how many of a listener's connections may be open to their users before the handshake has shown that the
// peer is where it says. One that ends by a RST keeps its place for a minute or two: the RST may be that of a third
// party whose address was forged, and must not make room for the next forgery.
class FastOpenQueue {
 public:
  // 0: Fast Open is off.
  void set_limit(std::uint32_t limit) { limit_ = limit; }
  std::uint32_t limit() const { return limit_; }
  // Without those that a RST has ended.
  std::uint32_t pending() const { return pending_; }

  bool has_room(Instant now) {
    forget(now);
    return std::uint64_t{pending_} + reset_[0] + reset_[1] < limit_;
  }
  void enter() { ++pending_; }
  void leave() { --pending_; }
  void leave_by_reset(Instant now) {
    --pending_;
    forget(now);
    if (reset_[0] + reset_[1] == 0) since_ = now;
    ++reset_[1];
  }

 private:
  static constexpr Duration kKept = Duration::seconds(60);

  // Two terms of `kKept`: what came in the one before is forgotten when this one is over.
  void forget(Instant now) {
    for (int i = 0; i < 2 && now - since_ >= kKept; ++i) {
      reset_ = {reset_[1], 0};
      since_ = since_ + kKept;
    }
    if (now - since_ >= kKept) since_ = now;
  }

  std::uint32_t limit_ = 0;
  std::uint32_t pending_ = 0;
  std::array<std::uint32_t, 2> reset_{};  // in the term before, and in this one
  Instant since_;                         // this term
};

}  // namespace weir::stack
