// SPDX-License-Identifier: MIT
#include "xdp_test.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/if_xdp.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "weir/control/filter_generation.h"
#include "weir/xdp/generation.h"

namespace weir::bpf_test {
namespace {

struct Reason {
  const char* id;
  weir_verdict verdict;
};
constexpr Reason kReasons[] = {
#define WEIR_X(id, verdict, name, text) {#id, WEIR_V_##verdict},
    WEIR_REASONS(WEIR_X)
#undef WEIR_X
};

constexpr std::size_t kFrameRoom = 4096;

std::uint64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * kSecond + static_cast<std::uint64_t>(t.tv_nsec);
}

std::size_t possible_cpus() {
  static const auto cpus = static_cast<std::size_t>(libbpf_num_possible_cpus());
  return cpus;
}

weir_counter add_up(const weir_counter* per_cpu) {
  weir_counter all{};
  for (std::size_t cpu = 0; cpu < possible_cpus(); cpu++) {
    all.packets += per_cpu[cpu].packets;
    all.bytes += per_cpu[cpu].bytes;
  }
  return all;
}

// One namespace a process: parallel test processes share nothing, and it goes with the process.
bool enter_own_namespace() {
  static const bool entered = unshare(CLONE_NEWNET) == 0 && ip("link set lo up");
  return entered;
}

int no_libbpf_output(libbpf_print_level level, const char* format, va_list arguments) {
  return level == LIBBPF_WARN && std::getenv("WEIR_VERBOSE") ? vfprintf(stderr, format, arguments) : 0;
}

std::uint32_t expected_action(weir_verdict verdict) {
  switch (verdict) {
    case WEIR_V_PASS:
      return XDP_PASS;
    case WEIR_V_DROP:
      return XDP_DROP;
    case WEIR_V_STEER:
      return XDP_REDIRECT;
    case WEIR_V_ANSWER:
      return XDP_TX;
    default:
      return XDP_ABORTED;
  }
}

}  // namespace

xdp::Maps adopt_maps(const bpf_object* object) {
  xdp::MapFds fds{};
  for (std::size_t i = 0; i < fds.size(); ++i) {
    const char* name = xdp::map_name(static_cast<xdp::MapId>(i));
    fds[i] = fcntl(bpf_object__find_map_fd_by_name(object, name), F_DUPFD_CLOEXEC, 0);
  }
  auto maps = xdp::Maps::adopt(fds);
  EXPECT_TRUE(maps) << maps.error().message;
  return std::move(*maps);
}

std::uint64_t from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::uint32_t least_mean_ns(int program, const Octets& frame, int repeat, int times) {
  std::uint32_t least = ~0u;
  for (int i = 0; i < times; ++i) {
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = frame.data();
    opts.data_size_in = static_cast<std::uint32_t>(frame.size());
    opts.repeat = repeat;
    EXPECT_EQ(bpf_prog_test_run_opts(program, &opts), 0);
    least = std::min(least, opts.duration);
  }
  return least;
}

bool ip(const std::string& arguments) { return std::system(("ip " + arguments).c_str()) == 0; }

weir_rule rule(weir_action action, std::uint16_t counter) {
  weir_rule r{};
  r.action = static_cast<std::uint8_t>(action);
  r.counter = counter;
  return r;
}

void XdpTest::SetUp() {
  sockets_.fill(-1);
  if (geteuid() != 0) GTEST_SKIP() << "needs root: loads a BPF program";
  if (!enter_own_namespace()) GTEST_SKIP() << "needs a network namespace of its own: " << std::strerror(errno);
  libbpf_set_print(no_libbpf_output);
  skeleton_ = weir_bpf__open_and_load();
  if (!skeleton_ && errno == EPERM) GTEST_SKIP() << "needs CAP_BPF and CAP_NET_ADMIN";
  ASSERT_NE(skeleton_, nullptr) << "the verifier refused the program: " << std::strerror(errno)
                                << " (WEIR_VERBOSE=1 shows its log)";

  config_.abi_version = WEIR_ABI_VERSION;
  config_.hash_key[0] = 0x0123456789abcdefULL;
  config_.hash_key[1] = 0xfedcba9876543210ULL;
  std::memcpy(config_.mac, kOurMac.bytes.data(), 6);
  set_config(config_);
  add_local(kOurs4);
  add_local(kOurs6);

  weir_steer tcp{};
  tcp.protocol = IPPROTO_TCP;
  tcp.port_be = to_be16(kSteeredTcp);
  tcp.listeners = 1;
  set_entry(kTcpEntry, tcp);
  index_entry(IPPROTO_TCP, kSteeredTcp, kTcpEntry);
  weir_steer udp{};
  udp.protocol = IPPROTO_UDP;
  udp.port_be = to_be16(kSteeredUdp);
  udp.listeners = 1;
  set_entry(kUdpEntry, udp);
  index_entry(IPPROTO_UDP, kSteeredUdp, kUdpEntry);

  put_socket(0);
  beat(0, 0);
}

void XdpTest::TearDown() {
  for (int fd : sockets_)
    if (fd >= 0) close(fd);
  weir_bpf__destroy(skeleton_);
}

int XdpTest::program_fd() const { return bpf_program__fd(skeleton_->progs.weir_xdp); }

weir_counter XdpTest::sum(bpf_map* map, std::uint32_t index) const {
  std::vector<weir_counter> each(possible_cpus());
  EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(map), &index, each.data()), 0);
  return add_up(each.data());
}

XdpTest::Counters XdpTest::counters() const {
  // One call for the whole map: the mutation test reads it forty thousand times.
  std::vector<weir_counter> each(possible_cpus() * WEIR_REASON_COUNT);
  std::array<std::uint32_t, WEIR_REASON_COUNT> keys{};
  std::uint32_t next = 0;
  std::uint32_t count = WEIR_REASON_COUNT;
  LIBBPF_OPTS(bpf_map_batch_opts, opts);
  const int error = bpf_map_lookup_batch(bpf_map__fd(skeleton_->maps.counters), nullptr, &next, keys.data(),
                                         each.data(), &count, &opts);
  EXPECT_TRUE(error == 0 || error == -ENOENT) << std::strerror(-error);  // ENOENT: that was the last of them
  EXPECT_EQ(count, std::uint32_t{WEIR_REASON_COUNT});
  Counters all{};
  for (std::size_t i = 0; i < count; i++) all[keys[i]] = add_up(&each[i * possible_cpus()]);
  return all;
}

std::uint64_t XdpTest::all_counted() const {
  std::uint64_t packets = 0;
  for (const weir_counter& c : counters()) packets += c.packets;
  return packets;
}

std::string XdpTest::reason_id(std::uint32_t reason) {
  return reason < WEIR_REASON_COUNT ? kReasons[reason].id : "no reason";
}

XdpTest::Explained XdpTest::ask(const Octets& frame, std::uint64_t key, std::size_t size) {
  weir_explanation request{};
  request.key = key;
  Octets in(size + frame.size());
  std::memcpy(in.data(), &request, std::min(size, sizeof request));
  std::memcpy(in.data() + size, frame.data(), frame.size());
  Octets result(in.size() + 64);
  xdp_md context{};
  context.data = static_cast<std::uint32_t>(size);
  context.data_end = static_cast<std::uint32_t>(in.size());
  LIBBPF_OPTS(bpf_test_run_opts, opts);
  opts.data_in = in.data();
  opts.data_size_in = static_cast<std::uint32_t>(in.size());
  opts.data_out = result.data();
  opts.data_size_out = static_cast<std::uint32_t>(result.size());
  opts.ctx_in = &context;
  opts.ctx_size_in = sizeof context;
  opts.repeat = 1;
  write_beats();
  EXPECT_EQ(bpf_prog_test_run_opts(program_fd(), &opts), 0);
  EXPECT_EQ(opts.data_size_out, in.size()) << "nothing is put in front of it";
  EXPECT_EQ(std::memcmp(result.data() + size, frame.data(), frame.size()), 0);
  Explained out;
  out.action = opts.retval;
  std::memcpy(&out.words, result.data(), sizeof out.words);
  out.answered = out.words.key == 0 && size == sizeof out.words;
  return out;
}

Outcome XdpTest::run(const Octets& frame, Arrival at) {
  const Counters before = counters();
  xdp_md in{};
  xdp_md out{};
  in.data_end = static_cast<std::uint32_t>(frame.size());
  in.ingress_ifindex = at.ifindex;
  in.rx_queue_index = at.queue;
  Octets result(kFrameRoom);
  LIBBPF_OPTS(bpf_test_run_opts, opts);
  opts.data_in = frame.data();
  opts.data_size_in = static_cast<std::uint32_t>(frame.size());
  opts.data_out = result.data();
  opts.data_size_out = static_cast<std::uint32_t>(result.size());
  opts.ctx_in = &in;
  opts.ctx_size_in = sizeof in;
  opts.ctx_out = &out;
  opts.ctx_size_out = sizeof out;
  opts.repeat = 1;
  write_beats();
  const int error = bpf_prog_test_run_opts(program_fd(), &opts);
  EXPECT_EQ(error, 0) << "test run of " << frame.size() << " octets: " << std::strerror(-error);

  Outcome outcome;
  outcome.action = opts.retval;
  result.resize(opts.data_size_out);
  if (out.data == sizeof(weir_meta)) {
    weir_meta meta{};
    std::memcpy(&meta, result.data(), sizeof meta);
    outcome.meta = meta;
  }
  outcome.frame.assign(result.begin() + out.data, result.end());

  const Counters after = counters();
  std::uint64_t moved = 0;
  for (std::size_t i = 0; i < after.size(); i++) {
    const std::uint64_t packets = after[i].packets - before[i].packets;
    moved += packets;
    if (packets == 0) continue;
    outcome.reason = kReasons[i].id;
    EXPECT_EQ(after[i].bytes - before[i].bytes, frame.size()) << outcome.reason;
    EXPECT_EQ(outcome.action, expected_action(kReasons[i].verdict)) << outcome.reason;
  }
  EXPECT_EQ(moved, 1u) << "every frame has exactly one reason";
  return outcome;
}

XdpTest::Repeated XdpTest::run_repeatedly(const Packet& packet, std::uint32_t times) {
  const Octets frame = packet.bytes();
  LIBBPF_OPTS(bpf_test_run_opts, opts);
  opts.data_in = frame.data();
  opts.data_size_in = static_cast<std::uint32_t>(frame.size());
  opts.repeat = static_cast<int>(times);
  write_beats();
  EXPECT_EQ(bpf_prog_test_run_opts(program_fd(), &opts), 0);
  return {opts.duration, opts.retval};
}

void XdpTest::set_config(const weir_config& config) {
  config_ = config;
  const std::uint32_t zero = 0;
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.config), &zero, &config, BPF_ANY), 0);
}

void XdpTest::add_local(IpAddress address, weir_local local) {
  weir_addr key{};
  std::memcpy(key.bytes, address.data(), 16);
  const std::uint32_t value = local;
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.local_addrs), &key, &value, BPF_ANY), 0);
}

void XdpTest::set_entry(std::uint32_t index, const weir_steer& entry) {
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.steer), &index, &entry, BPF_ANY), 0);
}

weir_steer XdpTest::entry(std::uint32_t index) const {
  weir_steer e{};
  EXPECT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.steer), &index, &e), 0);
  return e;
}

void XdpTest::index_entry(std::uint8_t protocol, std::uint16_t port, std::uint32_t index) {
  weir_steer_key key{};
  key.protocol = protocol;
  key.port_be = to_be16(port);
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.steer_index), &key, &index, BPF_ANY), 0);
  const std::uint32_t at = weir_listening_word(protocol, port);
  std::uint64_t word = 0;
  ASSERT_EQ(bpf_map_lookup_elem(bpf_map__fd(skeleton_->maps.steered), &at, &word), 0);
  word |= std::uint64_t{1} << (port % 64);
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.steered), &at, &word, BPF_ANY), 0);
}

void XdpTest::beat(std::uint32_t queue, std::optional<std::uint64_t> age_ns) { beats_[queue] = age_ns; }

void XdpTest::write_beats() {
  for (const auto& [queue, age_ns] : beats_) {
    weir_heartbeat heartbeat{};
    if (age_ns) heartbeat.monotonic_ns = monotonic_ns() - *age_ns;
    ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.heartbeats), &queue, &heartbeat, BPF_ANY), 0);
  }
}

void XdpTest::put_socket(std::uint32_t queue) {
  // Unbound: the map takes it, and the program asks no more of it than to be there. Kernel 7.2 wants a receive ring.
  const int fd = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
  ASSERT_GE(fd, 0) << std::strerror(errno);
  sockets_[queue] = fd;
  constexpr int kRing = 64;
  ASSERT_EQ(setsockopt(fd, SOL_XDP, XDP_RX_RING, &kRing, sizeof kRing), 0) << std::strerror(errno);
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.xsks), &queue, &fd, BPF_ANY), 0) << std::strerror(errno);
}

void XdpTest::remove_socket(std::uint32_t queue) {
  bpf_map_delete_elem(bpf_map__fd(skeleton_->maps.xsks), &queue);
  if (sockets_[queue] >= 0) close(sockets_[queue]);
  sockets_[queue] = -1;
}

xdp::SetMemory XdpTest::make_sets(std::uint32_t slot, control::SetTableSize size) {
  xdp::SetMemory memory = xdp::SetMemory::make(size.rows()).value();
  control::SetTable::format(memory.rows(), size, 0x5eed);
  const int fd = memory.fd();
  EXPECT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.sets), &slot, &fd, BPF_ANY), 0) << std::strerror(errno);
  return memory;
}

void XdpTest::set_filter(std::uint32_t slot, const std::vector<weir_rule>& rules, std::uint32_t sets) {
  auto chunks = control::compile(rules, 1, sets);
  chunks[0].generation.serial = ++serial_;
  const auto map = xdp::Generation::make(chunks);
  ASSERT_TRUE(map.ok()) << map.error().message;
  const int fd = map->get();
  ASSERT_EQ(bpf_map_update_elem(bpf_map__fd(skeleton_->maps.filter), &slot, &fd, BPF_ANY), 0) << std::strerror(errno);
}

std::uint64_t XdpTest::rule_packets(std::uint32_t counter) const {
  return sum(skeleton_->maps.rule_counters, counter).packets;
}

std::uint64_t XdpTest::steer_packets(std::uint32_t index) const {
  return sum(skeleton_->maps.steer_counters, index).packets;
}

}  // namespace weir::bpf_test
