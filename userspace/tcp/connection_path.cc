// SPDX-License-Identifier: MIT
// The path's MTU: what is told (RFC 1191, 8201, by on_icmp_error() and on_path_mss()) and what is found out (RFC 4821).
#include <algorithm>
#include <new>

#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

// After so many time-outs of one segment a black hole is suspected; after each one more, a narrower one. They are far
// apart by then, and what waits for them gives up, or is given up.
constexpr std::uint8_t kSuspicious = 3;

}  // namespace

void Connection::on_path_mss(std::uint16_t mss, Instant now) {
  path_search_.reset();
  mss = std::max(mss, kLeastMss);
  if (mss < birth_.mss) {
    lower_mss(mss);
  } else {
    birth_.mss = mss;
  }
  reschedule(now);
}

// RFC 1191 6.4: what was too big is sent again at once, and the congestion window stays: nothing was lost to a queue.
void Connection::lower_mss(std::uint16_t mss) {
  birth_.mss = mss;
  if (snd_.in_flight() == 0) return;
  if (is_synchronized(state_) || is_early()) {
    go_back();
  } else if (state_ == State::syn_sent && snd_.nxt.after(snd_.iss + 1)) {
    // RFC 7413 4.1.3.1: the SYN's text was too much for the path. It goes again without.
    resend_syn();
  }
}

// Of the retransmission timer, after `timeouts` of the segment at SND.UNA. Where that segment is a large one, its size
// may be why.
void Connection::suspect_black_hole(std::uint8_t timeouts, Instant now) {
  if (!config_->path_mtu_probing || !is_synchronized(state_) || timeouts < kSuspicious) return;
  std::uint16_t mss = std::min(birth_.mss, peer_mss_);
  std::size_t lost = std::min<std::size_t>(snd_.text.size(), mss);
  // Down to what would cut it.
  std::uint16_t low = PathSearch::below(mss, birth_.family);
  while (low >= lost) {
    std::uint16_t lower = PathSearch::below(low, birth_.family);
    if (lower == low) return;
    low = lower;
  }
  if (!path_search_) path_search_.reset(new (std::nothrow) PathSearch);
  if (!path_search_) return;
  path_search_->fall(mss, low, now);
  birth_.mss = low;
  if (snd_.in_flight() > 0) go_back();
}

// After an ACK has been taken.
void Connection::search_path(Instant now) {
  std::uint16_t proven = path_search_->on_ack(snd_.una, now);
  if (proven == 0) return;
  birth_.mss = proven;
  if (path_search_->done()) path_search_.reset();
}

// The text of a segment that tries a larger MTU, where one is due and everything lets it out; else 0.
std::uint32_t Connection::path_probe_text() const {
  if (!path_search_ || path_search_->due() == 0 || in_recovery() || snd_.nxt != snd_.max) return 0;
  std::uint32_t options = std::min(peer_mss_, birth_.mss) - send_mss();
  std::uint32_t text = path_search_->due() - options;
  bool there = snd_.unsent() >= text && snd_.window_from(snd_.nxt) >= text && pipe() + text <= send_window();
  return there ? text : 0;
}

}  // namespace weir::tcp
