// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "weir/base/time.h"
#include "weir/tcp/seq_num.h"

namespace weir::tcp {

// A clock of microseconds that wraps after 71 minutes: nothing is in flight for half of that.
class Tick {
 public:
  constexpr Tick() = default;
  explicit constexpr Tick(Instant at) : us_(static_cast<std::uint32_t>(at.ns() / 1'000)) {}
  friend constexpr bool operator==(Tick, Tick) = default;
  friend constexpr Duration operator-(Tick a, Tick b) {
    return Duration::microseconds(static_cast<std::int32_t>(a.us_ - b.us_));
  }
  // From `now` on, how long until its tick is `span` later than it is; `span` above zero. A difference of ticks does
  // not see less.
  static constexpr Duration until(Instant now, Duration span) {
    return Duration::microseconds((span.count_ns() + 999) / 1'000) - Duration::nanoseconds(now.ns() % 1'000);
  }

 private:
  std::uint32_t us_ = 0;
};

// One segment from its first transmission until it is acknowledged: what RFC 8985 5.2 and
// draft-ietf-ccwg-bbr 4.1.1.2 keep of it. It begins where the one before it ends.
struct Transmission {
  SeqNum end;  // behind its last octet, a FIN's included
  Tick sent;   // the last time

  // The connection when it was last sent.
  Tick first_sent;                 // C.first_sent_time
  Tick delivered_at;               // C.delivered_time
  std::uint32_t delivered = 0;     // C.delivered, modulo 2^32
  std::uint32_t lost = 0;          // C.lost
  std::uint32_t tx_in_flight = 0;  // with it
  bool app_limited = false;

  bool resent = false;  // ever: which copy an ACK is for is not known
  enum class Where : std::uint8_t {
    network,
    peer,  // selectively acknowledged
    lost,  // and not yet sent again
  } where = Where::network;

  // In the network: neighbours in the order of transmission. At the peer: `next` is that of some later segment, and
  // all between are there too.
  std::uint32_t next = 0;
  std::uint32_t prev = 0;
};

// RFC 8985 5.2's RACK_sent_after().
constexpr bool sent_after(Tick a, SeqNum a_end, Tick b, SeqNum b_end) {
  Duration apart = a - b;
  return apart > Duration{} || (apart == Duration{} && a_end.after(b_end));
}

// The segments from SND.UNA to SND.NXT, in sequence, and which of them the peer holds (RFC 2018's scoreboard). A ring
// that doubles as more are in flight. A segment's id is a running number; ids of the segments held are consecutive.
//
// An ACK costs the logarithm of what is in flight and a step for each segment of which it is the first to tell,
// whatever its SACK blocks are.
class Transmissions {
 public:
  using Id = std::uint32_t;
  using Where = Transmission::Where;

  // Forgets all; the next segment begins at `una`, and ids at `first`. False where there is no memory.
  bool open(SeqNum una, Id first = 0);

  bool empty() const { return count_ == 0; }
  std::uint32_t size() const { return count_; }
  Id first() const { return first_; }
  Id behind() const { return first_ + count_; }
  const Transmission& operator[](Id id) const { return slots_[id & mask_]; }
  SeqNum begin() const { return begin_; }
  SeqNum end() const { return empty() ? begin_ : (*this)[behind() - 1].end; }
  SeqNum begin_of(Id id) const { return id == first_ ? begin_ : (*this)[id - 1].end; }
  std::uint32_t length(Id id) const { return static_cast<std::uint32_t>((*this)[id].end - begin_of(id)); }
  std::size_t memory() const { return slots_ ? (std::size_t{mask_} + 1) * sizeof(Transmission) : 0; }

  // Bytes. pipe(): sent, and neither acknowledged nor taken for lost (RFC 6675 4).
  std::uint32_t pipe() const { return static_cast<std::uint32_t>(end() - begin()) - sacked_ - lost_; }
  std::uint32_t sacked() const { return sacked_; }
  std::uint32_t lost() const { return lost_; }
  std::uint32_t sacked_segments() const { return sacked_segments_; }
  // The first that is lost, or behind().
  Id first_lost() const { return lost_ == 0 ? behind() : first_lost_; }
  // The one in the network that was sent the longest ago, or behind().
  Id oldest() const { return oldest_ == kNone ? behind() : oldest_; }
  Id after(Id id) const { return (*this)[id].next == kNone ? behind() : (*this)[id].next; }

  // It has left, behind all others. Where there is no memory for one more, it counts as a part of the last.
  void push(const Transmission& t);
  // A lost one, or a probe of one that is not, has left again.
  void resend(Id id, const Transmission& stamp);
  void mark_lost(Id id);
  // A lost one becomes two, the first of which ends at `at`. False where there is no memory: it stays one. As many
  // steps as there are segments; a path that got narrower has it called.
  bool split(Id id, SeqNum at);
  // Nothing is lost after all.
  void clear_lost();
  // The peer has dropped what it had selectively acknowledged (RFC 2018 8): all of it is lost.
  void forget_sacked();

  // `seen(t, bytes)` for each segment that this is the first to acknowledge.
  template <class Seen>
  void acknowledge(SeqNum una, Seen&& seen) {
    while (count_ != 0 && begin_.before(una)) {
      Transmission& t = at(first_);
      auto bytes = static_cast<std::uint32_t>(earlier_of(t.end, una) - begin_);
      bool whole = t.end.at_or_before(una);
      if (t.where == Where::lost) lost_ -= bytes;
      if (t.where == Where::peer) {
        sacked_ -= bytes;
      } else {
        seen(static_cast<const Transmission&>(t), bytes, whole);
      }
      begin_ += bytes;
      if (!whole) return;
      drop_first();
    }
    if (count_ == 0) begin_ = una;
  }
  // [left, right) is at the peer. A block that covers a part of a segment says nothing of it.
  template <class Seen>
  void sack(SeqNum left, SeqNum right, Seen&& seen) {
    Id from = find(left);
    Id id = from;
    while (id != behind() && at(id).end.at_or_before(right)) {
      Transmission& t = at(id);
      if (t.where == Where::peer) {
        id = skip(id);
        continue;
      }
      std::uint32_t bytes = length(id);
      seen(static_cast<const Transmission&>(t), bytes, true);
      if (t.where == Where::lost) {
        lost_ -= bytes;
        t.where = Where::peer;
        if (first_lost_ == id) find_first_lost(id + 1);
      } else {
        unlink(id);
        t.where = Where::peer;
      }
      t.next = id + 1;
      sacked_ += bytes;
      ++sacked_segments_;
      ++id;
    }
    // What was walked over is one step the next time.
    if (from != id && at(from).where == Where::peer) at(from).next = id;
  }

 private:
  static constexpr Id kNone = ~Id{0};
  static constexpr std::uint32_t kLeast = 8;

  Transmission& at(Id id) { return slots_[id & mask_]; }
  // The first that begins at or behind `seq`, or behind().
  Id find(SeqNum seq) const;
  Id skip(Id id);
  void find_first_lost(Id from);
  void drop_first();
  void link_newest(Id id);
  void link_oldest(Id id);
  void unlink(Id id);
  void renumber();
  bool grow();

  std::unique_ptr<Transmission[]> slots_;
  std::uint32_t mask_ = 0;
  std::uint32_t count_ = 0;
  Id first_ = 0;
  Id first_lost_ = 0;  // while lost_ is not 0
  Id oldest_ = kNone;
  Id newest_ = kNone;
  SeqNum begin_;
  std::uint32_t sacked_ = 0;
  std::uint32_t lost_ = 0;
  std::uint32_t sacked_segments_ = 0;
};

}  // namespace weir::tcp
