// SPDX-License-Identifier: MIT
// TCP Fast Open (RFC 7413) as one connection has it. Cookies are made, checked and remembered by the stack.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/wire/tcp.h"

namespace weir::tcp {

// RFC 7413 4.1.1: opaque to all but the server that made it. Empty: a request for one.
class FastOpenCookie {
 public:
  FastOpenCookie() = default;
  // At most kTcpMaxFastOpenCookie bytes; what is more is cut off.
  explicit FastOpenCookie(ConstBytes bytes)
      : size_(static_cast<std::uint8_t>(std::min(bytes.size(), wire::kTcpMaxFastOpenCookie))) {
    std::copy_n(bytes.begin(), size_, bytes_.begin());
  }

  bool empty() const { return size_ == 0; }
  // Of this object.
  ConstBytes bytes() const { return ConstBytes(bytes_).first(size_); }

  friend bool operator==(const FastOpenCookie&, const FastOpenCookie&) = default;

 private:
  std::array<std::byte, wire::kTcpMaxFastOpenCookie> bytes_{};
  std::uint8_t size_ = 0;
};

// What an active open's handshake has told of the peer and the path, for the next one to go by (RFC 7413 4.1.3).
struct FastOpenNews {
  FastOpenCookie cookie{};  // empty: none has come
  std::uint16_t mss = 0;    // the peer's, as its SYN-ACK said
  bool taken = false;       // the SYN's text, or some of it
  bool refused = false;     // RFC 7413 4.1.3.1: it was not taken, or nothing came back in time
};

// What a connection keeps for Fast Open until its handshake is over.
struct FastOpen {
  FastOpenCookie cookie;       // for our SYN, where empty asks for one; or for our SYN-ACK, where empty is none
  std::uint16_t mss = 0;       // the peer's, as it said last time: what the SYN's text has to fit into
  std::uint16_t syn_text = 0;  // bytes that our SYN had
  bool early = false;          // the peer's cookie was good: both sides' text counts from the SYN on
  bool syn_ack_owed = false;   // again, with text in flight behind it
  bool peer_asked = false;     // for it: its SYN has come again
  std::optional<FastOpenNews> news;
};

}  // namespace weir::tcp
