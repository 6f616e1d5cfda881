// SPDX-License-Identifier: MIT
// The user's calls, time, and what can be looked at.
#include "weir/stack/stack.h"

#include <algorithm>
#include <utility>

#include "weir/stack/stack_impl.h"

namespace weir::stack {

// --- time ---

Instant Stack::next_deadline() const {
  return std::min({impl_->wheel.next_deadline(), impl_->next_hops.next_deadline(), impl_->reassembly.next_deadline(),
                   impl_->time_waits.next_deadline()});
}

void Stack::on_deadline(Instant now) {
  Impl& s = *impl_;
  s.counters[WEIR_R_LOST_FRAG_TIMEOUT] += s.reassembly.on_deadline(now);
  s.time_waits.on_deadline(now);
  HopWaiters unanswered;
  s.next_hops.on_deadline(now, unanswered);
  s.give_up(unanswered, tcp::Errc::host_unreachable, now);
  // Those that are due now, and not those that they make due: a connection whose deadline stays in the past must not
  // hold up the others.
  LinkList<Timer, TimerTag> due;
  while (Timer* timer = s.wheel.pop_due(now)) due.push_back(*timer);
  while (Timer* timer = due.pop_front()) s.on_connection_deadline(static_cast<Slot&>(*timer), now);
}

// --- listeners ---

Result<ListenerId, Errc> Stack::listen(const Endpoint& local, std::uint32_t backlog, const tcp::Config* tcp) {
  if (!local.address.is_unspecified() && !impl_->is_local(local.address)) return Err(Errc::address_unavailable);
  Listener* listener = impl_->listeners.open(local, backlog);
  if (listener == nullptr) return Err(Errc::address_in_use);
  listener->tcp = tcp != nullptr ? tcp : &impl_->config.tcp;
  listener->congestion = tcp::kDefaultController;
  return listener->id();
}

void Stack::set_backlog(ListenerId id, std::uint32_t backlog) {
  if (Listener* listener = impl_->listeners.get(id)) listener->backlog = std::max(backlog, 1u);
}

bool Stack::acceptable(ListenerId id) const {
  const Listener* listener = impl_->listeners.get(id);
  return listener != nullptr && !listener->queue.empty();
}

std::optional<ConnectionId> Stack::accept(ListenerId id) {
  Listener* listener = impl_->listeners.get(id);
  if (listener == nullptr) return std::nullopt;
  Slot* slot = listener->queue.pop_front();
  if (slot == nullptr) return std::nullopt;
  --listener->queued_count;
  slot->owner = Owner::user;
  if (slot->fast_open) {
    listener->early.push_back(*slot);
  } else {
    slot->listener = nullptr;
  }
  impl_->note_readiness(*slot);
  return slot->id();
}

void Stack::close_listener(ListenerId id, Instant now) {
  Listener* listener = impl_->listeners.get(id);
  if (listener == nullptr) return;
  for (auto* list : {&listener->pending, &listener->queue}) {
    while (!list->empty()) {
      Slot& slot = list->front();
      slot.tcp->abort(now);
      impl_->hand_to_stack(slot, now);
    }
  }
  while (Slot* slot = listener->early.pop_front()) {
    slot->fast_open = false;
    slot->listener = nullptr;
  }
  impl_->listeners.close(*listener);
}

// --- connections ---

Result<ConnectionId, Errc> Stack::connect(const Endpoint& local, const Endpoint& remote, Instant now,
                                          const tcp::Config* tcp, Opening opening) {
  Impl& s = *impl_;
  if (!s.is_local(local.address) || local.address.family() != remote.address.family()) {
    return Err(Errc::address_unavailable);
  }
  // RFC 1122 4.2.3.10
  const IpAddress& to = remote.address;
  if (to.is_multicast() || to.is_broadcast() || to.is_unspecified()) return Err(Errc::address_unavailable);
  FlowKey key{local.address, remote.address, local.port, remote.port};
  std::uint32_t hash = flow_hash(key, s.config.hash_key);
  bool taken = s.connections.find(key, hash) != nullptr || s.time_waits.find(key, hash) != nullptr;
  if (taken) return Err(Errc::address_in_use);
  if (s.short_of_memory()) return Err(Errc::no_memory);
  Slot* slot = s.create(key, hash);
  if (slot == nullptr) return Err(Errc::no_memory);
  slot->path_mtu = s.path_mtu(key.remote, slot->hop, now);
  slot->tcp.emplace(
      tcp::Connection::active_open(tcp != nullptr ? *tcp : s.config.tcp, s.birth(key, slot->path_mtu, now), now));
  if (opening == Opening::fast) s.begin_fast_open(*slot, now);
  slot->owner = Owner::user;
  ConnectionId id = slot->id();
  s.settle(*slot, now);
  return id;
}

std::size_t Stack::read(ConnectionId id, Bytes to, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return 0;
  std::size_t n = slot->tcp->read(to, now);
  impl_->settle(*slot, now);
  return n;
}

std::size_t Stack::write(ConnectionId id, ConstBytes text, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return 0;
  std::size_t n = slot->tcp->write(text, now);
  impl_->settle(*slot, now);
  return n;
}

void Stack::shutdown_write(ConnectionId id, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return;
  slot->tcp->shutdown_write(now);
  impl_->settle(*slot, now);
}

void Stack::shutdown_read(ConnectionId id, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return;
  slot->tcp->shutdown_read(now);
  impl_->settle(*slot, now);
}

void Stack::close(ConnectionId id, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return;
  slot->tcp->close(now);
  impl_->hand_to_stack(*slot, now);
}

void Stack::abort(ConnectionId id, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return;
  slot->tcp->abort(now);
  impl_->hand_to_stack(*slot, now);
}

void Stack::abort_all(Instant now) {
  impl_->time_waits.clear();
  // Users keep their ids, and hear of it by kFailed.
  impl_->connections.for_each([&](Slot& slot) {
    slot.tcp->abort(now);
    if (slot.owner == Owner::user) {
      impl_->settle(slot, now);
    } else {
      impl_->hand_to_stack(slot, now);
    }
  });
}

void Stack::set_no_delay(ConnectionId id, bool on) {
  if (Slot* slot = impl_->connections.get(id)) slot->tcp->set_no_delay(on);
}

bool Stack::set_options(ConnectionId id, const tcp::Options& options, Instant now) {
  Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return false;
  bool kept = slot->tcp->set_options(options, now);
  impl_->settle(*slot, now);
  return kept;
}

tcp::Options Stack::options(ConnectionId id) const {
  const Slot* slot = impl_->connections.get(id);
  return slot != nullptr ? slot->tcp->options() : impl_->config.tcp.options;
}

bool Stack::set_listener_options(ListenerId id, const tcp::Options& options) {
  Listener* listener = impl_->listeners.get(id);
  if (listener == nullptr) return false;
  listener->options = options;
  return true;
}

tcp::Options Stack::listener_options(ListenerId id) const {
  const Listener* listener = impl_->listeners.get(id);
  if (listener == nullptr) return impl_->config.tcp.options;
  return listener->options ? *listener->options : listener->tcp->options;
}

std::optional<Event> Stack::poll_event() {
  while (EventSource* source = impl_->events.pop_front()) {
    if (source->is_listener) {
      auto& listener = static_cast<Listener&>(*source);
      if (listener.queue.empty()) continue;
      return Event{{}, listener.id(), 0};
    }
    auto& slot = static_cast<Slot&>(*source);
    std::uint8_t bits = slot.pending;
    slot.pending = 0;
    if (bits == 0) continue;
    return Event{slot.id(), {}, bits};
  }
  return std::nullopt;
}

// --- looking ---

std::size_t Stack::readable_bytes(ConnectionId id) const {
  const Slot* slot = impl_->connections.get(id);
  return slot != nullptr ? slot->tcp->readable_bytes() : 0;
}

bool Stack::at_end(ConnectionId id) const {
  const Slot* slot = impl_->connections.get(id);
  return slot != nullptr && slot->tcp->at_end();
}

tcp::Errc Stack::error(ConnectionId id) const {
  const Slot* slot = impl_->connections.get(id);
  if (slot == nullptr) return tcp::Errc::none;
  return slot->failure != tcp::Errc::none ? slot->failure : slot->tcp->error();
}

std::uint8_t Stack::readiness(ConnectionId id) const {
  const Slot* slot = impl_->connections.get(id);
  return slot != nullptr ? impl_->readiness(*slot) : std::uint8_t{0};
}

Endpoint Stack::local_endpoint(ConnectionId id) const {
  const Slot* slot = impl_->connections.get(id);
  return slot != nullptr ? slot->key.local_endpoint() : Endpoint{};
}

Endpoint Stack::remote_endpoint(ConnectionId id) const {
  const Slot* slot = impl_->connections.get(id);
  return slot != nullptr ? slot->key.remote_endpoint() : Endpoint{};
}

tcp::Info Stack::info(ConnectionId id, Instant now) const {
  const Slot* slot = impl_->connections.get(id);
  return slot != nullptr ? slot->tcp->info(now) : tcp::Info{};
}

std::uint64_t Stack::buffer_memory() const { return impl_->buffer_memory; }

std::uint32_t Stack::flows(std::uint16_t local_port) const { return impl_->flows[local_port]; }

void Stack::set_flow_classes(std::uint16_t classes, FlowClassifier classifier) {
  impl_->flow_classifier = std::move(classifier);
  impl_->class_flows.assign(classes, 0);
  if (!impl_->flow_classifier) return;
  impl_->connections.for_each([&](Slot& slot) {
    if (!slot.counted) return;
    slot.flow_class = impl_->classify(slot.key);
    if (slot.flow_class < classes) ++impl_->class_flows[slot.flow_class];
  });
}

std::uint32_t Stack::class_flows(std::uint16_t flow_class) const {
  return flow_class < impl_->class_flows.size() ? impl_->class_flows[flow_class] : 0;
}

std::size_t Stack::connections() const { return impl_->connections.size() + impl_->time_waits.size(); }

std::size_t Stack::time_waits() const { return impl_->time_waits.size(); }

bool Stack::visit_connections(Walk& walk, std::size_t most, Instant now,
                              const std::function<void(const ConnectionSummary&)>& visit) const {
  // After a flood nearly all places may be free: to pass over them takes its time too.
  constexpr std::uint32_t kMostPassed = 4'096;
  const bool waiting = walk.over == Walked::time_wait;
  const std::uint32_t end = waiting ? impl_->time_waits.end_index() : impl_->connections.end_index();
  std::size_t met = 0;
  for (std::uint32_t passed = 0; walk.next < end && met < most && passed < kMostPassed; ++walk.next, ++passed) {
    if (!waiting) {
      const Slot* slot = impl_->connections.allocated(walk.next);
      if (slot == nullptr) continue;
      visit({slot->id(), slot->key.local_endpoint(), slot->key.remote_endpoint(), slot->tcp->info(now)});
    } else {
      const TimeWaitTable::Entry* entry = impl_->time_waits.allocated(walk.next);
      if (entry == nullptr) continue;
      tcp::Info info;
      info.state = tcp::State::time_wait;
      info.timestamps = entry->tcp.timestamps;
      info.receive_window = std::uint32_t{entry->tcp.window} << entry->tcp.scale;
      info.receive_scale = entry->tcp.scale;
      visit({{}, entry->key.local_endpoint(), entry->key.remote_endpoint(), info});
    }
    ++met;
  }
  return walk.next < end;
}

void Stack::for_each_connection(Instant now, const std::function<void(const ConnectionSummary&)>& visit) const {
  Walk walk;
  while (visit_connections(walk, SIZE_MAX, now, visit)) {}
}

std::vector<ConnectionSummary> Stack::list_connections(Instant now) const {
  std::vector<ConnectionSummary> list;
  list.reserve(connections());
  auto add = [&](const ConnectionSummary& c) { list.push_back(c); };
  for_each_connection(now, add);
  Walk walk{Walked::time_wait, 0};
  while (visit_connections(walk, SIZE_MAX, now, add)) {}
  return list;
}

std::vector<ListenerSummary> Stack::list_listeners() const {
  std::vector<ListenerSummary> list;
  impl_->listeners.for_each([&](const Listener& l) {
    list.push_back(
        {l.id(), l.local, l.queued_count, l.pending_count, l.backlog, l.fast_open.limit(), l.fast_open.pending()});
  });
  return list;
}

}  // namespace weir::stack
