// SPDX-License-Identifier: MIT
#include "weir/control/instance.h"

#include <dirent.h>
#include <net/if.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <thread>

#include "weir/control/caps.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"
#include "weir/control/syn_guard.h"
#include "weir/xdp/dispatcher.h"
#include "weir/xdp/umem.h"

namespace weir::control {
namespace {

bool exists(const std::string& path) {
  struct stat st {};
  return stat(path.c_str(), &st) == 0;
}

Outcome<void> random_bytes(void* to, std::size_t size) {
  if (getrandom(to, size, 0) != static_cast<ssize_t>(size))
    return Err(xdp::system_error(errno, "asking for random bytes"));
  return {};
}

Err<Error> not_attached(std::string_view interface) {
  const std::string name(interface);
  return xdp::fail("weir is not attached to " + name + ": `weir attach " + name + "`", ENOENT);
}

Err<Error> nothing_to_detach(const std::string& interface) {
  return xdp::fail(
      "weir is not attached to " + interface + ", so nothing was changed: `weir status` shows what is attached",
      ENOENT);
}

// What weir cannot serve, refused by name.
Outcome<void> check_interface(const Interface& i) {
  auto refuse = [](std::string why) { return xdp::fail(std::move(why), EOPNOTSUPP); };
  if (i.loopback) return refuse(i.name + " is the loopback interface, which is never steered: the kernel serves it");
  if (!i.ethernet) return refuse(i.name + " is not an Ethernet interface: weir steers Ethernet frames only");
  if (i.master_kind == "bond" || i.master_kind == "bridge" || i.master_kind == "team")
    return refuse(i.name + " is a port of " + i.master_kind + " " + i.master +
                  ", whose addresses its frames carry: weir " + "does not serve such ports; take it out (ip link set " +
                  i.name + " nomaster) or use another interface");
  if (!i.vlan_uppers.empty() && i.offloads.rx_vlan)
    return refuse(i.name + " carries VLAN device " + i.vlan_uppers.front() +
                  " and takes tags off before XDP sees a frame: " + "`ethtool -K " + i.name + " rxvlan off` first");
  if (i.rx_queues > WEIR_MAX_QUEUES)
    return refuse(i.name + " has " + std::to_string(i.rx_queues) + " receive queues, weir serves " +
                  std::to_string(WEIR_MAX_QUEUES) + ": lower them (ethtool -L " + i.name + " combined " +
                  std::to_string(WEIR_MAX_QUEUES) + ")");
  return {};
}

Outcome<std::vector<IpAddress>> fill_addresses(const xdp::Maps& maps, std::uint32_t ifindex) {
  auto found = interface_addresses(ifindex);
  if (!found) return Err(found.error());
  std::vector<IpAddress> addresses;
  for (const InterfaceAddress& a : *found) addresses.push_back(a.address);
  if (auto r = maps.set_local_addresses(addresses); !r) return Err(r.error());
  return addresses;
}

bool wants_partial(const AttachOptions& options, const Interface& i) {
  return options.checksum == ChecksumChoice::partial ||
         (options.checksum == ChecksumChoice::automatic && may_carry_partial_checksums(i));
}

void set_flag(weir_config& config, weir_u32 flag, bool on) {
  if (on)
    xdp::fetch_or(config.flags, flag);
  else
    xdp::fetch_and(config.flags, ~flag);
}

void describe(weir_config& config, const Interface& i) {
  std::copy(i.mac.bytes.begin(), i.mac.bytes.end(), config.mac);
  std::memset(config.ifname, 0, sizeof config.ifname);
  std::memcpy(config.ifname, i.name.data(), std::min(i.name.size(), sizeof config.ifname - 1));
  config.queues = i.rx_queues;
}

std::vector<std::string> notes(const Interface& i, weir_xdp_mode mode, const std::string& native_refusal) {
  std::vector<std::string> out;
  if (!native_refusal.empty()) out.push_back("generic mode, because native was refused: " + native_refusal);
  if (mode == WEIR_XDP_NATIVE && i.driver == "veth")
    out.push_back(
        "native XDP on a veth switches off its peer's TSO: kernel bulk traffic of this pair gets slower; "
        "--mode generic keeps it");
  if (i.kind == "bond" || i.kind == "bridge" || i.kind == "team" || i.kind == "vlan")
    out.push_back(i.name + " is a " + i.kind + " device: weir is tested on plain Ethernet devices only");
  if (xdp::chunk_size_for_mtu(i.mtu) == 0)
    out.push_back("MTU " + std::to_string(i.mtu) +
                  ": the engine takes frames of an MTU up to 3822; larger ones to steered "
                  "ports are dropped and counted (rx_dropped)");
  if (!i.up) out.push_back(i.name + " is down: `ip link set " + i.name + " up`");
  return out;
}

// The last instance takes the directory of all with it. The caller holds the lock, as whoever makes it does.
void remove_empty_root() { rmdir(WEIR_PIN_ROOT); }

void remove_run_directory(std::uint64_t cookie, std::uint32_t ifindex) {
  std::error_code ignored;  // an engine's socket that is left there is removed by the next attach
  std::filesystem::remove_all(run_directory(cookie, ifindex), ignored);
}

AttachReport report(const weir_config& config, const Interface& i, std::uint32_t program_id,
                    std::vector<IpAddress> addresses) {
  AttachReport out;
  out.interface = i.name;
  out.ifindex = i.ifindex;
  out.netns_cookie = config.netns_cookie;
  out.program_id = program_id;
  out.mode = static_cast<weir_xdp_mode>(config.xdp_mode);
  out.queues = config.queues;
  out.partial_checksums = (config.flags & WEIR_CONFIG_PARTIAL_CSUM) != 0;
  out.bypass_firewall = (config.flags & WEIR_CONFIG_BYPASS_FIREWALL) != 0;
  out.addresses = std::move(addresses);
  return out;
}

Outcome<AttachReport> attach_new(const AttachOptions& options, const Interface& i, std::uint64_t cookie,
                                 const std::string& directory) {
  auto present = xdp::attached_program(i.ifindex);
  if (!present) return Err(present.error());
  const bool dispatcher = *present && !xdp::dispatched_programs(i.ifindex).empty();
  if (*present && dispatcher && !options.shared)
    return xdp::fail(i.name + " runs XDP programs by libxdp's dispatcher (`xdp-loader status " + i.name +
                         "`): attach beside them by `weir attach --shared " + i.name + "`",
                     EBUSY);
  if (*present && !dispatcher) {
    const xdp::AttachedProgram& other = **present;
    return xdp::fail("another XDP program is attached to " + i.name + ": " +
                         (other.name.empty() ? "unnamed" : other.name) + " (id " + std::to_string(other.id) +
                         "); take it away first (ip link set " + i.name +
                         (other.native ? " xdp off)" : " xdpgeneric off)"),
                     EBUSY);
  }
  auto program = xdp::Program::load(options.log);
  if (!program) return Err(program.error());
  auto maps = program->maps();
  if (!maps) return Err(maps.error());

  // Everything the program reads is in place before the first frame.
  weir_config& config = maps->config();
  config.netns_cookie = cookie;
  config.ifindex = i.ifindex;
  config.syn_guard_rate = kSynGuardRate;
  describe(config, i);
  set_flag(config, WEIR_CONFIG_PARTIAL_CSUM, wants_partial(options, i));
  set_flag(config, WEIR_CONFIG_BYPASS_FIREWALL, options.bypass_firewall);
  if (auto r = random_bytes(config.hash_key, sizeof config.hash_key); !r) return Err(r.error());
  if (auto r = random_bytes(&config.explain_key, sizeof config.explain_key); !r) return Err(r.error());
  weir_secrets secrets{};
  if (auto r = random_bytes(&secrets, sizeof secrets); !r) return Err(r.error());
  if (auto r = maps->set_secrets(secrets); !r) return Err(r.error());
  auto addresses = fill_addresses(*maps, i.ifindex);
  if (!addresses) return Err(addresses.error());

  if (auto r = program->pin_maps(directory); !r) return Err(r.error());
  auto outcome = options.shared ? program->attach_shared(i.ifindex, options.mode, options.log)
                                : program->attach(i.ifindex, options.mode);
  if (!outcome) {
    Error e = outcome.error();
    e.message = i.name + ": " + e.message;
    return Err(std::move(e));
  }
  config.xdp_mode = outcome->mode;
  // virtio_net's receive queues grow when XDP is attached: count them now.
  auto after = read_interface(i.ifindex);
  if (after) config.queues = std::min<std::uint32_t>(after->rx_queues, WEIR_MAX_QUEUES);
  remove_run_directory(cookie, i.ifindex);
  if (mkdir(run_directory(cookie, i.ifindex).c_str(), 0755) != 0)
    return Err(xdp::system_error(errno, "making " + run_directory(cookie, i.ifindex)));
  program->keep();

  AttachReport out = report(config, i, program->id(), std::move(addresses).value());
  out.shared = options.shared;
  // The dispatcher's is another program than the one that made the maps.
  if (options.shared)
    if (const auto link = xdp::read_link(directory)) out.program_id = link->program_id;
  out.notes = notes(i, outcome->mode, outcome->native_refusal);
  return out;
}

Outcome<AttachReport> attach_replacing(const AttachOptions& options, const Interface& i, const std::string& directory) {
  auto program = xdp::Program::load_with_maps_of(directory, options.log);
  if (!program) return Err(program.error());
  auto maps = program->maps();
  if (!maps) return Err(maps.error());
  if (auto r = program->replace(directory); !r) return Err(r.error());
  weir_config& config = maps->config();
  describe(config, i);
  if (options.checksum != ChecksumChoice::automatic)
    set_flag(config, WEIR_CONFIG_PARTIAL_CSUM, options.checksum == ChecksumChoice::partial);
  if (options.bypass_firewall) set_flag(config, WEIR_CONFIG_BYPASS_FIREWALL, true);
  auto addresses = fill_addresses(*maps, i.ifindex);
  if (!addresses) return Err(addresses.error());
  AttachReport out = report(config, i, program->id(), std::move(addresses).value());
  out.replaced = true;
  out.notes = notes(i, out.mode, "");
  return out;
}

std::uint64_t live_flows(const xdp::Maps& maps, Instant now) {
  if (!any_process(maps, now)) return 0;
  std::uint64_t sum = 0;
  for (const weir_steer& s : maps.steer())
    if (xdp::load(s.protocol) != 0) sum += xdp::load(s.flows);
  return sum;
}

// Until each engine has left its queue, or has been silent for so long that it will not answer.
bool wait_for_engines(const xdp::Maps& maps, Duration patience) {
  constexpr auto kPause = std::chrono::milliseconds(5);
  const Instant until = monotonic_now() + patience;
  while (any_engine(maps, monotonic_now())) {
    if (monotonic_now() >= until) return false;
    std::this_thread::sleep_for(kPause);
  }
  // A stopped engine still has its sockets; a dead one has none.
  const auto beats = maps.heartbeats();
  const std::string socket = engine_socket_path(maps.config().netns_cookie, maps.config().ifindex);
  return std::all_of(beats.begin(), beats.end(), [&](const weir_heartbeat& h) {
    const Duration age = monotonic_now() - Instant::from_ns(static_cast<std::int64_t>(xdp::load(h.monotonic_ns)));
    return xdp::load(h.monotonic_ns) == 0 || engine_dead(age, xdp::load(h.pid), socket);
  });
}

Outcome<DetachReport> detach_live(const DetachOptions& options, const std::string& directory, std::uint64_t cookie,
                                  std::uint32_t ifindex) {
  DetachReport out;
  out.interface = options.interface;
  out.removed = 1;
  auto maps = xdp::Maps::open(directory);
  if (!maps && !options.force) {
    Error e = maps.error();
    e.message += "; or remove it regardless: `weir detach --force " + options.interface + "`";
    return Err(std::move(e));
  }
  if (maps) {
    out.flows_reset = live_flows(*maps, monotonic_now());
    if (out.flows_reset > 0 && !options.force)
      return xdp::fail(options.interface + " has " + std::to_string(out.flows_reset) +
                           (out.flows_reset == 1 ? " live connection" : " live connections") +
                           " on its engine: drain them (`weir steer del`), or reset them with `weir detach --force " +
                           options.interface + "`",
                       EBUSY);
    // Sockets close before the program goes: the other order has crashed kernels (virtio_net in zero-copy mode).
    set_flag(maps->config(), WEIR_CONFIG_DETACHING, true);
    out.engine_unresponsive = !wait_for_engines(*maps, options.patience);
  }
  if (auto r = xdp::unpin_all(directory); !r) {
    if (maps) set_flag(maps->config(), WEIR_CONFIG_DETACHING, false);
    return Err(r.error());
  }
  remove_run_directory(cookie, ifindex);
  return out;
}

// "<cookie>-<ifindex>"
std::optional<std::pair<std::uint64_t, std::uint32_t>> parse_pin_name(std::string_view name) {
  std::uint64_t cookie = 0;
  std::uint32_t ifindex = 0;
  const char* end = name.data() + name.size();
  const auto a = std::from_chars(name.data(), end, cookie);
  if (a.ec != std::errc{} || a.ptr == end || *a.ptr != '-') return {};
  const auto b = std::from_chars(a.ptr + 1, end, ifindex);
  if (b.ec != std::errc{} || b.ptr != end) return {};
  return std::pair{cookie, ifindex};
}

// Calls f(name, cookie, ifindex) for each instance's directory under the pin root.
template <class F>
Outcome<void> each_pinned(F f) {
  DIR* d = opendir(WEIR_PIN_ROOT);
  if (d == nullptr) {
    if (errno == ENOENT) return {};
    return Err(xdp::system_error(errno, "opening " WEIR_PIN_ROOT, errno == EACCES ? "run it as root" : ""));
  }
  std::vector<std::string> names;
  while (const dirent* entry = readdir(d)) names.emplace_back(entry->d_name);
  closedir(d);
  for (const std::string& name : names) {
    const auto parsed = parse_pin_name(name);
    if (!parsed) continue;
    if (Outcome<void> r = f(std::string(WEIR_PIN_ROOT) + "/" + name, parsed->first, parsed->second); !r) return r;
  }
  return {};
}

// Maps without a link are what a killed attach left, in whichever namespace: one that is under way has the lock, which
// is the caller's.
void sweep_interrupted() {
  static_cast<void>(each_pinned([](const std::string& directory, std::uint64_t cookie, std::uint32_t ifindex) {
    const auto link = xdp::read_link(directory);
    if (!link && link.error().code == ENOENT && xdp::unpin_all(directory).ok()) remove_run_directory(cookie, ifindex);
    return Outcome<void>{};
  }));
}

// In the interface's namespace: a program that somebody took out of the dispatcher is attached to nothing.
void lose_if_undispatched(xdp::LinkFacts& link) {
  if (link.shared && !xdp::is_dispatched(link.ifindex, link.program_id)) link.ifindex = 0;
}

// The version and label of pinned maps, whichever weir's they are.
void read_label(InstanceSummary& s) {
  auto maps = xdp::Maps::open(s.directory);
  if (!maps) return;
  const weir_config& config = maps->config();
  s.abi = config.abi_version;
  s.interface.assign(config.ifname, strnlen(config.ifname, sizeof config.ifname));
}

}  // namespace

std::string run_directory(std::uint64_t netns_cookie, std::uint32_t ifindex) {
  return std::string(WEIR_RUN_DIR) + "/" + std::to_string(netns_cookie) + "-" + std::to_string(ifindex);
}

Outcome<AttachReport> attach(const AttachOptions& options) {
  auto interface = read_interface(options.interface);
  if (!interface) return Err(interface.error());
  if (auto r = require_capabilities("attaching", kAttachCapabilities); !r) return Err(r.error());
  if (auto r = check_interface(*interface); !r) return Err(r.error());
  auto lock = Lock::acquire();
  if (!lock) return Err(lock.error());
  if (auto r = xdp::prepare_bpffs(); !r) return Err(r.error());
  auto cookie = netns_cookie();
  if (!cookie) return Err(cookie.error());
  const std::string directory = xdp::pin_directory(*cookie, interface->ifindex);

  sweep_interrupted();
  if (options.shared && options.replace)
    return xdp::fail("--replace does not go with --shared: detach, and attach again", EINVAL);
  if (exists(directory)) {
    auto link = xdp::read_link(directory);
    if (link) lose_if_undispatched(*link);
    if (link && link->ifindex == interface->ifindex) {
      if (options.replace) return attach_replacing(options, *interface, directory);
      return xdp::fail("weir is already attached to " + interface->name +
                           "; to put this version in its place use `weir attach --replace " + interface->name + "`",
                       EEXIST);
    }
    // A link whose interface is gone: an index that is used again.
    if (auto r = xdp::unpin_all(directory); !r) return Err(r.error());
  }
  if (options.replace) return not_attached(interface->name);
  auto attached = attach_new(options, *interface, *cookie, directory);
  if (!attached) remove_empty_root();
  return attached;
}

Outcome<DetachReport> detach(const DetachOptions& options) {
  if (auto r = require_capabilities("detaching", kAttachCapabilities); !r) return Err(r.error());
  if (auto r = xdp::require_bpffs(); !r) return Err(r.error());
  auto lock = Lock::acquire();
  if (!lock) return Err(lock.error());
  auto all = list();
  if (!all) return Err(all.error());
  auto own = netns_cookie();
  if (!own) return Err(own.error());
  const std::uint32_t ifindex = if_nametoindex(options.interface.c_str());
  DetachReport out;
  out.interface = options.interface;
  auto remove_stale = [&](const InstanceSummary& s) -> Outcome<void> {
    if (auto r = xdp::unpin_all(s.directory); !r) return r;
    remove_run_directory(s.netns_cookie, s.ifindex);
    remove_empty_root();
    out.stale = true;
    ++out.removed;
    return {};
  };
  for (const InstanceSummary& s : *all) {
    if (s.interface != options.interface || s.netns_cookie != *own) continue;
    if (!s.stale) {
      auto detached = detach_live(options, s.directory, s.netns_cookie, s.ifindex);
      remove_empty_root();
      return detached;
    }
    if (auto r = remove_stale(s); !r) return Err(r.error());
  }
  if (out.removed > 0) return out;
  // What a deleted namespace left can be removed from anywhere that has no interface of that name itself.
  for (const InstanceSummary& s : *all) {
    if (s.interface != options.interface || s.netns_cookie == *own || ifindex != 0) continue;
    if (auto r = remove_stale(s); !r) return Err(r.error());
  }
  if (out.removed > 0) return out;
  if (ifindex == 0)
    return xdp::fail("no interface named " + options.interface +
                         " in this network namespace, and weir was not attached to one: "
                         "`weir status` shows what is attached",
                     ENODEV);
  return nothing_to_detach(options.interface);
}

Outcome<std::vector<InstanceSummary>> list() {
  std::vector<InstanceSummary> out;
  if (auto r = xdp::require_bpffs(); !r) return Err(r.error());
  auto own = netns_cookie();
  if (!own) return Err(own.error());
  auto r = each_pinned([&](std::string directory, std::uint64_t cookie, std::uint32_t ifindex) -> Outcome<void> {
    InstanceSummary s;
    s.netns_cookie = cookie;
    s.ifindex = ifindex;
    s.directory = std::move(directory);
    auto link = xdp::read_link(s.directory);
    if (!link && link.error().code != ENOENT) {
      if (s.netns_cookie != *own) return {};
      return Err(link.error());
    }
    if (link && s.netns_cookie == *own) lose_if_undispatched(*link);
    char now[IF_NAMESIZE];
    s.interrupted = !link && if_indextoname(s.ifindex, now) != nullptr;
    s.stale = !link || link->ifindex == 0;
    if (s.netns_cookie != *own && !(link && s.stale)) return {};
    read_label(s);
    if ((!s.stale || s.interrupted) && if_indextoname(s.ifindex, now) != nullptr) s.interface = now;
    out.push_back(std::move(s));
    return {};
  });
  if (!r) return Err(r.error());
  std::sort(out.begin(), out.end(), [](const InstanceSummary& a, const InstanceSummary& b) {
    return std::tie(a.stale, a.ifindex, a.netns_cookie) < std::tie(b.stale, b.ifindex, b.netns_cookie);
  });
  return out;
}

Outcome<Instance> Instance::open(std::string_view interface) {
  const std::string name(interface);
  if (auto r = xdp::require_bpffs(); !r) return Err(r.error());
  const std::uint32_t ifindex = if_nametoindex(name.c_str());
  if (ifindex == 0)
    return xdp::fail("no interface named " + name + " in this network namespace: `ip link` shows those there are",
                     ENODEV);
  auto cookie = netns_cookie();
  if (!cookie) return Err(cookie.error());
  std::string directory = xdp::pin_directory(*cookie, ifindex);
  auto maps = xdp::Maps::open(directory);
  if (!maps) {
    if (maps.error().code == ENOENT) return not_attached(name);
    return Err(maps.error());
  }
  return Instance(name, std::move(directory), std::move(maps).value());
}

Outcome<Instance> Instance::open(const InstanceSummary& summary) {
  auto maps = xdp::Maps::open(summary.directory);
  if (!maps) return Err(maps.error());
  return Instance(summary.interface, summary.directory, std::move(maps).value());
}

Instance Instance::adopt(xdp::Maps maps) {
  const char* label = maps.config().ifname;
  std::string name(label, strnlen(label, sizeof maps.config().ifname));
  return Instance(std::move(name), {}, std::move(maps));
}

}  // namespace weir::control
