// SPDX-License-Identifier: MIT
// Loss recovery with SACK: RFC 2018, 2883, 8985 (RACK-TLP), 9937 (PRR), 3522 and 4015 (Eifel), 5682 (F-RTO). Without
// SACK it is loss.h's.
#include <algorithm>
#include <new>

#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

// RFC 8985 7.2's TLP.max_ack_delay: what other stacks let an ACK wait.
constexpr Duration kMostAckDelay = Duration::milliseconds(200);

constexpr std::uint32_t kLeastSegments = 64;

using Phase = Recovery::Phase;
using Frto = Recovery::Frto;

}  // namespace

// What one ACK is the first to acknowledge.
struct Connection::AckScan {
  std::uint32_t bytes = 0;
  Transmission newest;    // of them, the one that was sent the latest, other than by `spurious` copies
  bool any = false;       // `newest` is one
  Duration rtt;           // of the latest that was sent once; zero: none
  SeqNum rtt_end;         // its end
  bool original = false;  // some had been sent once, before Recovery::point
  bool moved = false;     // SND.UNA
  bool dsack = false;
  SeqNum dsack_end;
  bool needless = false;  // with its DSACK, all of an episode's retransmissions were
};

std::uint32_t Connection::pipe() const { return recovery_ ? recovery_->out.pipe() : snd_.in_flight(); }

// Beside `out` bytes in flight. Proportional rate reduction counts in bytes what leaves in segments: a part of one that
// is due lets it go whole, and its count of what has left makes up for it.
bool Connection::fits_window(std::uint32_t out, std::uint32_t text) const {
  bool reducing = recovery_->phase == Phase::recovery && !congestion_.governs_recovery();
  return reducing ? out < send_window() : out + text <= send_window();
}

// What is kept of the segments in flight stays within a fraction of their text, unless all of them are short: then
// their number is limited.
std::uint32_t Connection::most_segments() const {
  return std::max<std::uint32_t>(kLeastSegments, 4 * (send_limit() / send_mss()));
}

// The first text leaves. Without memory the connection goes on as without SACK, and this is tried again.
void Connection::begin_tracking(Instant now) {
  if (!sack_ || recovery_ || loss_.in_recovery()) return;
  recovery_.reset(new (std::nothrow) Recovery);
  // A SYN-ACK that is not acknowledged is not among them.
  SeqNum from = snd_.text_begin();
  if (!recovery_ || !recovery_->restart(from)) {
    recovery_.reset();
    return;
  }
  retransmit_first_ = false;
  rate_probe_.reset();
  if (snd_.nxt == from) return;
  Transmission unknown;
  recovery_->delivery.stamp(unknown, now, snd_.in_flight(), 0, delivered_, lost_bytes_);
  unknown.end = snd_.nxt;
  unknown.resent = true;
  recovery_->out.push(unknown);
}

// All that is in flight is to be sent again, for another reason than a loss.
void Connection::go_back() {
  snd_.go_back_to_text();
  timed_.running = false;
  retransmit_first_ = false;
  if (recovery_) recovery_->restart(snd_.text_begin());
}

// --- what leaves ---

Connection::Plan Connection::plan_again(Transmissions::Id id) const {
  const Recovery& r = *recovery_;
  SeqNum begin = r.out.begin_of(id);
  SeqNum end = r.out[id].end;
  std::uint32_t text = static_cast<std::uint32_t>(earlier_of(end, snd_.text_end()) - begin);
  Plan again{Emission::retransmission, std::min(text, send_mss())};
  again.id = id;
  again.fin = snd_.fin == Sender::Fin::queued && begin + again.text == snd_.text_end() && end == snd_.end();
  return again;
}

// What is lost goes before what is new. With `blocked`, neither may leave.
Connection::Plan Connection::plan_recovery(bool& blocked) const {
  const Recovery& r = *recovery_;
  blocked = false;
  Transmissions::Id lost = r.out.first_lost();
  bool held = r.frto == Frto::new_sent || (r.frto == Frto::head_sent && !r.head_due);
  if (lost != r.out.behind() && !held) {
    Plan again = plan_again(lost);
    bool head = lost == r.out.first();
    std::uint32_t pipe = r.out.pipe();
    bool fits_theirs = head || !r.out[lost].end.after(snd_.una + snd_.wnd.bytes());
    bool fits_ours = pipe == 0 || (head && r.head_due) || fits_window(pipe, again.text);
    if (fits_theirs && fits_ours) return again;
    blocked = true;
    return {};
  }
  if (r.frto == Frto::head_sent) {
    blocked = true;
    return {};
  }
  if (r.probe.owed() && !r.out.empty()) {
    // RFC 8985 7.3: new text where there is some that the peer has room for, else the last segment again.
    std::uint32_t text = std::min({snd_.unsent(), send_mss(), snd_.window_from(snd_.nxt)});
    if (text > 0)
      return {Emission::text, text,
              text == snd_.unsent() && snd_.fin == Sender::Fin::queued && snd_.window_from(snd_.nxt) > text};
    Transmissions::Id last = r.out.behind() - 1;
    if (r.out[last].where == Transmission::Where::network) {
      Plan probe = plan_again(last);
      probe.tail = true;
      return probe;
    }
  }
  return {};
}

void Connection::track_sent(SeqNum behind, std::uint32_t bytes, bool again, Instant now) {
  Recovery& r = *recovery_;
  Transmission t;
  r.delivery.stamp(t, now, bytes, r.out.pipe(), delivered_, lost_bytes_);
  t.end = behind;
  t.resent = again;
  r.out.push(t);
  if (r.phase == Phase::recovery) r.rate_reduction.on_sent(bytes);
  if (r.frto_budget > 0) --r.frto_budget;
  if (r.probe.owed()) {
    r.probe.on_sent(behind, false);
  } else {
    arm_probe(now);
  }
}

void Connection::fill_tracked_retransmission(OutSegment& out, const Plan& plan, Instant now) {
  Recovery& r = *recovery_;
  SeqNum begin = r.out.begin_of(plan.id);
  SeqNum end = r.out[plan.id].end;
  // Longer than segments are now: the rest stays lost, and is the next.
  std::uint32_t leaves = plan.text + (plan.fin ? 1u : 0u);
  bool lost = r.out[plan.id].where == Transmission::Where::lost;
  if (lost && leaves < r.out.length(plan.id) && r.out.split(plan.id, begin + leaves)) end = begin + leaves;
  std::uint32_t bytes = r.out.length(plan.id);
  wire::TcpFlags flags = wire::kAck;
  if (plan.text > 0 && begin + plan.text == snd_.text_end()) flags |= wire::kPsh;
  if (plan.fin) flags |= wire::kFin;
  fill(out, begin, flags, now);
  out.text = snd_.text_at(begin, plan.text);
  out.retransmission = true;
  ++retransmits_;
  timed_.running = false;
  last_sent_ = now;

  std::uint32_t before = r.out.pipe();
  if (plan.tail) before -= bytes;
  Transmission stamp;
  r.delivery.stamp(stamp, now, bytes, before, delivered_, lost_bytes_);
  r.out.resend(plan.id, stamp);
  if (plan.tail) {
    r.probe.on_sent(end, true);
  } else {
    r.undo.on_resent(timestamp(now));
    if (r.phase == Phase::recovery) r.rate_reduction.on_sent(bytes);
  }
  // RFC 6298 5.1, and RFC 8985 7.3's step 4: the time of the first one runs from here.
  if (plan.id == r.out.first()) {
    r.head_due = false;
    timers_.clear(TimerKind::retransmit);
  }
  reschedule(now);
}

// --- what an ACK says ---

void Connection::scan_delivered(AckScan& scan, const Segment& seg, const Transmission& t, bool whole, Instant now) {
  Recovery& r = *recovery_;
  if (!whole) return;
  Duration rtt = Tick(now) - t.sent;
  // RFC 8985 6.2, step 2: the ACK of a retransmission that cannot have come back yet.
  bool spurious = false;
  if (t.resent) {
    bool echo_older =
        ts_.on && seg.options.timestamps &&
        SeqNum(seg.options.timestamps->tsecr).before(SeqNum(timestamp(now - rtt - Duration::microseconds(1))));
    // A tick less than the least is a matter of rounding.
    spurious = echo_older || rtt + Duration::microseconds(1) < rtt_.min_rtt();
  } else {
    if (r.phase == Phase::open || t.end.at_or_before(r.point)) scan.original = true;
    if (scan.rtt == Duration{} || t.end.after(scan.rtt_end)) {
      scan.rtt = std::max(rtt, Duration::nanoseconds(1));
      scan.rtt_end = t.end;
    }
  }
  r.rack.on_delivered(t, rtt, spurious);
  if (!spurious && (!scan.any || sent_after(t.sent, t.end, scan.newest.sent, scan.newest.end))) {
    scan.newest = t;
    scan.any = true;
  }
}

// RFC 2883 4, 5: the first block lies below the ACK, or within the second one.
bool Connection::is_dsack(const Segment& seg) const {
  auto blocks = seg.options.sack_blocks();
  if (blocks.empty()) return false;
  SeqNum left(blocks[0].left);
  SeqNum right(blocks[0].right);
  if (!left.before(right)) return false;
  if (right.at_or_before(seg.ack)) return true;
  return blocks.size() > 1 && left.at_or_after(SeqNum(blocks[1].left)) && right.at_or_before(SeqNum(blocks[1].right));
}

void Connection::on_tracked_ack(const Segment& seg, Instant now) {
  Recovery& r = *recovery_;
  AckScan scan;
  std::uint32_t flight_before = r.out.pipe() + r.out.lost();
  scan.moved = seg.ack.after(snd_.una);
  auto seen = [&](const Transmission& t, std::uint32_t bytes, bool whole) {
    scan.bytes += bytes;
    scan_delivered(scan, seg, t, whole, now);
  };
  if (scan.moved) r.out.acknowledge(seg.ack, seen);
  auto blocks = seg.options.sack_blocks();
  if (is_dsack(seg)) {
    scan.dsack = true;
    scan.dsack_end = SeqNum(blocks[0].right);
    // One that lies far below what can have been sent again is a stranger's, or very old.
    if (SeqNum(blocks[0].left).at_or_after(snd_.una - snd_.max_wnd.bytes())) {
      ++dsacks_;
      scan.needless = r.undo.on_dsack(SeqNum(blocks[0].left));
      r.rack.on_dsack(later_of(seg.ack, snd_.una), snd_.nxt);
    }
    blocks = blocks.subspan(1);
  }
  for (wire::SackBlock b : blocks) {
    SeqNum left(b.left);
    SeqNum right(b.right);
    // What begins at SND.UNA would have moved it; what ends behind SND.NXT was never sent.
    if (left.after(r.out.begin()) && left.before(right) && right.at_or_before(r.out.end())) {
      r.out.sack(left, right, seen);
    }
  }
  r.rack.on_ack_over();

  Sender::Acked acked;
  measure_tracked_rtt(scan, seg, now);
  if (scan.moved) {
    acked = take_ack(seg, now);
    r.head_due = false;
    timers_.clear(TimerKind::retransmit);
  }
  std::uint32_t text = scan.bytes - std::min<std::uint32_t>(scan.bytes, acked.fin ? 1 : 0);
  delivered_ += text;

  bool spurious = may_undo(scan, seg);
  if (spurious) undo_recovery(now);
  if (r.phase != Phase::open && snd_.una.at_or_after(r.point)) leave_recovery(now);
  bool plain = !scan.moved && seg.options.sack_blocks().empty() && seg.len() == 0;
  if (r.probe.on_ack(snd_.una, scan.dsack && scan.dsack_end == r.probe.end(), plain)) {
    // RFC 8985 7.4.2: one loss, mended already.
    r.undo.stop();
    congestion_.on_loss(moment_of_loss(now));
    finish_reduction(now);
  }

  std::uint32_t newly_lost = 0;
  if (scan.bytes > 0) newly_lost = detect_losses(now);
  if (r.out.lost() > 0 && r.phase == Phase::open) enter_recovery(flight_before, now);
  if (r.phase == Phase::recovery) {
    bool safe = scan.moved && newly_lost == 0;
    r.rate_reduction.on_ack(scan.bytes, r.out.pipe(), congestion_.ssthresh(), send_mss(), safe);
  }
  AckEvent ack = ack_event(text, now);
  if (text > 0) {
    ack.newly_lost = newly_lost;
    ack.rtt = scan.rtt;
    // RFC 3042 2: what may be a loss does not open the window, unless the path is known to reorder.
    bool doubtful = r.phase == Phase::open && !scan.moved && !r.rack.reordering_seen();
    ack.in_recovery = r.phase == Phase::recovery || doubtful;
    if (scan.any) ack.rate = r.delivery.sample(scan.newest, now, delivered_, lost_bytes_, rtt_.min_rtt());
    congestion_.on_ack(ack);
  }
  advance_frto(scan);
  if (r.out.empty()) r.probe.withdraw();
  if (scan.moved) arm_probe(now);
  if (r.phase != Phase::open || r.out.sacked() > 0) r.probe.disarm();
  if (acked.fin) on_fin_acked(now);
}

// A round trip at a time where none is sent again, else whatever can be had.
void Connection::measure_tracked_rtt(const AckScan& scan, const Segment& seg, Instant now) {
  if (scan.rtt != Duration{} && (!timed_.running || scan.rtt_end.at_or_after(timed_.end))) {
    timed_.running = false;
    rtt_.on_sample(scan.rtt, *config_);
  } else if (scan.moved && !timed_.running) {
    measure_rtt(seg, now);
  }
}

// --- the phases ---

Rack::View Connection::rack_view(Instant now) const {
  return {now, rtt_.min_rtt(), rtt_.srtt(), recovery_->phase != Phase::open};
}

void Connection::count_lost(const Transmission& t, std::uint32_t bytes, Instant now) {
  ++lost_;
  lost_bytes_ += bytes;
  congestion_.on_segment_lost(
      {now, bytes, t.tx_in_flight, static_cast<std::uint32_t>(lost_bytes_) - t.lost, delivered_, t.app_limited, true});
}

std::uint32_t Connection::detect_losses(Instant now) {
  Recovery& r = *recovery_;
  Rack::Detection found = r.rack.detect(r.out, rack_view(now),
                                        [&](const Transmission& t, std::uint32_t bytes) { count_lost(t, bytes, now); });
  r.reorder_at = found.again_in == Duration{} ? Instant::never() : now + found.again_in;
  return found.lost;
}

void Connection::on_reorder_timer(Instant now) {
  Recovery& r = *recovery_;
  std::uint32_t flight = r.out.pipe() + r.out.lost();
  if (detect_losses(now) == 0) return;
  if (r.phase == Phase::open) {
    enter_recovery(flight, now);
    r.rate_reduction.on_ack(0, r.out.pipe(), congestion_.ssthresh(), send_mss(), false);
  }
}

// `flight`: RFC 9937's RecoverFS.
void Connection::enter_recovery(std::uint32_t flight, Instant now) {
  Recovery& r = *recovery_;
  congestion_.on_loss(moment_of_loss(now));  // RFC 5681 3.2, 2
  r.phase = Phase::recovery;
  r.point = snd_.nxt;
  r.frto = Frto::off;
  r.undo.start(snd_.una);
  r.rate_reduction.start(flight);
  r.probe.cancel();
  timers_.clear(TimerKind::retransmit);
}

void Connection::leave_recovery(Instant now) {
  Recovery& r = *recovery_;
  bool fast = r.phase == Phase::recovery;
  r.phase = Phase::open;
  r.frto = Frto::off;
  r.rack.on_recovered();
  if (!fast) {
    congestion_.on_timeout_recovered(moment(now));
    return;
  }
  if (r.undo.open() && r.undo.nothing_resent()) {
    // All of it came before any of it was sent again.
    r.undo.stop();
    ++undos_;
    congestion_.undo();
    return;
  }
  finish_reduction(now);
}

// RFC 9937 6: cwnd is ssthresh. PRR has seen to it that no more than that is in flight.
void Connection::finish_reduction(Instant now) {
  Moment at = moment(now);
  at.in_flight = std::max(at.in_flight, congestion_.ssthresh());
  congestion_.on_recovered(at);
}

// --- spurious retransmissions ---

bool Connection::may_undo(const AckScan& scan, const Segment& seg) const {
  const Recovery& r = *recovery_;
  if (!r.undo.open()) return false;
  if (scan.needless || (r.frto == Frto::new_sent && scan.original)) return true;
  return r.phase != Phase::open && scan.moved && ts_.on && seg.options.timestamps &&
         r.undo.echo_from_before(seg.options.timestamps->tsecr);
}

void Connection::undo_recovery(Instant now) {
  Recovery& r = *recovery_;
  ++undos_;
  congestion_.undo();
  r.undo.stop();
  r.rack.on_spurious();
  if (r.phase == Phase::open) return;  // a DSACK that came behind its end
  r.phase = Phase::open;
  r.frto = Frto::off;
  r.head_due = false;
  r.out.clear_lost();
  arm_probe(now);
}

// RFC 5682 3.1, steps 2 and 3
void Connection::advance_frto(const AckScan& scan) {
  Recovery& r = *recovery_;
  switch (r.frto) {
    case Frto::off:
      return;
    case Frto::head_sent:
      if (!scan.moved) return;
      if (snd_.unsent() > 0 && snd_.window_from(snd_.nxt) > 0) {
        r.frto = Frto::new_sent;
        r.frto_budget = 2;
      } else {
        r.frto = Frto::off;
      }
      return;
    case Frto::new_sent:
      r.frto = Frto::off;
      r.frto_budget = 0;
      return;
  }
}

// --- timers ---

// RFC 8985 6.3, RFC 6298 5.4
void Connection::on_tracked_timeout(bool again, Instant now) {
  Recovery& r = *recovery_;
  // RFC 2018 8: the peer has dropped what it had acknowledged, since it would have moved its ACK over it.
  if (!r.out.empty() && r.out[r.out.first()].where == Transmission::Where::peer) r.out.forget_sacked();
  // What fast recovery has reduced by is not this time-out's to take back; its own signs are still looked for.
  bool first = r.phase == Phase::open && !again;
  r.rack.detect_on_timeout(r.out, rack_view(now),
                           [&](const Transmission& t, std::uint32_t bytes) { count_lost(t, bytes, now); });
  r.phase = Phase::timeout;
  r.point = snd_.nxt;
  r.reorder_at = Instant::never();
  r.probe.cancel();
  r.head_due = true;
  r.frto_budget = 0;
  r.frto = first ? Frto::head_sent : Frto::off;
  if (first) r.undo.start(snd_.una);
}

void Connection::arm_probe(Instant now) {
  Recovery& r = *recovery_;
  bool due = is_synchronized(state_) && r.phase == Phase::open && !r.out.empty() && r.out.sacked() == 0 &&
             r.out.lost() == 0 && !r.probe.in_flight() && !r.probe.owed();
  if (!due) {
    r.probe.disarm();
    return;
  }
  Instant at = now + TailProbe::timeout(rtt_.srtt(), r.out.size() == 1, kMostAckDelay);
  Instant rto_at = timers_.armed(TimerKind::retransmit) ? timers_.at(TimerKind::retransmit) : now + rtt_.rto(*config_);
  r.probe.arm(std::min(at, rto_at));
}

// RFC 8985 7.3
void Connection::on_probe_timer(Instant now) {
  Recovery& r = *recovery_;
  r.probe.disarm();
  if (r.out.empty() || r.phase != Phase::open) return;
  r.probe.owe();
  timers_.arm(TimerKind::retransmit, now + rtt_.rto(*config_));
}

}  // namespace weir::tcp
