// SPDX-License-Identifier: MIT
// Everything that an engine has only while it is attached: the instance's maps, a socket a queue, the stack, and what
// feeds it. It exists whole or not at all.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "weir/control/firewall.h"
#include "weir/control/instance.h"
#include "weir/runtime/engine.h"
#include "weir/runtime/engine_socket.h"
#include "weir/runtime/heartbeat.h"
#include "weir/runtime/kernel_watch.h"
#include "weir/runtime/link.h"
#include "weir/runtime/listeners.h"
#include "weir/runtime/next_hops.h"
#include "weir/runtime/port_pool.h"
#include "weir/runtime/queue.h"
#include "weir/runtime/sock_diag.h"
#include "weir/runtime/steering.h"
#include "weir/runtime/taps.h"
#include "weir/stack/stack.h"

namespace weir::runtime {

using Queues = std::vector<std::unique_ptr<Queue>>;

class Attachment {
 public:
  // `handed_over`: sockets from `weir run`, or none. They and `instance` are taken upon success only, so that a queue
  // that is busy can be tried again. Code EBUSY: another engine has the queues.
  static xdp::Outcome<std::unique_ptr<Attachment>> open(control::Instance& instance, Queues& handed_over,
                                                        const EngineOptions& options, Instant now);
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;
  // Without leave(): as a crash would.
  ~Attachment() = default;

  // Whose readiness means work.
  std::vector<int> descriptors() const;

  stack::Stack& stack() { return *stack_; }
  const std::vector<IpAddress>& addresses() const { return addresses_; }
  const std::string& interface() const { return link_.name; }
  // "eth0 (1 queue, copy mode)"
  std::string describe() const;

  // --- one turn, in this order ---

  // Frames in, and the heartbeat. True if there were any.
  bool receive(Instant now);
  struct News {
    bool addresses = false;  // changed: listeners are to be looked at again
    bool firewall = false;   // its judgement changed
    std::string gone;        // not empty: leave, for this reason
  };
  // What the kernel and other processes have said. `answer` serves the engine's own socket.
  News listen_to_kernel(const std::function<Answer(const std::string&)>& answer, Instant now);
  // Periodic work. Does nothing before it is due.
  News tick(const Listeners& listeners, Instant now);
  // Deadlines, next hops, frames out. True if frames moved.
  bool advance(Instant now);
  // What the user's calls have made due, out.
  bool flush(Instant now);

  // Marks the steering entries of the ports on which the stack accepts: not where the firewall forbids it, and not
  // where our listener leaves out an address on which somebody else's listens, for entries know ports and no addresses.
  void mark(const Listeners& listeners, Instant now);
  // New connections on that port go to the kernel from here on.
  void unmark(std::uint16_t port, const Listeners& listeners, Instant now);
  void tick_soon() { next_tick_ = Instant{}; }
  Instant next_deadline() const;
  void note_lag(Duration lag) { heartbeat_.note_lag(lag); }

  // Empty, or why acceptors stay on kernel sockets though we are attached.
  const std::string& firewall_line() const { return firewall_line_; }
  // An entry of one of the ports carries our mark.
  bool listening() const { return listening_; }
  // Ports that were left to the kernel because somebody else listens on another address of the interface.
  const std::set<std::uint16_t>& shared_ports() const { return shared_ports_; }

  // The kernel's routing says that `remote` is reached by this interface: begins the connection. Nothing where a kernel
  // socket is to be used.
  xdp::Outcome<std::optional<stack::ConnectionId>> connect(const Endpoint& local, const Endpoint& remote, Instant now,
                                                           stack::Opening opening);

  enum class Leave : std::uint8_t { in_good_order, detaching, interface_gone };
  // Resets the flows, writes the last frames, takes the marks away, closes the sockets.
  void leave(Leave how, Instant now);
  // In a fork's child: closes descriptors, touches nothing that is shared.
  void abandon();

 private:
  explicit Attachment(control::Instance instance);

  const weir_config& config() const { return instance_.config(); }
  xdp::Outcome<void> come_up(Queues& handed_over, const EngineOptions& options, Instant now);
  xdp::Outcome<void> open_queues(Queues& handed_over, std::uint32_t frames, Instant now);
  xdp::Outcome<void> check_free(std::uint32_t queues, Instant now) const;
  void make_stack(const tcp::Config& tcp);
  void start(const std::string& app, Instant now);
  std::uint16_t stack_mtu() const;
  void tell_syn_answer(Instant now);
  void read_addresses_again(Instant now);
  void forget_left_addresses(Instant now);
  void write_addresses();
  void on_link(const Link& link, Instant now);
  bool bypasses_firewall() const;
  bool judge_firewall();
  std::string program_gone();
  void mark_ports(std::set<std::uint16_t> ports, const Listeners& listeners, Instant now);
  void once_a_second(News& news, Instant now);
  bool send(Instant now);

  static constexpr Duration kTick = Duration::milliseconds(200);
  static constexpr Duration kSecond = Duration::seconds(1);
  static constexpr Duration kKernelLook = Duration::milliseconds(1);
  static constexpr Duration kStallPause = Duration::microseconds(200);
  static constexpr Duration kLeftFor = Duration::seconds(60);
  static constexpr Duration kFlushPause = Duration::milliseconds(100);
  static constexpr Duration kFirewallLook = Duration::seconds(10);

  control::Instance instance_;
  control::NetlinkSocket requests_;
  KernelWatch watch_;
  control::FirewallWatch firewall_watch_;
  SockDiag diag_;
  Link link_;
  std::uint64_t pins_inode_ = 0;  // of the pinned config map; another one means another attachment
  std::vector<IpAddress> addresses_;
  std::map<IpAddress, Instant> left_;  // no longer the interface's, but connections have them still; until when
  Heartbeat heartbeat_;
  Queues queues_;
  std::unique_ptr<stack::Stack> stack_;
  stack::Secrets secrets_;
  NextHops next_hops_{requests_};
  std::unique_ptr<Steering> steering_;
  std::unique_ptr<PortPool> ports_;
  EngineSocket engine_socket_;
  Taps taps_;

  std::string firewall_line_;
  bool listening_ = false;
  std::set<std::uint16_t> shared_ports_;
  bool drained_ = false;  // an entry waits to be reaped
  bool stalled_ = false;
  bool more_to_send_ = false;
  bool bypassed_ = false;
  bool routes_changed_ = false;
  bool interface_gone_ = false;
  Instant next_tick_;
  Instant next_flush_;
  Instant next_second_;
  Instant next_kernel_look_;
  Instant next_firewall_look_;
};

}  // namespace weir::runtime
