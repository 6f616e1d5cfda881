// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "weir/tcp/congestion/ack_event.h"

namespace weir::tcp {

inline constexpr std::uint32_t kMostWindow = 1u << 30;  // RFC 7323 2.3
inline constexpr std::uint32_t kNoThreshold = std::numeric_limits<std::uint32_t>::max();

// RFC 6928: min(10 * MSS, max(2 * MSS, 14600)).
constexpr std::uint32_t initial_window(std::uint32_t mss) { return std::min(10 * mss, std::max(2 * mss, 14'600u)); }

// A congestion controller: how much of one connection may be in flight, and how fast it leaves. Which segments are
// lost, and what to send while they are mended, is the loss detector's; it asks here for the window to come out with.
//
// One object serves one connection, from open() or take_over() on; every call comes from the connection's thread. It
// may not call back into the connection. Sizes are bytes.
class Controller {
 public:
  virtual ~Controller() = default;

  // As the registry knows it; the characters live as long as the stack.
  virtual std::string_view name() const = 0;

  // --- the beginning: one of these is the first call ---

  // The handshake is complete; `window` is the initial window (RFC 6928).
  virtual void open(std::uint32_t window, const Moment& at) = 0;
  // The connection runs, and another controller had brought it to `cwnd` and `ssthresh`.
  virtual void take_over(std::uint32_t cwnd, std::uint32_t ssthresh, const Moment& at) = 0;

  // --- events ---

  // Text was acknowledged. Within a recovery too, with `in_recovery` set: a window does not grow then, but a model of
  // the path may learn.
  virtual void on_ack(const AckEvent& ack) = 0;
  // One segment more is taken for lost: of an episode that has begun, or that on_loss() or on_timeout() begins next.
  // For a model of the path; a window reacts to the episode.
  virtual void on_segment_lost(const SegmentLoss&) {}
  // A loss episode begins (RFC 5681 3.2): at most once for each window of data.
  virtual void on_loss(const Moment& at) = 0;
  // The peer echoes a CE mark (RFC 3168 6.1.2): at most once for each window of data, and not within a recovery. How
  // many bytes were marked, AckEvent::ece tells.
  virtual void on_ecn(const Moment& at) { on_loss(at); }
  // All of the episode is mended.
  virtual void on_recovered(const Moment& at) = 0;
  // The retransmission timer expired; `again`: within a loss episode for which the window has been reduced.
  virtual void on_timeout(const Moment& at, bool again) = 0;
  // All that was in flight when it expired last is acknowledged. Slow start has brought a window where it is.
  virtual void on_timeout_recovered(const Moment&) {}
  // Sending begins after nothing has been sent for longer than the RTO (RFC 5681 4.1).
  virtual void on_idle(const Moment& at) = 0;
  // The last on_loss() or on_timeout() was spurious (RFC 4015, RFC 5682): nothing had been lost.
  virtual void undo() = 0;

  // --- decisions ---

  virtual std::uint32_t cwnd() const = 0;
  // kNoThreshold before the first loss, and for a controller that has none.
  virtual std::uint32_t ssthresh() const = 0;
  // Bytes a second that may leave; 0: no pacing asked for.
  virtual std::uint64_t pacing_rate() const { return 0; }

  // Cannot do without ECN marks: refused on a connection that has not negotiated it.
  virtual bool needs_ecn() const { return false; }
  // cwnd() holds within a recovery too, in place of the loss detector's reduction to ssthresh().
  virtual bool governs_recovery() const { return false; }
};

}  // namespace weir::tcp
