// SPDX-License-Identifier: MIT
// The engine: a stack, its AF_XDP sockets, and all that it must know from the kernel. One object serves one interface,
// runs on one thread and never blocks. Whoever owns the loop (asio/ for Asio users) waits for descriptor() to be
// readable or for next_deadline(), then calls turn().
//
// It is always usable. Without privileges, without weir on the interface, or while another process holds the queues it
// has no stack (attached() is false, why_detached() says why in one line), and listeners are served by their kernel
// sockets alone. It looks again by itself and attaches when it can; when the program goes away it aborts its flows and
// detaches.
//
// Not thread-safe, except that any number of engines may live in one process.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "weir/base/ip_address.h"
#include "weir/base/result.h"
#include "weir/base/time.h"
#include "weir/stack/stack.h"
#include "weir/xdp/error.h"

namespace weir::runtime {

struct EngineOptions {
  // Empty: $WEIR_INTERFACE, or else the one interface of this network namespace that weir is attached to.
  std::string interface;
  // Its name: steering entries that name an application are for the engine of that name alone. Empty: $WEIR_APP, or
  // none. 1 to 15 letters, digits, '_', '-' or '.', no '-' first; another one counts as none, and stderr says so.
  std::string app;
  std::uint32_t frames = 8192;  // of UMEM, per queue
  tcp::Config tcp;              // buffers that name no most of their own grow to 4 MiB
};

// A listening port, in the kernel always and in the stack while there is one. Never reused while the engine lives.
struct HybridListenerId {
  std::uint32_t value = 0;
  explicit operator bool() const { return value != 0; }
  friend bool operator==(const HybridListenerId&, const HybridListenerId&) = default;
};

// What happened, for the owner of the loop to pass on.
struct EngineEvent {
  enum class Kind : std::uint8_t {
    connection,  // `readiness` of `connection`, as stack::Event
    acceptable,  // accept(listener) has something
    lost,        // the stack is gone, and every ConnectionId of it with it: operations end with tcp::Errc::aborted
  };
  Kind kind;
  stack::ConnectionId connection;
  HybridListenerId listener;
  std::uint8_t readiness = 0;
};

struct ListenOptions {
  int backlog = 4096;  // of the stack; the kernel caps its own by net.core.somaxconn
  bool ipv6_only = false;
  bool reuse_address = true;
  int fast_open = 0;  // TCP_FASTOPEN (tcp(7)): connections that may be accepted before their handshake is over; 0: off
};

// How an outgoing connection is to be made.
struct ConnectPlan {
  // Unset: by a kernel socket (a local destination, a route by another interface, or no stack).
  std::optional<stack::ConnectionId> connection;
};

class Engine {
 public:
  explicit Engine(EngineOptions options);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  // Resets its flows, writes its last frames, closes its sockets, and takes its marks out of the maps.
  ~Engine();

  static Instant now();  // CLOCK_MONOTONIC

  // --- the loop ---

  // An epoll descriptor; it becomes readable when turn() has something to do. Owned by the engine, constant for its
  // life.
  int descriptor() const;
  // When turn() is wanted at the latest, though nothing be readable: the stack's deadline, the heartbeat (at least 4 a
  // second).
  Instant next_deadline() const;
  // Whatever is there to do, once: frames in, netlink, deadlines, heartbeat, frames out. True if frames moved, so that
  // a caller may spin. The clock is read once.
  bool turn();
  // Sends what the user's calls have made due, without waiting for the next turn. Call after a batch of user calls.
  void flush();
  std::optional<EngineEvent> poll_event();

  // --- what it is ---

  bool attached() const;
  // One line: no privileges, not attached, queue busy, firewall, ... Empty while attached and steering.
  std::string why_detached() const;
  const std::string& interface() const;
  // The stack, or null while detached. Calls on it are the caller's, between turns, on the same thread.
  stack::Stack* stack();

  // --- the hybrid ---

  // Opens (or takes over from LISTEN_FDS) the kernel's listening socket, non-blocking, and listens in the stack too
  // whenever there is one. `local.port` 0 lets the kernel choose. Errors are the kernel's (EADDRINUSE, EACCES, ...).
  Result<HybridListenerId, xdp::Error> listen(const Endpoint& local, const ListenOptions& options);
  // The kernel's socket, to be awaited by the caller; owned by the engine, closed by close_listener().
  int kernel_descriptor(HybridListenerId listener) const;
  Endpoint local_endpoint(HybridListenerId listener) const;
  std::optional<stack::ConnectionId> accept(HybridListenerId listener);
  void close_listener(HybridListenerId listener);
  // TCP_FASTOPEN, as in ListenOptions, from now on: of the engine's listener and of the kernel's.
  Result<void, xdp::Error> set_fast_open(HybridListenerId listener, int queue);
  int fast_open(HybridListenerId listener) const;

  // Begins a connection by the stack where the kernel's routing says that it leaves by this interface and a local port
  // could be reserved; otherwise says that a kernel socket is to be used. `local` may be unspecified.
  Result<ConnectPlan, xdp::Error> connect(const Endpoint& local, const Endpoint& remote,
                                          stack::Opening opening = stack::Opening::handshake);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace weir::runtime
