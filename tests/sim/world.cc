// SPDX-License-Identifier: MIT
#include "world.h"

#include <algorithm>
#include <array>

namespace weir::sim {
namespace {

// A conversation whose one end has reset may leave the other waiting for a RST that was lost; nobody is obliged to
// keep such a connection alive, so its user gives up.
constexpr Duration kPatience = Duration::seconds(300);
constexpr Duration kLongest = Duration::seconds(24 * 3600);
constexpr std::uint64_t kMostTurns = 20'000'000;

MacAddress mac_of(std::uint8_t host) { return {{2, 0, 0, 0, 0, host}}; }

IpAddress address_of(Family family, std::uint8_t host) {
  if (family == Family::v4) return IpAddress::v4(192, 0, 2, host);
  std::array<std::byte, 16> bytes{};
  bytes[0] = std::byte{0x20};
  bytes[1] = std::byte{0x01};
  bytes[2] = std::byte{0x0d};
  bytes[3] = std::byte{0xb8};
  bytes[15] = static_cast<std::byte>(host);
  return IpAddress::v6(bytes.data());
}

}  // namespace

stack::Config World::complete(stack::Config config, const WorldParameters& p, std::uint8_t host) {
  config.medium = p.medium;
  config.mac = mac_of(host);
  return config;
}

World::World(const WorldParameters& p)
    : p_(p),
      // Not zero, and not round: nothing may depend on where a clock starts.
      started_(Instant::from_ns(static_cast<std::int64_t>(p.seed % 1'000) * 7'777'777'777)),
      now_(started_),
      to_server_(p.to_server, p.seed * 4 + 1),
      to_client_(p.to_client, p.seed * 4 + 2),
      client_(complete(p.client, p, 1), p.seed * 4 + 3, p.resolve_after),
      server_(complete(p.server, p, 2), p.seed * 4 + 4, p.resolve_after),
      pairs_(p.conversations.size()) {
  client_.attach(to_server_, mac_of(2), p.to_server.path_mtu, p.to_server.black_hole);
  server_.attach(to_client_, mac_of(1), p.to_client.path_mtu, p.to_client.black_hole);
  if (p.routes_change_every.count_ns() != 0) routes_change_ = now_ + p.routes_change_every;
  for (std::uint8_t n = 1; n <= 2; ++n) {
    std::array<IpAddress, 2> addresses{address_of(Family::v4, n), address_of(Family::v6, n)};
    (n == 1 ? client_ : server_).stack().set_local_addresses(addresses);
  }
  auto listener = server_.stack().listen({IpAddress{}, kPort}, p.backlog);
  if (listener) {
    listener_ = *listener;
    server_.stack().set_fast_open(listener_, p.fast_open);
  } else {
    error_ = "cannot listen";
  }
  for (std::size_t i = 0; i < pairs_.size(); ++i) pairs_[i].starts = now_ + p.conversations[i].starts_after;
}

void World::start(std::size_t i) {
  pairs_[i].started = true;
  auto port = static_cast<std::uint16_t>(kFirstClientPort + i);
  auto opening = p_.conversations[i].fast_open ? stack::Opening::fast : stack::Opening::handshake;
  auto id = client_.stack().connect({address_of(p_.family, 1), port}, {address_of(p_.family, 2), kPort}, now_, nullptr,
                                    opening);
  if (!id) {
    error_ = "cannot connect";
    return;
  }
  pairs_[i].client = std::make_unique<Session>(client_.stack(), *id, p_.conversations[i].client);
  client_ids_[id->index] = i;
}

void World::serve(Host& host, bool is_server) {
  while (auto event = host.stack().poll_event()) {
    if (event->listener) {
      if (!is_server) error_ = "a listener's event where none is";
      while (auto id = host.stack().accept(event->listener)) {
        std::size_t i = static_cast<std::size_t>(host.stack().remote_endpoint(*id).port - kFirstClientPort);
        // A cookie lives on in the network: the ACK with it, or the SYN where it is Fast Open's, come late, opens a
        // connection that its client has left (RFC 7413 6.1).
        bool cookies = p_.server.syn_cookies != stack::SynCookies::never || p_.fast_open != 0;
        bool ghost = cookies && i < pairs_.size() && pairs_[i].server != nullptr && pairs_[i].server->done();
        if (ghost) {
          host.stack().abort(*id, now_);
          continue;
        }
        if (i >= pairs_.size() || pairs_[i].server != nullptr) {
          error_ = "a second connection of one client port";
          return;
        }
        pairs_[i].server = std::make_unique<Session>(host.stack(), *id, p_.conversations[i].server);
        server_ids_[id->index] = i;
      }
      continue;
    }
    auto& ids = client_ids_;
    std::size_t i = is_server ? server_ids_.at(event->connection.index) : ids.at(event->connection.index);
    Session& session = is_server ? *pairs_[i].server : *pairs_[i].client;
    if (session.id() != event->connection) {
      error_ = "an event for a connection that is no more";
      return;
    }
    if (session.done()) error_ = "an event after close";
    session.serve(event->readiness, now_);
  }
}

void World::change_mtus() {
  for (; mtu_changed_ < p_.mtu_changes.size(); ++mtu_changed_) {
    const MtuChange& change = p_.mtu_changes[mtu_changed_];
    if (now_ < started_ + change.after) return;
    (change.from_server ? server_ : client_).set_path_mtu(change.mtu, change.black_hole);
  }
}

void World::serve() {
  change_mtus();
  if (now_ >= routes_change_) {
    routes_change_ = talking() ? now_ + p_.routes_change_every : Instant::never();
    client_.flush_next_hops();
    server_.flush_next_hops();
  }
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    Pair& pair = pairs_[i];
    if (!pair.started && now_ >= pair.starts) start(i);
    for (Session* session : {pair.client.get(), pair.server.get()}) {
      if (session != nullptr && now_ >= session->alarm()) session->serve(0, now_);
    }
  }
  serve(client_, false);
  serve(server_, true);
  client_.pump(now_);
  server_.pump(now_);
}

void World::part_the_forsaken() {
  for (Pair& pair : pairs_) {
    if (pair.client == nullptr) continue;
    bool client_done = pair.client->done();
    bool server_done = pair.server == nullptr || pair.server->done();
    bool reset = pair.client->aborted() || (pair.server != nullptr && pair.server->aborted());
    if (client_done == server_done || !reset) {
      pair.left_alone = Instant::never();
      continue;
    }
    if (pair.left_alone == Instant::never()) pair.left_alone = now_;
    if (now_ - pair.left_alone < kPatience) continue;
    (client_done ? *pair.server : *pair.client).give_up(now_);
  }
}

bool World::talking() const {
  return std::any_of(pairs_.begin(), pairs_.end(), [](const Pair& p) {
    return !p.started || !p.client->done() || (p.server != nullptr && !p.server->done());
  });
}

Instant World::next() const {
  Instant at = std::min({client_.next_deadline(), server_.next_deadline(), to_server_.next_arrival(),
                         to_client_.next_arrival(), routes_change_});
  if (mtu_changed_ < p_.mtu_changes.size()) at = std::min(at, started_ + p_.mtu_changes[mtu_changed_].after);
  for (const Pair& pair : pairs_) {
    if (!pair.started) at = std::min(at, pair.starts);
    if (pair.client != nullptr) at = std::min(at, pair.client->alarm());
    if (pair.server != nullptr) at = std::min(at, pair.server->alarm());
    if (pair.left_alone != Instant::never()) at = std::min(at, pair.left_alone + kPatience);
  }
  return at;
}

std::string World::run() {
  std::uint64_t idle_turns = 0;
  for (std::uint64_t turn = 0; error_.empty(); ++turn) {
    serve();
    if (talking()) {
      talk_ = elapsed();
    } else if (client_.stack().connections() + server_.stack().connections() == 0) {
      break;
    }
    part_the_forsaken();
    Instant at = next();
    if (at == Instant::never()) return verdict() + "; nothing will ever happen again";
    if (at - started_ > kLongest) return verdict() + "; a day has passed";
    if (turn > kMostTurns) return verdict() + "; too many turns";
    // A deadline that does not move forward would burn a CPU.
    idle_turns = at <= now_ ? idle_turns + 1 : 0;
    if (idle_turns > 1'000) return verdict() + "; time stands still";
    now_ = std::max(now_, at);
    client_.receive(to_client_, now_);
    server_.receive(to_server_, now_);
    if (client_.stack().next_deadline() <= now_) client_.stack().on_deadline(now_);
    if (server_.stack().next_deadline() <= now_) server_.stack().on_deadline(now_);
  }
  return verdict();
}

std::string World::verdict() {
  if (!error_.empty()) return error_;
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    const Pair& pair = pairs_[i];
    std::string name = "conversation " + std::to_string(i);
    std::string state = " (client " + (pair.client ? pair.client->describe() : "none") + "; server " +
                        (pair.server ? pair.server->describe() : "none") + ")";
    for (const Session* s : {pair.client.get(), pair.server.get()}) {
      if (s != nullptr && !s->complaint().empty()) return name + ": " + s->complaint() + state;
    }
    bool reset = (pair.client && pair.client->aborted()) || (pair.server && pair.server->aborted());
    if (reset) continue;
    if (!pair.client || !pair.server) return name + " never began" + state;
    if (!pair.client->complete() || !pair.server->complete()) return name + " is not complete" + state;
  }
  for (Host* host : {&client_, &server_}) {
    if (host->stack().connections() != 0) return "connections are left";
    if (!host->stack().list_connections(now_).empty()) return "connections are listed";
    if (host->stack().flows(kPort) != 0) return "flows are left";
    if (host->counted_frames() != host->received_frames()) {
      return "frames: " + std::to_string(host->received_frames()) + " received, " +
             std::to_string(host->counted_frames()) + " counted";
    }
  }
  return "";
}

}  // namespace weir::sim
