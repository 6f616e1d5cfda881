// SPDX-License-Identifier: MIT
// Explicit congestion notification: RFC 3168, and RFC 8257's echo where the controller is one that needs it.
#include "weir/tcp/connection.h"

namespace weir::tcp {

bool Connection::may_use_ecn() const { return ecn_.on; }

bool Connection::wants_ecn() const {
  if (config_->ecn == EcnMode::off) return false;
  return config_->ecn == EcnMode::request || config_->controllers.make(controller_index())->needs_ecn();
}

// RFC 3168 6.1.1. In a SYN both flags ask; in a SYN-ACK ECE alone agrees, and both are what a peer sends that returns
// reserved bits as they came.
void Connection::negotiate_ecn(const Segment& syn) {
  if (config_->ecn == EcnMode::off || !syn.flags.ece()) return;
  ecn_.on = syn.flags.ack() ? ecn_.requested && !syn.flags.cwr() : syn.flags.cwr();
}

wire::TcpFlags Connection::ecn_flags_of_syn() {
  if (state_ != State::syn_sent) return ecn_.on ? wire::kEce : wire::TcpFlags{};
  // RFC 3168 6.1.1.1: a SYN that nobody answers may have met a firewall that knows no such flags.
  if (syn_lost_ || !wants_ecn()) return {};
  ecn_.requested = true;
  return wire::kEce | wire::kCwr;
}

// Of an acceptable segment, before its text is taken.
void Connection::note_ecn_mark(const Segment& seg) {
  bool ce = seg.ecn == wire::Ecn::ce;
  if (ce) ++ecn_.marks;
  if (!congestion_.needs_ecn()) {
    ecn_.on_classic(ce, seg.flags.cwr());
  } else if (!seg.text.empty()) {
    bool before = ecn_.echo;
    ecn_.on_accurate(ce, rcv_.nxt, rcv_.last_ack != rcv_.nxt);
    if (before != ecn_.echo) quick_acks_ = quick_acks_ > 0 ? quick_acks_ : std::uint8_t{1};
  }
}

bool Connection::in_recovery() const {
  return recovery_ ? recovery_->phase != Recovery::Phase::open : loss_.in_recovery();
}

bool Connection::in_fast_recovery() const {
  return recovery_ ? recovery_->phase == Recovery::Phase::recovery : loss_.in_recovery();
}

// RFC 3168 6.1.2: once for each window of data, and not for one that a loss has reduced. The ACK has been taken.
void Connection::heed_ecn_echo(const Segment& seg, bool was_in_recovery, Instant now) {
  if (!was_in_recovery && in_recovery()) ecn_.on_reduced(snd_.max);
  if (ecn_.echoed) {
    ++ecn_.echoes;
    if (seg.ack.after(ecn_.reacted) && !in_recovery()) {
      congestion_.on_ecn(moment_of_loss(now));
      if (recovery_) recovery_->undo.stop();  // what could be taken back now is this reduction, which was none of loss
      ecn_.on_reduced(snd_.max);
    }
  }
  // It stays within reach of modular comparison.
  if (snd_.una.after(ecn_.reacted)) ecn_.reacted = snd_.una - 1;
}

// RFC 3168 6.1.4 to 6.1.6: new text alone is ECN-capable; not what is sent again, window probes, or bare ACKs.
void Connection::mark_text(OutSegment& out) {
  if (!ecn_.on || out.retransmission || out.text_size() == 0) return;
  out.ecn = wire::Ecn::ect0;
  if (!ecn_.cwr_owed) return;
  out.header.flags |= wire::kCwr;
  ecn_.cwr_owed = false;
}

// RFC 8257 3.2: what came before the marks changed is acknowledged with what they were.
void Connection::fill_earlier_ack(OutSegment& out, Instant now) {
  bool echo = ecn_.echo;
  Ecn::Earlier earlier = ecn_.take_earlier();
  ecn_.echo = earlier.echo;
  fill(out, ack_seq(), wire::kAck, now);
  ecn_.echo = echo;
  out.header.ack = earlier.ack.raw();
  out.header.window = rcv_.scale.compress(WindowSize(static_cast<std::uint32_t>(rcv_.edge - earlier.ack)));
  rcv_.last_ack = earlier.ack;
  ack_ = AckDebt::now;
}

}  // namespace weir::tcp
