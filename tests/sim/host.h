// SPDX-License-Identifier: MIT
// A stack with its counters, its addresses and a kernel that answers for its next hops.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <numeric>
#include <utility>
#include <vector>

#include "link.h"
#include "weir/stack/stack.h"

namespace weir::sim {

class Host {
 public:
  Host(const stack::Config& config, std::uint64_t seed, Duration resolve_after = {})
      : config_(config),
        resolve_after_(resolve_after),
        stack_(config_, stack::Secrets{{1, 2, 3}, {4, 5, 6}, {}}, seed, counters_),
        buffers_(kBatch, std::vector<std::byte>(config.mtu + 14u)) {
    for (auto& buffer : buffers_) frames_.push_back({buffer, 0});
  }

  stack::Stack& stack() { return stack_; }
  const stack::Config& config() const { return config_; }

  // Where this host's frames go, and the MAC of every neighbour there.
  void attach(Link& out, const MacAddress& neighbour) {
    out_ = &out;
    neighbour_ = neighbour;
  }

  void receive(Link& in, Instant now) {
    while (auto frame = in.receive(now)) {
      stack_.on_frame(*frame, {}, now);
      ++received_;
    }
  }
  // All that is due leaves; the kernel answers what was asked.
  void pump(Instant now) {
    while (auto query = stack_.poll_next_hop_query()) asked_.emplace_back(now + resolve_after_, query->destination);
    while (!asked_.empty() && asked_.front().first <= now) {
      stack_.on_next_hop(asked_.front().second, {neighbour_, config_.mtu}, now);
      asked_.pop_front();
    }
    while (std::size_t n = stack_.poll_transmit(frames_, now)) {
      for (std::size_t i = 0; i < n; ++i) out_->send(ConstBytes(frames_[i].buffer).first(frames_[i].length), now);
      if (stack_.wants_transmit(now)) continue;
      while (auto query = stack_.poll_next_hop_query()) asked_.emplace_back(now + resolve_after_, query->destination);
    }
    while (auto query = stack_.poll_next_hop_query()) asked_.emplace_back(now + resolve_after_, query->destination);
  }
  Instant next_deadline() const {
    Instant kernel = asked_.empty() ? Instant::never() : asked_.front().first;
    return std::min(kernel, stack_.next_deadline());
  }

  std::uint64_t count(weir_reason reason) const { return counters_[static_cast<std::size_t>(reason)]; }
  // Every frame is counted once; two reasons count what happens later.
  std::uint64_t counted_frames() const {
    return std::accumulate(counters_.begin(), counters_.end(), std::uint64_t{0}) - count(WEIR_R_LOST_FRAG_TIMEOUT) -
           count(WEIR_R_LOST_NO_NEXT_HOP);
  }
  std::uint64_t received_frames() const { return received_; }

 private:
  static constexpr std::size_t kBatch = 32;

  stack::Config config_;
  Duration resolve_after_;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters_{};
  stack::Stack stack_;
  std::vector<std::vector<std::byte>> buffers_;
  std::vector<stack::TxFrame> frames_;
  Link* out_ = nullptr;
  MacAddress neighbour_;
  std::deque<std::pair<Instant, IpAddress>> asked_;
  std::uint64_t received_ = 0;
};

}  // namespace weir::sim
