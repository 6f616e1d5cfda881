// SPDX-License-Identifier: MIT
// What arrives: RFC 9293 3.10.7, step by step, with RFC 7323's and RFC 5961's where they belong.
#include <algorithm>

#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

// RFC 5961 7: ten challenge ACKs in five seconds.
constexpr std::uint8_t kChallenges = 10;
constexpr Duration kChallengePeriod = Duration::seconds(5);
// RFC 7323 5.5: a timestamp that has not been updated for so long proves nothing.
constexpr Duration kTimestampLife = Duration::seconds(24 * 24 * 3600);

}  // namespace

weir_reason Connection::on_segment(const Segment& seg, Instant now) {
  ++segments_in_;
  weir_reason reason = WEIR_R_TAKEN_TCP;
  switch (state_) {
    case State::closed:
    case State::listen:
      return on_segment_closed(seg);
    case State::syn_sent:
      reason = on_segment_syn_sent(seg, now);
      break;
    default:
      reason = on_segment_other(seg, now);
      break;
  }
  reschedule(now);
  return reason;
}

// RFC 9293 3.10.7.1
weir_reason Connection::on_segment_closed(const Segment& seg) {
  if (seg.flags.rst()) return WEIR_R_LOST_STRAY_RST;
  owe_reset(seg);
  return WEIR_R_LOST_NO_CONNECTION;
}

// RFC 9293 3.10.7.3
weir_reason Connection::on_segment_syn_sent(const Segment& seg, Instant now) {
  // First: the ACK bit.
  bool acks_syn = false;
  if (seg.flags.ack()) {
    if (seg.ack.at_or_before(snd_.iss) || seg.ack.after(snd_.max)) {
      if (!seg.flags.rst()) owe_reset(seg);
      return WEIR_R_LOST_BAD_ACK;
    }
    acks_syn = true;
  }
  // Second: the RST bit.
  if (seg.flags.rst()) {
    if (!acks_syn) return WEIR_R_LOST_BAD_FLAGS;
    fail(Errc::refused, now);
    return WEIR_R_TAKEN_TCP;
  }
  // Fourth: the SYN bit.
  if (!seg.flags.syn()) return WEIR_R_LOST_BAD_FLAGS;
  rcv_.open(seg.seq, std::min<std::uint32_t>(rcv_.limit, 0xffff));
  negotiate(seg.options, now);
  negotiate_ecn(seg);
  // RFC 7323 2.2: the window of a SYN is not scaled.
  snd_.wnd = snd_.max_wnd = WindowScale().expand(seg.window);
  snd_.wl1 = seg.seq;
  snd_.wl2 = seg.ack;
  if (!acks_syn) {
    // Simultaneous open: our SYN goes out again, with the ACK of theirs. Its text, if it had any, follows the
    // handshake.
    enter(State::syn_received, now);
    if (fast_open_) fast_open_->news = FastOpenNews{};
    resend_syn();
    return WEIR_R_TAKEN_TCP;
  }
  measure_rtt(seg, now);
  Sender::Acked acked = snd_.on_ack(seg.ack);
  bytes_acked_ += acked.text;
  delivered_ += acked.text;
  note_fast_open_answer(seg, acked.text);
  // RFC 7413 4.2.2: what the SYN had and the peer has not taken goes with the ACK.
  snd_.go_back();
  establish(now);
  ack_ = AckDebt::now;
  // What came with the SYN is the sixth step's and on.
  Segment rest = seg;
  rest.seq += 1;
  rest.flags = rest.flags.without(wire::kSyn);
  return rest.len() != 0 ? on_text(rest, now) : WEIR_R_TAKEN_TCP;
}

// RFC 9293 3.10.7.4
weir_reason Connection::on_segment_other(const Segment& seg, Instant now) {
  if (state_ == State::syn_received && seg.flags.syn() && !seg.flags.rst() && seg.seq == rcv_.irs) {
    if (!seg.flags.ack()) {
      // The SYN again: so is our answer. One that has lost its option is no other's duplicate (RFC 7413 4.1.3).
      if (is_early() && !seg.options.fast_open) fast_open_->peer_asked = true;
      resend_syn();
      return WEIR_R_TAKEN_TCP;
    }
    // The other half of a simultaneous open. The step below would refuse it for its SYN, which is old, and let an
    // exchange of ACKs do what its own ACK does.
    Segment rest = seg;
    rest.seq += 1;
    rest.flags = rest.flags.without(wire::kSyn);
    return on_segment_other(rest, now);
  }

  // RFC 7323 5.3 R1: PAWS; 3.2: the option is in every segment but an RST.
  if (ts_.on && !seg.flags.rst()) {
    if (!seg.options.timestamps) return WEIR_R_LOST_PAWS;
    if (fails_paws(seg, now)) {
      answer_refused(seg, now);
      return WEIR_R_LOST_PAWS;
    }
  }

  // First: the sequence number.
  if (!rcv_.acceptable(seg.seq, seg.len())) {
    if (seg.flags.rst()) return WEIR_R_LOST_OUT_OF_WINDOW;
    answer_refused(seg, now);
    // Eighth, TIME-WAIT: the peer has missed our last ACK.
    if (state_ == State::time_wait && seg.flags.fin()) { timers_.arm(TimerKind::wait, now + config_->time_wait); }
    return (seg.seq + seg.len()).at_or_before(rcv_.nxt) && !seg.text.empty() ? WEIR_R_LOST_DUPLICATE
                                                                             : WEIR_R_LOST_OUT_OF_WINDOW;
  }
  // Second: the RST bit.
  if (seg.flags.rst()) return on_rst(seg, now);
  // Fourth: the SYN bit.
  if (seg.flags.syn()) return on_syn(now);
  // Fifth: the ACK field.
  if (!seg.flags.ack()) return WEIR_R_LOST_BAD_FLAGS;
  weir_reason reason = on_ack(seg, now);
  if (reason != WEIR_R_TAKEN_TCP || state_ == State::closed) return reason;
  if (ecn_.on) note_ecn_mark(seg);
  // Sixth, the URG bit: RFC 6093 6 has urgent text read in line, as all text here is.
  // Seventh and eighth: the text and the FIN bit.
  return on_text(seg, now);
}

// RFC 9293 3.10.7.4, second; RFC 5961 3.2
weir_reason Connection::on_rst(const Segment& seg, Instant now) {
  if (seg.seq != rcv_.nxt) {
    owe_challenge(now);
    return WEIR_R_LOST_CHALLENGED;
  }
  switch (state_) {
    case State::syn_received:
      fail(role_ == Role::active ? Errc::refused : Errc::reset, now);
      break;
    case State::closing:
    case State::last_ack:
    case State::time_wait:
      enter(State::closed, now);
      break;
    default:
      fail(Errc::reset, now);
      break;
  }
  return WEIR_R_TAKEN_TCP;
}

// RFC 9293 3.10.7.4, fourth; RFC 5961 4.2
weir_reason Connection::on_syn(Instant now) {
  if (state_ == State::syn_received && role_ == Role::passive && !is_early()) {
    // Back to LISTEN, where the peer's next SYN finds the listener.
    fail(Errc::reset, now);
    return WEIR_R_LOST_CHALLENGED;
  }
  owe_challenge(now);
  return WEIR_R_LOST_CHALLENGED;
}

// RFC 9293 3.10.7.4, fifth
weir_reason Connection::on_ack(const Segment& seg, Instant now) {
  if (state_ == State::syn_received) {
    if (seg.ack.at_or_before(snd_.una) || seg.ack.after(snd_.max)) {
      owe_reset(seg);
      return WEIR_R_LOST_BAD_ACK;
    }
    measure_rtt(seg, now);
    // Of the SYN alone: text behind it, of Fast Open, is acknowledged below.
    snd_.on_ack(snd_.iss + 1);
    if (role_ == Role::active) syn_text_taken_ = seg.ack.after(snd_.una);
    snd_.wnd = snd_.scale.expand(seg.window);
    snd_.max_wnd = std::max(snd_.max_wnd, snd_.wnd);
    snd_.wl1 = seg.seq;
    snd_.wl2 = seg.ack;
    // A peer that has not had our first SYN-ACK has dropped what came behind it (RFC 9293 3.10.7.3, fourth).
    bool dropped = syn_lost_ || (is_early() && fast_open_->peer_asked);
    establish(now);
    if (dropped && seg.ack == snd_.una && snd_.in_flight() > 0) go_back();
  }
  // RFC 5961 5.2: SND.UNA - MAX.SND.WND <= SEG.ACK <= SND.NXT, or a challenge.
  if (seg.ack.after(snd_.max) || seg.ack.before(snd_.una - snd_.max_wnd.bytes())) {
    owe_challenge(now);
    return WEIR_R_LOST_BAD_ACK;
  }
  // RFC 7323 4.3 (2), after the ACK's check too: a timestamp out of thin air would close the door to the peer's own.
  // That it is not older than TS.Recent, or TS.Recent means nothing any more, PAWS has seen to.
  if (ts_.on && seg.options.timestamps && seg.seq.at_or_before(rcv_.last_ack)) {
    ts_.recent = seg.options.timestamps->tsval;
    ts_.recent_at = now;
  }
  persist_unanswered_ = 0;
  liveness_.on_segment(now);

  ecn_.echoed = ecn_.on && seg.flags.ece();
  bool was_in_recovery = in_recovery();
  bool outstanding = snd_.max != snd_.una;
  bool same_window = snd_.scale.expand(seg.window) == snd_.wnd;
  if (recovery_) {
    on_tracked_ack(seg, now);
    if (state_ == State::closed) return WEIR_R_TAKEN_TCP;
  } else if (seg.ack.after(snd_.una)) {
    on_new_ack(seg, now);
    if (state_ == State::closed) return WEIR_R_TAKEN_TCP;
  } else if (seg.ack == snd_.una && outstanding && seg.len() == 0 && same_window && snd_.in_flight() > 0) {
    // RFC 5681 2: a duplicate ACK. What answers a zero-window probe is none.
    on_duplicate_ack(now);
  }
  if (ecn_.on) heed_ecn_echo(seg, was_in_recovery, now);
  if (path_search_) search_path(now);
  if (seg.ack.at_or_after(snd_.una)) snd_.on_window(seg.seq, seg.ack, snd_.scale.expand(seg.window));
  return WEIR_R_TAKEN_TCP;
}

// SND.UNA moves.
Sender::Acked Connection::take_ack(const Segment& seg, Instant now) {
  Sender::Acked acked = snd_.on_ack(seg.ack);
  bytes_acked_ += acked.text;
  liveness_.on_outstanding(snd_.outstanding(), true, now);
  retries_ = 0;
  persist_shots_ = 0;
  probe_owed_ = false;
  if (snd_.una.at_or_after(small_end_)) small_end_ = snd_.una;
  return acked;
}

// Of an ACK whose SND.UNA has been taken; once for each.
AckEvent Connection::ack_event(std::uint32_t text, Instant now) {
  AckEvent ack;
  ack.now = now;
  ack.acked = text;
  ack.selective = recovery_ != nullptr;
  ack.ece = ecn_.echoed ? text : 0;
  ack.mss = send_mss();
  ack.peak_in_flight = usage_.peak();
  ack.in_flight = pipe();
  ack.min_rtt = rtt_.min_rtt();
  ack.srtt = rtt_.srtt();
  ack.delivered = delivered_;
  ack.round_start = usage_.on_ack(snd_.una, snd_.max);
  return ack;
}

// Without SACK.
void Connection::on_new_ack(const Segment& seg, Instant now) {
  measure_rtt(seg, now);
  Sender::Acked acked = take_ack(seg, now);
  delivered_ += acked.text;

  std::uint32_t mss = send_mss();
  AckEvent ack = ack_event(acked.text, now);
  if (rate_probe_) ack.rate = rate_probe_->on_ack(snd_.una, now, delivered_, lost_bytes_, rtt_.min_rtt());
  bool restart = true;
  auto news = loss_.on_new_ack(snd_.una, acked.text, mss);
  ack.in_recovery = news != LossDetector::NewAck::normal && news != LossDetector::NewAck::after_timeout;
  switch (news) {
    case LossDetector::NewAck::after_timeout:
      congestion_.on_timeout_recovered(moment(now));
      [[fallthrough]];
    case LossDetector::NewAck::normal:
      retransmit_first_ = false;
      break;
    case LossDetector::NewAck::first_partial:
    case LossDetector::NewAck::partial:
      retransmit_first_ = true;
      restart = news == LossDetector::NewAck::first_partial;
      on_untracked_loss(mss, now);
      break;
    case LossDetector::NewAck::full:
      retransmit_first_ = false;
      congestion_.on_recovered(moment(now));
      break;
  }
  if (acked.text > 0) congestion_.on_ack(ack);
  // RFC 6298 5.2, 5.3: reschedule() starts it anew where something is still out.
  if (restart) timers_.clear(TimerKind::retransmit);
  if (acked.fin) on_fin_acked(now);
}

// `bytes` are lost, of segments that nothing is kept of.
void Connection::on_untracked_loss(std::uint32_t bytes, Instant now) {
  bytes = std::min(bytes, snd_.in_flight());
  std::uint32_t mss = send_mss();
  lost_ += (bytes + mss - 1) / mss;
  lost_bytes_ += bytes;
  congestion_.on_segment_lost({now, bytes, snd_.in_flight(), bytes, delivered_, false, false});
}

void Connection::on_duplicate_ack(Instant now) {
  std::uint32_t mss = send_mss();
  if (loss_.on_duplicate_ack(snd_.una, mss) != LossDetector::DuplicateAck::lost) return;
  on_untracked_loss(mss, now);
  // RFC 5681 3.2, 2 and 3: fast retransmit.
  congestion_.on_loss(moment_of_loss(now));
  loss_.enter(snd_.max, congestion_.ssthresh(), mss);
  retransmit_first_ = true;
  timers_.clear(TimerKind::retransmit);
}

void Connection::on_fin_acked(Instant now) {
  switch (state_) {
    case State::fin_wait_1:
      enter(State::fin_wait_2, now);
      break;
    case State::closing:
      enter(State::time_wait, now);
      break;
    case State::last_ack:
      enter(State::closed, now);
      break;
    default:
      break;
  }
}

// RFC 6298 3 and RFC 7323 4.1. A segment that was timed by itself is measured by the finer clock; where there is none,
// because something has been sent again, the echoed timestamp tells which copy is acknowledged.
void Connection::measure_rtt(const Segment& seg, Instant now) {
  if (timed_.running) {
    if (seg.ack.before(timed_.end)) return;
    timed_.running = false;
    rtt_.on_sample(now - timed_.sent, *config_);
    return;
  }
  if (!ts_.on || !seg.options.timestamps) return;
  Duration since_echo = Duration::milliseconds(timestamp(now) - seg.options.timestamps->tsecr);
  if (since_echo <= config_->max_rto) rtt_.on_sample(since_echo, *config_);
}

// RFC 9293 3.10.7.4, seventh and eighth
weir_reason Connection::on_text(const Segment& seg, Instant now) {
  // In the states behind the peer's FIN neither should occur, and both are ignored.
  if (!reading_state()) return seg.text.empty() ? WEIR_R_TAKEN_TCP : WEIR_R_LOST_OUT_OF_WINDOW;
  if (user_gone_ && (seg.seq + static_cast<std::uint32_t>(seg.text.size())).after(rcv_.nxt)) {
    // RFC 1122 4.2.2.13: the peer must not believe that it is read.
    reset_peer(now);
    return WEIR_R_LOST_AFTER_CLOSE;
  }
  receive_mss_ = std::max(receive_mss_, static_cast<std::uint16_t>(std::min<std::size_t>(seg.text.size(), 0xffff)));
  Receiver::Received received = rcv_.on_text(seg.seq, seg.text, seg.flags.fin());
  bytes_received_ += received.bytes;
  switch (received.outcome) {
    case Receiver::Outcome::nothing:
      return WEIR_R_TAKEN_TCP;
    case Receiver::Outcome::in_order:
      buffers_used_ = true;
      owe_ack_of_text(received, now);
      if (received.fin) on_peer_fin(now);
      return WEIR_R_TAKEN_TCP;
    case Receiver::Outcome::out_of_order:
      // RFC 5681 4.2: a duplicate ACK at once, for the peer's fast retransmit.
      buffers_used_ = true;
      ++out_of_order_;
      ack_ = AckDebt::now;
      return WEIR_R_TAKEN_TCP;
    case Receiver::Outcome::duplicate:
      ack_ = AckDebt::now;
      return WEIR_R_LOST_DUPLICATE;
    case Receiver::Outcome::beyond:
      ack_ = AckDebt::now;
      return WEIR_R_LOST_OUT_OF_WINDOW;
    case Receiver::Outcome::too_many:
      ack_ = AckDebt::now;
      return WEIR_R_LOST_OOO_LIMIT;
    case Receiver::Outcome::no_memory:
      return WEIR_R_LOST_NO_MEMORY;
  }
  return WEIR_R_TAKEN_TCP;
}

// RFC 9293 3.8.6.3, RFC 5681 4.2: at least every second full segment, at once while a gap is open or closing and at a
// FIN, otherwise after a while.
void Connection::owe_ack_of_text(const Receiver::Received& received, Instant now) {
  auto owed = static_cast<std::uint32_t>(rcv_.nxt - rcv_.last_ack);
  // What a link or a peer has glued together counts as the segments that it was.
  std::uint32_t full_segment = std::min(receive_mss_, birth_.mss);
  if (received.fin || received.filled || !rcv_.gaps.empty() || owed >= 2 * full_segment) {
    ack_ = AckDebt::now;
  } else if (quick_acks_ > 0) {
    --quick_acks_;
    ack_ = AckDebt::now;
  } else if (ack_ == AckDebt::none) {
    ack_ = AckDebt::delayed;
    timers_.arm(TimerKind::delayed_ack, now + config_->delayed_ack);
  }
}

void Connection::on_peer_fin(Instant now) {
  switch (state_) {
    case State::established:
      enter(State::close_wait, now);
      break;
    case State::fin_wait_1:
      enter(State::closing, now);
      break;
    case State::fin_wait_2:
      enter(State::time_wait, now);
      break;
    default:
      break;
  }
}

// RFC 9293 3.10.7.1's numbers, which are those of 3.5.2's groups 1 and 2 too.
void Connection::owe_reset(const Segment& seg) {
  if (seg.flags.ack()) {
    reset_ = {seg.ack, SeqNum(0), false, true};
  } else {
    reset_ = {SeqNum(0), seg.seq + seg.len(), true, true};
  }
}

// A refused segment is answered with an ACK. One that has text or a FIN is a retransmission, whose sender waits for it;
// any other may be half of a loop of ACKs, or a stranger's, and has a budget.
void Connection::answer_refused(const Segment& seg, Instant now) {
  if (!seg.text.empty() || seg.flags.fin()) {
    rcv_.note_duplicate(seg.seq, seg.seq + static_cast<std::uint32_t>(seg.text.size()));
    ack_ = AckDebt::now;
  } else {
    owe_challenge(now);
  }
}

void Connection::owe_challenge(Instant now) {
  if (challenge_owed_) return;  // one ACK answers them all, and costs the budget one
  if (challenges_ == 0 || now - challenges_since_ >= kChallengePeriod) {
    challenges_since_ = now;
    challenges_ = 0;
  }
  if (challenges_ >= kChallenges) return;
  ++challenges_;
  challenge_owed_ = true;
}

bool Connection::fails_paws(const Segment& seg, Instant now) const {
  return SeqNum(seg.options.timestamps->tsval).before(SeqNum(ts_.recent)) && now - ts_.recent_at < kTimestampLife;
}

// --- errors and changes on the path ---

// RFC 1122 4.2.3.9, RFC 5927 4, RFC 5461
weir_reason Connection::on_icmp_error(const IcmpError& error, SeqNum quoted_seq, Instant now) {
  if (state_ == State::closed) return WEIR_R_LOST_ICMP_INVALID;
  if (quoted_seq.before(snd_.una) || quoted_seq.at_or_after(snd_.max)) return WEIR_R_LOST_ICMP_INVALID;
  switch (error.kind) {
    case IcmpError::Kind::soft_unreachable:
    case IcmpError::Kind::hard_unreachable:
      // RFC 5461 2.1 would have only hard errors end a connect; its 4.1 is what the kernels do for both, so that a
      // connect fails over to the next address. Later, either is only a hint (RFC 5927 5.2).
      if (state_ == State::syn_sent) {
        fail(error.port ? Errc::refused : error.network ? Errc::network_unreachable : Errc::host_unreachable, now);
      }
      return WEIR_R_TAKEN_ICMP;
    case IcmpError::Kind::packet_too_big:
      break;
    case IcmpError::Kind::time_exceeded:
    case IcmpError::Kind::parameter_problem:
      return WEIR_R_TAKEN_ICMP;
  }

  bool v4 = birth_.family == Family::v4;
  std::uint32_t headers = v4 ? 40 : 60;
  std::uint32_t mtu = error.mtu;
  if (v4 && mtu == 0) {
    // RFC 1191 5 and 7.1: a router that does not say. The next plateau below.
    constexpr std::uint32_t kPlateaus[] = {32'000, 17'914, 8'166, 4'352, 2'002, 1'492, 1'006, 508};
    mtu = 296;
    for (std::uint32_t plateau : kPlateaus) {
      if (plateau < birth_.mss + headers) {
        mtu = plateau;
        break;
      }
    }
  }
  // RFC 8201 4: below 1280 is no IPv6 path. For IPv4 a floor of our own, RFC 1191 7's least plateau in use: RFC 5927 7
  // tells what segments of a few bytes are good for.
  if (mtu < (v4 ? 296u : 1280u)) return WEIR_R_LOST_ICMP_INVALID;
  if (mtu - headers < birth_.mss) {
    lower_mss(static_cast<std::uint16_t>(mtu - headers));
    reschedule(now);
  }
  return WEIR_R_TAKEN_ICMP;
}

}  // namespace weir::tcp
