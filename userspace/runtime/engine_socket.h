// SPDX-License-Identifier: MIT
// The engine's own socket: see control/engine_protocol.h for what is asked and answered there.
#pragma once

#include <functional>
#include <list>
#include <string>

#include "weir/base/time.h"
#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"

namespace weir::runtime {

// An answer in pieces: each call appends one to `out`, and says whether there are more. They are a turn apart, so that
// an answer of any length holds up nothing; and what it speaks of may be gone by the next, which it has to live with.
using Answer = std::function<bool(std::string& out, Instant now)>;
// In one piece.
Answer whole_answer(std::string text);

class EngineSocket {
 public:
  static constexpr std::size_t kMaxClients = 16;  // one more is told so
  EngineSocket() = default;
  EngineSocket(const EngineSocket&) = delete;
  EngineSocket& operator=(const EngineSocket&) = delete;
  ~EngineSocket();

  // A socket file that nobody listens on is replaced.
  xdp::Outcome<void> open(const std::string& path);
  // An epoll descriptor, readable when serve() has something to do; -1 while closed.
  int descriptor() const { return poll_.get(); }

  // Answers whoever has asked, each by a piece. `answer` gets a line without its end. `keep` gets it before, with the
  // client's socket, and may take that: the descriptor goes on to tell of its other end, once for each change.
  using Keep = std::function<bool(const std::string&, xdp::Fd&)>;
  void serve(const std::function<Answer(const std::string&)>& answer, const Keep& keep, Instant now);
  // Lets clients go that neither ask nor read.
  void on_tick(Instant now);

  // In a fork's child: the file stays the parent's.
  void abandon();

 private:
  struct Client {
    xdp::Fd socket;
    std::string in;
    std::string out;
    std::size_t sent = 0;
    Answer more;  // once asked; empty again behind the last piece
    bool asked = false;
    Instant until;
  };
  void accept_clients(Instant now);
  // False when the client is done with.
  bool serve_client(Client& client, const std::function<Answer(const std::string&)>& answer, const Keep& keep,
                    Instant now);
  // Tells the one that is too many; its question is not read.
  static void refuse(int client);
  static void take_piece(Client& client, Instant now);
  bool watch(int fd, std::uint32_t events, int operation);

  static constexpr std::size_t kMaxRequest = 4096;
  static constexpr Duration kPatience = Duration::seconds(5);

  std::string path_;
  xdp::Fd poll_;
  xdp::Fd listener_;
  std::list<Client> clients_;
};

}  // namespace weir::runtime
