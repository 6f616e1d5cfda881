// SPDX-License-Identifier: MIT
// Nanoseconds a frame on each path, printed for information: machines differ, so nothing is asserted. A repeated run
// has no room left for metadata after the first few, so the steered figures leave out writing it (a few nanoseconds).
#include <cstdio>

#include "xdp_test.h"

namespace weir::bpf_test {
namespace {

class Speed : public XdpTest {
 protected:
  void print(const char* what, const Packet& p) {
    std::printf("  %4u ns  %s\n", run_repeatedly(p, 1'000'000).mean_ns, what);
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

}  // namespace
}  // namespace weir::bpf_test
