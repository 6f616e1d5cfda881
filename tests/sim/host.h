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
#include "weir/wire/ethernet.h"
#include "weir/wire/icmp.h"
#include "weir/wire/ip_packet.h"

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
  void attach(Link& out, const MacAddress& neighbour, std::uint16_t path_mtu, bool black_hole) {
    out_ = &out;
    neighbour_ = neighbour;
    path_mtu_ = path_mtu;
    black_hole_ = black_hole;
  }
  // The path's MTU is another from now on; 0: the link's.
  void set_path_mtu(std::uint16_t mtu, bool black_hole) {
    path_mtu_ = mtu;
    black_hole_ = black_hole;
  }
  // Routes have changed, or may have.
  void flush_next_hops() { stack_.flush_next_hops(); }

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
      for (std::size_t i = 0; i < n; ++i) send(ConstBytes(frames_[i].buffer).first(frames_[i].length), now);
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

  void send(ConstBytes frame, Instant now) {
    std::size_t link = config_.medium == stack::Medium::ethernet ? wire::kEthernetHeaderSize : 0;
    if (path_mtu_ == 0 || frame.size() - link <= path_mtu_) {
      out_->send(frame, now);
    } else if (!black_hole_ && ++too_big_ % 2 == 0) {
      stack_.on_frame(too_big(frame, link), {}, now);
      ++received_;
    }
  }
  // RFC 1191 4, RFC 4443 3.2: the router's answer to a frame of ours.
  std::vector<std::byte> too_big(ConstBytes frame, std::size_t link) const {
    ConstBytes packet = frame.subspan(link);
    auto ip = wire::IpPacketView::parse(packet);
    bool v4 = ip->family() == Family::v4;
    wire::IcmpHeader icmp;
    icmp.type = v4 ? 3 : 2;
    icmp.code = v4 ? 4 : 0;
    icmp.rest = path_mtu_;
    ConstBytes quoted = packet.first(std::min<std::size_t>(packet.size(), v4 ? 28 : 1'232));
    std::vector<std::byte> message(wire::kIcmpHeaderSize + quoted.size());
    icmp.write(message, ip->dst(), ip->src(), quoted);
    wire::IpHeader header;
    header.src = ip->dst();
    header.dst = ip->src();
    header.protocol = v4 ? wire::IpProtocol::icmp : wire::IpProtocol::icmpv6;
    header.payload_length = static_cast<std::uint16_t>(message.size());
    std::vector<std::byte> answer(link + header.size());
    if (link != 0) {
      auto type = v4 ? wire::EtherType::ipv4 : wire::EtherType::ipv6;
      wire::EthernetHeader{config_.mac, neighbour_, type}.write(answer);
    }
    header.write(Bytes(answer).subspan(link));
    answer.insert(answer.end(), message.begin(), message.end());
    return answer;
  }

  stack::Config config_;
  Duration resolve_after_;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters_{};
  stack::Stack stack_;
  std::vector<std::vector<std::byte>> buffers_;
  std::vector<stack::TxFrame> frames_;
  Link* out_ = nullptr;
  MacAddress neighbour_;
  std::uint16_t path_mtu_ = 0;
  bool black_hole_ = false;
  std::uint32_t too_big_ = 0;
  std::deque<std::pair<Instant, IpAddress>> asked_;
  std::uint64_t received_ = 0;
};

}  // namespace weir::sim
