// SPDX-License-Identifier: MIT
// TCP Fast Open (RFC 7413): text in a SYN, and text behind a SYN-ACK.
#include <algorithm>
#include <new>

#include "weir/tcp/connection.h"

namespace weir::tcp {

// --- the active side ---

bool Connection::open_fast(const FastOpenCookie& cookie, std::uint16_t mss, Instant now) {
  fast_open_.reset(new (std::nothrow) FastOpen);
  if (!fast_open_) return false;
  fast_open_->cookie = cookie;
  fast_open_->mss = mss != 0 ? std::max(mss, kLeastMss) : peer_mss_;
  reschedule(now);
  return true;
}

// The SYN has a cookie to go with text, and nobody has written any.
bool Connection::awaits_text() const {
  return fast_open_ && state_ == State::syn_sent && snd_.max == snd_.iss && !fast_open_->cookie.empty() &&
         snd_.text.empty() && snd_.fin == Sender::Fin::none;
}

// Of the first SYN or SYN-ACK. RFC 7413 4.1.3, 4.2.2: one that goes again has neither option nor text, which may be
// what kept it from arriving. Returns how much text is in it.
std::uint32_t Connection::fill_fast_open(OutSegment& out) {
  FastOpen& f = *fast_open_;
  if (state_ != State::syn_sent) {
    if (!f.cookie.empty()) out.header.options.fast_open = f.cookie.bytes();
    return 0;
  }
  out.header.options.fast_open = f.cookie.bytes();
  if (f.cookie.empty()) return 0;
  // RFC 6691 2: the MSS does not count options.
  std::size_t options = out.header.size() - wire::kTcpHeaderSize;
  std::size_t mss = std::min(f.mss, birth_.mss);
  std::size_t text = std::min(snd_.text.size(), mss > options ? mss - options : 0);
  f.syn_text = static_cast<std::uint16_t>(text);
  out.text = snd_.text_at(snd_.iss + 1, f.syn_text);
  return f.syn_text;
}

// Of the SYN-ACK, whose ACK has been taken: `text` bytes of the SYN's.
void Connection::note_fast_open_answer(const Segment& syn_ack, std::uint32_t text) {
  syn_text_taken_ = text > 0;
  if (!fast_open_) return;
  FastOpen& f = *fast_open_;
  FastOpenNews news;
  if (syn_ack.options.fast_open) news.cookie = FastOpenCookie(*syn_ack.options.fast_open);
  news.mss = peer_mss_;
  news.taken = text > 0;
  // A server that has changed its key says so with another cookie. Of a SYN that was lost it has been said already.
  news.refused = f.syn_text > 0 && text == 0 && news.cookie.empty() && !syn_lost_;
  f.news = news;
}

// The attempt has failed, or nothing has come back in time.
void Connection::note_fast_open_failure() {
  if (!fast_open_ || state_ != State::syn_sent || snd_.max == snd_.iss) return;
  if (syn_lost_) return;  // said already
  fast_open_->news = FastOpenNews{};
  fast_open_->news->refused = true;
}

std::optional<FastOpenNews> Connection::take_fast_open_news() {
  if (!fast_open_ || !fast_open_->news) return std::nullopt;
  std::optional<FastOpenNews> news = fast_open_->news;
  fast_open_->news.reset();
  if (state_ != State::syn_sent) fast_open_.reset();
  return news;
}

// --- the passive side ---

bool Connection::accept_fast(const Segment& syn, Instant now) {
  if (!fast_open_) fast_open_.reset(new (std::nothrow) FastOpen);
  if (!fast_open_) return false;
  fast_open_->early = true;
  // RFC 7413 4.2.2: what the user writes may leave behind the SYN-ACK, as much as an initial window.
  congestion_.open(first_controller(), initial_window(send_mss()), moment(now));
  usage_.open(snd_.text_begin());
  Receiver::Received received = rcv_.on_text(syn.seq + 1, syn.text, false);
  bytes_received_ += received.bytes;
  receive_mss_ = static_cast<std::uint16_t>(std::min<std::size_t>(syn.text.size(), 0xffff));
  syn_text_taken_ = received.bytes > 0;
  buffers_used_ = true;
  reschedule(now);
  return true;
}

bool Connection::give_cookie(const FastOpenCookie& cookie) {
  if (!fast_open_) fast_open_.reset(new (std::nothrow) FastOpen);
  if (!fast_open_) return false;
  fast_open_->cookie = cookie;
  return true;
}

bool Connection::is_early() const { return state_ == State::syn_received && fast_open_ && fast_open_->early; }

// The SYN or SYN-ACK goes again. Text behind a SYN-ACK stays in flight: its ACK tells whether that has arrived.
void Connection::resend_syn() {
  timed_.running = false;
  if (is_early()) {
    fast_open_->syn_ack_owed = true;
  } else {
    snd_.go_back();
  }
}

// From establish(), for a connection that has been open to its user since the SYN.
void Connection::establish_early(Instant now) {
  // RFC 6928 2: as where nothing has been sent yet.
  if (syn_lost_) congestion_.open(first_controller(), send_mss(), moment(now));
  if (recovery_) arm_probe(now);
  tell_window();
}

}  // namespace weir::tcp
