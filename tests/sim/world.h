// SPDX-License-Identifier: MIT
// Two hosts, the link between them, and time that jumps from one event to the next.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "host.h"
#include "link.h"
#include "session.h"

namespace weir::sim {

struct Conversation {
  SessionPlan client;
  SessionPlan server;
  Duration starts_after;
  bool fast_open = false;  // by the client
};

// The path from one side narrows or widens while conversations run.
struct MtuChange {
  Duration after;
  bool from_server = false;
  std::uint16_t mtu = 0;    // 0: the link's
  bool black_hole = false;  // no packet-too-big comes back
};

struct WorldParameters {
  std::uint64_t seed = 1;
  stack::Medium medium = stack::Medium::ethernet;
  Family family = Family::v4;
  stack::Config client;
  stack::Config server;
  LinkParameters to_server;
  LinkParameters to_client;
  Duration resolve_after;
  std::uint32_t backlog = 16;
  std::uint32_t fast_open = 0;         // the listener's queue
  Duration routes_change_every;        // zero: never
  std::vector<MtuChange> mtu_changes;  // in order
  std::vector<Conversation> conversations;
};

class World {
 public:
  static constexpr std::uint16_t kPort = 80;
  static constexpr std::uint16_t kFirstClientPort = 10'000;

  explicit World(const WorldParameters& parameters);

  // Until both stacks are empty. The first thing that is wrong, or "".
  std::string run();

  Host& client() { return client_; }
  Host& server() { return server_; }
  Instant now() const { return now_; }
  Duration elapsed() const { return now_ - started_; }
  // When the last conversation had ended, without the TIME-WAIT behind it.
  Duration talk() const { return talk_; }

 private:
  struct Pair {
    std::unique_ptr<Session> client;
    std::unique_ptr<Session> server;
    Instant starts;
    Instant left_alone = Instant::never();  // since when one of the two has waited for one that has reset
    bool started = false;
  };

  static stack::Config complete(stack::Config config, const WorldParameters& p, std::uint8_t host);
  void start(std::size_t i);
  void serve();
  void serve(Host& host, bool is_server);
  void change_mtus();
  void part_the_forsaken();
  bool talking() const;
  Instant next() const;
  std::string verdict();

  WorldParameters p_;
  Instant started_;
  Instant now_;
  Duration talk_;
  Instant routes_change_ = Instant::never();
  std::size_t mtu_changed_ = 0;  // of p_.mtu_changes
  Link to_server_;
  Link to_client_;
  Host client_;
  Host server_;
  stack::ListenerId listener_;
  std::vector<Pair> pairs_;
  std::map<std::uint32_t, std::size_t> client_ids_;
  std::map<std::uint64_t, std::size_t> server_ids_;
  std::string error_;
};

}  // namespace weir::sim
