// SPDX-License-Identifier: MIT
#include "weir/runtime/attachment.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "weir/control/engine_protocol.h"
#include "weir/control/heartbeat.h"
#include "weir/control/interface.h"
#include "weir/control/lock.h"
#include "weir/control/steer.h"
#include "weir/runtime/random.h"
#include "weir/runtime/report.h"
#include "weir/stack/siphash.h"

namespace weir::runtime {
namespace {

constexpr std::uint32_t kMostBuffer = 4 * 1024 * 1024;

constexpr std::uint32_t kEthernet = 14;
constexpr std::uint32_t kIdleRing = 64;

// 0 where there is no such file.
std::uint64_t inode_of(const std::string& path) {
  struct stat st {};
  return ::stat(path.c_str(), &st) == 0 ? static_cast<std::uint64_t>(st.st_ino) : 0;
}

std::string config_pin(const control::Instance& instance) {
  return instance.directory().empty() ? std::string() : instance.directory() + "/" + xdp::map_name(xdp::MapId::config);
}

bool is_alive(std::uint32_t pid) { return pid != 0 && (::kill(static_cast<pid_t>(pid), 0) == 0 || errno == EPERM); }

stack::Secrets secrets_of(const xdp::Maps& maps) {
  stack::Secrets out;
  auto stored = maps.secrets();
  if (!stored) {
    // Not ours to read: sequence numbers are then unpredictable still, but do not go on over a restart.
    out.isn_key = random_value<decltype(out.isn_key)>();
    out.timestamp_key = random_value<decltype(out.timestamp_key)>();
    out.cookie_key = random_value<decltype(out.cookie_key)>();
    return out;
  }
  std::copy(std::begin(stored->isn_key), std::end(stored->isn_key), out.isn_key.begin());
  std::copy(std::begin(stored->timestamp_key), std::end(stored->timestamp_key), out.timestamp_key.begin());
  std::copy(std::begin(stored->cookie_key), std::end(stored->cookie_key), out.cookie_key.begin());
  return out;
}

}  // namespace

Attachment::Attachment(control::Instance instance) : instance_(std::move(instance)) {}

// --- coming up ---

xdp::Outcome<std::unique_ptr<Attachment>> Attachment::open(control::Instance& instance, Queues& handed_over,
                                                           const EngineOptions& options, Instant now) {
  std::unique_ptr<Attachment> a(new Attachment(std::move(instance)));
  auto up = a->come_up(handed_over, options, now);
  if (up) return a;
  instance = std::move(a->instance_);
  return Err(up.error());
}

xdp::Outcome<void> Attachment::come_up(Queues& handed_over, const EngineOptions& options, Instant now) {
  if ((xdp::load(config().flags) & WEIR_CONFIG_DETACHING) != 0) {
    return xdp::fail("weir is being detached from " + instance_.interface(), ENOENT);
  }
  const std::uint32_t ifindex = config().ifindex;
  // Notices are subscribed to before anything is read, so that no change falls in between.
  if (int e = watch_.open(ifindex)) return Err(xdp::system_error(e, "subscribing to rtnetlink"));
  if (int e = requests_.open(NETLINK_ROUTE)) return Err(xdp::system_error(e, "opening rtnetlink"));
  // Both may fail: without sock_diag the kernel is asked about each segment; without CAP_NET_ADMIN nobody tells us of
  // changes to the firewall.
  (void)diag_.open();
  (void)firewall_watch_.open();

  auto link = read_link(requests_, ifindex);
  if (!link) return xdp::fail("interface " + instance_.interface() + " no longer exists", ENODEV);
  if (!link->xdp) {
    return xdp::fail("the program of weir is gone from " + link->name + ": `weir detach " + link->name +
                         "`, then `weir attach " + link->name + "`",
                     ENOENT);
  }
  link_ = *link;
  pins_inode_ = inode_of(config_pin(instance_));
  addresses_ = read_addresses(requests_, ifindex);

  if (auto opened = open_queues(handed_over, options.frames, now); !opened) return opened;
  make_stack(options.tcp);
  start(options.app, now);
  return {};
}

// Opening a socket costs megabytes of pinned memory, so a living owner is believed before it is tried.
xdp::Outcome<void> Attachment::check_free(std::uint32_t queues, Instant now) const {
  for (const weir_heartbeat& h : instance_.maps().heartbeats().first(queues)) {
    const std::uint32_t pid = xdp::load(h.pid);
    if (control::engine_state(h, now) != control::EngineState::alive || !is_alive(pid)) continue;
    return xdp::fail("the engine of process " + std::to_string(pid) + " has the queues of " + instance_.interface(),
                     EBUSY);
  }
  return {};
}

xdp::Outcome<void> Attachment::open_queues(Queues& handed_over, std::uint32_t frames, Instant now) {
  std::uint32_t queues = static_cast<std::uint32_t>(handed_over.size());
  if (queues == 0) {
    auto interface = control::read_interface(link_.ifindex);
    if (!interface) return Err(interface.error());
    queues = std::clamp<std::uint32_t>(interface->rx_queues, 1, WEIR_MAX_QUEUES);
  }
  if (auto free = check_free(queues, now); !free) return free;

  Queues opened;
  for (std::uint32_t q = 0; handed_over.empty() && q < queues; ++q) {
    xdp::SocketConfig config;
    config.ifindex = link_.ifindex;
    config.queue = q;
    config.umem.frames = frames;
    if (q != 0) {
      // Only the first queue's socket sends; the others need what their fill ring holds.
      config.rings.tx = config.rings.completion = kIdleRing;
      config.umem.frames = std::min(frames, config.rings.fill + kIdleRing);
    }
    const std::uint32_t chunk = xdp::chunk_size_for_mtu(link_.mtu);
    config.umem.chunk_size = chunk != 0 ? chunk : 4096;
    auto socket = xdp::Socket::create(config);
    if (!socket) return Err(socket.error());
    opened.push_back(std::make_unique<Queue>(std::move(*socket)));
  }
  // A driver may take a zero-copy bind under generic XDP too; each frame is then copied all the same, and into a socket
  // buffer first, while the driver has given up its own buffers.
  const auto mode = xdp::load(config().xdp_mode) == WEIR_XDP_GENERIC ? xdp::BindMode::copy : xdp::BindMode::automatic;
  for (auto& queue : handed_over.empty() ? opened : handed_over) {
    if (auto r = queue->open(mode); !r) return r;
  }
  queues_ = handed_over.empty() ? std::move(opened) : std::exchange(handed_over, {});
  return {};
}

// What the link carries, or what a chunk holds of it: the MSS that we announce keeps peers within it.
std::uint16_t Attachment::stack_mtu() const {
  const std::uint32_t chunk = queues_.front()->socket().umem().chunk_size();
  const std::uint32_t held = chunk - xdp::kKernelHeadroom - queues_.front()->socket().umem().headroom() - kEthernet;
  return static_cast<std::uint16_t>(std::min({link_.mtu, held, std::uint32_t{65'535}}));
}

void Attachment::make_stack(const tcp::Config& tcp) {
  stack::Config c;
  c.mac = link_.mac;
  c.mtu = stack_mtu();
  c.checksum = (xdp::load(config().flags) & WEIR_CONFIG_PARTIAL_CSUM) != 0 ? wire::ChecksumPolicy::verify_or_partial
                                                                           : wire::ChecksumPolicy::verify;
  c.hash_key = {config().hash_key[0], config().hash_key[1]};
  c.tcp = tcp;
  if (c.tcp.most_receive_buffer == 0) c.tcp.most_receive_buffer = kMostBuffer;
  if (c.tcp.most_send_buffer == 0) c.tcp.most_send_buffer = kMostBuffer;
  auto& counters = instance_.maps().engine_counters()[0].by_reason;
  static_assert(WEIR_REASON_COUNT <= WEIR_ENGINE_COUNTERS);
  secrets_ = secrets_of(instance_.maps());
  stack_ = std::make_unique<stack::Stack>(c, secrets_, random_value<std::uint64_t>(),
                                          stack::Counters(&counters[0], WEIR_REASON_COUNT));
  const xdp::Maps& maps = instance_.maps();
  for (weir_flow_cell& cell : maps.flow_cells()) xdp::store(cell.flows, weir_u16{0});
  stack_->guard_by(maps.flow_cells(), &maps.syn_answer().answered_ns);
  stack_->set_local_addresses(addresses_);
  next_hops_.set_interface({link_.ifindex, link_.vrf, stack_mtu()});
}

// What XDP's SYN guard says in our name.
void Attachment::tell_syn_answer(Instant now) {
  const stack::Stack::SynAnswer says = stack_->syn_answer(now);
  weir_syn_answer& told = instance_.maps().syn_answer();
  const auto cookie_key = stack::siphash_key(secrets_.cookie_key);
  const auto timestamp_key = stack::siphash_key(secrets_.timestamp_key);
  for (std::size_t i = 0; i < 2; ++i) {
    xdp::store(told.cookie_key[i], weir_u64{cookie_key[i]});
    xdp::store(told.timestamp_key[i], weir_u64{timestamp_key[i]});
  }
  xdp::store(told.mss4, weir_u16{says.mss4});
  xdp::store(told.mss6, weir_u16{says.mss6});
  xdp::store(told.window, weir_u16{says.window});
  xdp::store(told.scale, weir_u8{says.scale.value_or(0)});
  xdp::store(told.flags, (says.timestamps ? weir_u32{WEIR_ANSWER_TIMESTAMPS} : 0u) |
                             (says.scale ? weir_u32{WEIR_ANSWER_SCALE} : 0u) |
                             (says.sack ? weir_u32{WEIR_ANSWER_SACK} : 0u) |
                             (says.ecn ? weir_u32{WEIR_ANSWER_ECN} : 0u));
  xdp::store(told.valid, weir_u32{1});
}

void Attachment::start(const std::string& app, Instant now) {
  const xdp::Maps& maps = instance_.maps();
  const auto queues = static_cast<std::uint32_t>(queues_.size());
  const std::uint64_t mask = queues >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << queues) - 1;
  steering_ = std::make_unique<Steering>(maps, mask, app);
  ports_ = std::make_unique<PortPool>(maps, *steering_);
  heartbeat_ = Heartbeat(maps.heartbeats().first(queues));

  // We hold the queues, so whoever left marks and heartbeats is dead.
  heartbeat_.stop();
  steering_->clear_marks();
  ports_->reap_orphans(now);
  // EPERM for an engine without privileges: the map is then as attach made it.
  (void)maps.set_local_addresses(addresses_);
  judge_firewall();
  // Under `weir run` there may be no right to make it: then nobody can ask, and all else works.
  (void)engine_socket_.open(control::engine_socket_path(config().netns_cookie, config().ifindex));

  for (std::uint32_t q = 0; q < queues; ++q) {
    heartbeat_.start(q, queues_[q]->socket().is_zero_copy(), app, now);
    // EPERM where `weir run` has put it there already.
    (void)maps.set_xsk(q, queues_[q]->socket().fd());
  }
  tell_syn_answer(now);
  heartbeat_.beat(now);
  next_second_ = now + kSecond;
  next_firewall_look_ = now + kFirewallLook;
}

std::vector<int> Attachment::descriptors() const {
  std::vector<int> fds{watch_.descriptor(), firewall_watch_.descriptor(), engine_socket_.descriptor()};
  for (const auto& q : queues_) fds.push_back(q->socket().fd());
  fds.erase(std::remove(fds.begin(), fds.end(), -1), fds.end());
  return fds;
}

std::string Attachment::describe() const {
  const bool zero_copy =
      std::all_of(queues_.begin(), queues_.end(), [](const auto& q) { return q->socket().is_zero_copy(); });
  return link_.name + " (" + std::to_string(queues_.size()) + (queues_.size() == 1 ? " queue, " : " queues, ") +
         (zero_copy ? "zero-copy" : "copy mode") + ")";
}

// --- a turn ---

bool Attachment::receive(Instant now) {
  // What was queued while XDP thought us silent is discarded as far as it begins something new: the kernel has its
  // retransmission. All of it is taken before XDP is told that we are back.
  const bool lapsed = heartbeat_.lapsed(now);
  std::size_t frames = 0;
  for (auto& q : queues_) {
    frames += q->receive(*stack_, lapsed ? Queue::Amount::all : Queue::Amount::budget, lapsed, now);
  }
  heartbeat_.beat(now);
  return frames != 0;
}

Attachment::News Attachment::listen_to_kernel(const std::function<Answer(const std::string&)>& answer, Instant now) {
  News news;
  if ((xdp::load(config().flags) & WEIR_CONFIG_DETACHING) != 0) news.gone = "weir is being detached from it";
  if (now < next_kernel_look_) return news;
  next_kernel_look_ = now + kKernelLook;

  const KernelChanges changes = watch_.drain();
  if (changes.gone) {
    interface_gone_ = true;
    news.gone = "the interface no longer exists";
    return news;
  }
  if (changes.overrun) {
    if (auto link = read_link(requests_, link_.ifindex)) on_link(*link, now);
  } else if (changes.link) {
    on_link(*changes.link, now);
  }
  if (changes.addresses || changes.overrun) {
    read_addresses_again(now);
    news.addresses = true;
  }
  for (const Neighbour& n : changes.neighbours) next_hops_.on_neighbour(n, *stack_, now);
  // A routing daemon at work announces many changes: they are heeded together.
  routes_changed_ = routes_changed_ || changes.routes || changes.overrun;
  if (routes_changed_ && now >= next_flush_) {
    routes_changed_ = false;
    next_flush_ = now + kFlushPause;
    next_hops_.flush(*stack_, now);
  }
  if (firewall_watch_.changed()) news.firewall = judge_firewall();
  const auto keep = [this](const std::string& line, xdp::Fd& socket) {
    const Request request = parse_request(line);
    return request.command == Command::dump && taps_.add(socket, request.snaplen);
  };
  engine_socket_.serve(answer, keep, now);
  if (taps_.listening()) taps_.look();
  return news;
}

void Attachment::on_link(const Link& link, Instant now) {
  const std::uint16_t mtu_before = stack_mtu();
  const MacAddress mac_before = link_.mac;
  link_ = link;
  if (link.mac != mac_before) {
    stack_->set_mac(link.mac);
    // XDP compares with this one. A frame that is judged between two of its bytes goes to the kernel.
    auto& mac = instance_.maps().config().mac;
    for (std::size_t i = 0; i < link.mac.bytes.size(); ++i) xdp::store(mac[i], weir_u8{link.mac.bytes[i]});
  }
  if (stack_mtu() != mtu_before) {
    stack_->set_link_mtu(stack_mtu(), now);
    tell_syn_answer(now);
  }
  next_hops_.set_interface({link_.ifindex, link_.vrf, stack_mtu()});
}

void Attachment::read_addresses_again(Instant now) {
  std::vector<IpAddress> before = std::exchange(addresses_, read_addresses(requests_, link_.ifindex));
  for (const IpAddress& a : addresses_) {
    left_.erase(a);
    std::erase(before, a);
  }
  if (!before.empty()) {
    std::set<IpAddress> used;
    stack_->for_each_connection(now, [&](const stack::ConnectionSummary& c) { used.insert(c.local.address); });
    for (const IpAddress& a : before) {
      if (used.contains(a)) left_[a] = now + kLeftFor;
    }
  }
  write_addresses();
}

void Attachment::forget_left_addresses(Instant now) {
  if (std::erase_if(left_, [&](const auto& left) { return now >= left.second; }) != 0) write_addresses();
}

// A connection outlives its address, as a kernel's does. Were the address forgotten here, the kernel would have a
// moment, when it comes back, in which it knows the address and we do not, and would reset the connection. For a while
// only: the address may have gone to stay, and this host may forward to where it is now.
void Attachment::write_addresses() {
  std::vector<IpAddress> left;
  for (const auto& [address, until] : left_) left.push_back(address);
  stack_->set_local_addresses(addresses_);
  (void)instance_.maps().set_local_addresses(addresses_, left);
}

bool Attachment::bypasses_firewall() const { return (xdp::load(config().flags) & WEIR_CONFIG_BYPASS_FIREWALL) != 0; }

bool Attachment::judge_firewall() {
  std::string line;
  bypassed_ = bypasses_firewall();
  if (!bypassed_) {
    const control::FirewallReport report = control::inspect_firewall(link_.name);
    switch (report.state) {
      case control::FirewallReport::State::open:
        break;
      case control::FirewallReport::State::rules:
        line = "the host's firewall would not see its traffic (" + report.what +
               "): serving by kernel sockets; `weir attach --replace --bypass-firewall " + link_.name +
               "` if that is meant";
        break;
      case control::FirewallReport::State::not_known:
        line = "cannot tell whether the host has a firewall (" + report.what + "): serving by kernel sockets; `weir " +
               "attach --replace --bypass-firewall " + link_.name + "` if it has none";
        break;
    }
  }
  const bool changed = line != firewall_line_;
  firewall_line_ = std::move(line);
  if (changed) tick_soon();
  return changed;
}

Attachment::News Attachment::tick(const Listeners& listeners, Instant now) {
  News news;
  if (now < next_tick_) return news;
  next_tick_ = now + kTick;
  mark(listeners, now);
  if (now >= next_second_) once_a_second(news, now);
  return news;
}

void Attachment::mark(const Listeners& listeners, Instant now) {
  shared_ports_.clear();
  if (const auto partial = listeners.partial_ports(addresses_); !partial.empty()) {
    auto others = diag_.ports_with_other_listeners(partial, listeners.inodes());
    // Where the kernel cannot say, they might be there.
    shared_ports_ = others ? *others : partial;
  }
  mark_ports(listeners.ports(), listeners, now);
}

void Attachment::unmark(std::uint16_t port, const Listeners& listeners, Instant now) {
  std::set<std::uint16_t> ports = listeners.ports();
  ports.erase(port);
  mark_ports(std::move(ports), listeners, now);
}

void Attachment::mark_ports(std::set<std::uint16_t> ports, const Listeners& listeners, Instant now) {
  if (!firewall_line_.empty()) ports.clear();
  std::set<std::uint16_t> whole = ports;
  for (std::uint16_t shared : shared_ports_) whole.erase(shared);
  // An entry that is for some of our addresses asks about those only.
  const auto accepts = [&](const control::Selector& s) {
    if (s.is_range() || s.to.any || whole.contains(s.first)) return whole.contains(s.first);
    if (!ports.contains(s.first)) return false;
    std::vector<IpAddress> meant;
    for (const IpAddress& a : addresses_) {
      if (s.to.contains(a)) meant.push_back(a);
    }
    return !meant.empty() && listeners.covers(s.first, meant);
  };
  const Steering::Scan scan = steering_->scan(whole, accepts, *stack_, now);
  listening_ = scan.listening;
  drained_ = scan.drained;
}

void Attachment::once_a_second(News& news, Instant now) {
  next_second_ = now + kSecond;
  heartbeat_.write_lag();
  forget_left_addresses(now);
  const auto counters = instance_.maps().engine_counters();
  for (std::size_t q = 0; q < queues_.size(); ++q) queues_[q]->fold_statistics(counters[q]);
  steering_->clear_kernel(diag_);
  next_hops_.on_tick(*stack_, now);
  engine_socket_.on_tick(now);
  ports_->reap_orphans(now);
  if (drained_) {
    if (auto lock = control::Lock::acquire(Duration{})) (void)control::reap_drained(instance_.maps(), now);
  }
  // Legacy iptables and a change of --bypass-firewall give no notice.
  if (now >= next_firewall_look_ || bypasses_firewall() != bypassed_) {
    next_firewall_look_ = now + kFirewallLook;
    news.firewall = judge_firewall();
  }
  if (news.gone.empty()) news.gone = program_gone();
}

std::string Attachment::program_gone() {
  auto link = read_link(requests_, link_.ifindex);
  if (!link) {
    interface_gone_ = true;
    return "the interface no longer exists";
  }
  if (!link->xdp) return "the program of weir is gone from it";
  const std::string pin = config_pin(instance_);
  if (!pin.empty() && inode_of(pin) != pins_inode_) return "weir was detached from it";
  return {};
}

bool Attachment::advance(Instant now) {
  stack_->on_deadline(now);
  return flush(now);
}

bool Attachment::flush(Instant now) {
  next_hops_.serve(*stack_, now);
  const bool sent = send(now);
  steering_->update_flows(*stack_);
  return sent;
}

// All by queue 0's socket: which queue carries a frame out matters to nobody, and one ring keeps a flow in order.
bool Attachment::send(Instant now) {
  const Queue::Sent sent = queues_.front()->send(*stack_, taps_, now);
  stalled_ = sent.stalled;
  more_to_send_ = sent.more;
  if (sent.gone) {
    interface_gone_ = true;
    next_kernel_look_ = Instant{};
  }
  return sent.frames != 0;
}

Instant Attachment::next_deadline() const {
  const Instant last_turn = heartbeat_.next_due() - Heartbeat::kInterval;
  if (more_to_send_) return last_turn;
  Instant due = std::min({stack_->next_deadline(), heartbeat_.next_due(), next_tick_});
  // Frames that found no room are tried again in a moment: no descriptor tells of a completion.
  if (stalled_) due = std::min(due, last_turn + kStallPause);
  return due;
}

// --- connecting ---

xdp::Outcome<std::optional<stack::ConnectionId>> Attachment::connect(const Endpoint& local, const Endpoint& remote,
                                                                     Instant now, stack::Opening opening) {
  const std::optional<stack::ConnectionId> by_kernel;
  const IpAddress& to = remote.address;
  if (!firewall_line_.empty() || to.is_unspecified() || to.is_multicast() || to.is_broadcast() || to.is_loopback()) {
    return by_kernel;
  }
  const IpAddress asked = local.address.is_unspecified() ? IpAddress() : local.address;
  auto route = next_hops_.route_by_us(asked, to);
  if (!route) return by_kernel;
  const IpAddress source = asked.is_unspecified() ? route->source : asked;
  if (std::find(addresses_.begin(), addresses_.end(), source) == addresses_.end()) return by_kernel;

  if (local.port != 0) {
    auto port = ports_->reserve(local.port, now);
    if (!port) {
      if (port.error().code == EADDRINUSE) return Err(port.error());
      return by_kernel;
    }
    auto made = stack_->connect({source, *port}, remote, now, nullptr, opening);
    if (made) return std::optional(*made);
    return xdp::fail("connecting from " + local.to_string() + ": that address is in use for this peer", EADDRINUSE);
  }
  for (std::size_t n = 0;; ++n) {
    auto port = ports_->port(n, now);
    if (!port) return by_kernel;
    auto made = stack_->connect({source, *port}, remote, now, nullptr, opening);
    if (made) return std::optional(*made);
    if (made.error() != stack::Errc::address_in_use) return by_kernel;
  }
}

// --- going down ---

void Attachment::leave(Leave how, Instant now) {
  xdp::store(instance_.maps().syn_answer().valid, weir_u32{0});
  steering_->clear_marks();
  stack_->abort_all(now);
  if (how != Leave::interface_gone && !interface_gone_) {
    // Resets are not retransmitted, so they are worth a few attempts; none of them waits.
    constexpr int kAttempts = 64;
    for (int i = 0; i < kAttempts && (stack_->wants_transmit(now) || stalled_ || more_to_send_); ++i) {
      next_hops_.serve(*stack_, now);
      send(now);
    }
    // A tool that detaches holds the lock and waits for us; the maps go with it.
    if (how == Leave::in_good_order) ports_->withdraw(Duration::seconds(1));
  }
  const auto counters = instance_.maps().engine_counters();
  for (std::size_t q = 0; q < queues_.size(); ++q) queues_[q]->fold_statistics(counters[q]);
  queues_.clear();
  steering_->clear_marks();
  // Last: it tells a waiting tool that the sockets are closed.
  heartbeat_.stop();
}

void Attachment::abandon() {
  watch_.close();
  requests_.close();
  diag_.close();
  firewall_watch_.close();
  engine_socket_.abandon();
  taps_.abandon();
  ports_->close();
}

}  // namespace weir::runtime
