// SPDX-License-Identifier: MIT
// Two hosts of the public harness, each the other's network, for both families.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <system_error>
#include <vector>

#include "weir/harness/host.h"

namespace weir::harness {

class Hosts : public testing::TestWithParam<Family> {
 protected:
  Family family() const { return GetParam(); }
  IpAddress address(int host, int which = 0) const {
    auto last = static_cast<std::uint8_t>(host + 10 * which);
    if (family() == Family::v4) return IpAddress::v4(192, 0, 2, last);
    return *IpAddress::parse("2001:db8::" + std::to_string(last));
  }
  IpAddress any() const { return family() == Family::v4 ? IpAddress::v4(0, 0, 0, 0) : IpAddress(); }
  HostOptions options(int host) const {
    HostOptions o;
    o.addresses = {address(host), address(host, 1)};
    return o;
  }
  Endpoint service(std::uint16_t port = 80) const { return {address(2), port}; }

  // Until nothing is left that would happen within `most`.
  void settle(Duration most = 1_s) {
    Instant end = std::max(a.now(), b.now()) + most;
    a.run();
    b.run();
    for (Instant at = next(); at <= end; at = next()) {
      a.advance_to(at);
      b.advance_to(at);
    }
    a.advance_to(end);
    b.advance_to(end);
  }
  Instant next() const { return std::min(a.next_event(), b.next_event()); }

  int listening(std::uint16_t port = 80, int backlog = 16) {
    int l = *b.socket(family());
    EXPECT_TRUE(b.bind(l, service(port)));
    EXPECT_TRUE(b.listen(l, backlog));
    return l;
  }
  struct Pair {
    int client;
    int server;
  };
  Pair connected(int listener, std::uint16_t port = 80) {
    int c = *a.socket(family());
    EXPECT_EQ(a.connect(c, service(port)).error(), std::errc::operation_in_progress);
    settle(100_ms);
    auto s = b.accept(listener);
    EXPECT_TRUE(s.ok());
    EXPECT_EQ(a.connect(c, service(port)).error(), std::errc::already_connected);
    return {c, s ? *s : -1};
  }
  std::string read(Host& host, int descriptor) {
    std::string text;
    std::array<char, 4096> part;
    while (true) {
      auto n = host.read(descriptor, std::as_writable_bytes(std::span(part)));
      if (!n) return text + (n.error() == std::errc::resource_unavailable_try_again ? "" : "!" + n.error().message());
      if (*n == 0) return text + "$";
      text.append(part.data(), *n);
    }
  }
  std::size_t write(Host& host, int descriptor, std::string_view text) {
    auto n = host.write(descriptor, as_const_bytes(text));
    EXPECT_TRUE(n.ok()) << n.error().message();
    return n ? *n : 0;
  }

  PacketQueue to_a, to_b;
  Host a{options(1), to_a, to_b};
  Host b{options(2), to_b, to_a};
};

inline std::string hosts_name(const testing::TestParamInfo<Family>& info) {
  return info.param == Family::v4 ? "v4" : "v6";
}

}  // namespace weir::harness
