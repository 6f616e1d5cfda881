// SPDX-License-Identifier: MIT
// The user's options, and the two that have deadlines: keepalive and the user timeout.
#include <algorithm>
#include <new>

#include "weir/tcp/connection.h"

namespace weir::tcp {

bool Connection::keep_options(const Options& wanted) {
  Options others = wanted;
  others.no_delay = config_->options.no_delay;
  if (others == config_->options) {
    options_.reset();
  } else if (options_) {
    *options_ = others;
  } else {
    options_.reset(new (std::nothrow) Options(others));
    if (!options_) return false;
  }
  no_delay_ = wanted.no_delay;
  return true;
}

bool Connection::set_options(const Options& wanted, Instant now) {
  if (!keep_options(wanted)) return false;
  start_keepalive(now);
  timers_.clear(TimerKind::user_timeout);
  reschedule(now);
  return true;
}

void Connection::set_no_delay(bool on) { no_delay_ = on; }

void Connection::start_keepalive(Instant now) {
  timers_.clear(TimerKind::keepalive);
  bool applies = is_synchronized(state_) && state_ != State::time_wait;
  if (!applies || !kept_options().keepalive) return;
  timers_.arm(TimerKind::keepalive, std::max(now, liveness_.heard + kept_options().keepalive_idle));
}

// RFC 1122 4.2.3.6. Where something is outstanding its own timers ask, so this one only looks again later.
void Connection::on_keepalive_timer(Instant now) {
  const Options& o = kept_options();
  Duration silent = now - liveness_.heard;
  if (snd_.outstanding()) {
    timers_.arm(TimerKind::keepalive, now + std::max(o.keepalive_idle, Duration::milliseconds(1)));
    return;
  }
  if (silent < o.keepalive_idle) {
    timers_.arm(TimerKind::keepalive, liveness_.heard + o.keepalive_idle);
    return;
  }
  bool limited = o.user_timeout != Duration{};
  bool over = limited ? liveness_.probes > 0 && silent >= o.user_timeout : liveness_.probes >= o.keepalive_count;
  if (over) {
    error_ = Errc::timed_out;
    reset_peer(now);
    return;
  }
  ++liveness_.probes;
  liveness_.probe_owed = true;
  timers_.arm(TimerKind::keepalive, now + std::max(o.keepalive_interval, Duration::milliseconds(1)));
}

// From reschedule(). The deadline only moves away while the timer runs, so it is armed once and looks again.
void Connection::watch_user_timeout(Instant now) {
  liveness_.on_outstanding(snd_.outstanding(), false, now);
  Duration limit = kept_options().user_timeout;
  if (limit == Duration{} || liveness_.waiting_since == Instant::never()) {
    timers_.clear(TimerKind::user_timeout);
  } else if (!timers_.armed(TimerKind::user_timeout)) {
    timers_.arm(TimerKind::user_timeout, std::max(now, liveness_.waiting_since + limit));
  }
}

BusyTime::State Connection::what_limits() const {
  if (!is_synchronized(state_) || !snd_.outstanding()) return BusyTime::State::idle;
  std::uint32_t unsent = snd_.unsent();
  if (unsent == 0)
    return writable_bytes() == 0 && !snd_.text.empty() ? BusyTime::State::send_buffer : BusyTime::State::busy;
  bool shut = snd_.window_from(snd_.nxt) < std::min(unsent, send_mss());
  return shut ? BusyTime::State::receive_window : BusyTime::State::busy;
}

// RFC 9293 3.10.8
void Connection::on_user_timeout(Instant now) {
  Instant due = liveness_.waiting_since == Instant::never() ? liveness_.waiting_since
                                                            : liveness_.waiting_since + kept_options().user_timeout;
  if (now < due) return;  // reschedule() arms it anew
  error_ = Errc::timed_out;
  if (is_synchronized(state_) || state_ == State::syn_received) {
    reset_peer(now);
  } else {
    enter(State::closed, now);
  }
}

}  // namespace weir::tcp
