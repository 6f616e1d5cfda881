// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

#include "weir/base/time.h"
#include "weir/tcp/delivery_rate.h"
#include "weir/tcp/proportional_rate.h"
#include "weir/tcp/rack.h"
#include "weir/tcp/seq_num.h"
#include "weir/tcp/tail_probe.h"
#include "weir/tcp/transmissions.h"
#include "weir/tcp/undo.h"

namespace weir::tcp {

// What a connection with SACK keeps of the text in flight, and of its losses. It exists while text is in flight, and a
// while longer. The connection acts on it (connection_recovery.cc); the parts decide.
struct Recovery {
  Transmissions out;
  Rack rack;
  ProportionalRate rate_reduction;
  TailProbe probe;
  Undo undo;
  DeliveryRate delivery;

  enum class Phase : std::uint8_t {
    open,      // nothing is known to be lost
    recovery,  // fast recovery: the controller has reduced its window
    timeout,   // the retransmission timer has expired; slow start sends again what is lost
  } phase = Phase::open;
  SeqNum point;  // RecoveryPoint: SND.NXT when the phase began; it ends when SND.UNA gets there

  // F-RTO with SACK (RFC 5682 3.1)
  enum class Frto : std::uint8_t {
    off,
    head_sent,  // step 2: the first segment has been sent again, and no other is
    new_sent,   // step 3: two new ones may leave, and the next ACK tells
  } frto = Frto::off;
  std::uint8_t frto_budget = 0;  // of new segments

  bool head_due = false;  // the first segment leaves again whatever the window is
  Instant reorder_at = Instant::never();

  // Nothing is known of what is in flight; it begins at `una`. False where there is no memory.
  bool restart(SeqNum una) {
    phase = Phase::open;
    frto = Frto::off;
    head_due = false;
    reorder_at = Instant::never();
    probe.cancel();
    undo.stop();
    return out.open(una);
  }
  Instant next_deadline() const { return std::min(reorder_at, probe.at()); }
};

}  // namespace weir::tcp
