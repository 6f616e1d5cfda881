// SPDX-License-Identifier: MIT
#include "weir/control/heartbeat.h"

#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "weir/control/engine_protocol.h"
#include "weir/xdp/fd.h"

namespace weir::control {

const char* engine_state_name(EngineState s) {
  switch (s) {
    case EngineState::absent:
      return "absent";
    case EngineState::alive:
      return "alive";
    case EngineState::silent:
      return "silent";
    case EngineState::stopped:
      return "stopped";
  }
  return "?";
}

namespace {

Duration age_of(const weir_heartbeat& heartbeat, Instant now) {
  const auto beat = Instant::from_ns(static_cast<std::int64_t>(xdp::load(heartbeat.monotonic_ns)));
  return now > beat ? now - beat : Duration();
}

bool no_process(std::uint32_t pid) { return pid == 0 || (kill(static_cast<pid_t>(pid), 0) != 0 && errno == ESRCH); }

// The file of one that was killed is left behind.
bool nobody_listens(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, socket.c_str(), socket.size() + 1);
  const xdp::Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  return probe && connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
         errno == ECONNREFUSED;
}

bool is_dead(const xdp::Maps& maps, const weir_heartbeat& h, Instant now) {
  const weir_config& config = maps.config();
  return engine_dead(age_of(h, now), xdp::load(h.pid), engine_socket_path(config.netns_cookie, config.ifindex));
}

}  // namespace

EngineState engine_state(const weir_heartbeat& heartbeat, Instant now) {
  const std::uint64_t beat = xdp::load(heartbeat.monotonic_ns);
  if (beat == 0) return EngineState::absent;
  const auto at = static_cast<std::uint64_t>(now.ns());
  const std::uint64_t age = at > beat ? at - beat : 0;
  if (age <= WEIR_SYN_STALE_NS) return EngineState::alive;
  return age <= WEIR_FLOW_STALE_NS ? EngineState::silent : EngineState::stopped;
}

bool engine_dead(Duration age, std::uint32_t pid, const std::string& socket) {
  constexpr Duration kLate = Duration::milliseconds(400);
  return no_process(pid) && (age > kLate || nobody_listens(socket));
}

bool any_engine(const xdp::Maps& maps, Instant now) {
  const auto beats = maps.heartbeats();
  return std::any_of(beats.begin(), beats.end(), [&](const weir_heartbeat& h) {
    const EngineState s = engine_state(h, now);
    return (s == EngineState::alive || s == EngineState::silent) && !is_dead(maps, h, now);
  });
}

bool any_process(const xdp::Maps& maps, Instant now) {
  const auto beats = maps.heartbeats();
  return std::any_of(beats.begin(), beats.end(), [&](const weir_heartbeat& h) {
    return engine_state(h, now) != EngineState::absent && !is_dead(maps, h, now);
  });
}

bool engines_gone(const xdp::Maps& maps, Instant now) {
  const auto beats = maps.heartbeats();
  return std::all_of(beats.begin(), beats.end(), [&](const weir_heartbeat& h) {
    const EngineState s = engine_state(h, now);
    if (s == EngineState::absent) return true;
    if (s != EngineState::stopped) return false;
    return no_process(xdp::load(h.pid));
  });
}

Instant monotonic_now() { return Instant::from_ns(xdp::monotonic_ns()); }

}  // namespace weir::control
