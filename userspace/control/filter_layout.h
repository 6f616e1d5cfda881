// SPDX-License-Identifier: MIT
// Where in a generation its arrays stand (common/filter_abi.h): XDP reads what is in the first chunk at no cost, so the
// small ones come first.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "weir/common/abi.h"

namespace weir::control {

class Layout {
 public:
  // `offset` is told where the array stands; it begins at a multiple of `align`, a power of two. Both are referred to
  // until make().
  template <class T>
  void add(std::span<const T> array, std::size_t align, weir_u32& offset) {
    arrays_.push_back({array.data(), array.size_bytes(), align, &offset, false});
  }
  // Behind all others: what few frames need, or none.
  template <class T>
  void add_last(std::span<const T> array, std::size_t align, weir_u32& offset) {
    arrays_.push_back({array.data(), array.size_bytes(), align, &offset, true});
  }
  // The chunks. `header` is what the offsets stand in.
  std::vector<weir_chunk> make(weir_generation& header);

 private:
  struct Array {
    const void* data;
    std::size_t size;
    std::size_t align;
    weir_u32* offset;
    bool last;
  };
  std::vector<Array> arrays_;
};

}  // namespace weir::control
