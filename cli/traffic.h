// SPDX-License-Identifier: MIT
// What passes an interface, by each way of looking at it, with rates: from two observations, and from nothing else.
// `stats`, `top` and their JSON are written from it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "output.h"
#include "weir/control/stats.h"

namespace weir::cli {

// Frames. Octets count from the Ethernet header on; of the engine's and the rings' reasons only frames are counted.
struct Volume {
  std::uint64_t packets = 0;
  std::optional<std::uint64_t> bytes;
  double packets_per_second = 0;  // 0 where there is one observation only
  std::optional<double> bits_per_second;
};

struct VerdictTraffic {
  weir_verdict verdict = WEIR_V_PASS;
  Volume volume;
};
struct ReasonTraffic {
  const control::ReasonFacts* reason = nullptr;
  Volume volume;
};
struct RuleTraffic {
  std::string name;
  std::string rule;  // as `filter add` takes it
  Volume volume;
};
struct PortTraffic {
  control::SteerEntry entry;
  std::string state;  // listening_name()
  Volume volume;      // of frames to the engine
};
// An engine's process, with all its queues.
struct EngineTraffic {
  std::uint32_t pid = 0;
  std::string application;  // the process's name: any octets; empty where it cannot be read
  std::string state;        // of its worst queue, as `status` says it
  std::vector<std::uint32_t> queues;
  std::uint64_t connections = 0;
  Duration heartbeat_age;  // the oldest
  Duration uptime;
  Duration loop_lag;  // the longest turn of the last second
  double taken_per_second = 0;
  double lost_per_second = 0;
  double ring_per_second = 0;
};

// A connection as an engine tells it (control/engine_protocol.h).
struct Connection {
  std::string local;
  std::string remote;
  std::string state;
  std::uint64_t bytes_received = 0;  // of text, since its birth
  std::uint64_t bytes_acked = 0;
  std::uint64_t retransmits = 0;
  std::uint64_t srtt_us = 0;
  std::uint64_t recv_queue = 0;
  std::uint64_t send_queue = 0;
};
// What an engine has told, and when.
struct Connections {
  Instant at;
  std::vector<Connection> all;
  std::uint64_t time_wait = 0;
};
// Of the answer to {"cmd":"sockets"}; what is missing or of another type is zero or empty.
Connections read_connections(const Json& answer, Instant at);

struct ConnectionTraffic {
  Connection connection;
  double received_per_second = 0;  // bits of text
  double sent_per_second = 0;      // likewise, acknowledged
  double retransmits_per_second = 0;
};

// One look at an interface.
struct Observation {
  control::Snapshot snapshot;
  std::vector<std::string> applications;   // by index in snapshot.queues
  std::optional<Connections> connections;  // the last that the engine told; nothing: it was not asked, or is silent
};

struct Traffic {
  std::optional<double> interval;  // seconds that the rates stand for
  std::vector<VerdictTraffic> verdicts;
  std::vector<ReasonTraffic> reasons;  // all there are
  std::vector<RuleTraffic> rules;      // in the filter's order
  std::vector<PortTraffic> ports;
  std::vector<EngineTraffic> engines;
  std::optional<std::vector<ConnectionTraffic>> connections;
  bool connections_have_rates = false;  // the engine has told twice
  std::uint64_t time_wait = 0;
  std::optional<Duration> filter_pending;
  bool filter_rolled_back = false;
};

// Without `before`, without rates. What `before` has not (a rule, a port, a connection) counts from zero, and so does a
// counter that has become smaller: it is another one.
Traffic make_traffic(const Observation& now, const Observation* before);

// "12", "1.5k", "3.20M".
std::string rate_text(double rate);

// The JSON of a volume, to be merged into an object; rates only where there is an interval.
void put_volume(Json& into, const Volume& volume, bool rates);

}  // namespace weir::cli
