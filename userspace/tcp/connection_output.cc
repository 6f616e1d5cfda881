// SPDX-License-Identifier: MIT
// What leaves: plan() decides, poll_transmit() does it.
#include <algorithm>
#include <new>

#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

constexpr std::uint32_t kMostSackOption = 40;  // all of the options' room
constexpr std::uint32_t kTimestampsOption = 12;
constexpr std::uint32_t kSackOption = 4;  // RFC 2018 3, with two NOPs
constexpr std::uint32_t kSackBlock = 8;

}  // namespace

bool Connection::wants_transmit(Instant now) const { return plan_at(now).what != Emission::none; }

// With nothing in flight no ACK will come to send upon, so nothing waits.
bool Connection::is_paced(const Plan& plan) const {
  bool text = plan.what == Emission::text || plan.what == Emission::retransmission;
  return text && snd_.in_flight() > 0 && pacing_rate() != 0;
}

Connection::Plan Connection::plan_at(Instant now) const {
  Plan next = plan();
  if (!is_paced(next) || congestion_.pacer.may_leave(now)) return next;
  if (ack_ == AckDebt::now || challenge_owed_) return {Emission::ack};
  return {};
}

std::uint64_t Connection::pacing_rate() const {
  if (std::uint64_t rate = congestion_.pacing_rate(); rate != 0) return rate;
  if (!config_->pacing || !rtt_.measured() || !congestion_.running()) return 0;
  // Faster than the window goes round, so that it stays the limit: twice in slow start, where it doubles by the next.
  double window = send_window();
  double gain = window < congestion_.ssthresh() / 2 ? 2 : 1.2;
  return static_cast<std::uint64_t>(gain * window * 1e9 / static_cast<double>(rtt_.srtt().count_ns()));
}

void Connection::schedule_pacing(Instant now) {
  if (!congestion_.pacer.may_leave(now) && is_paced(plan())) {
    timers_.arm(TimerKind::pace, congestion_.pacer.next());
  } else {
    timers_.clear(TimerKind::pace);
  }
}

std::uint32_t Connection::send_window() const {
  if (!recovery_) return loss_.in_recovery() ? loss_.window() : congestion_.cwnd();
  bool reducing = recovery_->phase == Recovery::Phase::recovery && !congestion_.governs_recovery();
  return reducing ? recovery_->rate_reduction.window() : congestion_.cwnd();
}

// SEG.SEQ of a segment without text: SND.NXT as the peer sees it, which a time-out does not take back. Where the window
// has closed over what was sent, the last number that the peer still takes.
SeqNum Connection::ack_seq() const {
  if (!is_synchronized(state_)) return snd_.max;
  return earlier_of(snd_.max, snd_.una + snd_.wnd.bytes());
}

Connection::Plan Connection::plan() const {
  if (reset_.owed) return {Emission::reset};
  if (ecn_.earlier_count > 0 && reading_state()) return {Emission::earlier_ack};
  switch (state_) {
    case State::closed:
    case State::listen:
      return {};
    case State::syn_sent:
      return {snd_.nxt == snd_.iss && !awaits_text() ? Emission::syn : Emission::none};
    case State::syn_received:
      if (snd_.nxt == snd_.iss || (fast_open_ && fast_open_->syn_ack_owed)) return {Emission::syn};
      if (is_early()) {
        Plan next = plan_text();
        if (next.what != Emission::none) return next;
      }
      break;
    default: {
      // What an ACK with SACK blocks says is not left to a segment of text that has no room for them.
      if (ack_ == AckDebt::now && has_sack()) return {Emission::ack};
      if (recovery_) {
        bool blocked = false;
        Plan next = plan_recovery(blocked);
        if (next.what != Emission::none) return next;
        if (blocked) break;
      } else if (retransmit_first_ && snd_.in_flight() > 0) {
        std::uint32_t flight = snd_.in_flight();
        auto text = static_cast<std::uint32_t>(std::min<std::size_t>(snd_.text.size(), flight));
        Plan again{Emission::retransmission, std::min(text, send_mss())};
        again.fin = snd_.fin == Sender::Fin::queued && again.text == snd_.text.size() && snd_.nxt == snd_.end();
        return again;
      }
      Plan next = plan_text();
      if (next.what != Emission::none) return next;
      if (probe_owed_) {
        // RFC 9293 3.8.6.1: at least one octet; where the window is not quite closed, what fits.
        std::uint32_t text = std::min({snd_.unsent(), std::max(snd_.window_from(snd_.nxt), 1u), send_mss()});
        if (snd_.nxt != snd_.end()) return {Emission::probe, text, text == 0};
      }
      if (liveness_.probe_owed) return {Emission::keepalive};
      break;
    }
  }
  if (ack_ == AckDebt::now || challenge_owed_) return {Emission::ack};
  return {};
}

// Text from SND.NXT on, and the FIN. RFC 9293 3.8.6.2.1 has the numbers of the rules.
Connection::Plan Connection::plan_text() const {
  if (snd_.nxt == snd_.end()) return {};
  std::uint32_t mss = send_mss();
  std::uint32_t unsent = snd_.unsent();
  std::uint32_t usable = snd_.window_from(snd_.nxt);
  std::uint32_t flight = snd_.in_flight();
  if (!snd_.syn_acked && flight > 0) --flight;  // the SYN, which no window counts
  // RFC 9293 3.10.4: a FIN waits for the handshake.
  bool closing = snd_.fin == Sender::Fin::queued && is_synchronized(state_);
  if (unsent == 0) return closing && usable > 0 ? Plan{Emission::text, 0, true} : Plan{};

  std::uint32_t text = std::min({unsent, mss, usable});
  if (text == 0) return {};
  if (recovery_) {
    if (recovery_->out.size() >= most_segments()) return {};
    std::uint32_t out = pipe();
    bool told = recovery_->frto_budget > 0;  // RFC 5682 3.1, step 2
    if (out > 0 && !fits_window(out, text) && !told) return {};
  } else {
    std::uint32_t window = send_window() + loss_.allowance(mss);
    if (flight > 0 && flight + text > window) return {};
  }
  if (std::uint32_t probe = path_probe_text(); probe > 0) return {Emission::text, probe};
  bool all = text == unsent;
  bool again = snd_.nxt.before(snd_.max);
  if (text < mss) {
    // (2), and Nagle's algorithm (RFC 1122 4.2.3.4) as Minshall amended it: a short segment waits for another short one
    // to be acknowledged, not for full ones, or the end of each long write would wait for a delayed ACK. What comes
    // before a FIN, and what is sent again, has nothing to wait for.
    if (all && !again && !closing && kept_options().cork) return {};
    if (all && !again && !closing && !no_delay_ && flight > 0 && snd_.una.before(small_end_)) return {};
    // (3): the window cuts it short. The persist timer is (4). What is sent again waits only while an ACK is to come.
    bool silly = again ? flight > 0 : text < snd_.max_wnd.bytes() / 2 || (flight > 0 && !no_delay_);
    if (!all && silly) return {};
  }
  return {Emission::text, text, all && closing && usable > text};
}

bool Connection::poll_transmit(OutSegment& out, Instant now) {
  Plan next = plan_at(now);
  switch (next.what) {
    case Emission::none:
      return false;
    case Emission::reset:
      fill_reset(out, now);
      break;
    case Emission::syn:
      fill_syn(out, now);
      break;
    case Emission::retransmission:
      fill_retransmission(out, next, now);
      break;
    case Emission::text:
      fill_text(out, next, now);
      break;
    case Emission::probe:
      fill_probe(out, next, now);
      break;
    case Emission::ack:
      fill(out, ack_seq(), wire::kAck, now);
      fill_sack(out);
      break;
    case Emission::earlier_ack:
      fill_earlier_ack(out, now);
      break;
    case Emission::keepalive:
      // RFC 1122 4.2.3.6: before the window, so that the peer has to answer.
      liveness_.probe_owed = false;
      fill(out, snd_.una - 1, wire::kAck, now);
      break;
  }
  if (path_search_ && out.retransmission) {
    SeqNum begin(out.header.seq);
    path_search_->on_resent(begin, begin + static_cast<std::uint32_t>(out.text_size()));
  }
  ++segments_out_;
  if (is_paced(next)) {
    congestion_.pacer.on_sent(std::max(next.text, 1u), pacing_rate(), send_mss(), now);
    schedule_pacing(now);
  }
  return true;
}

// The header of any segment but an RST, and with it whatever ACK is owed.
void Connection::fill(OutSegment& out, SeqNum seq, wire::TcpFlags flags, Instant now) {
  out = OutSegment{};
  out.header.seq = seq.raw();
  out.header.flags = flags;
  if (flags.syn()) {
    // RFC 7323 2.2: not scaled. Of an early connection's buffer, text has been taken already.
    std::uint32_t window = is_early() ? rcv_.wnd().bytes() : rcv_.limit;
    out.header.window = WindowScale().compress(WindowSize(std::min<std::uint32_t>(window, 0xffff)));
  } else {
    rcv_.edge = next_edge();
    out.header.window = rcv_.scale.compress(rcv_.wnd());
  }
  if (flags.ack()) {
    out.header.ack = rcv_.nxt.raw();
    if (ecn_.on && ecn_.echo && !flags.syn()) out.header.flags |= wire::kEce;
    rcv_.last_ack = rcv_.nxt;
    ack_ = AckDebt::none;
    challenge_owed_ = false;
    timers_.clear(TimerKind::delayed_ack);
  }
  // RFC 7323 3.2: in a SYN to offer it, in a SYN-ACK and later where both do.
  bool offer = state_ == State::syn_sent ? config_->timestamps : ts_.on;
  if (offer) out.header.options.timestamps = wire::TcpTimestamps{timestamp(now), ts_.recent};
}

bool Connection::has_sack() const { return sack_ && (rcv_.has_duplicate() || !rcv_.gaps.empty()); }

// RFC 2018 3, 4; RFC 2883 4: a duplicate first, once, and then what has come out of order, the newest first. As many as
// there is room for behind the text.
void Connection::fill_sack(OutSegment& out) {
  if (!has_sack()) return;
  std::uint32_t room = out.text_size() == 0 ? kMostSackOption - (ts_.on ? kTimestampsOption : 0)
                                            : send_mss() - static_cast<std::uint32_t>(out.text_size());
  if (room < kSackOption + kSackBlock) return;
  std::array<Assembler::Interval, wire::kTcpMaxSackBlocks> blocks;
  std::size_t n = rcv_.take_sack(std::span(blocks).first(std::min<std::size_t>((room - kSackOption) / kSackBlock, 4)));
  for (std::size_t i = 0; i < n; ++i) out.header.options.add_sack({blocks[i].begin.raw(), blocks[i].end.raw()});
}

void Connection::fill_reset(OutSegment& out, Instant now) {
  out = OutSegment{};
  out.header.seq = reset_.seq.raw();
  out.header.flags = wire::kRst;
  if (reset_.with_ack) {
    out.header.flags |= wire::kAck;
    out.header.ack = reset_.ack.raw();
  }
  // RFC 7323 3.2: the echo lets the peer's firewall tell it from a forgery.
  if (ts_.on) out.header.options.timestamps = wire::TcpTimestamps{timestamp(now), ts_.recent};
  reset_.owed = false;
}

void Connection::fill_syn(OutSegment& out, Instant now) {
  bool offer = state_ == State::syn_sent;
  bool again = snd_.max != snd_.iss;
  fill(out, snd_.iss, offer ? wire::kSyn : wire::kSyn | wire::kAck, now);
  out.header.flags |= ecn_flags_of_syn();
  out.header.options.mss = birth_.mss;
  out.header.options.sack_permitted = offer ? config_->sack : sack_;
  if (offer ? config_->window_scale : scaling_) out.header.options.window_scale = rcv_.scale.shift();
  out.retransmission = again;
  std::uint32_t text = fast_open_ && !again ? fill_fast_open(out) : 0;
  if (fast_open_) fast_open_->syn_ack_owed = false;
  snd_.on_sent(later_of(snd_.nxt, snd_.iss + 1 + text));
  if (again) {
    ++retransmits_;
  } else {
    timed_ = {snd_.iss + 1, true, now};
    timers_.arm(TimerKind::retransmit, now + rtt_.rto(*config_));
  }
}

void Connection::fill_text(OutSegment& out, const Plan& plan, Instant now) {
  std::uint32_t flight = snd_.in_flight();
  // RFC 5681 4.1: the ACK clock has stopped.
  if (flight == 0 && now - last_sent_ > rtt_.rto(*config_)) congestion_.on_idle(moment(now));

  begin_tracking(now);
  SeqNum seq = snd_.nxt;
  SeqNum behind = seq + plan.text + (plan.fin ? 1u : 0u);
  wire::TcpFlags flags = wire::kAck;
  // RFC 9293 3.9.1.2: where the send queue ends.
  if (plan.text > 0 && plan.text == snd_.unsent()) flags |= wire::kPsh;
  if (plan.fin) flags |= wire::kFin;
  fill(out, seq, flags, now);
  out.text = snd_.text_at(seq, plan.text);
  out.retransmission = seq.before(snd_.max);
  if (plan.text > send_mss()) {
    path_search_->on_sent(seq, behind);
  } else {
    fill_sack(out);
  }
  mark_text(out);

  std::uint32_t before = pipe();
  snd_.on_sent(behind);
  if (recovery_) {
    track_sent(behind, static_cast<std::uint32_t>(behind - seq), out.retransmission, now);
  } else if (out.retransmission) {
    if (rate_probe_) rate_probe_->cancel();
  } else {
    if (!rate_probe_) rate_probe_.reset(new (std::nothrow) RateProbe);
    if (rate_probe_) rate_probe_->on_sent(behind, now, plan.text, before, delivered_, lost_bytes_);
  }
  usage_.on_sent(pipe());
  last_sent_ = now;
  probe_owed_ = false;
  if (out.retransmission) {
    ++retransmits_;
  } else {
    if (!timed_.running) timed_ = {behind, true, now};
    if (plan.text < send_mss()) small_end_ = behind;
  }
  // RFC 6298 5.1; from the first of a flight, wherever the timer was.
  if (flight == 0) timers_.clear(TimerKind::retransmit);
  reschedule(now);
}

void Connection::fill_retransmission(OutSegment& out, const Plan& plan, Instant now) {
  if (recovery_) return fill_tracked_retransmission(out, plan, now);
  if (rate_probe_) rate_probe_->cancel();
  wire::TcpFlags flags = wire::kAck;
  if (plan.text > 0 && plan.text == snd_.text.size()) flags |= wire::kPsh;
  if (plan.fin) flags |= wire::kFin;
  fill(out, snd_.una, flags, now);
  out.text = snd_.text_at(snd_.una, plan.text);
  out.retransmission = true;
  ++retransmits_;
  retransmit_first_ = false;
  timed_.running = false;
  last_sent_ = now;
}

// SND.NXT stays: the octet counts as in flight only once the peer has taken it.
void Connection::fill_probe(OutSegment& out, const Plan& plan, Instant now) {
  probe_owed_ = false;
  if (plan.text > 0 && snd_.window_from(snd_.nxt) >= plan.text) {
    fill_text(out, plan, now);
    return;
  }
  SeqNum seq = snd_.nxt;
  fill(out, seq, plan.fin ? wire::kAck | wire::kFin : wire::kAck, now);
  out.text = snd_.text_at(seq, plan.text);
  out.retransmission = seq.before(snd_.max);
  snd_.max = later_of(snd_.max, seq + 1);
}

}  // namespace weir::tcp
