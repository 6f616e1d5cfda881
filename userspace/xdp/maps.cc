// SPDX-License-Identifier: MIT
#include "weir/xdp/maps.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>
#include <linux/membarrier.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "weir/xdp/fork_registry.h"

namespace weir::xdp {
namespace {

constexpr std::array<const char*, kMapCount> kNames = {
    "config",        "heartbeats",      "local_addrs", "steer_index",   "steer",         "steer_counters", "counters",
    "rule_counters", "engine_counters", "filter",      "limits",        "limit_sources", "fragments",      "secrets",
    "xsks",          "guarded",         "captures",    "capture_slots", "drop_samples",  "listening",      "sets",
    "syn_guard",     "syn_answer",      "flow_cells",  "steered"};
// What the ABI version promises of each: checked, so that a value is never read into memory of another size.
constexpr std::array<std::uint32_t, kMapCount> kValueSizes = {
    sizeof(weir_config),      sizeof(weir_heartbeat),  sizeof(weir_u32),
    sizeof(weir_u32),         sizeof(weir_steer),      sizeof(weir_counter),
    sizeof(weir_counter),     sizeof(weir_counter),    sizeof(weir_engine_counters),
    sizeof(weir_u32),         sizeof(weir_u64),        sizeof(weir_u64),
    sizeof(weir_u32),         sizeof(weir_secrets),    sizeof(weir_u32),
    sizeof(weir_guard),       sizeof(weir_u32),        sizeof(weir_capture_slot),
    sizeof(weir_drop_sample), sizeof(weir_u64),        sizeof(weir_u32),
    sizeof(weir_syn_guard),   sizeof(weir_syn_answer), sizeof(weir_flow_cell),
    sizeof(weir_u64)};

constexpr std::size_t at(MapId id) { return static_cast<std::size_t>(id); }
// Those that only root's tools need, or that nothing reads by descriptor.
bool is_optional(MapId id) {
  return id == MapId::secrets || id == MapId::fragments || id == MapId::limits || id == MapId::limit_sources ||
         id == MapId::guarded || id == MapId::captures || id == MapId::capture_slots || id == MapId::drop_samples;
}

weir_steer_key steer_key(std::uint8_t protocol, std::uint16_t port) { return {protocol, 0, to_be16(port)}; }

weir_addr to_map(const IpAddress& a) {
  weir_addr out{};
  std::memcpy(out.bytes, a.data(), sizeof out.bytes);
  return out;
}

std::size_t page_rounded(std::size_t n) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (n + page - 1) / page * page;
}

Outcome<void> check_abi(int config_fd, const std::string& where) {
  bpf_map_info info{};
  std::uint32_t length = sizeof info;
  if (bpf_obj_get_info_by_fd(config_fd, &info, &length) != 0)
    return Err(system_error(errno, "reading the maps at " + where));
  std::vector<std::byte> value(std::max<std::size_t>(info.value_size, sizeof(std::uint32_t)));
  const std::uint32_t key = 0;
  if (bpf_map_lookup_elem(config_fd, &key, value.data()) != 0)
    return Err(system_error(errno, "reading the configuration at " + where));
  std::uint32_t version = 0;
  std::memcpy(&version, value.data(), sizeof version);
  if (version != WEIR_ABI_VERSION)
    return fail("maps at " + where + " have ABI " + std::to_string(version) + ", this weir speaks " +
                    std::to_string(WEIR_ABI_VERSION) + ": detach with the weir that attached them",
                EPROTO);
  return {};
}

}  // namespace

const char* map_name(MapId id) { return kNames[at(id)]; }

struct Maps::State final : ForkRegistry::Entry {
  struct View {
    void* memory = nullptr;
    std::size_t length = 0;
  };
  State() { ForkRegistry::add(*this); }
  ~State() override {
    ForkRegistry::remove(*this);
    for (const View& v :
         {config, heartbeats, steer, engine_counters, listening, syn_guard, syn_answer, flow_cells, steered})
      if (v.memory != nullptr) munmap(v.memory, v.length);
  }
  // A child that lives on would keep the maps after detach. The views are not there (MADV_DONTFORK).
  void on_fork_child() override {
    for (View* v :
         {&config, &heartbeats, &steer, &engine_counters, &listening, &syn_guard, &syn_answer, &flow_cells, &steered})
      *v = {};
    for (Fd& fd : fds) fd.reset();
  }
  int fd(MapId id) const { return fds[at(id)].get(); }

  Outcome<void> check_layout(const std::string& where) const {
    for (std::size_t i = 0; i < kMapCount; ++i) {
      if (!fds[i]) continue;
      bpf_map_info info{};
      std::uint32_t length = sizeof info;
      if (bpf_obj_get_info_by_fd(fds[i].get(), &info, &length) != 0)
        return Err(system_error(errno, std::string("reading map ") + kNames[i] + " at " + where));
      if (info.value_size != kValueSizes[i])
        return fail(std::string("map ") + kNames[i] + " at " + where + " has values of " +
                        std::to_string(info.value_size) + " octets, not " + std::to_string(kValueSizes[i]) +
                        ": it is not of this weir; detach with the weir that attached it",
                    EPROTO);
    }
    return {};
  }

  Outcome<void> view(MapId id, std::size_t length, View& out) const {
    const std::size_t rounded = page_rounded(length);
    void* p = mmap(nullptr, rounded, PROT_READ | PROT_WRITE, MAP_SHARED, fd(id), 0);
    if (p == MAP_FAILED) return Err(system_error(errno, std::string("mapping ") + map_name(id)));
    out = {p, rounded};
    if (madvise(p, rounded, MADV_DONTFORK) != 0)
      return Err(system_error(errno, std::string("keeping ") + map_name(id) + " out of forks"));
    return {};
  }

  Outcome<void> map_views() {
    if (auto r = view(MapId::config, sizeof(weir_config), config); !r) return r;
    if (auto r = view(MapId::heartbeats, sizeof(weir_heartbeat) * WEIR_MAX_QUEUES, heartbeats); !r) return r;
    if (auto r = view(MapId::steer, sizeof(weir_steer) * WEIR_MAX_STEER, steer); !r) return r;
    if (auto r = view(MapId::listening, sizeof(weir_u64) * WEIR_LISTENING_WORDS, listening); !r) return r;
    if (auto r = view(MapId::steered, sizeof(weir_u64) * WEIR_LISTENING_WORDS, steered); !r) return r;
    if (auto r = view(MapId::syn_guard, sizeof(weir_syn_guard) * WEIR_MAX_STEER, syn_guard); !r) return r;
    if (auto r = view(MapId::syn_answer, sizeof(weir_syn_answer), syn_answer); !r) return r;
    if (auto r = view(MapId::flow_cells, sizeof(weir_flow_cell) * WEIR_FLOW_CELLS, flow_cells); !r) return r;
    return view(MapId::engine_counters, sizeof(weir_engine_counters) * WEIR_MAX_QUEUES, engine_counters);
  }

  weir_u64& steered_word(std::uint8_t protocol, std::uint16_t port) const {
    return static_cast<weir_u64*>(steered.memory)[weir_listening_word(protocol, port)];
  }

  // Zeros, a counter for each CPU there may be.
  static Outcome<std::vector<weir_counter>> one_a_cpu() {
    const int cpus = libbpf_num_possible_cpus();
    if (cpus < 1) return fail("counting the CPUs failed: is /sys mounted?", -cpus);
    return std::vector<weir_counter>(static_cast<std::size_t>(cpus));
  }
  // The map in a slot of a map of maps; none where it is empty.
  Outcome<Fd> inner(MapId id, std::uint32_t slot) const;
  Outcome<weir_counter> sum(MapId id, std::uint32_t index, std::vector<weir_counter>& per_cpu) const;
  Outcome<std::vector<weir_counter>> sums(MapId id, std::uint32_t entries) const;
  Outcome<void> clear(MapId id, std::uint32_t index) const;

  std::array<Fd, kMapCount> fds;
  View config, heartbeats, steer, engine_counters, listening, syn_guard, syn_answer, flow_cells, steered;
};

Maps::Maps(std::unique_ptr<State> state) : s_(std::move(state)) {}
Maps::Maps(Maps&&) noexcept = default;
Maps& Maps::operator=(Maps&&) noexcept = default;
Maps::~Maps() = default;

Outcome<Maps> Maps::open(const std::string& directory) {
  auto state = std::make_unique<State>();
  auto open_one = [&](MapId id) -> int {
    state->fds[at(id)] = Fd(bpf_obj_get((directory + "/" + map_name(id)).c_str()));
    return state->fds[at(id)] ? 0 : errno;
  };
  auto failed = [&](MapId id, int code) {
    return Err(system_error(code, "opening " + directory + "/" + map_name(id),
                            code == ENOENT                    ? "weir is not attached there"
                            : code == EPERM || code == EACCES ? "run it as root"
                                                              : ""));
  };
  // The version first: another ABI may lack the maps that this one knows.
  if (const int code = open_one(MapId::config)) return failed(MapId::config, code);
  if (auto r = check_abi(state->fd(MapId::config), directory); !r) return Err(r.error());
  for (std::size_t i = 0; i < kMapCount; ++i) {
    const auto id = static_cast<MapId>(i);
    if (id == MapId::config) continue;
    if (const int code = open_one(id); code != 0 && !is_optional(id)) return failed(id, code);
  }
  if (auto r = state->check_layout(directory); !r) return Err(r.error());
  if (auto r = state->map_views(); !r) return Err(r.error());
  return Maps(std::move(state));
}

Outcome<Maps> Maps::adopt(const MapFds& fds) {
  auto state = std::make_unique<State>();
  for (std::size_t i = 0; i < kMapCount; ++i) {
    state->fds[i] = Fd(fds[i]);
    if (fds[i] < 0 && !is_optional(static_cast<MapId>(i)))
      return fail(std::string("map ") + kNames[i] + " was not handed over: start this program by `weir run`", EBADF);
  }
  if (auto r = state->map_views(); !r) return Err(r.error());
  const auto* config = static_cast<const weir_config*>(state->config.memory);
  if (config->abi_version != WEIR_ABI_VERSION)
    return fail("the maps handed over have ABI " + std::to_string(config->abi_version) + ", this weir speaks " +
                    std::to_string(WEIR_ABI_VERSION) + ": use one version of weir for both",
                EPROTO);
  return Maps(std::move(state));
}

weir_config& Maps::config() const { return *static_cast<weir_config*>(s_->config.memory); }
std::span<weir_heartbeat, WEIR_MAX_QUEUES> Maps::heartbeats() const {
  return std::span<weir_heartbeat, WEIR_MAX_QUEUES>(static_cast<weir_heartbeat*>(s_->heartbeats.memory),
                                                    WEIR_MAX_QUEUES);
}
std::span<weir_steer, WEIR_MAX_STEER> Maps::steer() const {
  return std::span<weir_steer, WEIR_MAX_STEER>(static_cast<weir_steer*>(s_->steer.memory), WEIR_MAX_STEER);
}
std::span<weir_engine_counters, WEIR_MAX_QUEUES> Maps::engine_counters() const {
  return std::span<weir_engine_counters, WEIR_MAX_QUEUES>(
      static_cast<weir_engine_counters*>(s_->engine_counters.memory), WEIR_MAX_QUEUES);
}
std::span<weir_u64, WEIR_LISTENING_WORDS> Maps::listening() const {
  return std::span<weir_u64, WEIR_LISTENING_WORDS>(static_cast<weir_u64*>(s_->listening.memory), WEIR_LISTENING_WORDS);
}
std::span<weir_syn_guard, WEIR_MAX_STEER> Maps::syn_guard() const {
  return std::span<weir_syn_guard, WEIR_MAX_STEER>(static_cast<weir_syn_guard*>(s_->syn_guard.memory), WEIR_MAX_STEER);
}
weir_syn_answer& Maps::syn_answer() const { return *static_cast<weir_syn_answer*>(s_->syn_answer.memory); }
std::span<weir_flow_cell, WEIR_FLOW_CELLS> Maps::flow_cells() const {
  return std::span<weir_flow_cell, WEIR_FLOW_CELLS>(static_cast<weir_flow_cell*>(s_->flow_cells.memory),
                                                    WEIR_FLOW_CELLS);
}

Outcome<std::map<IpAddress, weir_u32>> Maps::local_addresses() const {
  const int fd = s_->fd(MapId::local_addrs);
  std::map<IpAddress, weir_u32> out;
  std::size_t seen = 0;
  weir_addr key{};
  weir_addr next{};
  for (const void* previous = nullptr; bpf_map_get_next_key(fd, previous, &next) == 0; previous = &key) {
    key = next;
    weir_u32 local = 0;
    if (bpf_map_lookup_elem(fd, &key, &local) == 0)
      out.insert_or_assign(IpAddress::v6(reinterpret_cast<const std::byte*>(key.bytes)), local);
    // A key deleted under us restarts the walk: the map's capacity bounds it.
    if (++seen > WEIR_MAX_LOCAL_ADDRS) break;
  }
  if (errno != ENOENT && errno != 0 && out.empty()) return Err(system_error(errno, "reading the local addresses"));
  return out;
}

Outcome<void> Maps::set_local_addresses(std::span<const IpAddress> addresses, std::span<const IpAddress> left) const {
  const int fd = s_->fd(MapId::local_addrs);
  auto present = local_addresses();
  if (!present) return Err(present.error());
  auto put = [&](const IpAddress& a, weir_u32 local) -> Outcome<void> {
    const weir_addr key = to_map(a);
    if (bpf_map_update_elem(fd, &key, &local, BPF_ANY) == 0) return {};
    return Err(system_error(
        errno, "adding local address " + a.to_string(),
        errno == E2BIG ? "an interface may have " + std::to_string(WEIR_MAX_LOCAL_ADDRS) + " of them" : ""));
  };
  for (const IpAddress& a : addresses) {
    if (auto r = put(a, WEIR_LOCAL); !r) return r;
  }
  for (const IpAddress& a : left) {
    if (auto r = put(a, WEIR_LOCAL_LEFT); !r) return r;
  }
  auto among = [](std::span<const IpAddress> all, const IpAddress& a) {
    return std::find(all.begin(), all.end(), a) != all.end();
  };
  for (const auto& [a, local] : *present) {
    if (among(addresses, a) || among(left, a)) continue;
    const weir_addr key = to_map(a);
    if (bpf_map_delete_elem(fd, &key) != 0 && errno != ENOENT)
      return Err(system_error(errno, "removing local address " + a.to_string()));
  }
  return {};
}

std::optional<std::uint32_t> Maps::find_steer(std::uint8_t protocol, std::uint16_t port) const {
  const weir_steer_key key = steer_key(protocol, port);
  std::uint32_t index = 0;
  if (bpf_map_lookup_elem(s_->fd(MapId::steer_index), &key, &index) != 0 || index >= WEIR_MAX_STEER) return {};
  return index;
}

std::vector<Maps::SteerHead> Maps::steer_heads() const {
  const int fd = s_->fd(MapId::steer_index);
  std::vector<SteerHead> out;
  weir_steer_key key{};
  weir_steer_key next{};
  for (const void* previous = nullptr; bpf_map_get_next_key(fd, previous, &next) == 0; previous = &key) {
    key = next;
    std::uint32_t index = 0;
    if (bpf_map_lookup_elem(fd, &key, &index) == 0) out.push_back({key.protocol, from_be16(key.port_be), index});
    // Only whoever holds the lock changes it, and the map's capacity bounds a walk that races with one.
    if (out.size() >= WEIR_MAX_STEER) break;
  }
  return out;
}

Outcome<void> Maps::publish_steer(std::uint8_t protocol, std::uint16_t port, std::uint32_t index) const {
  const weir_steer_key key = steer_key(protocol, port);
  // First: a bit without an entry costs a look-up, an entry without its bit steers nothing.
  fetch_or(s_->steered_word(protocol, port), weir_u64{1} << (port % 64));
  if (bpf_map_update_elem(s_->fd(MapId::steer_index), &key, &index, BPF_ANY) != 0)
    return Err(system_error(errno, "steering port " + std::to_string(port)));
  return {};
}

Outcome<void> Maps::withdraw_steer(std::uint8_t protocol, std::uint16_t port) const {
  const weir_steer_key key = steer_key(protocol, port);
  if (bpf_map_delete_elem(s_->fd(MapId::steer_index), &key) != 0 && errno != ENOENT)
    return Err(system_error(errno, "no longer steering port " + std::to_string(port)));
  fetch_and(s_->steered_word(protocol, port), ~(weir_u64{1} << (port % 64)));
  return {};
}

Outcome<weir_counter> Maps::State::sum(MapId id, std::uint32_t index, std::vector<weir_counter>& per_cpu) const {
  if (bpf_map_lookup_elem(fd(id), &index, per_cpu.data()) != 0)
    return Err(system_error(errno, std::string("reading ") + map_name(id)));
  weir_counter out{};
  for (const weir_counter& c : per_cpu) {
    out.packets += c.packets;
    out.bytes += c.bytes;
  }
  return out;
}

Outcome<std::vector<weir_counter>> Maps::State::sums(MapId id, std::uint32_t entries) const {
  auto per_cpu = one_a_cpu();
  if (!per_cpu) return Err(per_cpu.error());
  std::vector<weir_counter> out;
  for (std::uint32_t i = 0; i < entries; ++i) {
    auto one = sum(id, i, *per_cpu);
    if (!one) return Err(one.error());
    out.push_back(*one);
  }
  return out;
}

Outcome<void> Maps::State::clear(MapId id, std::uint32_t index) const {
  auto zero = one_a_cpu();
  if (!zero) return Err(zero.error());
  if (bpf_map_update_elem(fd(id), &index, zero->data(), BPF_ANY) != 0)
    return Err(system_error(errno, std::string("clearing an entry of ") + map_name(id)));
  return {};
}

Outcome<std::vector<weir_counter>> Maps::counters() const { return s_->sums(MapId::counters, WEIR_REASON_COUNT); }
Outcome<std::vector<weir_counter>> Maps::steer_counters() const {
  return s_->sums(MapId::steer_counters, WEIR_MAX_STEER);
}
Outcome<weir_counter> Maps::rule_counter(std::uint32_t index) const {
  auto per_cpu = State::one_a_cpu();
  if (!per_cpu) return Err(per_cpu.error());
  return s_->sum(MapId::rule_counters, index, *per_cpu);
}
Outcome<void> Maps::clear_rule_counter(std::uint32_t index) const {
  if (auto r = s_->clear(MapId::rule_counters, index); !r) return r;
  const weir_u64 full = 0;
  if (bpf_map_update_elem(s_->fd(MapId::limits), &index, &full, BPF_ANY) != 0)
    return Err(system_error(errno, "filling a token bucket"));
  return {};
}
Outcome<void> Maps::clear_steer_counter(std::uint32_t index) const { return s_->clear(MapId::steer_counters, index); }

Outcome<Fd> Maps::State::inner(MapId id, std::uint32_t slot) const {
  // A writer may replace it between the two calls; then there is another.
  for (int attempts = 0; attempts < 4; ++attempts) {
    std::uint32_t number = 0;
    if (bpf_map_lookup_elem(fd(id), &slot, &number) != 0) {
      if (errno == ENOENT) return Fd{};
      return Err(system_error(errno, "reading the filter"));
    }
    Fd map(bpf_map_get_fd_by_id(number));
    if (map) return map;
    if (errno != ENOENT)
      return Err(system_error(errno, "opening the filter's rules",
                              errno == EPERM ? "it needs CAP_SYS_ADMIN: run it as root" : ""));
  }
  return fail("the filter changes faster than it can be read: try again", EAGAIN);
}

Outcome<std::optional<Generation>> Maps::generation(std::uint32_t slot) const {
  const auto map = s_->inner(MapId::filter, slot);
  if (!map) return Err(map.error());
  if (!*map) return std::optional<Generation>{};
  auto view = Generation::view(*map);
  if (!view) return Err(view.error());
  return std::optional<Generation>(std::move(view).value());
}

Outcome<void> Maps::put_generation(std::uint32_t slot, std::span<const weir_chunk> chunks) const {
  auto map = Generation::make(chunks);
  if (!map) return Err(map.error());
  const int fd = map->get();
  if (bpf_map_update_elem(s_->fd(MapId::filter), &slot, &fd, BPF_ANY) != 0)
    return Err(system_error(errno, "putting the filter's rules in their place"));
  return {};
}

Outcome<std::vector<std::pair<weir_guard_key, weir_guard>>> Maps::guards() const {
  const int fd = s_->fd(MapId::guarded);
  std::vector<std::pair<weir_guard_key, weir_guard>> out;
  weir_guard_key key{};
  weir_guard_key next{};
  std::size_t seen = 0;
  for (const void* previous = nullptr; bpf_map_get_next_key(fd, previous, &next) == 0; previous = &key) {
    key = next;
    weir_guard guard{};
    if (bpf_map_lookup_elem(fd, &key, &guard) == 0) out.emplace_back(key, guard);
    // As in local_addresses().
    if (++seen > WEIR_MAX_GUARDS) break;
  }
  if (errno != ENOENT && errno != 0 && out.empty()) return Err(system_error(errno, "reading the guarded sessions"));
  return out;
}

Outcome<void> Maps::put_guard(const weir_guard_key& key, const weir_guard& guard) const {
  // First: a flag without an entry costs a look-up, an entry without the flag guards nobody.
  fetch_or(config().flags, weir_u32{WEIR_CONFIG_GUARDED});
  if (bpf_map_update_elem(s_->fd(MapId::guarded), &key, &guard, BPF_ANY) != 0)
    return Err(system_error(errno, "guarding an SSH session"));
  return {};
}

Outcome<void> Maps::remove_guard(const weir_guard_key& key) const {
  if (bpf_map_delete_elem(s_->fd(MapId::guarded), &key) != 0 && errno != ENOENT)
    return Err(system_error(errno, "removing a guarded session"));
  auto left = guards();
  if (!left) return Err(left.error());
  if (left->empty()) fetch_and(config().flags, ~weir_u32{WEIR_CONFIG_GUARDED});
  return {};
}

Outcome<std::optional<SetMemory>> Maps::set_table(std::uint32_t slot) const {
  if (slot >= WEIR_SET_TABLES) return std::optional<SetMemory>{};
  auto map = s_->inner(MapId::sets, slot);
  if (!map) return Err(map.error());
  if (!*map) return std::optional<SetMemory>{};
  auto view = SetMemory::view(std::move(*map));
  if (!view) return Err(view.error());
  return std::optional<SetMemory>(std::move(view).value());
}

Outcome<void> Maps::put_set_table(std::uint32_t slot, const SetMemory& table) const {
  const int fd = table.fd();
  if (bpf_map_update_elem(s_->fd(MapId::sets), &slot, &fd, BPF_ANY) != 0)
    return Err(system_error(errno, "putting the sets in their place"));
  return {};
}

Outcome<void> Maps::drop_set_table(std::uint32_t slot) const {
  if (bpf_map_delete_elem(s_->fd(MapId::sets), &slot) != 0 && errno != ENOENT)
    return Err(system_error(errno, "removing sets that nothing uses"));
  return {};
}

Outcome<weir_secrets> Maps::secrets() const {
  if (s_->fd(MapId::secrets) < 0) return fail("the secrets of this interface are root's: run it as root", EPERM);
  weir_secrets out{};
  const std::uint32_t key = 0;
  if (bpf_map_lookup_elem(s_->fd(MapId::secrets), &key, &out) != 0)
    return Err(system_error(errno, "reading the secrets"));
  return out;
}

Outcome<void> Maps::set_secrets(const weir_secrets& secrets) const {
  const std::uint32_t key = 0;
  if (bpf_map_update_elem(s_->fd(MapId::secrets), &key, &secrets, BPF_ANY) != 0)
    return Err(system_error(errno, "writing the secrets"));
  return {};
}

Outcome<void> Maps::set_xsk(std::uint32_t queue, int socket_fd) const {
  const auto fd = static_cast<std::uint32_t>(socket_fd);
  if (bpf_map_update_elem(s_->fd(MapId::xsks), &queue, &fd, BPF_ANY) != 0)
    return Err(
        system_error(errno, "giving queue " + std::to_string(queue) + " to its socket",
                     errno == EPERM ? "this kernel wants CAP_BPF for it: run it as root, or under `weir run`" : ""));
  return {};
}

Outcome<void> Maps::clear_xsk(std::uint32_t queue) const {
  if (bpf_map_delete_elem(s_->fd(MapId::xsks), &queue) != 0 && errno != ENOENT)
    return Err(system_error(errno, "taking queue " + std::to_string(queue) + " from its socket"));
  return {};
}

MapFds Maps::fds() const {
  MapFds out{};
  for (std::size_t i = 0; i < kMapCount; ++i) out[i] = s_->fds[i].get();
  return out;
}

MapFds Maps::pass_on() {
  const MapFds out = fds();
  ForkRegistry::remove(*s_);
  for (const int fd : out)
    if (fd >= 0) fcntl(fd, F_SETFD, 0);
  return out;
}

Outcome<void> synchronize_programs() {
  if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) == 0) return {};
  const Fd inner(bpf_map_create(BPF_MAP_TYPE_ARRAY, "weir_sync_in", 4, 4, 1, nullptr));
  if (!inner) return Err(system_error(errno, "waiting for running programs to end"));
  LIBBPF_OPTS(bpf_map_create_opts, options, .inner_map_fd = static_cast<std::uint32_t>(inner.get()));
  const Fd outer(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "weir_sync_out", 4, 4, 1, &options));
  if (!outer) return Err(system_error(errno, "waiting for running programs to end"));
  const std::uint32_t key = 0;
  const int value = inner.get();
  if (bpf_map_update_elem(outer.get(), &key, &value, BPF_ANY) != 0)
    return Err(system_error(errno, "waiting for running programs to end"));
  return {};
}

}  // namespace weir::xdp
