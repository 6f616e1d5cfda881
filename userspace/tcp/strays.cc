// SPDX-License-Identifier: MIT
#include "weir/tcp/strays.h"

#include <cassert>
#include <cstring>
#include <new>
#include <utility>

namespace weir::tcp {

std::unique_ptr<std::byte[]> Strays::copy(ConstBytes text) {
  std::unique_ptr<std::byte[]> made(new (std::nothrow) std::byte[text.size()]);
  if (made) std::memcpy(made.get(), text.data(), text.size());
  return made;
}

void Strays::add(SeqNum begin, std::size_t size, std::unique_ptr<std::byte[]> text) {
  assert(!full());
  all_[count_++] = {begin, static_cast<std::uint32_t>(size), std::move(text)};
  memory_ += size;
}

}  // namespace weir::tcp
