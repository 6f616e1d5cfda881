// SPDX-License-Identifier: MIT
// One TCP connection (RFC 9293), sans-IO: segments, time and the user's calls come in; segments, a deadline and
// readiness come out. It does not know addresses or ports, does not allocate per segment, and never calls out.
//
// Not thread-safe: one thread owns a connection. All sizes are bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "weir/base/bytes.h"
#include "weir/base/time.h"
#include "weir/common/reasons.h"
#include "weir/tcp/busy_time.h"
#include "weir/tcp/config.h"
#include "weir/tcp/congestion/congestion.h"
#include "weir/tcp/congestion/window_usage.h"
#include "weir/tcp/ecn.h"
#include "weir/tcp/fast_open.h"
#include "weir/tcp/info.h"
#include "weir/tcp/liveness.h"
#include "weir/tcp/loss.h"
#include "weir/tcp/path_mtu.h"
#include "weir/tcp/rate_probe.h"
#include "weir/tcp/readiness.h"
#include "weir/tcp/receive_tuning.h"
#include "weir/tcp/receiver.h"
#include "weir/tcp/recovery.h"
#include "weir/tcp/rtt.h"
#include "weir/tcp/segment.h"
#include "weir/tcp/sender.h"
#include "weir/tcp/state.h"
#include "weir/tcp/time_wait.h"
#include "weir/tcp/timers.h"

namespace weir::tcp {

// What the stack knows at the birth of a connection.
struct Birth {
  SeqNum iss;                          // RFC 6528, from the stack's secret and clock
  std::uint32_t timestamp_offset = 0;  // RFC 7323 5.4: added to TS.Val's millisecond clock
  std::uint16_t mss = 536;  // the largest text that the path's MTU lets a segment carry without options, either way
  Family family = Family::v4;
  ControllerIndex congestion = kDefaultController;  // of Config::controllers
};

class Connection {
 public:
  // Both keep a reference to `config`, which must outlive the connection.
  static Connection active_open(const Config& config, const Birth& birth, Instant now);
  // `syn` is an acceptable SYN to a listener (RFC 9293 3.10.7.2, third).
  static Connection passive_open(const Config& config, const Birth& birth, const Segment& syn, Instant now);
  // The same, where the SYN-ACK has left already: `syn` is what a cookie kept of the SYN, `birth.iss` the cookie. The
  // ACK that brought it is to follow by on_segment().
  static Connection passive_open_by_cookie(const Config& config, const Birth& birth, const Segment& syn, Instant now);

  // --- Fast Open (RFC 7413), for right after the birth; false where there is no memory, and then it is as without ---

  // Of an active open. Without a cookie the SYN asks for one. With one it waits for the first write and takes along
  // what fits into `mss` (the peer's, of an earlier connection; 0: not known); meanwhile the user has a connection that
  // is kConnected, and learns later why it could not be.
  bool open_fast(const FastOpenCookie& cookie, std::uint16_t mss, Instant now);
  // Of a passive open whose `syn` had a good cookie: its text can be read, and answered, from now on.
  bool accept_fast(const Segment& syn, Instant now);
  // Of a passive open: the SYN-ACK gives the peer this one.
  bool give_cookie(const FastOpenCookie& cookie);
  // The handshake is under way, and the user may read and write all the same.
  bool is_early() const;
  // What an active open has learnt since it was last asked; to be asked after each event.
  std::optional<FastOpenNews> take_fast_open_news();

  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) = delete;
  ~Connection();

  // --- the network's side ---

  // RFC 9293 3.10.7.3-4, in its order. Records what is owed; emits nothing. Returns what became of the segment:
  // WEIR_R_TAKEN_TCP or one of WEIR_R_LOST_*.
  weir_reason on_segment(const Segment& seg, Instant now);

  // An ICMP error whose quotation named this connection (RFC 5927, 1122 4.2.3.9). `quoted_seq` outside what is in
  // flight is refused with WEIR_R_LOST_ICMP_INVALID.
  weir_reason on_icmp_error(const IcmpError& error, SeqNum quoted_seq, Instant now);

  // The route's MTU changed: `mss` as in Birth.
  void on_path_mss(std::uint16_t mss, Instant now);

  // RFC 5961 7's limit is each connection's own. A stack that has one for all asks after on_segment(), and takes the
  // ACK back where its budget is spent.
  bool owes_challenge_ack() const { return challenge_owed_; }
  void withhold_challenge_ack() { challenge_owed_ = false; }
  // In TIME-WAIT: what has to be kept of it until next_deadline(). A stack may keep that instead of the connection,
  // once nothing is to be transmitted and nobody reads any more. Where `may_be_replaced_by(syn)`, it may drop the
  // connection without an answer and give the SYN to a listener, with an ISS behind next_iss().
  std::optional<TimeWait> time_wait() const;
  // A number that no segment of this connection has used.
  SeqNum next_iss() const { return snd_.max + 1; }

  // True while poll_transmit() would fill a segment now.
  bool wants_transmit(Instant now) const;
  // Fills the next segment to send, with the freshest ACK and window; false where nothing is due. `out.text` points
  // into the send buffer: copy it before any other call on this connection.
  bool poll_transmit(OutSegment& out, Instant now);

  // The earliest instant at which on_deadline() would do something; Instant::never() for none.
  Instant next_deadline() const;
  void on_deadline(Instant now);

  // --- the user's side (RFC 9293 3.9.1) ---

  // Takes as much of `text` as the send buffer has room for; 0: full, or see error().
  std::size_t write(ConstBytes text, Instant now);
  // Moves received text to `to`; 0 with at_end(): the peer's FIN has been reached; 0 otherwise: nothing yet, or see
  // error().
  std::size_t read(Bytes to, Instant now);
  std::size_t readable_bytes() const;
  std::size_t writable_bytes() const;
  bool at_end() const;

  // No more text will be written: FIN after what is queued.
  void shutdown_write(Instant now);
  // No more text will be read: what still comes is acknowledged and discarded (as shutdown(SHUT_RD) does in the
  // kernels).
  void shutdown_read(Instant now);
  // The user is gone. Unread text, now or later, turns the close into a reset (RFC 2525 2.17); else as shutdown_write.
  void close(Instant now);
  // RST now, and forget.
  void abort(Instant now);

  // The connection's own, or Config's while it has none.
  Options options() const {
    Options o = kept_options();
    o.no_delay = no_delay_;
    return o;
  }
  // Takes effect at once. False where there is no memory to keep them, and then nothing has changed.
  bool set_options(const Options& options, Instant now);
  void set_no_delay(bool on);
  // Another congestion controller of Config::controllers goes on with the present window and threshold; before the
  // handshake's end, it will be the one that begins. Where the result is not `done`, nothing has changed.
  CongestionChange set_congestion_control(std::string_view name, Instant now);

  // --- looking ---

  State state() const;
  Errc error() const;
  std::uint8_t readiness() const;  // of Readiness
  // CLOSED and nothing owed: the stack may free it.
  bool finished() const;
  Info info(Instant now) const;
  // Options other than Config's take memory of their own, but for Options::no_delay.
  bool holds_options() const { return options_ != nullptr; }
  // Bytes of buffers held on the heap: none for a connection that has been idle for a second.
  std::size_t buffer_memory() const;
  // The buffers of all connections take more than they may.
  void set_memory_pressure(bool on) { pressed_ = on; }

 private:
  // A peer or a route that asks for less would have us send mostly headers.
  static constexpr std::uint16_t kLeastMss = 64;

  enum class AckDebt : std::uint8_t { none, delayed, now };
  enum class Role : std::uint8_t { active, passive };

  // What poll_transmit() would send next, and the one place that decides it.
  enum class Emission : std::uint8_t { none, reset, syn, retransmission, text, probe, earlier_ack, ack, keepalive };
  struct Plan {
    Emission what = Emission::none;
    std::uint32_t text = 0;  // bytes
    bool fin = false;
    bool tail = false;         // of a retransmission: it is a tail loss probe
    Transmissions::Id id = 0;  // of a retransmission, with SACK
  };
  struct AckScan;

  struct Reset {
    SeqNum seq;
    SeqNum ack;
    bool with_ack = false;
    bool owed = false;
  };
  // RFC 6298 3: one segment at a time is timed, and none that is sent twice.
  struct TimedSegment {
    SeqNum end;
    bool running = false;
    Instant sent;
  };
  // RFC 7323
  struct Timestamps {
    bool on = false;
    std::uint32_t recent = 0;  // TS.Recent
    Instant recent_at;
  };

  Connection(const Config& config, const Birth& birth, Role role);

  // connection.cc
  void enter(State to, Instant now);
  void negotiate(const wire::TcpOptions& offered, Instant now);
  void establish(Instant now);
  void fail(Errc why, Instant now);
  void reset_peer(Instant now);
  void release_memory();
  bool reading_state() const;
  void tell_window();
  SeqNum next_edge() const;
  std::uint32_t send_limit() const;
  std::uint32_t send_mss() const;
  std::uint32_t timestamp(Instant now) const;
  Moment moment(Instant now) const;
  Moment moment_of_loss(Instant now) const;
  ControllerIndex controller_index() const;
  std::unique_ptr<Controller> first_controller() const;

  // connection_input.cc: RFC 9293 3.10.7
  weir_reason on_segment_closed(const Segment& seg);
  weir_reason on_segment_syn_sent(const Segment& seg, Instant now);
  weir_reason on_segment_other(const Segment& seg, Instant now);
  weir_reason on_rst(const Segment& seg, Instant now);
  weir_reason on_syn(Instant now);
  weir_reason on_ack(const Segment& seg, Instant now);
  void on_new_ack(const Segment& seg, Instant now);
  void on_duplicate_ack(Instant now);
  void on_untracked_loss(std::uint32_t bytes, Instant now);
  void on_fin_acked(Instant now);
  weir_reason on_text(const Segment& seg, Instant now);
  void on_peer_fin(Instant now);
  Sender::Acked take_ack(const Segment& seg, Instant now);
  AckEvent ack_event(std::uint32_t text, Instant now);
  void measure_rtt(const Segment& seg, Instant now);
  void owe_ack_of_text(const Receiver::Received& received, Instant now);
  void owe_reset(const Segment& seg);
  void answer_refused(const Segment& seg, Instant now);
  void owe_challenge(Instant now);
  bool fails_paws(const Segment& seg, Instant now) const;

  // connection_output.cc
  Plan plan() const;
  Plan plan_at(Instant now) const;
  bool is_paced(const Plan& plan) const;
  std::uint64_t pacing_rate() const;
  void schedule_pacing(Instant now);
  Plan plan_text() const;
  std::uint32_t send_window() const;
  SeqNum ack_seq() const;
  void fill(OutSegment& out, SeqNum seq, wire::TcpFlags flags, Instant now);
  bool has_sack() const;
  void fill_sack(OutSegment& out);
  void fill_reset(OutSegment& out, Instant now);
  void fill_syn(OutSegment& out, Instant now);
  void fill_text(OutSegment& out, const Plan& plan, Instant now);
  void fill_retransmission(OutSegment& out, const Plan& plan, Instant now);
  void fill_probe(OutSegment& out, const Plan& plan, Instant now);

  // connection_ecn.cc
  bool may_use_ecn() const;
  bool wants_ecn() const;
  void negotiate_ecn(const Segment& syn);
  wire::TcpFlags ecn_flags_of_syn();
  void note_ecn_mark(const Segment& seg);
  bool in_recovery() const;
  bool in_fast_recovery() const;
  void heed_ecn_echo(const Segment& seg, bool was_in_recovery, Instant now);
  void mark_text(OutSegment& out);
  void fill_earlier_ack(OutSegment& out, Instant now);

  // connection_fast_open.cc
  bool awaits_text() const;
  std::uint32_t fill_fast_open(OutSegment& out);
  void note_fast_open_answer(const Segment& syn_ack, std::uint32_t text);
  void note_fast_open_failure();
  void resend_syn();
  void establish_early(Instant now);

  // connection_path.cc
  void lower_mss(std::uint16_t mss);
  void suspect_black_hole(std::uint8_t timeouts, Instant now);
  void search_path(Instant now);
  std::uint32_t path_probe_text() const;

  // connection_options.cc
  // All but no_delay, which is no_delay_.
  const Options& kept_options() const { return options_ ? *options_ : config_->options; }
  bool keep_options(const Options& wanted);
  void start_keepalive(Instant now);
  void on_keepalive_timer(Instant now);
  void watch_user_timeout(Instant now);
  BusyTime::State what_limits() const;
  void on_user_timeout(Instant now);

  // connection_recovery.cc
  std::uint32_t pipe() const;
  bool fits_window(std::uint32_t out, std::uint32_t text) const;
  std::uint32_t most_segments() const;
  void begin_tracking(Instant now);
  void go_back();
  Plan plan_again(Transmissions::Id id) const;
  Plan plan_recovery(bool& blocked) const;
  void track_sent(SeqNum behind, std::uint32_t bytes, bool again, Instant now);
  void fill_tracked_retransmission(OutSegment& out, const Plan& plan, Instant now);
  void scan_delivered(AckScan& scan, const Segment& seg, const Transmission& t, bool whole, Instant now);
  bool is_dsack(const Segment& seg) const;
  void on_tracked_ack(const Segment& seg, Instant now);
  void measure_tracked_rtt(const AckScan& scan, const Segment& seg, Instant now);
  Rack::View rack_view(Instant now) const;
  void count_lost(const Transmission& t, std::uint32_t bytes, Instant now);
  std::uint32_t detect_losses(Instant now);
  void on_reorder_timer(Instant now);
  void enter_recovery(std::uint32_t flight, Instant now);
  void leave_recovery(Instant now);
  void finish_reduction(Instant now);
  bool may_undo(const AckScan& scan, const Segment& seg) const;
  void undo_recovery(Instant now);
  void advance_frto(const AckScan& scan);
  void on_tracked_timeout(bool again, Instant now);
  void arm_probe(Instant now);
  void on_probe_timer(Instant now);

  // connection_timers.cc
  void reschedule(Instant now);
  void on_retransmit_timer(Instant now);
  void on_persist_timer(Instant now);
  bool holds_empty_buffers() const;
  void on_release_timer();
  Duration persist_interval() const;

  const Config* config_;
  Birth birth_;
  Sender snd_;
  Receiver rcv_;
  RttEstimator rtt_;
  Congestion congestion_;
  WindowUsage usage_;
  LossDetector loss_;                      // where recovery_ is not
  std::unique_ptr<Recovery> recovery_;     // with SACK, while text is in flight and a while longer
  std::unique_ptr<RateProbe> rate_probe_;  // without, likewise
  Timers timers_;
  TimedSegment timed_;
  Timestamps ts_;
  Instant challenges_since_;  // RFC 5961 7's budget began
  Liveness liveness_;
  Ecn ecn_;
  ReceiveTuning receive_tuning_;
  std::unique_ptr<PathSearch> path_search_;  // once a black hole has been met
  std::unique_ptr<Options> options_;         // null: Config's; of both, no_delay counts for nothing
  std::unique_ptr<FastOpen> fast_open_;      // until the handshake is over
  Reset reset_;
  SeqNum small_end_;   // the end of the last segment sent that was not full
  Instant last_sent_;  // text or FIN
  BusyTime busy_time_;
  std::uint16_t peer_mss_;         // as its SYN said
  std::uint16_t receive_mss_ = 0;  // the longest text seen

  State state_ = State::closed;
  Errc error_ = Errc::none;
  Role role_;
  AckDebt ack_ = AckDebt::none;
  std::uint8_t retries_ = 0;             // time-outs since snd_.una moved
  std::uint8_t persist_shots_ = 0;       // since the window closed
  std::uint8_t persist_unanswered_ = 0;  // since the peer said anything
  std::uint8_t quick_acks_;              // left
  bool pressed_ = false;                 // for memory
  std::uint8_t challenges_ = 0;          // sent since challenges_since_
  bool no_delay_;
  bool syn_lost_ = false;
  bool syn_text_taken_ = false;  // RFC 7413: the text of our SYN, or of the peer's
  bool scaling_ = false;         // both SYNs have a window scale
  bool sack_ = false;            // both SYNs permit it
  bool connected_ = false;
  bool user_gone_ = false;
  bool pipe_broken_ = false;       // written after shutdown
  bool retransmit_first_ = false;  // the segment at snd_.una is lost
  bool probe_owed_ = false;
  bool challenge_owed_ = false;
  bool buffers_used_ = false;  // since the release timer last looked

  std::uint32_t retransmits_ = 0;
  std::uint32_t timeouts_ = 0;
  std::uint32_t lost_ = 0;  // segments
  std::uint32_t dsacks_ = 0;
  std::uint32_t undos_ = 0;
  std::uint32_t out_of_order_ = 0;
  std::uint64_t lost_bytes_ = 0;
  std::uint64_t delivered_ = 0;
  std::uint64_t bytes_acked_ = 0;
  std::uint64_t bytes_received_ = 0;
  std::uint64_t segments_out_ = 0;
  std::uint64_t segments_in_ = 0;
};

}  // namespace weir::tcp
