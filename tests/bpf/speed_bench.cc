// SPDX-License-Identifier: MIT
// Nanoseconds a frame on each path, printed for information: machines differ, so nothing is asserted. A repeated run
// has no room left for metadata after the first few, so the steered figures leave out writing it (a few nanoseconds).
#include <bpf/bpf.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Speed : public XdpTest {
 protected:
  void print(const char* what, const Packet& p) {
    std::printf("  %4u ns  %s\n", run_repeatedly(p, 1'000'000).mean_ns, what);
  }

  static std::uint8_t octet(std::size_t i) { return static_cast<std::uint8_t>(i); }
  static weir_prefix host(IpAddress address) {
    weir_prefix p{};
    p.family = address.is_v4() ? 4 : 6;
    p.length = address.is_v4() ? 32 : 128;
    std::copy(address.bytes().begin(), address.bytes().end(), p.address.bytes);
    return p;
  }
  static void set_port(weir_rule& r, std::uint16_t port) {
    r.protocol = IPPROTO_TCP;
    r.destination_port[0] = r.destination_port[1] = port;
  }
  // The rest of the fields, as any segment has them.
  static void everything(weir_rule& r) {
    r.source_port[1] = 50000;
    r.tcp_mask = r.tcp_flags = 0x10;
    r.length[1] = 1500;
  }
};

TEST_F(Speed, OfEachPath) {
  print("not IP", Packet().ethertype(0x88cc).text(50));
  print("TCP, not steered", tcp4("A", kKernelPort));
  print("TCP over IPv6, not steered", tcp6("A", kKernelPort));
  print("segment to the engine", tcp4("A"));
  print("segment to the engine, IPv6", tcp6("A"));
  print("SYN to the engine", tcp4("S"));
  print("datagram to the engine", udp4());
  edit_entry(kTcpEntry, [](weir_steer& e) { e.syns_to_kernel = 1; });
  print("segment to the engine, with the look-up of kernel sockets", tcp4("A"));
  edit_entry(kTcpEntry, [](weir_steer& e) { e.syns_to_kernel = 0; });
}

// The same fields in use, more rules. The frame meets the last rule, which passes it.
TEST_F(Speed, OfTheFilterByTheNumberOfItsRules) {
  using Fill = void (*)(weir_rule&, std::size_t);
  const struct {
    const char* what;
    std::uint32_t fields;
    bool v6;
    Fill other;
    Fill matching;
  } cases[] = {
      {"source, IPv4", 1u << WEIR_FIELD_SOURCE, false,
       [](weir_rule& r, std::size_t i) { r.source = host(IpAddress::v4(10, 1, octet(i / 256), octet(i))); },
       [](weir_rule& r, std::size_t) { r.source = host(kPeer4); }},
      {"source, IPv4, each in a /24 of its own", 1u << WEIR_FIELD_SOURCE, false,
       [](weir_rule& r, std::size_t i) { r.source = host(IpAddress::v4(10, octet(i / 256), octet(i), 1)); },
       [](weir_rule& r, std::size_t) { r.source = host(kPeer4); }},
      {"source, IPv6", 1u << WEIR_FIELD_SOURCE, true,
       [](weir_rule& r, std::size_t i) {
         r.source = host(kTransit6);
         r.source.address.bytes[6] = octet(i / 256);
         r.source.address.bytes[7] = octet(i);
       },
       [](weir_rule& r, std::size_t) { r.source = host(kPeer6); }},
      {"protocol and port", 1u << WEIR_FIELD_PROTOCOL | 1u << WEIR_FIELD_DESTINATION_PORT, false,
       [](weir_rule& r, std::size_t i) { set_port(r, static_cast<std::uint16_t>(10000 + i)); },
       [](weir_rule& r, std::size_t) { set_port(r, kKernelPort); }},
      {"both addresses, protocol, port",
       1u << WEIR_FIELD_SOURCE | 1u << WEIR_FIELD_DESTINATION | 1u << WEIR_FIELD_PROTOCOL |
           1u << WEIR_FIELD_DESTINATION_PORT,
       false,
       [](weir_rule& r, std::size_t i) {
         r.source = host(IpAddress::v4(10, 1, octet(i / 256), octet(i)));
         r.destination = host(IpAddress::v4(10, 2, octet(i / 256), octet(i)));
         set_port(r, static_cast<std::uint16_t>(10000 + i));
       },
       [](weir_rule& r, std::size_t) {
         r.source = host(kPeer4);
         r.destination = host(kOurs4);
         set_port(r, kKernelPort);
       }},
      {"nine fields, IPv6", (1u << (WEIR_FIELD_LENGTH + 1)) - 1 - (1u << WEIR_FIELD_ICMP_TYPE), true,
       [](weir_rule& r, std::size_t i) {
         r.source = host(kTransit6);
         r.source.address.bytes[7] = octet(i);
         r.source.address.bytes[6] = octet(i / 256);
         r.destination = r.source;
         set_port(r, static_cast<std::uint16_t>(10000 + i));
         everything(r);
       },
       [](weir_rule& r, std::size_t) {
         r.source = host(kPeer6);
         r.destination = host(kOurs6);
         set_port(r, kKernelPort);
         everything(r);
       }},
  };
  std::printf("  ns a frame by rules:   none      1     10    100   1000   4096   4096/1\n");
  for (const auto& c : cases) {
    const Packet frame = c.v6 ? tcp6("A", kKernelPort) : tcp4("A", kKernelPort);
    const auto measure = [&] {
      std::uint32_t best = ~0u;
      for (int i = 0; i < 5; i++) best = std::min(best, run_repeatedly(frame, 300'000).mean_ns);
      return best;
    };
    set_filter(0, {});
    std::printf("  %22s %4u", "", measure());
    std::uint32_t first = 0, last = 0;
    for (const std::size_t rules :
         {std::size_t{1}, std::size_t{10}, std::size_t{100}, std::size_t{1000}, std::size_t{4096}}) {
      std::vector<weir_rule> table(rules, rule(WEIR_ACTION_PASS, 0));
      for (std::size_t i = 0; i < rules; i++) {
        table[i].fields = c.fields;
        (i + 1 == rules ? c.matching : c.other)(table[i], i);
      }
      set_filter(0, table);
      EXPECT_EQ(reason(frame), "PASS_FILTER") << c.what;
      last = measure();
      if (rules == 1) first = last;
      std::printf("   %4u", last);
    }
    std::printf("   %.2f  %s\n", static_cast<double>(last) / first, c.what);
  }
}

// The kernel's own longest-prefix match, which the filter does not use: the look-up of one IPv4 address among hosts
// that share their first 16 bits, alone in a program. Beside it, what the filter takes for a rule by source address.
TEST_F(Speed, OfTheKernelsPrefixTrieForComparison) {
  struct Key {
    std::uint32_t length;
    std::uint8_t address[4];
  };
  const auto run = [](int program) { return least_mean_ns(program, Octets(64), 300'000, 5); };
  const auto load = [](const std::vector<bpf_insn>& code) {
    return xdp::Fd(bpf_prog_load(BPF_PROG_TYPE_XDP, "weir_lpm", "GPL", code.data(), code.size(), nullptr));
  };
  const auto code = [](std::uint8_t op, std::uint8_t to, std::uint8_t from, int offset, int immediate) {
    bpf_insn i{};
    i.code = op;
    i.dst_reg = to & 15;
    i.src_reg = from & 15;
    i.off = static_cast<std::int16_t>(offset);
    i.imm = immediate;
    return i;
  };
  constexpr std::uint8_t kMove = BPF_ALU64 | BPF_MOV | BPF_K, kStore = BPF_ST | BPF_MEM | BPF_W;
  const bpf_insn pass = code(kMove, 0, 0, 0, XDP_PASS);
  const bpf_insn leave = code(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  const xdp::Fd empty = load({pass, leave});
  ASSERT_TRUE(empty) << std::strerror(errno);
  const std::uint32_t nothing = run(empty.get());
  std::printf("  an LPM trie, beyond an empty program:");
  for (const std::size_t hosts :
       {std::size_t{1}, std::size_t{10}, std::size_t{100}, std::size_t{1000}, std::size_t{4096}}) {
    LIBBPF_OPTS(bpf_map_create_opts, options, .map_flags = BPF_F_NO_PREALLOC);
    const xdp::Fd trie(bpf_map_create(BPF_MAP_TYPE_LPM_TRIE, "weir_lpm", sizeof(Key), 4, 4096, &options));
    ASSERT_TRUE(trie) << std::strerror(errno);
    Key key{};
    for (std::size_t i = 0; i < hosts; i++) {
      key = {32, {10, 1, octet(i / 256), octet(i)}};
      const std::uint32_t value = 1;
      ASSERT_EQ(bpf_map_update_elem(trie.get(), &key, &value, BPF_ANY), 0);
    }
    std::int32_t words[2];
    std::memcpy(words, &key, sizeof words);
    const xdp::Fd program =
        load({code(kStore, 10, 0, -8, words[0]), code(kStore, 10, 0, -4, words[1]),
              code(BPF_LD | BPF_DW | BPF_IMM, 1, BPF_PSEUDO_MAP_FD, 0, trie.get()), code(0, 0, 0, 0, 0),
              code(BPF_ALU64 | BPF_MOV | BPF_X, 2, 10, 0, 0), code(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, -8),
              code(BPF_JMP | BPF_CALL, 0, 0, 0, BPF_FUNC_map_lookup_elem), pass, leave});
    ASSERT_TRUE(program) << std::strerror(errno);
    std::printf(" %u ns at %zu,", run(program.get()) - nothing, hosts);
  }
  std::printf(" hosts\n");
}

}  // namespace
}  // namespace weir::bpf_test
