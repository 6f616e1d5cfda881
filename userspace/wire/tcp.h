// SPDX-License-Identifier: MIT
// TCP segments as they stand on the wire (RFC 9293 3.1) and their options. Sequence numbers are plain integers here;
// the modular type is tcp's.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/checksum.h"

namespace weir::wire {

inline constexpr std::size_t kTcpHeaderSize = 20;  // without options
inline constexpr std::size_t kTcpMaxOptionsSize = 40;
inline constexpr std::size_t kTcpMaxHeaderSize = kTcpHeaderSize + kTcpMaxOptionsSize;
inline constexpr std::uint8_t kTcpMaxWindowScale = 14;  // RFC 7323 2.3
inline constexpr std::size_t kTcpMaxSackBlocks = 4;     // RFC 2018 3
inline constexpr std::size_t kTcpMaxFastOpenCookie = 16;

// The eight control bits (RFC 9293 3.1, RFC 3168 6.1).
class TcpFlags {
 public:
  constexpr TcpFlags() = default;
  explicit constexpr TcpFlags(std::uint8_t raw) : raw_(raw) {}

  constexpr bool fin() const { return (raw_ & 0x01) != 0; }
  constexpr bool syn() const { return (raw_ & 0x02) != 0; }
  constexpr bool rst() const { return (raw_ & 0x04) != 0; }
  constexpr bool psh() const { return (raw_ & 0x08) != 0; }
  constexpr bool ack() const { return (raw_ & 0x10) != 0; }
  constexpr bool urg() const { return (raw_ & 0x20) != 0; }
  constexpr bool ece() const { return (raw_ & 0x40) != 0; }
  constexpr bool cwr() const { return (raw_ & 0x80) != 0; }

  constexpr std::uint8_t raw() const { return raw_; }
  constexpr TcpFlags without(TcpFlags f) const { return TcpFlags(static_cast<std::uint8_t>(raw_ & ~f.raw_)); }

  friend constexpr bool operator==(TcpFlags, TcpFlags) = default;
  friend constexpr TcpFlags operator|(TcpFlags a, TcpFlags b) {
    return TcpFlags(static_cast<std::uint8_t>(a.raw_ | b.raw_));
  }
  friend constexpr TcpFlags operator&(TcpFlags a, TcpFlags b) {
    return TcpFlags(static_cast<std::uint8_t>(a.raw_ & b.raw_));
  }
  constexpr TcpFlags& operator|=(TcpFlags f) { return *this = *this | f; }

 private:
  std::uint8_t raw_ = 0;
};
inline constexpr TcpFlags kFin{0x01};
inline constexpr TcpFlags kSyn{0x02};
inline constexpr TcpFlags kRst{0x04};
inline constexpr TcpFlags kPsh{0x08};
inline constexpr TcpFlags kAck{0x10};
inline constexpr TcpFlags kUrg{0x20};
inline constexpr TcpFlags kEce{0x40};
inline constexpr TcpFlags kCwr{0x80};

// The window field as it stands: not bytes until a scale is applied, and in a SYN none is (RFC 7323 2.2).
class WireWindow {
 public:
  constexpr WireWindow() = default;
  explicit constexpr WireWindow(std::uint16_t raw) : raw_(raw) {}
  constexpr std::uint16_t raw() const { return raw_; }
  friend constexpr bool operator==(WireWindow, WireWindow) = default;

 private:
  std::uint16_t raw_ = 0;
};

struct TcpTimestamps {
  std::uint32_t tsval = 0;
  std::uint32_t tsecr = 0;
  friend constexpr bool operator==(const TcpTimestamps&, const TcpTimestamps&) = default;
};

// Sequence numbers [left, right).
struct SackBlock {
  std::uint32_t left = 0;
  std::uint32_t right = 0;
  friend constexpr bool operator==(const SackBlock&, const SackBlock&) = default;
};

struct TcpOptions {
  std::optional<std::uint16_t> mss{};
  std::optional<std::uint8_t> window_scale{};  // 0..14
  bool sack_permitted = false;
  std::optional<TcpTimestamps> timestamps{};
  std::array<SackBlock, kTcpMaxSackBlocks> sack{};
  std::uint8_t sack_count = 0;
  // RFC 7413 4.1.1. Empty: a request for one. Refers to memory of whoever filled this in; after parsing, to the
  // segment.
  std::optional<ConstBytes> fast_open{};
  std::optional<std::uint16_t> user_timeout{};  // RFC 5482 3: the high bit says minutes, else seconds

  std::span<const SackBlock> sack_blocks() const { return {sack.data(), sack_count}; }
  // False where there are four already.
  bool add_sack(SackBlock block) {
    if (sack_count == kTcpMaxSackBlocks) return false;
    sack[sack_count++] = block;
    return true;
  }
};

// Never fails. An option of a kind that is not known, or of a length that its kind does not have, is skipped; a length
// under 2 or past the end ends the walk, and what came before stands (RFC 9293 3.2, MUST-7 and MUST-64). Of an option
// that is repeated the first counts. A window scale over 14 counts as 14.
TcpOptions parse_tcp_options(ConstBytes bytes);

// Refers to the segment, which must outlive it. After parse() nothing can fail; the checksum is asked apart.
class TcpView {
 public:
  // `segment` is all of IP's payload. Refuses: fewer than 20 bytes, a data offset under 5 or beyond the segment.
  static std::optional<TcpView> parse(ConstBytes segment) {
    if (segment.size() < kTcpHeaderSize) return std::nullopt;
    std::size_t header = (std::to_integer<std::size_t>(segment[12]) >> 4) * 4;
    if (header < kTcpHeaderSize || header > segment.size()) return std::nullopt;
    return TcpView(segment, header);
  }

  bool checksum_ok(const IpAddress& src, const IpAddress& dst, ChecksumPolicy policy) const;

  std::uint16_t src_port() const { return load_be<std::uint16_t>(bytes_.data()); }
  std::uint16_t dst_port() const { return load_be<std::uint16_t>(bytes_.data() + 2); }
  std::uint32_t seq() const { return load_be<std::uint32_t>(bytes_.data() + 4); }
  std::uint32_t ack() const { return load_be<std::uint32_t>(bytes_.data() + 8); }
  TcpFlags flags() const { return TcpFlags(std::to_integer<std::uint8_t>(bytes_[13])); }
  WireWindow window() const { return WireWindow(load_be<std::uint16_t>(bytes_.data() + 14)); }
  std::uint16_t urgent() const { return load_be<std::uint16_t>(bytes_.data() + 18); }
  ConstBytes option_bytes() const { return bytes_.subspan(kTcpHeaderSize, header_size_ - kTcpHeaderSize); }
  TcpOptions options() const { return parse_tcp_options(option_bytes()); }
  std::size_t header_size() const { return header_size_; }
  ConstBytes text() const { return bytes_.subspan(header_size_); }

 private:
  TcpView(ConstBytes bytes, std::size_t header_size) : bytes_(bytes), header_size_(header_size) {}
  ConstBytes bytes_;
  std::size_t header_size_;
};

struct TcpHeader {
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::uint32_t seq = 0;
  std::uint32_t ack = 0;
  TcpFlags flags{};
  WireWindow window{};
  std::uint16_t urgent = 0;
  // Written in Linux's order, so that a SYN of ours looks like one of the host's: MSS; SACK-permitted and timestamps;
  // window scale; SACK blocks; Fast Open; user timeout. Padded with NOPs before, not with END after. SACK blocks that
  // do not fit into 40 bytes with the others are left out from the end, and then a Fast Open cookie or user timeout
  // that does not.
  TcpOptions options{};

  // Header with options: 20..60 bytes, a multiple of 4.
  std::size_t size() const;
  // Writes the header and behind it `text` and `more`, copied and summed in one pass; the checksum is filled in.
  // Returns the length of the segment. `to` holds at least size() + text.size() + more.size() bytes and overlaps
  // neither.
  std::size_t write(Bytes to, const IpAddress& src, const IpAddress& dst, ConstBytes text = {},
                    ConstBytes more = {}) const;
};

}  // namespace weir::wire
