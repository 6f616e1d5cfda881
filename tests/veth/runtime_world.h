// SPDX-License-Identifier: MIT
// What the engine's tests are made of: a loop that turns an engine, an echo server on it, and kernel clients, all in
// one thread, so that a test decides what happens when.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lab.h"
#include "weir/control/instance.h"
#include "weir/runtime/engine.h"
#include "weir/xdp/fd.h"

namespace weir::testing {

// Bytes that differ from one offset and one seed to the next.
std::byte pattern(std::size_t offset, unsigned seed);

// Something that a World's loop steps and that waits for descriptors.
class Party {
 public:
  virtual ~Party() = default;
  virtual void step() = 0;
  virtual std::vector<int> descriptors() const = 0;
};

// A non-blocking kernel TCP connection that sends `size` bytes, reads them back, and compares.
class EchoClient : public Party {
 public:
  // Made in the calling thread's namespace. `remote` is numeric.
  EchoClient(const std::string& remote, std::uint16_t port, std::size_t size, unsigned seed = 1);
  // Of a socket that is connected or connecting.
  EchoClient(xdp::Fd socket, std::size_t size, unsigned seed = 1);

  void step() override;
  std::vector<int> descriptors() const override { return {fd_.get()}; }

  bool connected() const { return connected_; }
  bool done() const { return received_ == size_; }
  // errno of what went wrong, EILSEQ for bytes that are not those sent; 0: nothing.
  int error() const { return error_; }
  // The next `more` bytes.
  void extend(std::size_t more) { size_ += more; }

 private:
  xdp::Fd fd_;
  std::size_t size_;
  unsigned seed_;
  bool connected_ = false;
  std::size_t sent_ = 0;
  std::size_t received_ = 0;
  int error_ = 0;
};

// Echoes whatever comes, by the engine and by the kernel's socket.
class EchoServer : public Party {
 public:
  EchoServer(runtime::Engine& engine, const Endpoint& local, const runtime::ListenOptions& options = {});

  void on_event(const runtime::EngineEvent& event);
  void step() override;
  std::vector<int> descriptors() const override;

  runtime::HybridListenerId listener() const { return listener_; }
  std::uint16_t port() const { return port_; }
  int by_engine() const { return by_engine_; }  // connections accepted so far
  int by_kernel() const { return by_kernel_; }
  int lost() const { return lost_; }

 private:
  struct Flow {
    stack::ConnectionId id;
    std::vector<std::byte> waiting;
  };
  void serve(Flow& flow);

  runtime::Engine& engine_;
  runtime::HybridListenerId listener_;
  std::uint16_t port_ = 0;
  std::vector<Flow> flows_;
  struct Plain {
    xdp::Fd fd;
    std::vector<std::byte> waiting;
  };
  std::vector<Plain> plain_;
  int by_engine_ = 0;
  int by_kernel_ = 0;
  int lost_ = 0;
};

// Turns the engine and steps the parties until `done`; false after ten seconds. Events go to `on_event`.
bool run_until(runtime::Engine& engine, const std::vector<Party*>& parties, const std::function<bool()>& done,
               const std::function<void(const runtime::EngineEvent&)>& on_event = {});

// Attaches weir to veth0 of the calling thread's namespace; throws with the reason.
void attach_here(bool bypass_firewall = false);
control::DetachReport detach_here();
void steer_here(std::uint16_t port);
control::Instance instance_here();

}  // namespace weir::testing
