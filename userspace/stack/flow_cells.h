// SPDX-License-Identifier: MIT
// How many connections hash where, for XDP's SYN guard (common/abi.h, struct weir_flow_cell).
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "weir/common/abi.h"

namespace weir::stack {

// Cells that nobody gave are none: nothing is counted then. One writer; a reader sees each count whole.
class FlowCells {
 public:
  FlowCells() = default;
  // A power of two of them, which outlive this.
  explicit FlowCells(std::span<weir_flow_cell> cells) : cells_(cells) {}

  void add(std::uint32_t hash) {
    if (cells_.empty()) return;
    std::uint16_t flows = cell(hash).flows;
    // One that is full is never empty again.
    if (flows != kFull) set(hash, static_cast<std::uint16_t>(flows + 1));
  }
  void remove(std::uint32_t hash) {
    if (cells_.empty()) return;
    std::uint16_t flows = cell(hash).flows;
    if (flows != kFull && flows != 0) set(hash, static_cast<std::uint16_t>(flows - 1));
  }

 private:
  static constexpr std::uint16_t kFull = std::numeric_limits<std::uint16_t>::max();
  weir_flow_cell& cell(std::uint32_t hash) const { return cells_[hash & (cells_.size() - 1)]; }
  void set(std::uint32_t hash, std::uint16_t flows) const {
    __atomic_store_n(&cell(hash).flows, flows, __ATOMIC_RELEASE);
  }

  std::span<weir_flow_cell> cells_;
};

}  // namespace weir::stack
