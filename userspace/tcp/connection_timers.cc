// SPDX-License-Identifier: MIT
// Deadlines: which run, and what each does.
#include <algorithm>

#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

constexpr Duration kBufferIdle = Duration::seconds(1);

}  // namespace

Instant Connection::next_deadline() const {
  return recovery_ ? std::min(timers_.next(), recovery_->next_deadline()) : timers_.next();
}

// After whatever may have changed what is outstanding. While anything is sent and not acknowledged, or may be sent and
// has not been, exactly one of `retransmit` and `persist` runs, so that no connection is ever left without a deadline,
// not even one whose segments nobody takes from it.
void Connection::reschedule(Instant now) {
  if (state_ == State::closed || state_ == State::time_wait) return;
  if (awaits_text()) {
    // Until the user has something to say, nothing is waited for.
    timers_.clear(TimerKind::retransmit);
    timers_.clear(TimerKind::user_timeout);
    liveness_.on_outstanding(false, false, now);
    return;
  }
  watch_user_timeout(now);
  busy_time_.enter(what_limits(), now);
  if (!snd_.outstanding()) {
    timers_.clear(TimerKind::retransmit);
    timers_.clear(TimerKind::persist);
  } else if (!is_synchronized(state_) || snd_.in_flight() > 0 || plan_text().what != Emission::none) {
    if (timers_.armed(TimerKind::persist)) {
      timers_.clear(TimerKind::persist);
      persist_shots_ = 0;
      probe_owed_ = false;
    }
    if (!timers_.armed(TimerKind::retransmit)) timers_.arm(TimerKind::retransmit, now + rtt_.rto(*config_));
  } else {
    // Nothing is in flight, so neither the congestion window nor Nagle holds it back: the peer's window does.
    timers_.clear(TimerKind::retransmit);
    if (!timers_.armed(TimerKind::persist)) timers_.arm(TimerKind::persist, now + persist_interval());
  }
  schedule_pacing(now);
  if (!timers_.armed(TimerKind::release_buffers) && holds_empty_buffers()) {
    timers_.arm(TimerKind::release_buffers, now + kBufferIdle);
  }
}

void Connection::on_deadline(Instant now) {
  if (recovery_ && recovery_->reorder_at <= now) on_reorder_timer(now);
  // Before the retransmission timer, which may have the same deadline and which it then puts off.
  if (recovery_ && recovery_->probe.at() <= now) on_probe_timer(now);
  while (auto kind = timers_.take_expired(now)) {
    switch (*kind) {
      case TimerKind::retransmit:
        on_retransmit_timer(now);
        break;
      case TimerKind::pace:
        break;  // poll_transmit() finds it may leave
      case TimerKind::persist:
        on_persist_timer(now);
        break;
      case TimerKind::delayed_ack:
        if (ack_ == AckDebt::delayed) ack_ = AckDebt::now;
        break;
      // RFC 9293 3.10.8 ends TIME-WAIT so. It has no time-out for FIN-WAIT-2, where a peer that never closes would keep
      // a connection for ever.
      case TimerKind::wait:
        enter(State::closed, now);
        break;
      case TimerKind::keepalive:
        on_keepalive_timer(now);
        break;
      case TimerKind::user_timeout:
        on_user_timeout(now);
        break;
      case TimerKind::release_buffers:
        on_release_timer();
        break;
    }
  }
  reschedule(now);
}

// RFC 6298 5.4 to 5.7
void Connection::on_retransmit_timer(Instant now) {
  // RFC 9293 3.8.3: R2.
  std::uint8_t most = state_ == State::syn_sent       ? config_->syn_retries
                      : state_ == State::syn_received ? config_->syn_ack_retries
                                                      : config_->retries;
  bool window_closed = is_synchronized(state_) && snd_.wnd.closed() && snd_.in_flight() > 0;
  // RFC 5482 3.1: a user timeout takes the place of a count.
  bool limited = kept_options().user_timeout == Duration{};
  if (!window_closed && limited && retries_ >= most) {
    fail(Errc::timed_out, now);
    return;
  }
  timed_.running = false;  // Karn
  retransmit_first_ = false;
  if (window_closed) {
    // RFC 9293 3.8.6: the window has shrunk over what is in flight. It becomes a matter of the persist timer, which
    // does not give up while the peer answers.
    go_back();
    probe_owed_ = true;
    return;
  }
  if (snd_.in_flight() > 0) {
    ++timeouts_;
    if (is_synchronized(state_)) {
      // One reduction for a window of data: fast recovery has made it.
      bool reduced = retries_ > 0 || in_fast_recovery();
      Moment at = moment_of_loss(now);
      if (recovery_) {
        on_tracked_timeout(retries_ > 0, now);
      } else {
        on_untracked_loss(snd_.in_flight(), now);
        snd_.go_back();
      }
      at.pipe = pipe();
      congestion_.on_timeout(at, reduced);
      ecn_.on_reduced(snd_.max);
      loss_.on_timeout(snd_.max);
    } else {
      note_fast_open_failure();
      syn_lost_ = true;
      resend_syn();
    }
  }
  ++retries_;
  suspect_black_hole(retries_, now);
  rtt_.back_off();
  timers_.arm(TimerKind::retransmit, now + rtt_.rto(*config_));
}

// RFC 9293 3.8.6.1
void Connection::on_persist_timer(Instant now) {
  // A peer that does not answer is gone; one that answers for ever, and keeps what a user has left behind, is an
  // attack.
  bool hoarding = pressed_ && now - liveness_.waiting_since >= config_->zero_window_under_pressure;
  if (persist_unanswered_ >= config_->retries || (user_gone_ && persist_shots_ >= config_->retries) || hoarding) {
    error_ = Errc::timed_out;
    reset_peer(now);
    return;
  }
  ++persist_unanswered_;
  if (persist_shots_ < 255) ++persist_shots_;
  probe_owed_ = true;
  timers_.arm(TimerKind::persist, now + persist_interval());
}

Duration Connection::persist_interval() const {
  std::int64_t factor = std::int64_t{1} << std::min<std::uint8_t>(persist_shots_, 20);
  return std::min(rtt_.rto(*config_) * factor, config_->max_rto);
}

bool Connection::holds_empty_buffers() const {
  bool received = rcv_.gaps.empty() && (rcv_.gaps.holds_memory() || (rcv_.text.empty() && rcv_.text.capacity() != 0));
  return received ||
         (snd_.text.empty() && (snd_.text.capacity() != 0 || ((recovery_ || rate_probe_) && snd_.in_flight() == 0)));
}

void Connection::on_release_timer() {
  bool used = buffers_used_;
  buffers_used_ = false;
  if (used) return;  // reschedule() looks again in a while
  if (snd_.text.empty()) snd_.text.release();
  if (snd_.in_flight() == 0) {
    recovery_.reset();
    rate_probe_.reset();
  }
  if (rcv_.gaps.empty()) {
    rcv_.gaps.release();
    if (rcv_.text.empty()) rcv_.text.release();
    rcv_.limit = config_->receive_buffer;
  }
}

}  // namespace weir::tcp
