// SPDX-License-Identifier: MIT
// A generation of the filter as it stands in its map: a view of memory, as valid as the object. It does not change; a
// writer makes another one.
#pragma once

#include <cstdint>
#include <span>

#include "weir/common/abi.h"
#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"

namespace weir::xdp {

class Generation {
 public:
  // The map that holds `chunks`, in no slot yet: it goes with the descriptor.
  static Outcome<Fd> make(std::span<const weir_chunk> chunks);
  // A view of such a map. EPROTO where it does not hold together.
  static Outcome<Generation> view(const Fd& map);

  Generation(Generation&& other) noexcept;
  Generation& operator=(Generation&& other) noexcept;
  ~Generation();

  const weir_generation& header() const;
  std::span<const weir_rule> rules() const;

 private:
  Generation(const void* memory, std::size_t length) : memory_(memory), length_(length) {}
  const void* memory_ = nullptr;
  std::size_t length_ = 0;
};

}  // namespace weir::xdp
