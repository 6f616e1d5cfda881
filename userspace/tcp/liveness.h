// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "weir/base/time.h"

namespace weir::tcp {

// Whether the peer is still there, and whether it takes what it is given: what keepalive (RFC 1122 4.2.3.6) and the
// user timeout (RFC 5482) go by.
struct Liveness {
  Instant heard;                             // when an acceptable segment last came
  Instant waiting_since = Instant::never();  // for an ACK of something new, or a window; never: for nothing
  std::uint8_t probes = 0;                   // keepalives since `heard`
  bool probe_owed = false;

  void on_segment(Instant now) {
    heard = now;
    probes = 0;
    probe_owed = false;
  }
  // `outstanding`: something is not acknowledged, or not sent. `progress`: some of it just was.
  void on_outstanding(bool outstanding, bool progress, Instant now) {
    if (!outstanding) {
      waiting_since = Instant::never();
    } else if (progress || waiting_since == Instant::never()) {
      waiting_since = now;
    }
  }
};

}  // namespace weir::tcp
