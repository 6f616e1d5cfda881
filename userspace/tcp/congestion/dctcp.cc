// SPDX-License-Identifier: MIT
#include "weir/tcp/congestion/dctcp.h"

#include <algorithm>

namespace weir::tcp {

void Dctcp::on_ack(const AckEvent& ack) {
  acked_ += ack.acked;
  marked_ += ack.ece;
  // RFC 8257 3.3, 4 to 8: an observation window is a window of data.
  if (ack.round_start && acked_ > 0) {
    double share = static_cast<double>(marked_) / static_cast<double>(acked_);
    alpha_ = std::clamp(alpha_ * (1 - kG) + kG * share, 0.0, 1.0);
    acked_ = marked_ = 0;
  }
  NewReno::on_ack(ack);
}

void Dctcp::on_ecn(const Moment& at) {
  // RFC 8257 3.3, 9
  reduce_to(std::max(static_cast<std::uint32_t>(cwnd() * (1 - alpha_ / 2)), 2 * at.mss));
}

}  // namespace weir::tcp
