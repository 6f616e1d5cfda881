// SPDX-License-Identifier: MIT
// The fixture of the BPF_PROG_TEST_RUN tier: a network namespace of the process's own, the program loaded afresh for
// each case (nothing pinned, nothing attached), a host with one engine on queue 0, and run(), which names what became
// of a frame.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "packet_builder.h"
#include "weir.skel.h"
#include "weir/common/abi.h"
#include "weir/common/flow_hash.h"
#include "weir/common/reasons.h"
#include "weir/control/set_table.h"
#include "weir/xdp/fd.h"
#include "weir/xdp/maps.h"
#include "weir/xdp/set_memory.h"

namespace weir::bpf_test {

inline const IpAddress kOurs4 = IpAddress::v4(192, 0, 2, 1);
inline const IpAddress kPeer4 = IpAddress::v4(198, 51, 100, 2);
inline const IpAddress kTransit4 = IpAddress::v4(203, 0, 113, 9);
inline const IpAddress kOurs6 = *IpAddress::parse("2001:db8::1");
inline const IpAddress kPeer6 = *IpAddress::parse("2001:db8:ffff::2");
inline const IpAddress kTransit6 = *IpAddress::parse("2001:db8:eeee::9");

inline constexpr std::uint16_t kSteeredTcp = 8080;
inline constexpr std::uint16_t kSteeredUdp = 4433;
inline constexpr std::uint16_t kKernelPort = 22;
inline constexpr std::uint16_t kPeerPort = 40000;
inline constexpr std::uint32_t kTcpEntry = 3;
inline constexpr std::uint32_t kUdpEntry = 4;

inline constexpr std::uint64_t kSecond = 1'000'000'000;

// Where a frame arrives. Queues other than 0 need a device that has them.
struct Arrival {
  std::uint32_t queue = 0;
  std::uint32_t ifindex = 0;
};

struct Outcome {
  std::string reason;  // "PASS_ARP"
  std::uint32_t action = 0;
  std::optional<weir_meta> meta;
  Octets frame;  // without the metadata
};

// The maps of a loaded object by descriptors of their own, as a tool has them.
xdp::Maps adopt_maps(const bpf_object* object);

class XdpTest : public testing::Test {
 protected:
  // A host with one address of each family; TCP 8080 and UDP 4433 are steered, the engine of queue 0 listens on both
  // and is alive; the kernel owns nothing of theirs; the filter is empty.
  void SetUp() override;
  void TearDown() override;

  // Runs the program once and checks what holds for every frame: one counter moves, by one packet and the frame's
  // length, and the verdict is that reason's.
  Outcome run(const Octets& frame, Arrival at = {});
  Outcome run(const Packet& packet, Arrival at = {}) { return run(packet.bytes(), at); }
  std::string reason(const Packet& packet, Arrival at = {}) { return run(packet.bytes(), at).reason; }

  // What the program tells of a frame, where config.explain_key is this.
  static constexpr std::uint64_t kExplainKey = 0x1122334455667788ULL;
  struct Explained {
    bool answered = false;
    weir_explanation words{};
    std::uint32_t action = 0;
  };
  Explained ask(const Octets& frame, std::uint64_t key = kExplainKey, std::size_t size = sizeof(weir_explanation));

  // Segments of a peer to a port of ours, by the family of the addresses that the name says.
  static Packet tcp4(std::string_view flags, std::uint16_t dport = kSteeredTcp) {
    return Packet().ipv4(kPeer4, kOurs4).tcp(kPeerPort, dport, flags);
  }
  static Packet tcp6(std::string_view flags, std::uint16_t dport = kSteeredTcp) {
    return Packet().ipv6(kPeer6, kOurs6).tcp(kPeerPort, dport, flags);
  }
  static Packet udp4(std::uint16_t dport = kSteeredUdp) {
    return Packet().ipv4(kPeer4, kOurs4).udp(kPeerPort, dport).text(8);
  }
  static Packet udp6(std::uint16_t dport = kSteeredUdp) {
    return Packet().ipv6(kPeer6, kOurs6).udp(kPeerPort, dport).text(8);
  }

  void set_config(const weir_config& config);
  weir_config config() const { return config_; }
  void add_local(IpAddress address, weir_local local = WEIR_LOCAL);
  void set_entry(std::uint32_t index, const weir_steer& entry);
  weir_steer entry(std::uint32_t index) const;
  // Edits one entry: steer(kTcpEntry, [](weir_steer& e) { e.flags = ...; }).
  template <class Edit>
  void edit_entry(std::uint32_t index, Edit edit) {
    weir_steer e = entry(index);
    edit(e);
    set_entry(index, e);
  }
  void index_entry(std::uint8_t protocol, std::uint16_t port, std::uint32_t index);
  // The engine's last beat is this old at each run that follows, however slow the machine; without an age it left in
  // good order.
  void beat(std::uint32_t queue, std::optional<std::uint64_t> age_ns);
  void put_socket(std::uint32_t queue);
  void remove_socket(std::uint32_t queue);
  // In that slot. A rule without a counter index of its own shares number 0.
  void set_filter(std::uint32_t slot, const std::vector<weir_rule>& rules, std::uint32_t sets = WEIR_NO_SET_TABLE);
  // An empty table of sets, in that slot; it is changed through what is returned.
  xdp::SetMemory make_sets(std::uint32_t slot, control::SetTableSize size);
  std::uint64_t rule_packets(std::uint32_t counter) const;
  std::uint64_t steer_packets(std::uint32_t index) const;
  struct Repeated {
    std::uint32_t mean_ns;
    std::uint32_t action;  // of the last run
  };
  // The same buffer again and again: each steered run takes room for metadata until there is none left.
  Repeated run_repeatedly(const Packet& packet, std::uint32_t times);
  int program_fd() const;
  // The tools' access to the maps of the program under test.
  xdp::Maps maps() const { return adopt_maps(skeleton_->obj); }
  weir_bpf* skeleton() const { return skeleton_; }
  // Frames counted by any reason so far.
  std::uint64_t all_counted() const;
  static std::string reason_id(std::uint32_t reason);
  // For those that run the program themselves: run() does it by itself.
  void refresh_beats() { write_beats(); }

 private:
  using Counters = std::array<weir_counter, WEIR_REASON_COUNT>;
  weir_counter sum(bpf_map* map, std::uint32_t index) const;
  Counters counters() const;
  void write_beats();

  weir_bpf* skeleton_ = nullptr;
  weir_config config_{};
  std::uint64_t serial_ = 0;
  std::map<std::uint32_t, std::optional<std::uint64_t>> beats_;
  std::array<int, WEIR_MAX_QUEUES> sockets_{};
};

// A number that whoever runs the tests may set, for more or for less.
std::uint64_t from_environment(const char* name, std::uint64_t otherwise);

// The least mean of `times` runs of the program over the frame, `repeat` in each: nanoseconds a frame.
std::uint32_t least_mean_ns(int program, const Octets& frame, int repeat, int times);

// Runs `ip ARGUMENTS` in the process's namespace.
bool ip(const std::string& arguments);

weir_rule rule(weir_action action, std::uint16_t counter);

}  // namespace weir::bpf_test
