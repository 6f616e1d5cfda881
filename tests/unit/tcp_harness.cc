// SPDX-License-Identifier: MIT
#include "tcp_harness.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace weir::tcp::test {
namespace {

const IpAddress kHost = IpAddress::v4(192, 0, 2, 1);
const IpAddress kPeer = IpAddress::v4(192, 0, 2, 2);

[[noreturn]] void bad(std::string_view words) { throw std::invalid_argument("not a packet: " + std::string(words)); }

std::uint32_t number(const std::string& token, std::string_view words) {
  char* end = nullptr;
  unsigned long v = std::strtoul(token.c_str(), &end, 10);
  if (token.empty() || *end != 0) bad(words);
  return static_cast<std::uint32_t>(v);
}

void parse_option(Packet& p, const std::string& option, std::string_view words) {
  std::istringstream in(option);
  std::string kind, a, b;
  in >> kind;
  if (kind == "sack") {
    for (std::string block; in >> block;) {
      auto colon = block.find(':');
      if (colon == std::string::npos) bad(words);
      p.sack.push_back({number(block.substr(0, colon), words), number(block.substr(colon + 1), words)});
    }
    return;
  }
  in >> a >> b;
  if (kind == "mss") {
    p.mss = static_cast<std::uint16_t>(number(a, words));
  } else if (kind == "wscale") {
    p.wscale = static_cast<std::uint8_t>(number(a, words));
  } else if (kind == "ts") {
    p.timestamps = true;
    if (!a.empty() && a != "_") p.tsval = number(a, words);
    if (!b.empty() && b != "_") p.tsecr = number(b, words);
  } else if (kind == "nots") {
    p.no_timestamps = true;
  } else if (kind == "sackOK") {
    p.sack_ok = true;
  } else if (kind == "nosack") {
    p.no_sack = true;
  } else if (!kind.empty()) {
    bad(words);
  }
}

wire::TcpFlags flags_of(const std::string& letters) {
  wire::TcpFlags f;
  for (char c : letters) {
    switch (c) {
      case 'S':
        f |= wire::kSyn;
        break;
      case 'F':
        f |= wire::kFin;
        break;
      case 'R':
        f |= wire::kRst;
        break;
      case 'P':
        f |= wire::kPsh;
        break;
      case 'U':
        f |= wire::kUrg;
        break;
      case 'E':
        f |= wire::kEce;
        break;
      case 'W':
        f |= wire::kCwr;
        break;
      case '.':
        f |= wire::kAck;
        break;
      default:
        break;
    }
  }
  return f;
}

std::string letters_of(wire::TcpFlags f) {
  std::string s;
  if (f.syn()) s += 'S';
  if (f.fin()) s += 'F';
  if (f.rst()) s += 'R';
  if (f.psh()) s += 'P';
  if (f.urg()) s += 'U';
  if (f.ece()) s += 'E';
  if (f.cwr()) s += 'W';
  if (f.ack()) s += '.';
  return s.empty() ? "-" : s;
}

}  // namespace

std::byte pattern(bool ours, std::uint64_t at) {
  std::uint64_t h = (at + 1) * 0x9e3779b97f4a7c15ull + (ours ? 1 : 2);
  return static_cast<std::byte>(h >> 56);
}

Config reno_config() {
  Config c;
  c.congestion = "reno";
  return c;
}

Scene plain() {
  Scene s;
  s.config.timestamps = false;
  s.config.window_scale = false;
  return s;
}

Packet Packet::parse(std::string_view words) {
  Packet p;
  std::string text(words);
  if (auto open = text.find('<'); open != std::string::npos) {
    auto shut = text.find('>', open);
    if (shut == std::string::npos) bad(words);
    p.options_given = true;
    std::istringstream options(text.substr(open + 1, shut - open - 1));
    for (std::string option; std::getline(options, option, ',');) parse_option(p, option, words);
    text.erase(open, shut - open + 1);
  }
  std::istringstream in(text);
  std::string range;
  in >> p.flags >> range;
  auto colon = range.find(':');
  auto paren = range.find('(');
  if (colon == std::string::npos || paren == std::string::npos) bad(words);
  p.seq = number(range.substr(0, colon), words);
  p.length = number(range.substr(paren + 1, range.size() - paren - 2), words);
  if (p.seq + p.length != number(range.substr(colon + 1, paren - colon - 1), words)) bad(words);
  for (std::string key, value; in >> key;) {
    if (key == "ect" || key == "ce") {
      p.ecn = key == "ect" ? wire::Ecn::ect0 : wire::Ecn::ce;
      continue;
    }
    if (key == "again") {
      p.retransmission = true;
      continue;
    }
    in >> value;
    if (key == "ack") {
      p.ack = number(value, words);
    } else if (key == "win") {
      p.window = number(value, words);
    } else if (key == "urg") {
      p.urgent = static_cast<std::uint16_t>(number(value, words));
    } else {
      bad(words);
    }
  }
  return p;
}

std::string Packet::to_string() const {
  std::ostringstream s;
  s << flags << ' ' << seq << ':' << seq + length << '(' << length << ')';
  if (ack) s << " ack " << *ack;
  if (window) s << " win " << *window;
  if (retransmission) s << " again";
  if (ecn == wire::Ecn::ect0) s << " ect";
  std::string options;
  if (mss) options += ",mss " + std::to_string(*mss);
  if (sack_ok) options += ",sackOK";
  if (timestamps) {
    options += ",ts";
    if (tsval) options += ' ' + std::to_string(*tsval);
    if (tsecr) options += ' ' + std::to_string(*tsecr);
  }
  if (wscale) options += ",wscale " + std::to_string(*wscale);
  if (!sack.empty()) options += ",sack";
  for (wire::SackBlock b : sack) options += ' ' + std::to_string(b.left) + ':' + std::to_string(b.right);
  if (!options.empty()) s << " <" << options.substr(1) << '>';
  return s.str();
}

bool Packet::matches(const Packet& e) const {
  if (flags != e.flags || seq != e.seq || length != e.length) return false;
  if (e.ack && ack != e.ack) return false;
  if (e.window && window != e.window) return false;
  if (e.retransmission && !retransmission) return false;
  if (e.ecn != wire::Ecn::not_ect && ecn != e.ecn) return false;
  if (!e.options_given) return true;
  if ((e.sack_ok && !sack_ok) || (e.no_sack && !sack.empty()) || (!e.sack.empty() && sack != e.sack)) return false;
  if (!e.sack.empty() || e.no_sack) return true;
  if (mss != e.mss || wscale != e.wscale || timestamps != e.timestamps) return false;
  if (e.tsval && tsval != e.tsval) return false;
  return !e.tsecr || tsecr == e.tsecr;
}

void Peer::arrive(std::string_view syn) {
  Packet p = Packet::parse(syn);
  if (p.timestamps) peer_timestamps = true;
  conn_.emplace(Connection::passive_open(scene_.config, scene_.birth, build(p), now_));
}

void Peer::connected(std::uint32_t window, std::string_view syn_options) {
  connect();
  take();
  in("S. 0:0(0) ack 1 win " + std::to_string(window) + " <" + std::string(syn_options) + ">");
  take();
}

void Peer::accepted(std::uint32_t window, std::string_view syn_options) {
  arrive("S 0:0(0) win " + std::to_string(window) + " <" + std::string(syn_options) + ">");
  take();
  in(". 1:1(0) ack 1 win " + std::to_string(window));
}

// To bytes and back, so that the views and values of the wire are in every test.
Segment Peer::build(const Packet& p) {
  wire::TcpHeader h;
  h.seq = scene_.peer_iss + p.seq;
  h.flags = flags_of(p.flags);
  if (p.ack) h.ack = scene_.birth.iss.raw() + *p.ack;
  h.window = wire::WireWindow(static_cast<std::uint16_t>(p.window.value_or(65'535)));
  h.urgent = p.urgent.value_or(0);
  h.options.mss = p.mss;
  h.options.sack_permitted = p.sack_ok;
  for (wire::SackBlock b : p.sack) {
    h.options.add_sack({scene_.birth.iss.raw() + b.left, scene_.birth.iss.raw() + b.right});
  }
  h.options.window_scale = p.wscale;
  if (p.timestamps || (peer_timestamps && !p.no_timestamps && !h.flags.rst())) {
    h.options.timestamps = wire::TcpTimestamps{p.tsval.value_or(peer_clock()), p.tsecr.value_or(last_tsval_)};
  }
  std::vector<std::byte> text(p.length);
  // In a SYN the text begins behind the SYN.
  std::uint32_t first = h.flags.syn() ? p.seq : p.seq - 1;
  for (std::uint32_t i = 0; i < p.length; ++i) text[i] = pattern(false, first + i);
  in_bytes_.assign(h.size() + text.size(), std::byte{0});
  h.write(in_bytes_, kPeer, kHost, text);
  Segment segment = Segment::from(*wire::TcpView::parse(in_bytes_));
  segment.ecn = p.ecn;
  return segment;
}

weir_reason Peer::deliver(std::string_view words) {
  Packet p = Packet::parse(words);
  if (p.timestamps && flags_of(p.flags).syn()) peer_timestamps = true;
  return conn_->on_segment(build(p), now_);
}

void Peer::in(std::string_view words, weir_reason expected, int line) {
  weir_reason got = deliver(words);
  if (got != expected) {
    ADD_FAILURE_AT("the test", line) << words << "\n  became of it: " << got << ", expected: " << expected;
  }
}

std::optional<Packet> Peer::poll() {
  OutSegment seg;
  bool wanted = conn_->wants_transmit(now_);
  bool sent = conn_->poll_transmit(seg, now_);
  EXPECT_EQ(wanted, sent) << "wants_transmit() and poll_transmit() differ";
  if (!sent) return std::nullopt;

  out_bytes_.emplace_back(seg.header.size() + seg.text_size());
  Bytes bytes(out_bytes_.back());
  seg.header.write(bytes, kHost, kPeer, seg.text[0], seg.text[1]);
  wire::TcpView view = *wire::TcpView::parse(bytes);
  EXPECT_TRUE(view.checksum_ok(kHost, kPeer, wire::ChecksumPolicy::verify));

  Packet p;
  wire::TcpOptions o = view.options();
  p.flags = letters_of(view.flags());
  // An RST for a segment with an ACK stands on the peer's numbers.
  p.seq = view.seq() - scene_.birth.iss.raw();
  p.length = static_cast<std::uint32_t>(view.text().size());
  if (view.flags().ack()) p.ack = view.ack() - scene_.peer_iss;
  p.window = view.window().raw();
  p.mss = o.mss;
  p.wscale = o.window_scale;
  p.sack_ok = o.sack_permitted;
  for (wire::SackBlock b : o.sack_blocks()) { p.sack.push_back({b.left - scene_.peer_iss, b.right - scene_.peer_iss}); }
  p.retransmission = seg.retransmission;
  p.ecn = seg.ecn;
  if (o.timestamps) {
    p.timestamps = true;
    p.tsval = o.timestamps->tsval;
    p.tsecr = o.timestamps->tsecr;
    last_tsval_ = o.timestamps->tsval;
  }
  p.text = view.text();
  for (std::uint32_t i = 0; i < p.length; ++i) {
    if (p.text[i] != pattern(true, p.seq - 1 + i)) {
      ADD_FAILURE() << "wrong text at " << p.seq + i << " in " << p.to_string();
      break;
    }
  }
  return p;
}

std::vector<Packet> Peer::take() {
  std::vector<Packet> packets(left_.begin(), left_.end());
  left_.clear();
  while (auto p = poll()) {
    packets.push_back(*p);
    if (packets.size() > 10'000) {
      ADD_FAILURE() << "it sends without end: " << p->to_string();
      break;
    }
  }
  return packets;
}

void Peer::out(std::initializer_list<const char*> words, int line) {
  std::vector<Packet> got = take();
  bool same = got.size() == words.size();
  for (std::size_t i = 0; same && i < got.size(); ++i) {
    same = got[i].matches(Packet::parse(*(words.begin() + static_cast<std::ptrdiff_t>(i))));
  }
  if (same) return;
  std::ostringstream message;
  message << "expected:\n";
  for (const char* w : words) message << "    " << w << '\n';
  message << "  left:\n";
  for (const Packet& p : got) message << "    " << p.to_string() << '\n';
  ADD_FAILURE_AT("the test", line) << message.str();
}

void Peer::wait(Duration d) {
  Instant until = now_ + d;
  while (conn_->next_deadline() <= until) {
    now_ = std::max(now_, conn_->next_deadline());
    conn_->on_deadline(now_);
    while (auto p = poll()) left_.push_back(*p);
  }
  now_ = until;
}

Duration Peer::wait_for_output(Duration most) {
  Instant from = now_;
  while (left_.empty() && conn_->next_deadline() <= from + most) {
    now_ = std::max(now_, conn_->next_deadline());
    conn_->on_deadline(now_);
    while (auto p = poll()) left_.push_back(*p);
  }
  if (left_.empty()) now_ = from + most;
  return now_ - from;
}

std::size_t Peer::write(std::size_t bytes) {
  std::vector<std::byte> text(bytes);
  for (std::size_t i = 0; i < bytes; ++i) text[i] = pattern(true, written_ + i);
  std::size_t n = conn_->write(text, now_);
  written_ += n;
  return n;
}

std::size_t Peer::read(std::size_t most, int line) {
  std::vector<std::byte> to(std::min(most, conn_->readable_bytes() + 1));
  std::size_t n = conn_->read(to, now_);
  for (std::size_t i = 0; i < n; ++i) {
    if (to[i] != pattern(false, read_ + i)) {
      ADD_FAILURE_AT("the test", line) << "wrong text at byte " << read_ + i << " of the stream";
      break;
    }
  }
  read_ += n;
  return n;
}

}  // namespace weir::tcp::test
