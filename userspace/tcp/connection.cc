// SPDX-License-Identifier: MIT
// Birth and end of a connection, and the user's calls (RFC 9293 3.10.1 to 3.10.6).
#include "weir/tcp/connection.h"

#include <algorithm>
#include <cassert>
#include <utility>

#include "weir/tcp/congestion/new_reno.h"

namespace weir::tcp {
namespace {

// RFC 9293 3.7.1: what a SYN without the option means.
constexpr std::uint16_t kDefaultMssV4 = 536;
constexpr std::uint16_t kDefaultMssV6 = 1220;
// RFC 7323 3.2 and appendix A: with two NOPs.
constexpr std::uint32_t kTimestampsOption = 12;
// ACKs sent at once while the peer's slow start depends on them.
constexpr std::uint8_t kQuickAcks = 16;

}  // namespace

Connection::Connection(const Config& config, const Birth& birth, Role role)
    : config_(&config),
      birth_(birth),
      rtt_(config),
      peer_mss_(birth.family == Family::v4 ? kDefaultMssV4 : kDefaultMssV6),
      role_(role),
      quick_acks_(kQuickAcks),
      no_delay_(config.options.no_delay) {
  birth_.mss = std::max(birth.mss, kLeastMss);
  snd_.open(birth.iss);
  small_end_ = birth.iss;
  loss_.open(birth.iss);
  ecn_.reacted = birth.iss;
  rcv_.limit = config.receive_buffer;
  rcv_.scale = config.window_scale
                   ? WindowScale::for_window(std::max(config.receive_buffer, config.most_receive_buffer))
                   : WindowScale();
}

Connection::Connection(Connection&&) noexcept = default;
Connection::~Connection() = default;

Connection Connection::active_open(const Config& config, const Birth& birth, Instant now) {
  Connection c(config, birth, Role::active);
  c.liveness_.heard = now;
  c.enter(State::syn_sent, now);
  c.reschedule(now);
  return c;
}

Connection Connection::passive_open(const Config& config, const Birth& birth, const Segment& syn, Instant now) {
  Connection c(config, birth, Role::passive);
  ++c.segments_in_;
  c.liveness_.heard = now;
  // RFC 9293 3.10.7.2, third: what else is in the SYN comes again, because only the SYN is acknowledged.
  c.rcv_.open(syn.seq, std::min<std::uint32_t>(config.receive_buffer, 0xffff));
  c.negotiate(syn.options, now);
  c.negotiate_ecn(syn);
  c.snd_.wnd = c.snd_.max_wnd = WindowScale().expand(syn.window);
  c.enter(State::syn_received, now);
  c.reschedule(now);
  return c;
}

Connection Connection::passive_open_by_cookie(const Config& config, const Birth& birth, const Segment& syn,
                                              Instant now) {
  Connection c = passive_open(config, birth, syn, now);
  OutSegment sent;
  c.poll_transmit(sent, now);
  c.timed_.running = false;  // nobody knows when it left
  return c;
}

// The only writer of the state.
void Connection::enter(State to, Instant now) {
  assert(is_edge(state_, to));
  state_ = to;
  switch (to) {
    case State::fin_wait_2:
      if (user_gone_) timers_.arm(TimerKind::wait, now + config_->fin_wait_2);
      break;
    case State::time_wait:
      timers_.clear_all();
      timers_.arm(TimerKind::wait, now + config_->time_wait);
      release_memory();
      break;
    case State::closed:
      timers_.clear_all();
      ack_ = AckDebt::none;
      challenge_owed_ = probe_owed_ = retransmit_first_ = liveness_.probe_owed = false;
      release_memory();
      break;
    default:
      break;
  }
}

// Whatever can still be read stays; the rest is of no more use.
void Connection::release_memory() {
  snd_.text.release();
  recovery_.reset();
  rate_probe_.reset();
  rcv_.gaps.release();
  if (user_gone_ || rcv_.text.empty()) rcv_.text.release();
}

// RFC 7323 1.3, 3.2; RFC 9293 3.7.1: an option is on where both SYNs have it.
void Connection::negotiate(const wire::TcpOptions& offered, Instant now) {
  if (offered.mss) peer_mss_ = std::max(*offered.mss, kLeastMss);
  if (config_->window_scale && offered.window_scale) {
    scaling_ = true;
    snd_.scale = WindowScale(*offered.window_scale);
  } else {
    snd_.scale = rcv_.scale = WindowScale();
  }
  sack_ = config_->sack && offered.sack_permitted;
  if (config_->timestamps && offered.timestamps) {
    ts_.on = true;
    ts_.recent = offered.timestamps->tsval;
    ts_.recent_at = now;
  }
}

void Connection::establish(Instant now) {
  bool early = is_early();
  enter(State::established, now);
  connected_ = true;
  retries_ = 0;
  timers_.clear(TimerKind::retransmit);
  if (syn_lost_) rtt_.on_lost_syn(*config_);
  if (early) {
    establish_early(now);
  } else {
    // RFC 6928 2: a lost SYN makes the initial window one segment.
    congestion_.open(first_controller(), syn_lost_ ? send_mss() : initial_window(send_mss()), moment(now));
    usage_.open(snd_.una);
  }
  if (role_ == Role::passive) fast_open_.reset();
  last_sent_ = now;
  liveness_.heard = now;
  liveness_.on_outstanding(snd_.outstanding(), true, now);
  start_keepalive(now);
  // RFC 9293 3.10.4: a CLOSE that waited for the handshake.
  if (snd_.fin == Sender::Fin::queued) enter(State::fin_wait_1, now);
}

Moment Connection::moment(Instant now) const { return {now, send_mss(), pipe(), rtt_.srtt(), pipe()}; }

// RFC 5681 3.1's FlightSize, as the window that met the congestion: what the ACK that tells of it has taken from the
// flight was a part of it, and what left beyond the window was not.
Moment Connection::moment_of_loss(Instant now) const {
  Moment at = moment(now);
  at.in_flight = std::min(std::max(at.in_flight, usage_.peak()), congestion_.cwnd());
  return at;
}

ControllerIndex Connection::controller_index() const {
  if (birth_.congestion != kDefaultController) return birth_.congestion;
  return config_->controllers.find(config_->congestion).value_or(0);
}

std::unique_ptr<Controller> Connection::first_controller() const {
  auto controller = config_->controllers.make(controller_index());
  // RFC 8257 3.5: what cannot do without marks is conventional where there are none.
  if (controller->needs_ecn() && !may_use_ecn()) return std::make_unique<NewReno>();
  return controller;
}

void Connection::fail(Errc why, Instant now) {
  error_ = why;
  if (fast_open_ && !fast_open_->cookie.empty()) note_fast_open_failure();
  enter(State::closed, now);
}

// RFC 9293 3.10.5: <SEQ=SND.NXT><CTL=RST>, with the ACK that a peer's RFC 5961 3 check does not need and its tools
// show.
void Connection::reset_peer(Instant now) {
  reset_ = {ack_seq(), rcv_.nxt, true, true};
  enter(State::closed, now);
}

std::uint32_t Connection::send_mss() const {
  // RFC 6691 2: the option does not count options; the segment has to.
  std::uint32_t mss = std::min(peer_mss_, birth_.mss);
  return ts_.on ? mss - kTimestampsOption : mss;
}

std::uint32_t Connection::timestamp(Instant now) const {
  // RFC 7323 4.1: a clock of 1 ms; 5.4: from an origin that tells nothing.
  return static_cast<std::uint32_t>(now.ns() / 1'000'000) + birth_.timestamp_offset;
}

bool Connection::reading_state() const {
  return state_ == State::established || state_ == State::fin_wait_1 || state_ == State::fin_wait_2;
}

// --- the user's calls ---

// RFC 9293 3.10.2
std::size_t Connection::write(ConstBytes text, Instant now) {
  if (text.empty()) return 0;
  if (state_ == State::closed || user_gone_ || snd_.fin != Sender::Fin::none) {
    pipe_broken_ = true;
    return 0;
  }
  std::size_t n = std::min(text.size(), writable_bytes());
  if (n == 0 || !snd_.text.reserve(snd_.text.size() + n)) return 0;
  if (snd_.unsent() == 0 && pipe() < send_window()) {
    if (recovery_ && recovery_->out.lost() == 0) recovery_->delivery.on_starved(delivered_, pipe());
    if (rate_probe_) rate_probe_->on_starved(delivered_, pipe());
  }
  snd_.text.append(text.first(n));
  buffers_used_ = true;
  reschedule(now);
  return n;
}

// RFC 9293 3.10.3
std::size_t Connection::read(Bytes to, Instant now) {
  pipe_broken_ = false;
  std::size_t n = rcv_.text.read(to);
  if (n == 0) return 0;
  std::uint32_t deserved = receive_tuning_.on_read(n, rtt_.srtt(), now);
  if (!pressed_) rcv_.limit = std::max(rcv_.limit, std::min(deserved, config_->most_receive_buffer));
  if (reading_state()) tell_window();
  buffers_used_ = true;
  reschedule(now);
  if ((state_ == State::closed || state_ == State::time_wait) && rcv_.text.empty()) rcv_.text.release();
  return n;
}

// RFC 9293 3.8.6.2.2: a window that has opened is told at once where it was the brake: where it was less than a
// segment, or doubles. Otherwise the next ACK tells it.
void Connection::tell_window() {
  SeqNum edge = next_edge();
  std::uint32_t offered = rcv_.wnd().bytes();
  auto could_offer = static_cast<std::uint32_t>(edge - rcv_.nxt);
  if (edge != rcv_.edge && (offered < birth_.mss || could_offer / 2 >= offered)) ack_ = AckDebt::now;
}

// Where the window would end in a segment sent now. Under memory pressure it is what a reader at work needs, and does
// not move for one that is not; what has been promised stays promised.
SeqNum Connection::next_edge() const {
  if (!pressed_) return rcv_.next_edge(birth_.mss);
  if (!rcv_.text.empty()) return rcv_.edge;
  return later_of(rcv_.edge, rcv_.nxt + std::min<std::uint32_t>(rcv_.limit, 2u * birth_.mss));
}

std::uint32_t Connection::send_limit() const {
  if (pressed_) return std::min<std::uint32_t>(config_->send_buffer, 2u * birth_.mss);
  std::uint32_t cwnd = std::min(congestion_.cwnd(), config_->most_send_buffer / 2);
  return std::max(config_->send_buffer, 2 * cwnd);
}

std::size_t Connection::readable_bytes() const { return rcv_.text.size(); }

std::size_t Connection::writable_bytes() const {
  if (state_ == State::closed || snd_.fin != Sender::Fin::none) return 0;
  std::size_t limit = send_limit();
  return limit > snd_.text.size() ? limit - snd_.text.size() : 0;
}

bool Connection::at_end() const { return rcv_.text.empty() && (rcv_.fin_taken || rcv_.discarding); }

// RFC 9293 3.10.4, as to the sending half
void Connection::shutdown_write(Instant now) {
  if (state_ == State::closed || snd_.fin != Sender::Fin::none) return;
  snd_.fin = Sender::Fin::queued;
  if (state_ == State::established) {
    enter(State::fin_wait_1, now);
  } else if (state_ == State::close_wait) {
    enter(State::last_ack, now);
  }
  reschedule(now);
}

void Connection::shutdown_read(Instant now) {
  if (rcv_.discarding) return;
  rcv_.discarding = true;
  rcv_.text.consume(rcv_.text.size());
  reschedule(now);
}

// RFC 9293 3.10.4
void Connection::close(Instant now) {
  if (user_gone_) return;
  // RFC 2525 2.17, RFC 1122 4.2.2.13: the peer learns that what it sent was not read.
  bool unread = !rcv_.text.empty() || (!rcv_.gaps.empty() && !rcv_.discarding);
  if (kept_options().linger == Duration{} && state_ != State::time_wait) {
    abort(now);
    return;
  }
  user_gone_ = true;
  switch (state_) {
    case State::closed:
    case State::time_wait:
      release_memory();
      return;
    case State::syn_sent:
      // RFC 7413: whoever was told that it is connected has its text delivered.
      if (fast_open_ && !fast_open_->cookie.empty() && !snd_.text.empty()) break;
      enter(State::closed, now);
      return;
    default:
      break;
  }
  if (unread) {
    reset_peer(now);
  } else if (state_ == State::fin_wait_2) {
    timers_.arm(TimerKind::wait, now + config_->fin_wait_2);
  } else {
    shutdown_write(now);
  }
}

// RFC 9293 3.10.5
void Connection::abort(Instant now) {
  user_gone_ = true;
  if (state_ == State::closed) {
    release_memory();
    return;
  }
  error_ = Errc::aborted;
  bool peer_must_know = state_ == State::syn_received || state_ == State::close_wait || reading_state();
  if (peer_must_know) {
    reset_peer(now);
  } else {
    enter(State::closed, now);
  }
}

CongestionChange Connection::set_congestion_control(std::string_view name, Instant now) {
  auto index = config_->controllers.find(name);
  if (!index) return CongestionChange::no_such_controller;
  if (congestion_.running()) {
    auto controller = config_->controllers.make(*index);
    if (controller->needs_ecn() && !may_use_ecn()) return CongestionChange::needs_ecn;
    congestion_.change_to(std::move(controller), moment(now));
    reschedule(now);
  }
  birth_.congestion = *index;
  return CongestionChange::done;
}

// --- looking ---

State Connection::state() const { return state_; }

Errc Connection::error() const {
  if (error_ != Errc::none) return error_;
  return pipe_broken_ ? Errc::broken_pipe : Errc::none;
}

std::uint8_t Connection::readiness() const {
  bool failed = state_ == State::closed && error_ != Errc::none;
  bool writing_over = state_ == State::closed || snd_.fin != Sender::Fin::none;
  std::uint8_t bits = 0;
  bool opened = connected_ || is_early() || (fast_open_ && state_ == State::syn_sent && !fast_open_->cookie.empty());
  if (opened) bits |= kConnected;
  if (failed || !rcv_.text.empty() || at_end()) bits |= kReadable;
  if (failed || writing_over || writable_bytes() > 0) bits |= kWritable;
  if (failed) bits |= kFailed;
  return bits;
}

bool Connection::finished() const { return state_ == State::closed && !reset_.owed; }

std::optional<TimeWait> Connection::time_wait() const {
  if (state_ != State::time_wait) return std::nullopt;
  TimeWait left;
  left.snd_nxt = snd_.max;
  left.rcv_nxt = rcv_.nxt;
  left.ts_recent = ts_.recent;
  left.window = rcv_.scale.compress(rcv_.wnd()).raw();
  left.scale = rcv_.scale.shift();
  left.timestamps = ts_.on;
  return left;
}

std::size_t Connection::buffer_memory() const {
  return snd_.text.capacity() + rcv_.text.capacity() + (recovery_ ? sizeof(Recovery) + recovery_->out.memory() : 0) +
         (rate_probe_ ? sizeof(RateProbe) : 0) + rcv_.gaps.memory();
}

Info Connection::info(Instant now) const {
  Info i;
  BusyTime::Times times = busy_time_.times(now);
  i.busy_time = times.busy;
  i.receive_window_limited = times.receive_window;
  i.send_buffer_limited = times.send_buffer;
  i.state = state_;
  i.srtt = rtt_.srtt();
  i.rttvar = rtt_.rttvar();
  i.min_rtt = rtt_.min_rtt();
  i.rto = rtt_.rto(*config_);
  i.cwnd = congestion_.running() ? send_window() : 0;
  i.congestion = congestion_.name();
  i.ssthresh = congestion_.ssthresh();
  i.pacing_rate = pacing_rate();
  i.receive_buffer = rcv_.limit;
  i.send_buffer = send_limit();
  i.send_mss = send_mss();
  i.receive_mss = receive_mss_;
  i.send_window = snd_.wnd.bytes();
  i.receive_window = rcv_.wnd().bytes();
  i.in_flight = pipe();
  i.sacked = recovery_ ? recovery_->out.sacked() : 0;
  i.delivered = delivered_;
  i.lost = lost_;
  i.dsacks = dsacks_;
  i.undos = undos_;
  i.sack = sack_;
  i.reordering_seen = recovery_ && recovery_->rack.reordering_seen();
  i.send_queue = static_cast<std::uint32_t>(snd_.text.size());
  i.receive_queue = static_cast<std::uint32_t>(rcv_.text.size());
  i.bytes_acked = bytes_acked_;
  i.bytes_received = bytes_received_;
  i.segments_out = segments_out_;
  i.segments_in = segments_in_;
  i.retransmits = retransmits_;
  i.timeouts = timeouts_;
  i.out_of_order = out_of_order_;
  i.send_scale = snd_.scale.shift();
  i.receive_scale = rcv_.scale.shift();
  i.timestamps = ts_.on;
  i.ecn = ecn_.on;
  i.ecn_marks = ecn_.marks;
  i.ecn_echoes = ecn_.echoes;
  i.window_scaling = scaling_;
  i.syn_data = syn_text_taken_;
  return i;
}

}  // namespace weir::tcp
