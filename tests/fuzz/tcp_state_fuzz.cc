// SPDX-License-Identifier: MIT
// A connection that has been brought into one of RFC 9293 3.3.2's states, and then a peer that sends anything: fields,
// options, SACK blocks and timestamps near what would be right, with time and the user's calls between. Sought: memory
// errors, undefined behaviour, asserts, text that is not the peer's or not in order, text of ours that is not what was
// written, buffers beyond their limits, an edge of the window that moves left, a connection that has no end.
//
// The first byte of an input chooses the state, the next three what is negotiated; then come steps (see run()).
#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "script.h"
#include "weir/tcp/connection.h"

namespace weir::tcp {
namespace {

using fuzz::require;
using fuzz::Script;

constexpr std::uint32_t kPeerIss = 0xffff'f000;  // both sides' numbers wrap early
constexpr std::uint32_t kIss = 0xffff'e000;
const IpAddress kUs = IpAddress::v4(192, 0, 2, 1);
const IpAddress kPeer = IpAddress::v4(192, 0, 2, 2);

// The byte that has this sequence number, of either stream.
std::byte byte_at(SeqNum seq) { return static_cast<std::byte>((seq.raw() * 0x9e37'79b1u) >> 24); }

std::vector<std::byte> stream(SeqNum from, std::size_t bytes) {
  std::vector<std::byte> text(bytes);
  for (std::size_t i = 0; i < bytes; ++i) text[i] = byte_at(from + static_cast<std::uint32_t>(i));
  return text;
}

class World {
 public:
  explicit World(Script& script) : in_(script) {
    std::uint8_t state = in_.u8();
    std::uint8_t choice = in_.u8();
    std::uint8_t more = in_.u8();
    config_.receive_buffer = (choice & 1) != 0 ? 5'000 : 200'000;
    config_.send_buffer = (choice & 2) != 0 ? 4'000 : 100'000;
    config_.timestamps = (choice & 4) != 0;
    config_.window_scale = (choice & 8) != 0;
    peer_timestamps_ = (choice & 16) != 0;
    peer_scale_ = (choice & 32) != 0;
    peer_sack_ = (choice & 64) != 0;
    config_.options.no_delay = (choice & 128) != 0;
    config_.options.keepalive = (more & 1) != 0;
    fast_open_ = (more & 2) != 0;
    if ((more & 4) != 0) cookie_ = FastOpenCookie(std::array<std::byte, 8>{});
    auto names = config_.controllers.names();
    config_.ecn = static_cast<EcnMode>((more >> 4) % 3);
    config_.pacing = (more & 32) != 0;
    config_.sack = (more & 8) == 0;
    config_.congestion = names[in_.u8() % names.size()];
    birth_.iss = SeqNum(kIss);
    birth_.timestamp_offset = 0xffff'ff00;
    birth_.mss = (more & 64) != 0 ? 536 : 1'460;
    birth_.family = (more & 128) != 0 ? Family::v6 : Family::v4;
    begin(state);
  }

  void run() {
    while (!in_.done()) {
      switch (in_.u8() % 8) {
        case 0:
          call();
          break;
        case 1:
          time();
          break;
        case 2:
          path();
          break;
        case 3:
          give(raw_segment());
          break;
        default:
          give(segment());
      }
      // Not always: a segment may come before what the last one made due has left.
      if (in_.u8() % 4 != 0) drain();
      check();
    }
    finish();
  }

 private:
  // --- into the state ---

  void begin(std::uint8_t choice) {
    constexpr std::array kStates = {State::listen,     State::syn_sent,   State::syn_received, State::established,
                                    State::fin_wait_1, State::fin_wait_2, State::close_wait,   State::closing,
                                    State::last_ack,   State::time_wait,  State::closed};
    State state = kStates[choice % kStates.size()];
    bool active = choice / kStates.size() % 2 == 0;
    if (state == State::listen) {
      // The SYN is the script's.
      std::vector<std::byte> syn = segment();
      auto view = wire::TcpView::parse(syn);
      Segment seg = Segment::from(*view);
      seg.flags = seg.flags.without(wire::kAck | wire::kRst | wire::kFin) | wire::kSyn;
      // A SYN's text begins behind its own number, whatever flags the script had for it.
      std::vector<std::byte> text = stream(seg.seq + 1, fast_open_ ? seg.text.size() : 0);
      seg.text = text;
      open_by(seg);
      return;
    }
    if (active || state == State::syn_sent) {
      connection_.emplace(Connection::active_open(config_, birth_, now_));
      if (fast_open_) c().open_fast(cookie_, in_.u16(), now_);
      if (fast_open_ && state != State::syn_sent) write(1u + in_.u16() % 3'000u);
      drain();
      if (state == State::syn_sent) return;
      if (state == State::syn_received) {
        give_plain(wire::kSyn, 0);
        drain();
      } else {
        give_plain(wire::kSyn | wire::kAck, 0);
      }
    } else {
      std::vector<std::byte> syn = plain(wire::kSyn, 0);
      open_by(Segment::from(*wire::TcpView::parse(syn)));
      drain();
      if (state != State::syn_received) give_plain(wire::kAck, 0);
    }
    if (state == State::syn_received) return reached(state);
    drain();
    reached(State::established);
    // Some text each way, with a hole in what came.
    give_plain(wire::kAck | wire::kPsh, 700);
    peer_nxt_ += 700;
    write(in_.u16() % 20'000);
    drain();
    if (state == State::established) return;
    if (state == State::closed) {
      give_plain(wire::kRst, 0);
      return reached(State::closed);
    }
    if (state == State::close_wait || state == State::last_ack) {
      peer_nxt_ = expected_;
      give_plain(wire::kFin | wire::kAck, 0);
      drain();
      if (state == State::close_wait) return reached(state);
      c().shutdown_write(now_);
      drain();
      return reached(state);
    }
    bool closed = (choice & 128) != 0 && c().readable_bytes() == 0;
    if (closed) {
      c().close(now_);
    } else {
      c().shutdown_write(now_);
    }
    drain();
    reached(State::fin_wait_1);
    if (state == State::fin_wait_1) return;
    peer_nxt_ = expected_;
    if (state == State::closing) {
      std::vector<std::byte> fin = plain(wire::kFin | wire::kAck, 0, una_);
      give(fin);
      return reached(state);
    }
    // A window at a time until all has been acknowledged.
    for (int i = 0; i < 200 && c().state() == State::fin_wait_1; ++i) {
      give_plain(wire::kAck, 0);
      drain();
      if (c().state() == State::fin_wait_1 && c().next_deadline() != Instant::never()) {
        now_ = std::max(now_, c().next_deadline());
        c().on_deadline(now_);
        drain();
      }
    }
    reached(State::fin_wait_2);
    if (state == State::fin_wait_2) return;
    give_plain(wire::kFin | wire::kAck, 0);
    reached(State::time_wait);
  }

  void open_by(const Segment& syn) {
    irs_ = syn.seq;
    peer_nxt_ = expected_ = read_at_ = irs_ + 1;
    connection_.emplace(Connection::passive_open(config_, birth_, syn, now_));
    if (!fast_open_) return;
    require(c().accept_fast(syn, now_));
    if (!cookie_.empty()) c().give_cookie(cookie_);
    require(c().is_early());
  }
  void reached(State state) { require(c().state() == state); }
  Connection& c() { return *connection_; }

  // --- what the peer sends ---

  std::vector<std::byte> bytes(wire::TcpHeader h, std::size_t text) {
    std::vector<std::byte> segment(h.size() + text);
    std::vector<std::byte> sent = stream(SeqNum(h.seq) + (h.flags.syn() ? 1u : 0u), text);
    h.write(segment, kPeer, kUs, sent);
    return segment;
  }
  // As a peer would send it.
  std::vector<std::byte> plain(wire::TcpFlags flags, std::size_t text, std::optional<SeqNum> ack = {}) {
    wire::TcpHeader h;
    h.seq = flags.syn() ? kPeerIss : flags.rst() ? expected_.raw() : peer_nxt_.raw();
    h.ack = flags.ack() ? ack.value_or(sent_).raw() : 0;
    h.flags = flags;
    h.window = wire::WireWindow(flags.syn() || !peer_scale_ ? 60'000 : 60'000 >> 7);
    if (flags.syn()) {
      if (config_.ecn != EcnMode::off) h.flags |= h.flags.ack() ? wire::kEce : wire::kEce | wire::kCwr;
      h.options.mss = 1'400;
      if (peer_scale_) h.options.window_scale = 7;
      h.options.sack_permitted = peer_sack_;
    }
    if (peer_timestamps_) h.options.timestamps = wire::TcpTimestamps{++peer_clock_, echo_};
    return bytes(h, text);
  }
  void give_plain(wire::TcpFlags flags, std::size_t text) { give(plain(flags, text)); }

  SeqNum receive_number() {
    std::uint8_t where = in_.u8();
    const std::array bases = {expected_, expected_,     peer_nxt_, edge_,
                              irs_,      expected_ - 1, edge_ - 1, expected_ + 1'400};
    SeqNum base = bases[where % bases.size()];
    return (where & 64) != 0 ? base + in_.near() : (where & 128) != 0 ? base + in_.u8() : base;
  }
  SeqNum send_number() {
    std::uint8_t where = in_.u8();
    const std::array bases = {sent_, sent_, una_, una_ + 1'400, SeqNum(kIss), sent_ + 1, una_ - 1, sent_ - 1};
    SeqNum base = bases[where % bases.size()];
    return (where & 64) != 0 ? base + in_.near() : (where & 128) != 0 ? base + in_.u8() : base;
  }
  wire::TcpHeader header() {
    constexpr std::array<std::uint8_t, 12> kFlags = {0x10, 0x10, 0x10, 0x18, 0x11, 0x50,
                                                     0x90, 0x02, 0x12, 0x04, 0x14, 0x30};
    wire::TcpHeader h;
    std::uint8_t flags = in_.u8();
    h.flags = wire::TcpFlags(flags < 200 ? kFlags[flags % kFlags.size()] : in_.u8());
    h.seq = receive_number().raw();
    h.ack = send_number().raw();
    h.window = wire::WireWindow(in_.u16());
    return h;
  }
  std::vector<std::byte> segment() {
    wire::TcpHeader h = header();
    std::uint8_t has = in_.u8();
    if ((has & 1) != 0 || peer_timestamps_) {
      std::uint32_t clock = (has & 2) != 0 ? peer_clock_ + in_.near() : ++peer_clock_;
      std::uint32_t echo = (has & 4) != 0 ? echo_ + in_.near() : echo_;
      h.options.timestamps = wire::TcpTimestamps{clock, echo};
      if ((has & 128) != 0) h.options.timestamps.reset();
    }
    if ((has & 8) != 0) {
      for (unsigned i = 0; i < 1u + has % 4; ++i) {
        SeqNum left = send_number();
        SeqNum right = in_.flip() ? send_number() : left + in_.u16();
        h.options.add_sack({left.raw(), right.raw()});
      }
    }
    if ((has & 16) != 0) h.options.mss = in_.u16();
    if ((has & 32) != 0) h.options.window_scale = static_cast<std::uint8_t>(in_.u8() % 15);
    h.options.sack_permitted = (has & 64) != 0;
    if (h.flags.urg()) h.urgent = in_.u16();
    std::uint8_t body = in_.u8();
    ecn_ = static_cast<wire::Ecn>(body % 4);
    std::size_t text = body < 128 ? 0 : in_.u16() % 3'000;
    return bytes(h, text);
  }
  // The script's own option bytes.
  std::vector<std::byte> raw_segment() {
    wire::TcpHeader h = header();
    ConstBytes options = in_.take(static_cast<std::size_t>(in_.u8() % 11) * 4);
    std::size_t size = wire::kTcpHeaderSize + (options.size() + 3) / 4 * 4;
    std::vector<std::byte> text = stream(SeqNum(h.seq) + (h.flags.syn() ? 1u : 0u), in_.u16() % 1'500);
    std::vector<std::byte> segment(wire::kTcpHeaderSize);
    h.write(segment, kPeer, kUs);
    segment.insert(segment.end(), options.begin(), options.end());
    segment.resize(size);
    segment[12] = static_cast<std::byte>((size / 4) << 4);
    segment.insert(segment.end(), text.begin(), text.end());
    return segment;
  }

  void give(const std::vector<std::byte>& segment) {
    // Exactly as long as it is, so that a read beyond it is seen.
    std::vector<std::byte> exact(segment);
    exact.shrink_to_fit();
    auto view = wire::TcpView::parse(exact);
    require(view.has_value());
    Segment seg = Segment::from(*view);
    seg.ecn = ecn_;
    bool opening = c().state() == State::syn_sent;
    c().on_segment(seg, now_);
    if (opening && c().state() >= State::syn_received) {
      irs_ = seg.seq;
      peer_nxt_ = expected_ = read_at_ = irs_ + 1;
    }
    require(!c().owes_challenge_ack() || c().wants_transmit(now_));
  }

  // --- what happens besides ---

  void write(std::size_t most) {
    std::vector<std::byte> text = stream(written_, most);
    written_ += static_cast<std::uint32_t>(c().write(text, now_));
  }
  void read(std::size_t most) {
    std::vector<std::byte> to(most);
    std::size_t n = c().read(to, now_);
    for (std::size_t i = 0; i < n; ++i) require(to[i] == byte_at(read_at_ + static_cast<std::uint32_t>(i)));
    read_at_ += static_cast<std::uint32_t>(n);
  }

  void call() {
    std::uint8_t what = in_.u8();
    switch (what % 16) {
      case 0:
      case 1:
      case 2:
      case 3:
        write(in_.u16() % 20'000);
        break;
      case 4:
      case 5:
      case 6:
        read(in_.u16() % 20'000);
        break;
      case 7:
        c().shutdown_write(now_);
        break;
      case 8:
        if (in_.u8() % 4 == 0) c().shutdown_read(now_);
        break;
      case 9:
        if (in_.u8() % 4 == 0) c().close(now_);
        break;
      case 10:
        if (in_.u8() % 16 == 0) c().abort(now_);
        break;
      case 11:
        c().set_no_delay(in_.flip());
        break;
      case 12: {
        auto names = config_.controllers.names();
        c().set_congestion_control(names[in_.u8() % names.size()], now_);
        break;
      }
      case 13:
        c().withhold_challenge_ack();
        break;
      default: {
        Options o;
        std::uint8_t bits = in_.u8();
        o.no_delay = (bits & 1) != 0;
        o.cork = (bits & 2) != 0;
        o.keepalive = (bits & 4) != 0;
        o.keepalive_count = in_.u8();
        o.keepalive_idle = Duration::seconds(1 + in_.u8());
        o.keepalive_interval = Duration::seconds(1 + in_.u8());
        if ((bits & 8) != 0) o.user_timeout = Duration::milliseconds(in_.u16());
        if ((bits & 16) != 0) o.linger = Duration::milliseconds(in_.u8());
        c().set_options(o, now_);
      }
    }
  }

  void time() {
    std::uint8_t how = in_.u8();
    Instant until = now_ + Duration::microseconds(static_cast<std::int64_t>(in_.u16()) << (how % 12));
    int turns = 0;
    while (c().next_deadline() <= until) {
      now_ = std::max(now_, c().next_deadline());
      c().on_deadline(now_);
      if ((how & 128) == 0) drain();
      require(++turns < 20'000);
    }
    now_ = until;
  }

  void path() {
    std::uint8_t what = in_.u8();
    if (what < 64) {
      c().on_path_mss(in_.u16(), now_);
      return;
    }
    IcmpError e{static_cast<IcmpError::Kind>(what % 5)};
    e.port = (what & 8) != 0;
    e.network = (what & 16) != 0;
    e.mtu = in_.u16() % 2'000;
    c().on_icmp_error(e, send_number(), now_);
  }

  // --- what must hold ---

  void drain() {
    OutSegment out;
    for (int sent = 0;; ++sent) {
      require(sent < 5'000);
      bool wanted = c().wants_transmit(now_);
      require(wanted == c().poll_transmit(out, now_));
      if (!wanted) return;
      on_sent(out);
    }
  }
  void on_sent(const OutSegment& out) {
    const wire::TcpHeader& h = out.header;
    require(h.size() <= 60 && h.size() + out.text_size() <= std::size_t{0xffff});
    if (h.flags.rst()) return;
    require(!(h.flags.syn() && h.flags.fin()));
    SeqNum at = SeqNum(h.seq) + (h.flags.syn() ? 1u : 0u);
    for (ConstBytes piece : out.text) {
      for (std::byte b : piece) {
        require(b == byte_at(at));
        at += 1;
      }
    }
    require(at.at_or_before(out.text_size() != 0 || h.flags.fin() ? written_ : written_ + 1));
    SeqNum end = at + (h.flags.fin() ? 1u : 0u);
    if (end.after(sent_)) sent_ = end;
    if (h.options.timestamps) echo_ = h.options.timestamps->tsval;
    if (!h.flags.ack()) return;
    SeqNum ack(h.ack);
    require(ack.at_or_after(expected_));
    expected_ = ack;
    std::uint8_t shift = h.flags.syn() ? std::uint8_t{0} : c().info(now_).receive_scale;
    SeqNum edge = ack + (std::uint32_t{h.window.raw()} << shift);
    // Rounding down to the scale's unit may take back that much; a SYN's field is too short for every window.
    if (edge_known_ && !h.flags.syn()) require((edge + (1u << shift)).after(edge_));
    if (!edge_known_ || edge.after(edge_)) edge_ = edge;
    edge_known_ = true;
  }

  void check() {
    Info i = c().info(now_);
    require(i.receive_queue <= config_.receive_buffer);
    require(i.send_queue <= config_.send_buffer);
    require(c().buffer_memory() <= 2u * (config_.receive_buffer + config_.send_buffer) + 16'384u);
    require(i.send_mss > 0);
    una_ = sent_ - std::min<std::uint32_t>(i.in_flight, 0x7fff'ffff);
  }

  void finish() {
    read(1'000'000);
    c().close(now_);
    for (int i = 0; i < 20'000 && c().state() != State::closed; ++i) {
      drain();
      if (c().state() == State::closed) break;
      require(c().next_deadline() != Instant::never());
      now_ = std::max(now_, c().next_deadline());
      c().on_deadline(now_);
    }
    drain();
    require(c().finished());
    require(c().next_deadline() == Instant::never());
    require(c().buffer_memory() == 0);
  }

  Script& in_;
  Config config_;
  Birth birth_;
  std::optional<Connection> connection_;
  Instant now_ = Instant::from_ns(3'000'000'000);
  bool fast_open_ = false;
  FastOpenCookie cookie_;
  bool peer_timestamps_ = false;
  bool peer_scale_ = false;
  bool peer_sack_ = false;
  wire::Ecn ecn_ = wire::Ecn::not_ect;  // of the next segment
  std::uint32_t peer_clock_ = 0xffff'fff0;
  std::uint32_t echo_ = 0;
  SeqNum irs_{kPeerIss};
  SeqNum peer_nxt_{kPeerIss + 1};
  SeqNum expected_{kPeerIss + 1};  // RCV.NXT, as it was last told
  SeqNum edge_{kPeerIss + 1};      // of the window, the rightmost told
  bool edge_known_ = false;
  SeqNum read_at_{kPeerIss + 1};
  SeqNum written_{kIss + 1};
  SeqNum sent_{kIss};  // behind what has been sent
  SeqNum una_{kIss};
};

}  // namespace
}  // namespace weir::tcp

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::fuzz::Script script(weir::ConstBytes(reinterpret_cast<const std::byte*>(data), size));
  weir::tcp::World(script).run();
  return 0;
}
