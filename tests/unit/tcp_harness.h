// SPDX-License-Identifier: MIT
// A TCP connection's peer, for tests that read as packets:
//
//   Peer p;
//   p.connect();
//   p.out("S 0:0(0) win 65535 <mss 1460,ts,wscale 3>");
//   p.in("S. 0:0(0) ack 1 win 29200 <mss 1460,wscale 7>");
//   p.out(". 1:1(0) ack 1");
//
// Flags are of S F R P U, E for ECE, W for CWR, and "." for ACK; numbers count from each side's ISS, as tcpdump shows
// them; "a:b(n)" is n bytes from a to b. What an expected packet does not say is not compared; text always is, since
// both sides write a pattern that follows from its place in the stream. Every packet goes through the bytes of
// weir/wire/tcp.h, both ways. Time is the test's.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/tcp/connection.h"

namespace weir::tcp::test {

struct Packet {
  std::string flags;
  std::uint32_t seq = 0;
  std::uint32_t length = 0;
  std::optional<std::uint32_t> ack;
  std::optional<std::uint32_t> window;
  std::optional<std::uint16_t> urgent;
  bool options_given = false;
  std::optional<std::uint16_t> mss;
  std::optional<std::uint8_t> wscale;
  bool timestamps = false;
  bool no_timestamps = false;         // "nots"
  bool sack_ok = false;               // of an expected packet: compared only where it says so
  bool no_sack = false;               // "nosack": an expected packet without SACK blocks
  std::vector<wire::SackBlock> sack;  // "sack 2001:3001 4001:5001", compared where given
  std::optional<std::uint32_t> tsval;
  std::optional<std::uint32_t> tsecr;
  bool retransmission = false;
  wire::Ecn ecn = wire::Ecn::not_ect;  // "ect", "ce"
  ConstBytes text;

  static Packet parse(std::string_view words);
  std::string to_string() const;
  // Whether this packet is what `expected` asks for.
  bool matches(const Packet& expected) const;
};

// The default, with the congestion controller whose windows can be told without a calculator.
Config reno_config();

struct Scene {
  Config config = reno_config();
  Birth birth{SeqNum(1'000), 7'000'000, 1460, Family::v4};
  std::uint32_t peer_iss = 5'000;
};

// Without timestamps and window scaling, so that a test of something else has fewer numbers in it.
Scene plain();

// Byte `at` of a stream, counted from its first byte, which has sequence number ISS + 1.
std::byte pattern(bool ours, std::uint64_t at);

class Peer {
 public:
  explicit Peer(const Scene& setup = {}) : scene_(setup) {}

  // --- opening ---
  void connect() { conn_.emplace(Connection::active_open(scene_.config, scene_.birth, now_)); }
  // A SYN that a listener has got.
  void arrive(std::string_view syn);
  // ESTABLISHED, by the active or the passive way, with nothing owed. `window` is the peer's, unscaled.
  void connected(std::uint32_t window = 65'535, std::string_view syn_options = "mss 1460");
  void accepted(std::uint32_t window = 65'535, std::string_view syn_options = "mss 1460");

  // --- packets ---
  void in(std::string_view words, weir_reason expected = WEIR_R_TAKEN_TCP, int line = __builtin_LINE());
  // The same, whatever becomes of it.
  weir_reason deliver(std::string_view words);
  // Exactly these leave now, or have left while wait() ran.
  void out(std::initializer_list<const char*> words, int line = __builtin_LINE());
  void out(const char* words, int line = __builtin_LINE()) { out({words}, line); }
  void silent(int line = __builtin_LINE()) { out({}, line); }
  // Everything that would leave now, unchecked.
  std::vector<Packet> take();
  // The clock goes on; deadlines on the way are served, and what they make leave is kept for out().
  void wait(Duration d);
  // Until something leaves, at most for `most`; returns how long it took.
  Duration wait_for_output(Duration most = Duration::seconds(1'000));

  // --- the user ---
  std::size_t write(std::size_t bytes);
  // Checks the text against the pattern.
  std::size_t read(std::size_t most = 1u << 30, int line = __builtin_LINE());
  void close() { conn_->close(now_); }
  void abort() { conn_->abort(now_); }
  void shutdown_write() { conn_->shutdown_write(now_); }
  void shutdown_read() { conn_->shutdown_read(now_); }

  // --- looking ---
  Connection& operator*() { return *conn_; }
  Connection* operator->() { return &*conn_; }
  State state() const { return conn_->state(); }
  Errc error() const { return conn_->error(); }
  Info info() const { return conn_->info(now_); }
  Instant now() const { return now_; }
  Scene& scene() { return scene_; }
  std::uint32_t peer_clock() const { return peer_clock_ + static_cast<std::uint32_t>(now_.ns() / 1'000'000); }
  std::uint32_t last_tsval() const { return last_tsval_; }
  SeqNum ours(std::uint32_t relative) const { return scene_.birth.iss + relative; }

  // Unless a packet's options say otherwise, once the peer has offered timestamps.
  bool peer_timestamps = false;

 private:
  Segment build(const Packet& p);
  std::optional<Packet> poll();
  void open(const char* how, std::uint32_t window, std::string_view options);

  Scene scene_;
  std::optional<Connection> conn_;
  Instant now_ = Instant::from_ns(1'000'000'000);
  std::uint32_t peer_clock_ = 400'000;
  std::uint32_t last_tsval_ = 0;
  std::uint64_t written_ = 0;
  std::uint64_t read_ = 0;
  std::deque<Packet> left_;                       // during wait()
  std::vector<std::byte> in_bytes_;               // of the packet that is coming in
  std::deque<std::vector<std::byte>> out_bytes_;  // of those that have left
};

}  // namespace weir::tcp::test
