// SPDX-License-Identifier: MIT
// The frames that an engine sends, as it tells them to who listens: they do not pass XDP.
//
// A client sends {"cmd":"dump","snaplen":N} to the engine's socket (engine_protocol.h) and leaves its end open. The
// engine answers with kTapGreeting and then a stream of TapRecord, each with `captured` octets behind it. When the
// client shuts its end down, the last is one of kind `end`. What the socket has no room for the engine drops and
// counts: frames that came and `lost` of the last record are all frames there were.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weir/common/abi.h"
#include "weir/control/netns.h"
#include "weir/xdp/fd.h"

namespace weir::control {

inline constexpr std::string_view kTapGreeting = "weirtap1";

struct TapRecord {
  enum Kind : std::uint32_t { frame = 1, end = 2 };
  std::uint32_t kind = frame;
  std::uint32_t length = 0;    // of the frame
  std::uint32_t captured = 0;  // octets that follow
  std::uint32_t pad = 0;
  std::uint64_t time_ns = 0;  // CLOCK_MONOTONIC
  std::uint64_t lost = 0;     // so far
};
static_assert(sizeof(TapRecord) == 32);

// Puts the pieces of the stream together. Whatever comes is bounded and checked.
class TapReader {
 public:
  using Each = std::function<void(const TapRecord&, std::span<const std::byte>)>;
  // EPROTO: it is not such a stream; the message has the engine's words, where it spoke any.
  Outcome<void> feed(std::span<const std::byte> piece, const Each& each);
  bool greeted() const { return greeted_; }
  bool ended() const { return ended_; }
  std::uint64_t frames() const { return frames_; }
  std::uint64_t lost() const { return lost_; }

 private:
  std::vector<std::byte> rest_;  // less than a record with its octets
  bool greeted_ = false;
  bool ended_ = false;
  std::uint64_t frames_ = 0;
  std::uint64_t lost_ = 0;
};

// A client.
class EngineTap {
 public:
  // Does not wait. ENOENT, ECONNREFUSED: no engine runs. EAGAIN: it has more clients than it takes.
  static Outcome<EngineTap> open(const std::string& path, std::uint32_t snaplen);
  int descriptor() const { return socket_.get(); }
  // What has come; false when the stream is over. EPROTO as TapReader.
  Outcome<bool> drain(const TapReader::Each& each);
  // No more frames are wanted: what is under way comes still.
  void stop();
  const TapReader& reader() const { return reader_; }

 private:
  explicit EngineTap(xdp::Fd socket) : socket_(std::move(socket)) {}
  xdp::Fd socket_;
  TapReader reader_;
};

}  // namespace weir::control
