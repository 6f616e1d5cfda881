// SPDX-License-Identifier: MIT
#include "weir/wire/tcp.h"

#include <algorithm>
#include <cassert>

namespace weir::wire {
namespace {

// IANA's TCP option kinds.
enum Kind : std::uint8_t {
  kEnd = 0,
  kNop = 1,
  kMss = 2,
  kWindowScale = 3,
  kSackPermitted = 4,
  kSack = 5,
  kTimestamps = 8,
  kUserTimeout = 28,
  kFastOpen = 34,
};

// One option, `data` without its kind and length.
void take_option(TcpOptions& o, std::uint8_t kind, ConstBytes data) {
  switch (kind) {
    case kMss:
      if (data.size() == 2 && !o.mss) o.mss = load_be<std::uint16_t>(data.data());
      return;
    case kWindowScale:
      if (data.size() == 1 && !o.window_scale) {
        o.window_scale = std::min(std::to_integer<std::uint8_t>(data[0]), kTcpMaxWindowScale);
      }
      return;
    case kSackPermitted:
      if (data.empty()) o.sack_permitted = true;
      return;
    case kSack:
      if (data.empty() || data.size() % 8 != 0 || data.size() > 8 * kTcpMaxSackBlocks || o.sack_count != 0) return;
      for (; !data.empty(); data = data.subspan(8)) {
        o.add_sack({load_be<std::uint32_t>(data.data()), load_be<std::uint32_t>(data.data() + 4)});
      }
      return;
    case kTimestamps:
      if (data.size() == 8 && !o.timestamps) {
        o.timestamps = TcpTimestamps{load_be<std::uint32_t>(data.data()), load_be<std::uint32_t>(data.data() + 4)};
      }
      return;
    case kFastOpen:
      // RFC 7413 4.1.1: a cookie has 4 to 16 bytes, an even number; none is a request.
      if (o.fast_open || data.size() % 2 != 0 || data.size() > kTcpMaxFastOpenCookie) return;
      if (data.empty() || data.size() >= 4) o.fast_open = data;
      return;
    case kUserTimeout:
      if (data.size() == 2 && !o.user_timeout) o.user_timeout = load_be<std::uint16_t>(data.data());
      return;
    default:
      return;
  }
}

constexpr std::size_t padded(std::size_t n) { return (n + 3) & ~std::size_t{3}; }

// Which options a header carries and what each takes with its padding: the one place that knows, so that size() and
// write() cannot disagree.
struct Layout {
  std::size_t sack_blocks = 0;
  bool fast_open = false;
  bool user_timeout = false;
  std::size_t size = 0;

  explicit Layout(const TcpOptions& o) {
    if (o.mss) size += 4;
    if (o.timestamps) {
      size += 12;  // SACK-permitted takes the place of its two NOPs
    } else if (o.sack_permitted) {
      size += 4;
    }
    if (o.window_scale) size += 4;
    if (o.sack_count > 0) {  // at least 20 bytes are left
      sack_blocks = std::min<std::size_t>(o.sack_count, (kTcpMaxOptionsSize - size - 4) / 8);
      size += 4 + 8 * sack_blocks;
    }
    if (o.fast_open && size + padded(2 + o.fast_open->size()) <= kTcpMaxOptionsSize) {
      fast_open = true;
      size += padded(2 + o.fast_open->size());
    }
    if (o.user_timeout && size + 4 <= kTcpMaxOptionsSize) {
      user_timeout = true;
      size += 4;
    }
  }
};

// Writes bytes one after the other; whoever made the Layout has seen to the room.
class Cursor {
 public:
  explicit Cursor(std::byte* p) : p_(p) {}
  Cursor& u8(unsigned v) {
    *p_++ = static_cast<std::byte>(v);
    return *this;
  }
  Cursor& u16(std::uint16_t v) {
    store_be(p_, v);
    p_ += 2;
    return *this;
  }
  Cursor& u32(std::uint32_t v) {
    store_be(p_, v);
    p_ += 4;
    return *this;
  }
  Cursor& bytes(ConstBytes b) {
    if (!b.empty()) std::memcpy(p_, b.data(), b.size());
    p_ += b.size();
    return *this;
  }
  const std::byte* at() const { return p_; }

 private:
  std::byte* p_;
};

void write_options(std::byte* to, const TcpOptions& o, const Layout& layout) {
  Cursor c(to);
  if (o.mss) c.u8(kMss).u8(4).u16(*o.mss);
  if (o.timestamps) {
    o.sack_permitted ? c.u8(kSackPermitted).u8(2) : c.u8(kNop).u8(kNop);
    c.u8(kTimestamps).u8(10).u32(o.timestamps->tsval).u32(o.timestamps->tsecr);
  } else if (o.sack_permitted) {
    c.u8(kNop).u8(kNop).u8(kSackPermitted).u8(2);
  }
  if (o.window_scale) c.u8(kNop).u8(kWindowScale).u8(3).u8(*o.window_scale);
  if (layout.sack_blocks > 0) {
    c.u8(kNop).u8(kNop).u8(kSack).u8(static_cast<unsigned>(2 + 8 * layout.sack_blocks));
    for (const SackBlock& b : o.sack_blocks().first(layout.sack_blocks)) c.u32(b.left).u32(b.right);
  }
  if (layout.fast_open) {
    std::size_t length = 2 + o.fast_open->size();
    for (std::size_t pad = padded(length) - length; pad > 0; --pad) c.u8(kNop);
    c.u8(kFastOpen).u8(static_cast<unsigned>(length)).bytes(*o.fast_open);
  }
  if (layout.user_timeout) c.u8(kUserTimeout).u8(4).u16(*o.user_timeout);
  assert(c.at() == to + layout.size);
}

}  // namespace

TcpOptions parse_tcp_options(ConstBytes bytes) {
  TcpOptions out;
  while (!bytes.empty()) {
    std::uint8_t kind = std::to_integer<std::uint8_t>(bytes[0]);
    if (kind == kEnd) break;
    if (kind == kNop) {
      bytes = bytes.subspan(1);
      continue;
    }
    if (bytes.size() < 2) break;
    std::size_t length = std::to_integer<std::size_t>(bytes[1]);
    if (length < 2 || length > bytes.size()) break;
    take_option(out, kind, bytes.subspan(2, length - 2));
    bytes = bytes.subspan(length);
  }
  return out;
}

bool TcpView::checksum_ok(const IpAddress& src, const IpAddress& dst, ChecksumPolicy policy) const {
  auto pseudo = pseudo_header(src, dst, IpProtocol::tcp, static_cast<std::uint32_t>(bytes_.size()));
  return wire::checksum_ok(bytes_, 16, pseudo, policy);
}

std::size_t TcpHeader::size() const { return kTcpHeaderSize + Layout(options).size; }

std::size_t TcpHeader::write(Bytes to, const IpAddress& src, const IpAddress& dst, ConstBytes text,
                             ConstBytes more) const {
  const Layout layout(options);
  const std::size_t header = kTcpHeaderSize + layout.size;
  const std::size_t total = header + text.size() + more.size();
  assert(to.size() >= total);
  Cursor(to.data())
      .u16(src_port)
      .u16(dst_port)
      .u32(seq)
      .u32(ack)
      .u8(static_cast<unsigned>(header / 4) << 4)
      .u8(flags.raw())
      .u16(window.raw())
      .u16(0)
      .u16(urgent);
  write_options(to.data() + kTcpHeaderSize, options, layout);
  Checksum sum = pseudo_header(src, dst, IpProtocol::tcp, static_cast<std::uint32_t>(total));
  sum.add(to.first(header));
  sum.copy_and_add(to.subspan(header), text);
  sum.copy_and_add(to.subspan(header + text.size()), more);
  store_be(to.data() + 16, sum.fold());
  return total;
}

}  // namespace weir::wire
