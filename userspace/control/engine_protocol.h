// SPDX-License-Identifier: MIT
// How to ask a running engine what only it knows.
//
// An engine listens on a Unix stream socket, engine_socket_path(), mode 0600; it answers root and its own user
// (SO_PEERCRED). A client sends one line, {"cmd":"..."}, and reads one JSON document up to the end of the stream. An
// engine that is stopped does not answer: give up after a second or two and say so.
//
//   {"cmd":"ping"}     {"ok":true,"pid":N}
//   {"cmd":"sync"}     {"ok":true}: the engine has compared its marks with the steering entries just now
//   {"cmd":"sockets"}  {"ok":true,"pid":N,"interface":"eth0","listeners":[...],"fast_open":{...},"time_wait":N,
//                      "connections":[...]}: how many wait in TIME-WAIT, and all others; with "time_wait":true those
//                      too. Told piece by piece: not of one instant
//   {"cmd":"cc"}       {"ok":true,"pid":N,"interface":"eth0","default":"cubic","controllers":["cubic",...],
//                      "connections":{"cubic":N,...}}: congestion control, of new connections, that the engine knows,
//                      and how many connections have each
//   {"cmd":"cc_set","name":"bbr"}
//                      {"ok":true,"name":"bbr","changed":N,"refused":N}: new connections have it, and of the running
//                      ones so many now, and so many cannot (it needs ECN, which they have not negotiated)
//   {"cmd":"dump","snaplen":N}
//                      no document, but a stream of the frames that the engine sends: engine_tap.h
//   anything else      {"ok":false,"error":"..."}
//
// A listener:
//   local           "[::]:8080"
//   mode            "engine": new connections come to the engine (and from this host to the kernel's socket);
//                   "kernel": all are served by the kernel's socket
//   why             mode "kernel": one line; absent otherwise
//   adopted         true: its kernel socket came with LISTEN_FDS
//   queued, pending, backlog   connections that wait for accept(), in SYN-RECEIVED, and the limit; of the engine
//   fast_open, fast_open_pending   connections that may be open to the program before their handshake is over (TCP Fast
//                   Open; 0: off), and that are; of the engine
//
// fast_open: what TCP Fast Open has come to since the engine attached: active, active_failed (text of our SYNs that was
// taken, and was not); passive, passive_failed (SYNs that came with a good cookie, and with another); cookies_given;
// overflows (a good cookie, and fast_open_pending at its limit).
//
// A connection (times in microseconds, sizes in bytes, counts since its birth; tcp/info.h):
//   local, remote   "10.0.0.1:8080"
//   state           as `ss` prints it: "ESTAB", "SYN-RECV", ...
//   congestion      "cubic"; empty before the handshake is over
//   send_queue, recv_queue, srtt_us, rttvar_us, min_rtt_us, rto_us, cwnd, ssthresh, pacing_rate, send_mss, recv_mss,
//   send_window, recv_window, in_flight, bytes_acked, bytes_received, segments_out, segments_in, retransmits, timeouts,
//   out_of_order, send_scale, recv_scale   numbers
//   lost, sacked, delivered, dsacks, undos, ecn_marks, ecn_echoes, recv_buffer, send_buffer   numbers
//   busy_ms, recv_window_limited_ms, send_buffer_limited_ms   numbers: milliseconds
//   timestamps, window_scaling, sack, ecn, reordering_seen   booleans
//   syn_data        boolean: the text of the SYN was taken (TCP Fast Open)
//   In TIME-WAIT state, addresses, recv_window, recv_scale and timestamps are all that is known; the rest is zero.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "weir/base/time.h"
#include "weir/control/instance.h"
#include "weir/xdp/fd.h"

namespace weir::control {

// "/run/weir/<cookie>-<ifindex>/engine.sock"
std::string engine_socket_path(std::uint64_t netns_cookie, std::uint32_t ifindex);
// The stream to the engine that listens there; non-blocking. ENOENT or ECONNREFUSED: there is none.
Outcome<xdp::Fd> connect_engine(const std::string& path);

// A question that is on its way: for one who has a loop of its own and must not wait.
class EngineQuestion {
 public:
  struct Bounds {
    Duration patience = Duration::seconds(2);  // an engine that says nothing for so long is stopped, or very busy
    Duration whole = Duration::max();          // and so long the answer may take in all
    std::size_t octets = SIZE_MAX;             // what an answer may have
  };
  // Connects; does not wait for anything. Codes as ask_engine().
  static Outcome<EngineQuestion> ask(const std::string& path, const std::string& request, Instant now,
                                     const Bounds& bounds);
  int fd() const { return fd_.get(); }
  short events() const;                                                      // what to poll fd() for
  Instant deadline() const { return std::min(quiet_until_, whole_until_); }  // go_on() is due then, whatever happens
  // Goes as far as it can without waiting. Nothing: not done yet; else the answer, or why there is none (EFBIG: it is
  // longer than the bound), and the question is over.
  std::optional<Outcome<std::string>> go_on(Instant now);

 private:
  EngineQuestion(xdp::Fd fd, std::string line, std::string path, Instant now, const Bounds& bounds);
  xdp::Fd fd_;
  std::string line_;
  std::string path_;
  std::size_t sent_ = 0;
  std::string answer_;
  Bounds bounds_;
  Instant quiet_until_;
  Instant whole_until_;
};

// Sends `request`, such as {"cmd":"sockets"}, and returns the answer's text. Codes: ENOENT or ECONNREFUSED no engine
// runs; ETIMEDOUT it is stopped, or busy for longer than `patience`; EACCES it is another user's.
Outcome<std::string> ask_engine(const std::string& path, const std::string& request,
                                Duration patience = Duration::seconds(2));

}  // namespace weir::control
