// SPDX-License-Identifier: MIT
#include "weir/runtime/engine.h"

#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <mutex>

#include "weir/control/steer_selector.h"
#include "weir/runtime/attachment.h"
#include "weir/runtime/listeners.h"
#include "weir/runtime/report.h"
#include "weir/xdp/fork_registry.h"
#include "weir/xdp/inherit.h"

namespace weir::runtime {
namespace {

// Looking for an attachment: once a second, and more often in the first second, for the queues of a process that was
// killed are free only a moment later.
constexpr Duration kRetry = Duration::seconds(1);
constexpr Duration kEagerRetry = Duration::milliseconds(25);
constexpr Duration kEagerFor = Duration::seconds(1);

struct HandedOver {
  control::Instance instance;
  Queues queues;
};

// What `weir run` gave this process, taken once.
class Inheritance {
 public:
  // The one for `interface`, or the first where it is empty.
  std::optional<HandedOver> take(const std::string& interface) {
    const std::lock_guard guard(mutex_);
    if (!read_) read();
    for (auto at = items_.begin(); at != items_.end(); ++at) {
      if (!interface.empty() && at->instance.interface() != interface) continue;
      HandedOver item = std::move(*at);
      items_.erase(at);
      return item;
    }
    return std::nullopt;
  }

 private:
  void read() {
    read_ = true;
    auto inherited = xdp::take_inherited();
    if (!inherited) {
      std::fprintf(stderr, "weir: %s\n", inherited.error().message.c_str());
      return;
    }
    for (const xdp::Inherited& i : *inherited) {
      auto maps = xdp::Maps::adopt(i.maps);
      if (!maps) {
        std::fprintf(stderr, "weir: %s\n", maps.error().message.c_str());
        continue;
      }
      HandedOver item{control::Instance::adopt(std::move(*maps)), {}};
      for (const xdp::SocketFds& s : i.sockets) {
        if (auto socket = xdp::Socket::adopt(s)) item.queues.push_back(std::make_unique<Queue>(std::move(*socket)));
      }
      if (item.queues.size() == i.sockets.size() && !item.queues.empty()) items_.push_back(std::move(item));
    }
  }

  std::mutex mutex_;
  bool read_ = false;
  std::vector<HandedOver> items_;
};

Inheritance& inheritance() {
  static Inheritance one;
  return one;
}

}  // namespace

struct Engine::Impl final : xdp::ForkRegistry::Entry {
  explicit Impl(EngineOptions o);
  ~Impl() override;

  void on_fork_child() override;

  // --- attaching ---
  void look(Instant now);
  xdp::Outcome<control::Instance> find_instance();
  void attached(std::unique_ptr<Attachment> a, Instant now);
  void detached(std::string reason);
  void leave(const std::string& reason, Instant now);
  void listen_again(Instant now);
  bool heed(const Attachment::News& news, Instant now);
  void say(const std::string& line);

  Answer answer(const std::string& request, Instant now);
  std::optional<EngineEvent> translate(const stack::Event& e) const;

  EngineOptions options;
  xdp::Fd poll;
  std::string interface;
  std::optional<HandedOver> handed_over;
  bool was_handed_over = false;
  std::unique_ptr<Attachment> attachment;
  Listeners listeners;
  std::deque<EngineEvent> events;
  std::string why;   // while detached
  std::string said;  // the last line on stderr
  Instant born;
  Instant next_look;
  Instant promised = Instant::never();  // the deadline that the loop was last told
  bool forked = false;                  // this is a fork's child: nothing shared may be touched
};

Engine::Impl::Impl(EngineOptions o) : options(std::move(o)), poll(::epoll_create1(EPOLL_CLOEXEC)) {
  if (options.interface.empty()) {
    if (const char* name = std::getenv("WEIR_INTERFACE")) options.interface = name;
  }
  if (options.app.empty()) {
    if (const char* name = std::getenv("WEIR_APP")) options.app = name;
  }
  if (!options.app.empty()) {
    if (auto app = control::parse_app_name(options.app); !app) {
      std::fprintf(stderr, "weir: %s: the engine goes without a name\n", app.error().message.c_str());
      options.app.clear();
    }
  }
  interface = options.interface;
  xdp::ForkRegistry::add(*this);
  handed_over = inheritance().take(options.interface);
  was_handed_over = handed_over.has_value();
  born = Engine::now();
  look(born);
}

Engine::Impl::~Impl() {
  xdp::ForkRegistry::remove(*this);
  if (attachment == nullptr) return;
  if (!forked) attachment->leave(Attachment::Leave::in_good_order, Engine::now());
}

void Engine::Impl::on_fork_child() {
  forked = true;
  poll.reset();
  listeners.abandon();
  if (attachment != nullptr) attachment->abandon();
}

void Engine::Impl::say(const std::string& line) {
  if (line == said) return;
  said = line;
  std::fprintf(stderr, "weir: %s\n", line.c_str());
}

xdp::Outcome<control::Instance> Engine::Impl::find_instance() {
  if (!options.interface.empty()) return control::Instance::open(options.interface);
  auto all = control::list();
  if (!all) return Err(all.error());
  std::vector<control::InstanceSummary> here;
  for (control::InstanceSummary& s : *all) {
    if (!s.stale) here.push_back(std::move(s));
  }
  if (here.empty()) return xdp::fail("weir is not attached to any interface here (weir attach IFACE)", ENOENT);
  if (here.size() > 1) {
    return xdp::fail(
        "weir is attached to " + here[0].interface + " and " + here[1].interface + ": say which by WEIR_INTERFACE",
        EINVAL);
  }
  return control::Instance::open(here.front());
}

void Engine::Impl::look(Instant now) {
  next_look = now + kRetry;
  Queues none;
  xdp::Outcome<std::unique_ptr<Attachment>> a = xdp::fail("");
  if (handed_over) {
    a = Attachment::open(handed_over->instance, handed_over->queues, options, now);
  } else if (was_handed_over) {
    a = xdp::fail("the attachment that `weir run` handed over is gone: start this program anew by `weir run`", ENOENT);
  } else if (auto instance = find_instance()) {
    a = Attachment::open(*instance, none, options, now);
  } else {
    a = Err(instance.error());
  }
  if (a) {
    handed_over.reset();
    attached(std::move(*a), now);
    return;
  }
  // A queue whose owner has just been killed is free in a moment: no word of it yet.
  if (a.error().code == EBUSY && now < born + kEagerFor) {
    next_look = now + kEagerRetry;
    why = a.error().message;
    return;
  }
  const bool barred = a.error().code == EPERM || a.error().code == EACCES;
  detached(barred ? "no privileges for the engine (" + a.error().message + "); `weir run` gives them"
                  : a.error().message);
}

void Engine::Impl::attached(std::unique_ptr<Attachment> a, Instant now) {
  attachment = std::move(a);
  interface = attachment->interface();
  why.clear();
  for (int fd : attachment->descriptors()) {
    epoll_event e{};
    e.events = EPOLLIN;
    ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, fd, &e);
  }
  say("attached to " + attachment->describe());
  if (!attachment->firewall_line().empty()) say(interface + ": " + attachment->firewall_line());
  listen_again(now);
}

void Engine::Impl::detached(std::string reason) {
  why = std::move(reason);
  say("serving by kernel sockets: " + why);
}

void Engine::Impl::leave(const std::string& reason, Instant now) {
  attachment->leave(Attachment::Leave::detaching, now);
  attachment.reset();
  listeners.forget_stack();
  events.push_back({EngineEvent::Kind::lost, {}, {}, 0});
  detached(interface + ": " + reason);
  born = Instant{};  // no eager retries: whoever detaches is not dying
  next_look = now + kRetry;
}

void Engine::Impl::listen_again(Instant now) {
  listeners.listen_in(attachment->stack(), attachment->addresses(), now);
  attachment->mark(listeners, now);
}

// False when the attachment is gone.
bool Engine::Impl::heed(const Attachment::News& news, Instant now) {
  if (!news.gone.empty()) {
    leave(news.gone, now);
    return false;
  }
  if (news.firewall) {
    say(interface + ": " +
        (attachment->firewall_line().empty() ? "no firewall in the way: serving by the engine"
                                             : attachment->firewall_line()));
  }
  if (news.addresses || news.firewall) listen_again(now);
  return true;
}

Answer Engine::Impl::answer(const std::string& request, Instant now) {
  const Request asked = parse_request(request);
  switch (asked.command) {
    case Command::ping:
      return whole_answer(report_ping());
    case Command::sync:
      attachment->mark(listeners, now);
      return whole_answer(report_ok());
    case Command::sockets:
      return report_sockets(
          {interface, listeners, attachment->stack(), attachment->firewall_line(), attachment->shared_ports()},
          asked.time_wait);
    case Command::cc:
      return whole_answer(report_cc(interface, attachment->stack(), now));
    case Command::cc_set: {
      std::string told = change_cc(asked.name, attachment->stack(), now);
      // The next stack, after an attachment anew, begins so.
      options.tcp.congestion = attachment->stack().congestion_control();
      return whole_answer(std::move(told));
    }
    case Command::dump:
      return whole_answer(report_busy());
    case Command::unknown:
      break;
  }
  return whole_answer(report_unknown());
}

std::optional<EngineEvent> Engine::Impl::translate(const stack::Event& e) const {
  if (e.connection) return EngineEvent{EngineEvent::Kind::connection, e.connection, {}, e.readiness};
  if (auto id = listeners.find(e.listener)) return EngineEvent{EngineEvent::Kind::acceptable, {}, *id, 0};
  return std::nullopt;
}

// --- the public face ---

Engine::Engine(EngineOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
Engine::~Engine() = default;

Instant Engine::now() { return Instant::from_ns(xdp::monotonic_ns()); }

int Engine::descriptor() const { return impl_->poll.get(); }

Instant Engine::next_deadline() const {
  if (impl_->forked) return Instant::never();
  return impl_->attachment != nullptr ? impl_->attachment->next_deadline() : impl_->next_look;
}

bool Engine::turn() {
  Impl& i = *impl_;
  if (i.forked) return false;
  const Instant now = Engine::now();
  if (i.attachment == nullptr) {
    if (now >= i.next_look) i.look(now);
    return false;
  }
  if (now > i.promised) i.attachment->note_lag(now - i.promised);
  const bool received = i.attachment->receive(now);
  auto answer = [&](const std::string& request) { return i.answer(request, now); };
  if (!i.heed(i.attachment->listen_to_kernel(answer, now), now)) return received;
  if (!i.heed(i.attachment->tick(i.listeners, now), now)) return received;
  const bool sent = i.attachment->advance(now);
  i.promised = i.attachment->next_deadline();
  i.attachment->note_lag(Engine::now() - now);
  return received || sent;
}

void Engine::flush() {
  Impl& i = *impl_;
  if (i.forked || i.attachment == nullptr) return;
  i.attachment->flush(Engine::now());
  i.promised = i.attachment->next_deadline();
}

std::optional<EngineEvent> Engine::poll_event() {
  Impl& i = *impl_;
  if (i.forked) return std::nullopt;
  if (!i.events.empty()) {
    EngineEvent e = i.events.front();
    i.events.pop_front();
    return e;
  }
  if (i.attachment == nullptr) return std::nullopt;
  while (auto e = i.attachment->stack().poll_event()) {
    if (auto out = i.translate(*e)) return out;
  }
  return std::nullopt;
}

bool Engine::attached() const { return !impl_->forked && impl_->attachment != nullptr; }

std::string Engine::why_detached() const {
  const Impl& i = *impl_;
  if (i.forked) return "this process is a fork of the engine's";
  if (i.attachment == nullptr) return i.why;
  if (!i.attachment->firewall_line().empty()) return i.attachment->firewall_line();
  if (!i.attachment->shared_ports().empty()) {
    return kSharedPort + std::string(": port ") + std::to_string(*i.attachment->shared_ports().begin());
  }
  if (!i.listeners.all().empty() && !i.attachment->listening()) {
    return "none of its ports is steered on " + i.interface + " (weir steer add)";
  }
  return {};
}

const std::string& Engine::interface() const { return impl_->interface; }

stack::Stack* Engine::stack() { return attached() ? &impl_->attachment->stack() : nullptr; }

Result<HybridListenerId, xdp::Error> Engine::listen(const Endpoint& local, const ListenOptions& options) {
  Impl& i = *impl_;
  auto id = i.listeners.open(local, options);
  if (id && attached()) i.listen_again(now());
  return id;
}

int Engine::kernel_descriptor(HybridListenerId listener) const {
  const Listener* l = impl_->listeners.find(listener);
  return l != nullptr ? l->kernel.socket.get() : -1;
}

Endpoint Engine::local_endpoint(HybridListenerId listener) const {
  const Listener* l = impl_->listeners.find(listener);
  return l != nullptr ? l->kernel.local : Endpoint{};
}

std::optional<stack::ConnectionId> Engine::accept(HybridListenerId listener) {
  return attached() ? impl_->listeners.accept(listener, impl_->attachment->stack()) : std::nullopt;
}

void Engine::close_listener(HybridListenerId listener) {
  Impl& i = *impl_;
  if (!attached()) {
    i.listeners.close(listener, nullptr, Instant{});
    return;
  }
  // The mark goes first, so that no new connection comes to a listener that is about to go.
  const Listener* l = i.listeners.find(listener);
  if (l == nullptr) return;
  const Instant at = now();
  i.attachment->unmark(l->kernel.local.port, i.listeners, at);
  i.listeners.close(listener, &i.attachment->stack(), at);
  i.listen_again(at);
}

Result<void, xdp::Error> Engine::set_fast_open(HybridListenerId listener, int queue) {
  return impl_->listeners.set_fast_open(listener, queue, stack());
}

int Engine::fast_open(HybridListenerId listener) const {
  const Listener* l = impl_->listeners.find(listener);
  return l != nullptr ? static_cast<int>(l->fast_open) : 0;
}

Result<ConnectPlan, xdp::Error> Engine::connect(const Endpoint& local, const Endpoint& remote, stack::Opening opening) {
  if (!attached()) return ConnectPlan{};
  auto made = impl_->attachment->connect(local, remote, now(), opening);
  if (!made) return Err(made.error());
  return ConnectPlan{*made};
}

}  // namespace weir::runtime
