// SPDX-License-Identifier: MIT
#include "weir/runtime/taps.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "weir/control/engine_tap.h"

namespace weir::runtime {

using control::TapRecord;

namespace {

constexpr int kSocketRoom = 2 << 20;

}  // namespace

bool Taps::add(xdp::Fd& socket, std::uint32_t snaplen) {
  look();  // one that has left makes room
  if (taps_.size() >= kMostTaps) return false;
  // Beyond the system's limit where we may.
  if (::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSocketRoom, sizeof kSocketRoom) != 0)
    (void)::setsockopt(socket.get(), SOL_SOCKET, SO_SNDBUF, &kSocketRoom, sizeof kSocketRoom);
  Tap tap;
  tap.socket = std::move(socket);
  tap.snaplen = std::clamp<std::uint32_t>(snaplen, 1, WEIR_CAPTURE_MOST);
  tap.out = control::kTapGreeting;
  taps_.push_back(std::move(tap));
  (void)flush(taps_.back());
  return true;
}

void Taps::append(Tap& tap, const stack::TxFrame& frame, std::uint64_t time_ns) {
  TapRecord record;
  record.length = frame.length;
  record.captured = std::min(frame.length, tap.snaplen);
  record.time_ns = time_ns;
  if (tap.out.size() + sizeof record + record.captured > kMostPending) {
    ++tap.lost;
    return;
  }
  record.lost = tap.lost;
  tap.out.append(reinterpret_cast<const char*>(&record), sizeof record);
  tap.out.append(reinterpret_cast<const char*>(frame.buffer.data()), record.captured);
}

void Taps::copy(std::span<const stack::TxFrame> frames) {
  // One reading a burst; the turn's own is older than what it answers.
  const auto now = static_cast<std::uint64_t>(xdp::monotonic_ns());
  taps_.remove_if([&](Tap& tap) {
    if (tap.ending) return false;
    for (const stack::TxFrame& frame : frames) append(tap, frame, now);
    return !flush(tap);
  });
}

bool Taps::flush(Tap& tap) {
  std::size_t sent = 0;
  bool open = true;
  while (sent < tap.out.size()) {
    const ssize_t n =
        ::send(tap.socket.get(), tap.out.data() + sent, tap.out.size() - sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno != EINTR) {
      open = errno == EAGAIN;
      break;
    }
  }
  tap.out.erase(0, sent);
  return open;
}

// It says nothing more after its question; the end of its stream means that it has enough.
bool Taps::wants_more(Tap& tap) {
  std::array<char, 256> ignored;
  const ssize_t n = ::recv(tap.socket.get(), ignored.data(), ignored.size(), MSG_DONTWAIT);
  return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

void Taps::append_end(Tap& tap) {
  TapRecord record;
  record.kind = TapRecord::end;
  record.lost = tap.lost;
  tap.out.append(reinterpret_cast<const char*>(&record), sizeof record);
}

void Taps::look() {
  taps_.remove_if([](Tap& tap) {
    if (!tap.ending && !wants_more(tap)) {
      tap.ending = true;
      append_end(tap);
    }
    return !flush(tap) || (tap.ending && tap.out.empty());
  });
}

void Taps::end() {
  for (Tap& tap : taps_) {
    if (!tap.ending) append_end(tap);
    (void)flush(tap);
  }
  taps_.clear();
}

}  // namespace weir::runtime
