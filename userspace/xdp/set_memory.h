// SPDX-License-Identifier: MIT
// The map of a table of named sets (common/set_abi.h), as memory: XDP reads what is written here at once, where the map
// is in a slot.
#pragma once

#include <span>

#include "weir/common/abi.h"
#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"

namespace weir::xdp {

class SetMemory {
 public:
  // Zeroed rows, in no slot yet: the map goes with the object.
  static Outcome<SetMemory> make(std::size_t rows);
  static Outcome<SetMemory> view(Fd map);

  SetMemory(SetMemory&& other) noexcept;
  SetMemory& operator=(SetMemory&& other) noexcept;
  ~SetMemory();

  // As valid as the object.
  std::span<weir_set_row> rows() const { return {static_cast<weir_set_row*>(memory_), rows_}; }
  int fd() const { return map_.get(); }

 private:
  SetMemory(Fd map, void* memory, std::size_t rows) : map_(std::move(map)), memory_(memory), rows_(rows) {}
  Fd map_;
  void* memory_ = nullptr;
  std::size_t rows_ = 0;
};

}  // namespace weir::xdp
