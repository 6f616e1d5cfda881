// SPDX-License-Identifier: MIT
#include "weir/control/filter_layout.h"

#include <algorithm>
#include <cstring>
#include <tuple>

namespace weir::control {

std::vector<weir_chunk> Layout::make(weir_generation& header) {
  std::stable_sort(arrays_.begin(), arrays_.end(),
                   [](const Array& a, const Array& b) { return std::tie(a.last, a.size) < std::tie(b.last, b.size); });
  std::size_t end = sizeof header;
  for (const Array& a : arrays_) {
    end = (end + a.align - 1) & ~(a.align - 1);
    *a.offset = static_cast<weir_u32>(end);
    end += a.size;
  }
  std::vector<weir_chunk> chunks((end + WEIR_CHUNK - 1) / WEIR_CHUNK);
  header.chunks = static_cast<weir_u32>(chunks.size());
  auto* octets = reinterpret_cast<std::uint8_t*>(chunks.data());
  for (const Array& a : arrays_)
    if (a.size != 0) std::memcpy(octets + *a.offset, a.data, a.size);
  std::memcpy(octets, &header, sizeof header);
  return chunks;
}

}  // namespace weir::control
