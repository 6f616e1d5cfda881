// SPDX-License-Identifier: MIT
#include "weir/control/engine_tap.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "weir/control/engine_protocol.h"

namespace weir::control {
namespace {

constexpr std::size_t kPiece = std::size_t{64} << 10;
// At one time, so that a stream that is written as fast as it is read holds nobody up.
constexpr int kPieces = 32;

// The words of an engine that says no: {"ok":false,"error":"..."}.
Err<Error> refused(std::span<const std::byte> text) {
  std::string words(reinterpret_cast<const char*>(text.data()), std::min<std::size_t>(text.size(), 200));
  for (char& c : words)
    if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
  return xdp::fail("the engine does not tell of the frames that it sends (is it of another version?): " + words,
                   EPROTO);
}

}  // namespace

Outcome<void> TapReader::feed(std::span<const std::byte> piece, const Each& each) {
  rest_.insert(rest_.end(), piece.begin(), piece.end());
  std::span<const std::byte> left(rest_);
  if (!greeted_) {
    const std::size_t n = std::min(left.size(), kTapGreeting.size());
    if (std::memcmp(left.data(), kTapGreeting.data(), n) != 0) return refused(left);
    if (n < kTapGreeting.size()) return {};
    greeted_ = true;
    left = left.subspan(n);
  }
  while (!ended_ && left.size() >= sizeof(TapRecord)) {
    TapRecord record;
    std::memcpy(&record, left.data(), sizeof record);
    const bool is_frame = record.kind == TapRecord::frame && record.captured <= record.length;
    const bool is_end = record.kind == TapRecord::end && record.captured == 0;
    if ((!is_frame && !is_end) || record.captured > WEIR_CAPTURE_MOST)
      return xdp::fail("what the engine tells of the frames that it sends makes no sense", EPROTO);
    if (left.size() - sizeof record < record.captured) break;
    lost_ = record.lost;
    ended_ = is_end;
    if (is_frame) {
      ++frames_;
      each(record, left.subspan(sizeof record, record.captured));
    }
    left = left.subspan(sizeof record + record.captured);
  }
  rest_.erase(rest_.begin(), rest_.end() - static_cast<std::ptrdiff_t>(left.size()));
  return {};
}

Outcome<EngineTap> EngineTap::open(const std::string& path, std::uint32_t snaplen) {
  auto fd = connect_engine(path);
  if (!fd) return Err(fd.error());
  const std::string request = R"({"cmd":"dump","snaplen":)" + std::to_string(snaplen) + "}\n";
  if (::send(fd->get(), request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return Err(xdp::system_error(errno, "asking the engine at " + path));
  return EngineTap(std::move(*fd));
}

Outcome<bool> EngineTap::drain(const TapReader::Each& each) {
  std::array<std::byte, kPiece> piece;
  for (int i = 0; i < kPieces && !reader_.ended(); ++i) {
    const ssize_t n = ::recv(socket_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
    if (n == 0) return false;
    if (n < 0 && errno != EINTR) return errno == EAGAIN;
    if (n < 0) continue;
    if (auto r = reader_.feed(std::span(piece).first(static_cast<std::size_t>(n)), each); !r) return Err(r.error());
  }
  return !reader_.ended();
}

void EngineTap::stop() { ::shutdown(socket_.get(), SHUT_WR); }

}  // namespace weir::control
