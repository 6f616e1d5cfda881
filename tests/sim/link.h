// SPDX-License-Identifier: MIT
// One direction of a link that does to frames whatever its parameters say, and the same for the same seed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <random>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/base/time.h"

namespace weir::sim {

struct LinkParameters {
  Duration delay = Duration::microseconds(50);
  Duration jitter;  // added to each frame, uniformly from zero; does not reorder by itself
  double loss = 0;  // probabilities, of each frame
  double duplication = 0;
  double marking = 0;     // as congested, of those that are ECN-capable (RFC 3168 5)
  double corruption = 0;  // one bit behind the first `spared` bytes
  double reordering = 0;  // held back for up to `hold`
  Duration hold;
  std::uint64_t rate = 0;   // bits a second; 0: infinite
  std::uint32_t queue = 0;  // bytes that may wait for the rate; 0: no end
  std::size_t spared = 14;
  // A router a little way on has a narrower link: what is larger is lost there, and answered with a packet-too-big
  // that is itself lost half the time. 0: none.
  std::uint16_t path_mtu = 0;
  bool black_hole = false;  // nothing answers (RFC 2923 2.1)
};

class Link {
 public:
  Link(const LinkParameters& parameters, std::uint64_t seed) : p_(parameters), random_(seed) {}

  void send(ConstBytes frame, Instant now) {
    Instant leaves = now;
    if (p_.rate != 0) {
      Duration backlog = free_at_ > now ? free_at_ - now : Duration{};
      if (p_.queue != 0 && bytes_in(backlog) > p_.queue) return;
      auto bits = static_cast<std::int64_t>(frame.size()) * 8;
      leaves = now + backlog + Duration::nanoseconds(bits * 1'000'000'000 / static_cast<std::int64_t>(p_.rate));
      free_at_ = leaves;
    }
    if (chance(p_.loss)) return;
    unsigned copies = chance(p_.duplication) ? 2 : 1;
    for (unsigned i = 0; i < copies; ++i) {
      std::vector<std::byte> bytes(frame.begin(), frame.end());
      if (chance(p_.corruption) && bytes.size() > p_.spared) {
        std::size_t at = p_.spared + random_() % (bytes.size() - p_.spared);
        bytes[at] ^= static_cast<std::byte>(1u << (random_() % 8));
      }
      if (chance(p_.marking)) mark(bytes);
      Instant arrives = leaves + p_.delay + upto(p_.jitter);
      if (chance(p_.reordering)) {
        arrives += upto(p_.hold);
      } else {
        arrives = std::max(arrives, last_arrival_);
        last_arrival_ = arrives;
      }
      flying_.emplace(arrives, std::move(bytes));
    }
  }

  Instant next_arrival() const { return flying_.empty() ? Instant::never() : flying_.begin()->first; }
  // A frame that has arrived by `now`.
  std::optional<std::vector<std::byte>> receive(Instant now) {
    if (next_arrival() > now) return std::nullopt;
    std::vector<std::byte> frame = std::move(flying_.begin()->second);
    flying_.erase(flying_.begin());
    return frame;
  }

 private:
  bool chance(double p) { return p > 0 && std::uniform_real_distribution<>(0, 1)(random_) < p; }
  Duration upto(Duration d) {
    return d.count_ns() == 0
               ? d
               : Duration::nanoseconds(static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(d.count_ns())));
  }
  std::uint64_t bytes_in(Duration d) const {
    return static_cast<std::uint64_t>(d.count_us()) * (p_.rate / 8) / 1'000'000;
  }

  void mark(std::vector<std::byte>& frame) const {
    if (frame.size() < p_.spared + 40) return;
    std::byte* ip = frame.data() + p_.spared;
    bool v4 = (ip[0] >> 4) == std::byte{4};
    std::byte both = v4 ? std::byte{0x03} : std::byte{0x30};
    if ((ip[1] & both) == std::byte{}) return;
    if (v4) {
      // RFC 1624: the checksum less what is added.
      unsigned added = std::to_integer<unsigned>((ip[1] & both) ^ both);
      unsigned sum = load_be<std::uint16_t>(ip + 10);
      sum = sum >= added ? sum - added : sum - added + 0xffff;
      store_be(ip + 10, static_cast<std::uint16_t>(sum));
    }
    ip[1] |= both;
  }

  LinkParameters p_;
  std::mt19937_64 random_;
  Instant free_at_;
  Instant last_arrival_;
  std::multimap<Instant, std::vector<std::byte>> flying_;
};

}  // namespace weir::sim
