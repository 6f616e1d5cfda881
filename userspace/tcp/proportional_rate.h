// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>

namespace weir::tcp {

// RFC 9937, proportional rate reduction: how much leaves while losses are mended, so that by their end as much is in
// flight as the controller's ssthresh. All sizes are bytes.
class ProportionalRate {
 public:
  // `flight` is RecoverFS: what was in flight before the ACK that began it, less what had been selectively acknowledged
  // before that ACK.
  void start(std::uint32_t flight) {
    recover_fs_ = std::max(flight, 1u);
    delivered_ = out_ = window_ = 0;
  }

  // `delivered` by this ACK; `pipe` behind it, and behind the marks of loss that it brought. `safe`: SND.UNA moved, and
  // nothing more was marked lost.
  void on_ack(std::uint32_t delivered, std::uint32_t pipe, std::uint32_t ssthresh, std::uint32_t mss, bool safe) {
    if (delivered == 0 && window_ != 0) return;
    delivered_ += delivered;
    std::uint64_t more = 0;
    if (pipe > ssthresh) {
      std::uint64_t due = (std::uint64_t{delivered_} * ssthresh + recover_fs_ - 1) / recover_fs_;
      more = due > out_ ? due - out_ : 0;
    } else {
      // PRR-CRB; PRR-SSRB where recovery goes well
      more = std::max<std::uint64_t>(delivered_ > out_ ? delivered_ - out_ : 0, delivered);
      if (safe) more += mss;
      more = std::min<std::uint64_t>(more, ssthresh - pipe);
    }
    // A fast retransmit in any case: the due of the first ACK may be less than a segment.
    if (out_ == 0) more = std::max<std::uint64_t>(more, mss);
    window_ = pipe + static_cast<std::uint32_t>(std::min<std::uint64_t>(more, 1u << 30));
  }
  void on_sent(std::uint32_t bytes) { out_ += bytes; }

  // What may be in flight until the next ACK.
  std::uint32_t window() const { return window_; }

 private:
  std::uint32_t recover_fs_ = 1;
  std::uint32_t delivered_ = 0;  // prr_delivered
  std::uint32_t out_ = 0;        // prr_out
  std::uint32_t window_ = 0;
};

}  // namespace weir::tcp
