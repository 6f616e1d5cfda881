// SPDX-License-Identifier: MIT
#include "weir/control/guard.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <tuple>

#include "weir/base/bytes.h"

namespace weir::control {
namespace {

weir_addr to_map(const IpAddress& a) {
  weir_addr out{};
  std::memcpy(out.bytes, a.data(), sizeof out.bytes);
  return out;
}
IpAddress from_map(const weir_addr& a) { return IpAddress::v6(reinterpret_cast<const std::byte*>(a.bytes)); }

weir_guard_key key_of(const IpAddress& remote, std::uint16_t port) {
  weir_guard_key key{};
  key.remote = to_map(remote);
  key.port_be = to_be16(port);
  return key;
}

weir_u64 last_heard(const weir_guard& g) { return std::max(g.added_ns, g.seen_ns); }

Duration since(weir_u64 then, Instant now) {
  const Duration d = now - Instant::from_ns(static_cast<std::int64_t>(then));
  return d < Duration() ? Duration() : d;
}

bool same(const weir_guard_key& a, const weir_guard_key& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

}  // namespace

Outcome<std::vector<GuardedSession>> guard_list(const xdp::Maps& maps, Instant now) {
  auto all = maps.guards();
  if (!all) return Err(all.error());
  std::vector<GuardedSession> out;
  for (const auto& [key, guard] : *all) {
    GuardedSession s;
    s.remote = from_map(key.remote);
    s.port = from_be16(key.port_be);
    s.local = from_map(guard.local);
    s.remote_port = from_be16(guard.remote_port_be);
    s.uid = guard.uid;
    s.age = since(guard.added_ns, now);
    if (guard.seen_ns != 0) s.last_heard = since(guard.seen_ns, now);
    out.push_back(s);
  }
  std::sort(out.begin(), out.end(), [](const GuardedSession& a, const GuardedSession& b) {
    return std::tie(a.remote, a.port) < std::tie(b.remote, b.port);
  });
  return out;
}

Outcome<void> guard_put(const xdp::Maps& maps, const SshSession& session, std::uint32_t uid, Instant now) {
  auto all = maps.guards();
  if (!all) return Err(all.error());
  const weir_guard_key key = key_of(session.remote.address, session.local.port);
  weir_guard guard{};
  guard.local = to_map(session.local.address);
  guard.added_ns = static_cast<weir_u64>(now.ns());
  guard.remote_port_be = to_be16(session.remote.port);
  guard.uid = uid;
  std::sort(all->begin(), all->end(),
            [](const auto& a, const auto& b) { return last_heard(a.second) < last_heard(b.second); });
  const auto present =
      std::find_if(all->begin(), all->end(), [&](const auto& entry) { return same(entry.first, key); });
  if (present != all->end()) {
    guard.seen_ns = present->second.seen_ns;
    all->erase(present);
  }
  std::size_t others = all->size();
  for (const auto& [other, value] : *all) {
    if (others < WEIR_MAX_GUARDS && since(last_heard(value), now) < kGuardIdle) break;
    if (auto r = maps.remove_guard(other); !r) return r;
    --others;
  }
  return maps.put_guard(key, guard);
}

Outcome<std::uint32_t> guard_del(const xdp::Maps& maps, const IpAddress& remote, std::optional<std::uint16_t> port) {
  auto all = maps.guards();
  if (!all) return Err(all.error());
  std::uint32_t removed = 0;
  for (const auto& [key, guard] : *all) {
    if (from_map(key.remote) != remote || (port && from_be16(key.port_be) != *port)) continue;
    if (auto r = maps.remove_guard(key); !r) return Err(r.error());
    ++removed;
  }
  if (removed == 0)
    return xdp::fail("no session of " + remote.to_string() + (port ? " to port " + std::to_string(*port) : "") +
                         " is guarded: `weir guard list` shows those that are",
                     ENOENT);
  return removed;
}

}  // namespace weir::control
