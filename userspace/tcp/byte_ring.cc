// SPDX-License-Identifier: MIT
#include "weir/tcp/byte_ring.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <cstring>
#include <new>
#include <utility>

namespace weir::tcp {
namespace {

constexpr std::size_t kLeast = 4096;
constexpr std::size_t kMost = std::size_t{1} << 31;

}  // namespace

ByteRing::ByteRing(ByteRing&& o) noexcept
    : bytes_(std::move(o.bytes_)),
      capacity_(std::exchange(o.capacity_, 0)),
      head_(std::exchange(o.head_, 0)),
      size_(std::exchange(o.size_, 0)) {}

ByteRing& ByteRing::operator=(ByteRing&& o) noexcept {
  bytes_ = std::move(o.bytes_);
  capacity_ = std::exchange(o.capacity_, 0);
  head_ = std::exchange(o.head_, 0);
  size_ = std::exchange(o.size_, 0);
  return *this;
}

bool ByteRing::reserve(std::size_t bytes) {
  if (bytes <= capacity_) return true;
  if (bytes > kMost) return false;
  std::size_t capacity = std::max(kLeast, std::bit_ceil(bytes));
  std::unique_ptr<std::byte[]> grown(new (std::nothrow) std::byte[capacity]);
  if (!grown) return false;
  // All of the old ring moves, not size() of it: there may be bytes placed behind the end.
  if (capacity_ != 0) {
    std::size_t first = capacity_ - head_;
    std::memcpy(grown.get(), bytes_.get() + head_, first);
    std::memcpy(grown.get() + first, bytes_.get(), head_);
  }
  bytes_ = std::move(grown);
  capacity_ = static_cast<std::uint32_t>(capacity);
  head_ = 0;
  return true;
}

void ByteRing::place(std::size_t offset, ConstBytes text) {
  if (text.empty()) return;
  assert(offset + text.size() <= capacity_);
  std::size_t at = index(offset);
  std::size_t first = std::min(text.size(), capacity_ - at);
  std::memcpy(bytes_.get() + at, text.data(), first);
  if (first < text.size()) std::memcpy(bytes_.get(), text.data() + first, text.size() - first);
}

std::array<ConstBytes, 2> ByteRing::view(std::size_t offset, std::size_t bytes) const {
  if (bytes == 0) return {};
  assert(offset + bytes <= size_);
  std::size_t at = index(offset);
  std::size_t first = std::min(bytes, capacity_ - at);
  return {ConstBytes(bytes_.get() + at, first), ConstBytes(bytes_.get(), bytes - first)};
}

void ByteRing::consume(std::size_t bytes) {
  assert(bytes <= size_);
  if (bytes == 0) return;
  head_ = static_cast<std::uint32_t>(index(bytes));
  size_ -= static_cast<std::uint32_t>(bytes);
}

std::size_t ByteRing::read(Bytes to) {
  std::size_t n = std::min<std::size_t>(to.size(), size_);
  auto pieces = view(0, n);
  if (!pieces[0].empty()) std::memcpy(to.data(), pieces[0].data(), pieces[0].size());
  if (!pieces[1].empty()) std::memcpy(to.data() + pieces[0].size(), pieces[1].data(), pieces[1].size());
  consume(n);
  return n;
}

void ByteRing::release() {
  bytes_.reset();
  capacity_ = head_ = size_ = 0;
}

}  // namespace weir::tcp
