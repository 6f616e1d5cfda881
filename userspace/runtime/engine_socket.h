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

class EngineSocket {
 public:
  EngineSocket() = default;
  EngineSocket(const EngineSocket&) = delete;
  EngineSocket& operator=(const EngineSocket&) = delete;
  ~EngineSocket();

  // A socket file that nobody listens on is replaced.
  xdp::Outcome<void> open(const std::string& path);
  // An epoll descriptor, readable when serve() has something to do; -1 while closed.
  int descriptor() const { return poll_.get(); }

  // Answers whoever has asked. `answer` gets a line without its end and returns the document.
  void serve(const std::function<std::string(const std::string&)>& answer, Instant now);
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
    bool answered = false;
    Instant until;
  };
  void accept_clients(Instant now);
  // False when the client is done with.
  bool serve_client(Client& client, const std::function<std::string(const std::string&)>& answer);
  bool watch(int fd, std::uint32_t events, int operation);

  static constexpr std::size_t kMaxClients = 16;
  static constexpr std::size_t kMaxRequest = 4096;
  static constexpr Duration kPatience = Duration::seconds(5);

  std::string path_;
  xdp::Fd poll_;
  xdp::Fd listener_;
  std::list<Client> clients_;
};

}  // namespace weir::runtime
