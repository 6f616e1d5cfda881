// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string_view>

#include "weir/tcp/congestion/new_reno.h"

namespace weir::tcp {

// DCTCP's sender (RFC 8257 3.3): the window falls by as much as the share of bytes that were marked says. In all else
// it is Reno, losses included. It needs a receiver that echoes each mark, and a network that marks early: a
// datacentre's.
class Dctcp final : public NewReno {
 public:
  static constexpr double kG = 1.0 / 16;

  std::string_view name() const override { return "dctcp"; }
  void on_ack(const AckEvent& ack) override;
  void on_ecn(const Moment& at) override;
  bool needs_ecn() const override { return true; }

  // The estimated share of bytes that meet a mark, 0 to 1.
  double alpha() const { return alpha_; }

 private:
  double alpha_ = 1;
  std::uint64_t acked_ = 0;   // bytes, in this observation window
  std::uint64_t marked_ = 0;  // of them, by ACKs with ECE
};

}  // namespace weir::tcp
