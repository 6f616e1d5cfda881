// SPDX-License-Identifier: MIT
// A sender with a window of ten segments and a peer that acknowledges by number of segment, for tests of loss recovery.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "tcp_harness.h"

namespace weir::tcp::test {

inline constexpr std::uint32_t kMss = 1'000;
inline constexpr Duration kRtt = Duration::milliseconds(40);

inline Scene setting(Family family = Family::v4) {
  Scene s = plain();
  s.birth.family = family;
  s.birth.mss = kMss;
  s.config.send_buffer = 1u << 20;
  return s;
}

inline Duration ms(std::int64_t n) { return Duration::milliseconds(n); }

inline std::string ack(std::uint32_t n, const std::string& sack = {}) {
  return ". 1:1(0) ack " + std::to_string(n) + " win 65535" + (sack.empty() ? "" : " <sack " + sack + ">");
}

// `segments` more, [1, 1001), [1001, 2001) ..., leave at once.
inline void fill(Peer& p, std::uint32_t segments) {
  p.write(segments * kMss);
  EXPECT_EQ(p.take().size(), segments);
}

using Numbers = std::vector<std::uint32_t>;

// ESTABLISHED, with a window of ten segments and a round trip of 40 ms, also of one segment that has been acknowledged.
struct Flight : Peer {
  explicit Flight(const Scene& s = setting()) : Peer(s) {
    connect();
    take();
    wait(kRtt);
    std::string options = s.config.timestamps ? "mss 1012,ts 5 _" : "mss 1000";
    in("S. 0:0(0) ack 1 win 65535 <" + options + (s.config.sack ? ",sackOK>" : ">"));
    take();
    fill(1);
    wait(kRtt);
    in(ack(kMss + 1));
  }
  // `n` segments more leave now.
  void fill(std::uint32_t n) { test::fill(*this, n); }
  // In segments behind the first: the ACK of the first `acked`, SACK blocks of [from, to) pairs.
  void ack_segments(std::uint32_t acked, std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks = {}) {
    std::string words;
    for (auto [from, to] : blocks) words += (words.empty() ? "" : " ") + number(from) + ":" + number(to);
    in(ack(warm_ * kMss + acked * kMss + 1, words));
  }
  std::string number(std::uint32_t segment) const { return std::to_string((warm_ + segment) * kMss + 1); }
  // The segments, counted from 0 behind the first, that leave now.
  Numbers leave() {
    Numbers numbers;
    for (const Packet& p : take()) {
      if (p.length > 0) numbers.push_back((p.seq - 1) / kMss - warm_);
    }
    return numbers;
  }

  std::uint32_t warm_ = 1;
};

}  // namespace weir::tcp::test
