// SPDX-License-Identifier: MIT
// What a Stack is made of. Private to this directory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "weir/stack/connection_table.h"
#include "weir/stack/cookies.h"
#include "weir/stack/fast_open_cache.h"
#include "weir/stack/fast_open_cookies.h"
#include "weir/stack/initial_numbers.h"
#include "weir/stack/next_hop_cache.h"
#include "weir/stack/reassembly.h"
#include "weir/stack/reply_queue.h"
#include "weir/stack/stack.h"
#include "weir/stack/time_wait_table.h"
#include "weir/stack/timing_wheel.h"
#include "weir/tcp/segment.h"
#include "weir/wire/icmp.h"
#include "weir/wire/ip_packet.h"

namespace weir::stack {

struct Stack::Impl {
  Impl(const Config& config, const Secrets& secrets, std::uint64_t seed, Counters counters);

  // What is known of a packet when its payload is looked at.
  struct Packet {
    IpAddress src;
    IpAddress dst;
    wire::IpProtocol protocol = wire::IpProtocol::none;
    wire::Ecn ecn = wire::Ecn::not_ect;
    ConstBytes payload;
    MacAddress mac;  // of the station that sent the frame; zeros where the medium has none
    std::optional<std::uint32_t> flow_hash;
    bool discard_syn = false;
    bool reassembled = false;
    // Of a SYN that takes the place of a connection in TIME-WAIT: where that one's sequence numbers end.
    std::optional<tcp::SeqNum> iss_after;
  };

  // --- frames in (stack.cc, icmp.cc); each returns the one reason that is counted ---
  weir_reason on_ethernet(ConstBytes frame, const RxInfo& info, Instant now);
  weir_reason on_ip(ConstBytes bytes, const MacAddress& mac, const RxInfo& info, Instant now);
  weir_reason on_fragment(const wire::IpPacketView& view, Packet& packet, Instant now);
  weir_reason on_payload(const Packet& packet, Instant now);
  weir_reason on_tcp(Packet packet, Instant now);
  weir_reason on_unmatched(const FlowKey& key, std::uint32_t hash, const tcp::Segment& segment, const Packet& packet,
                           Instant now);
  weir_reason on_new_connection(Listener& listener, const FlowKey& key, std::uint32_t hash, const tcp::Segment& segment,
                                const Packet& packet, Instant now);
  weir_reason reply_cookie(Listener& listener, const FlowKey& key, const tcp::Segment& syn, const Packet& packet,
                           Instant now);
  // An ACK of a SYN-ACK that a listener has forgotten: a connection, where the cookie is good.
  bool may_hold_cookie(const Listener& listener, Instant now) const;
  weir_reason on_cookie(Listener& listener, const FlowKey& key, std::uint32_t hash, tcp::Segment segment,
                        const Packet& packet, Instant now);
  Slot* create_pending(Listener& listener, const FlowKey& key, std::uint32_t hash, const Packet& packet, Instant now);
  // --- Fast Open (fast_open.cc) ---
  void answer_fast_open(Listener& listener, Slot& slot, const tcp::Segment& syn, Instant now);
  void leave_fast_open(Slot& slot, Instant now);
  void begin_fast_open(Slot& slot, Instant now);
  void note_fast_open(Slot& slot, Instant now);

  weir_reason reply_reset(const FlowKey& key, const tcp::Segment& segment, const Packet& packet, weir_reason reason);
  // A SYN for a connection in TIME-WAIT: true where it begins a new one, and the old one has left the table.
  bool leave_time_wait(Slot& slot, const tcp::Segment& segment, Packet& packet);
  std::optional<weir_reason> on_time_wait(TimeWaitTable::Entry& entry, const tcp::Segment& segment, Packet& packet,
                                          Instant now);
  bool takes_syn_of(const FlowKey& key, const std::optional<tcp::TimeWait>& old, const tcp::Segment& segment);
  weir_reason on_icmp(const Packet& packet, Instant now);
  weir_reason on_icmp_error(const wire::IcmpView& icmp, const Packet& packet, Instant now);
  bool is_local(const IpAddress& address) const;

  // --- frames out (transmit.cc) ---
  std::size_t transmit(std::span<TxFrame> frames, Instant now);
  std::size_t transmit_burst(Slot& slot, std::span<TxFrame> frames, Instant now);
  void write_reply(const Reply& reply, TxFrame& frame);
  void write_frame(const FlowKey& flow, const MacAddress& to, const wire::TcpHeader& header,
                   std::span<const ConstBytes, 2> text, wire::Ecn ecn, std::uint16_t ip_id, std::uint32_t flow_label,
                   TxFrame& frame);
  // The way to a connection's peer, or nothing where it has to wait or to give up what it has to send.
  std::optional<NextHopCache::Route> find_route(Slot& slot, Instant now);
  // What was to be sent is lost; TCP sends it again, and in the end gives up.
  void discard_output(Slot& slot, Instant now);
  void wake(HopWaiters& waiters, Instant now);
  void give_up(HopWaiters& waiters, tcp::Errc reason, Instant now);

  // --- connections (connections.cc) ---
  Slot* create(const FlowKey& key, std::uint32_t hash);
  tcp::Birth birth(const FlowKey& key, std::uint16_t mtu, Instant now) const;
  std::uint16_t path_mtu(const IpAddress& remote, NextHopCache::Position& position, Instant now);
  static std::uint16_t mss_for(std::uint16_t mtu, Family family);
  // To be called after anything that may have changed a connection: moves it to where it now belongs (accept queue,
  // transmit list, timing wheel, event queue, or the free list). The slot may be free afterwards.
  void settle(Slot& slot, Instant now);
  // Let go by its user or its listener: no events any more, and freed when TCP is done.
  void hand_to_stack(Slot& slot, Instant now);
  void release(Slot& slot);
  void count_memory(Slot& slot);
  bool short_of_memory() const { return buffer_memory >= config.max_buffer_memory; }
  void uncount(Slot& slot);
  std::uint16_t classify(const FlowKey& key) const;
  void promote(Slot& slot);
  void note_readiness(Slot& slot);
  std::uint8_t readiness(const Slot& slot) const;
  void on_connection_deadline(Slot& slot, Instant now);

  void count(weir_reason reason) { ++counters[static_cast<std::size_t>(reason)]; }
  std::uint64_t random();

  Config config;
  Counters counters;
  InitialNumbers numbers;
  Cookies cookies;
  FastOpenCookies fast_open_cookies;
  FastOpenCache fast_open_cache;
  FastOpenCounts fast_open_counts;
  std::uint64_t random_state;

  std::vector<IpAddress> addresses;  // sorted
  // Destroyed in reverse: the slots that the lists and the wheel link go first.
  LinkList<Slot, TransmitTag> transmit_list;
  LinkList<EventSource, EventTag> events;
  TimingWheel wheel;
  NextHopCache next_hops;
  Reassembly reassembly;
  ReplyQueue replies;
  TimeWaitTable time_waits;
  std::vector<std::uint32_t> flows;  // by local port
  const std::uint64_t* guard_answered_ns = nullptr;
  FlowClassifier flow_classifier;  // null: none
  std::vector<std::uint32_t> class_flows;
  std::uint64_t buffer_memory = 0;
  ListenerTable listeners;
  ConnectionTable connections;
};

}  // namespace weir::stack
