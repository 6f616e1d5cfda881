// SPDX-License-Identifier: MIT
// A stack in virtual time, from public headers alone: a SYN leaves, and is answered with a refusal.
#include <iostream>

#include "weir/harness/host.h"

using namespace weir;
using namespace weir::harness;

int main() {
  PacketQueue to_a, to_b;
  Host a({.addresses = {*IpAddress::parse("192.0.2.1")}, .seed = 7}, to_a, to_b);
  Host b({.addresses = {*IpAddress::parse("192.0.2.2")}, .seed = 8}, to_b, to_a);
  int s = *a.socket(Family::v4);
  auto begun = a.connect(s, {*IpAddress::parse("192.0.2.2"), 80});
  if (begun || begun.error() != std::errc::operation_in_progress) return 1;
  b.run();
  a.run();
  std::error_code why = a.error(s);
  std::cout << why.message() << '\n';
  return why == std::errc::connection_refused ? 0 : 1;
}
