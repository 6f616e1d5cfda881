// SPDX-License-Identifier: MIT
// The sans-IO core by itself: links without libbpf, Boost and threads.
#include <iostream>

#include "weir/base/ip_address.h"
#include "weir/stack/stack.h"
#include "weir/tcp/state.h"

int main() {
  const auto address = weir::IpAddress::parse("192.0.2.1");
  std::cout << address->to_string() << ' ' << weir::tcp::name(weir::tcp::State::established) << '\n';
  return address->is_v4() ? 0 : 1;
}
