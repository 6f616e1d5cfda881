// SPDX-License-Identifier: MIT
// A stack with a listener, a connection that its peer has opened and one that it opens itself, under a script of
// frames, calls and time. Sought: memory errors, undefined behaviour, asserts, a frame that is not counted exactly
// once, a packet of ours that does not parse or whose checksum is wrong, a stack that never has enough.
//
// An input is a sequence of steps; the first byte of each chooses its kind (see run()), the rest are its arguments. A
// script that ends in the middle of a step gets zeros.
#include <algorithm>
#include <array>
#include <cstdint>
#include <numeric>
#include <optional>
#include <vector>

#include "script.h"
#include "weir/stack/stack.h"
#include "weir/wire/ethernet.h"
#include "weir/wire/icmp.h"
#include "weir/wire/ip_packet.h"
#include "weir/wire/tcp.h"

namespace weir::stack {
namespace {

using fuzz::require;
using fuzz::Script;

const MacAddress kOurs{{2, 0, 0, 0, 0, 1}};
const MacAddress kTheirs{{2, 0, 0, 0, 0, 2}};
constexpr std::uint16_t kListening = 80;
constexpr std::uint16_t kOpening = 50'000;
constexpr std::uint16_t kPeerPort = 40'000;

class World {
 public:
  explicit World(Script& script) : in_(script) {
    std::uint8_t choice = in_.u8();
    family_ = (choice & 1) != 0 ? Family::v6 : Family::v4;
    config_.mac = kOurs;
    config_.max_connections = 8;
    config_.max_next_hops = 4;
    config_.next_hop_queue = 2;
    config_.max_replies = 8;
    config_.reassembly_bytes = 32 * 1024;
    config_.reassembly_bytes_per_source = 16 * 1024;
    config_.tcp.receive_buffer = (choice & 2) != 0 ? 4'096 : 65'536;
    config_.tcp.send_buffer = 16'384;
    config_.tcp.timestamps = (choice & 4) != 0;
    config_.checksum = (choice & 8) != 0 ? wire::ChecksumPolicy::verify_or_partial : wire::ChecksumPolicy::verify;
    stack_.emplace(config_, Secrets{}, 1, counters_);
    std::array<IpAddress, 2> ours{ours4(), ours6()};
    stack_->set_local_addresses(ours);
    listener_ = *stack_->listen({IpAddress{}, kListening}, 3);
    establish();
    auto id = stack_->connect({us(), kOpening}, {peer(), kPeerPort}, now_);
    require(id.ok());
    ids_.push_back(*id);
    drain();
  }

  void run() {
    while (!in_.done()) {
      switch (in_.u8() % 10) {
        case 0:
          give(in_.take(in_.u16() % 2'048));
          break;
        case 1:
        case 2:
        case 3:
          give(tcp_frame());
          break;
        case 4:
          give(ip_frame());
          break;
        case 5:
          give(fragment_frame());
          break;
        case 6:
          give(icmp_frame());
          break;
        case 7:
          time();
          break;
        case 8:
          call();
          break;
        default:
          kernel();
      }
      drain();
    }
    finish();
  }

 private:
  static IpAddress ours4() { return IpAddress::v4(192, 0, 2, 1); }
  static IpAddress ours6() { return *IpAddress::parse("2001:db8::1"); }
  IpAddress us() const { return family_ == Family::v4 ? ours4() : ours6(); }
  IpAddress peer() const {
    return family_ == Family::v4 ? IpAddress::v4(192, 0, 2, 2) : *IpAddress::parse("2001:db8::2");
  }

  // --- frames ---

  void give(ConstBytes frame) {
    std::uint64_t before = std::accumulate(counters_.begin(), counters_.end(), std::uint64_t{0});
    RxInfo info;
    info.discard_syn = discard_syn_;
    stack_->on_frame(frame, info, now_);
    require(std::accumulate(counters_.begin(), counters_.end(), std::uint64_t{0}) == before + 1);
  }

  std::vector<std::byte> link(ConstBytes payload, wire::IpProtocol protocol) const {
    wire::IpHeader ip;
    ip.src = peer();
    ip.dst = us();
    ip.protocol = protocol;
    ip.payload_length = static_cast<std::uint16_t>(payload.size());
    std::vector<std::byte> frame(wire::kEthernetHeaderSize + ip.size());
    auto type = family_ == Family::v4 ? wire::EtherType::ipv4 : wire::EtherType::ipv6;
    wire::EthernetHeader{kOurs, kTheirs, type}.write(frame);
    ip.write(Bytes(frame).subspan(wire::kEthernetHeaderSize));
    frame.insert(frame.end(), payload.begin(), payload.end());
    return frame;
  }

  // Numbers near those that the connections use, options as they come, a checksum that is right.
  std::vector<std::byte> tcp_segment() {
    std::uint8_t who = in_.u8();
    bool opening = (who & 1) != 0;
    wire::TcpHeader h;
    h.src_port = (who & 2) != 0 ? static_cast<std::uint16_t>(in_.u8()) : kPeerPort;
    h.dst_port = opening ? kOpening : kListening;
    h.flags = wire::TcpFlags(in_.u8());
    h.seq = 1'001 + static_cast<std::uint32_t>(static_cast<std::int16_t>(in_.u16()));
    h.ack =
        (opening ? opening_ack_ : listening_ack_) + static_cast<std::uint32_t>(static_cast<std::int16_t>(in_.u16()));
    h.window = wire::WireWindow(in_.u16());
    ConstBytes options = in_.take(static_cast<std::size_t>(in_.u8() % 11) * 4);
    std::size_t padded = (options.size() + 3) / 4 * 4;
    std::vector<std::byte> segment(wire::kTcpHeaderSize);
    h.write(segment, peer(), us());
    segment.resize(wire::kTcpHeaderSize + padded);
    std::copy(options.begin(), options.end(), segment.begin() + wire::kTcpHeaderSize);
    segment[12] = static_cast<std::byte>((segment.size() / 4) << 4);
    std::size_t text = in_.u16() % 1'400;
    segment.resize(segment.size() + text, std::byte{'t'});
    mend(segment, wire::IpProtocol::tcp, 16);
    return segment;
  }
  void mend(Bytes payload, wire::IpProtocol protocol, std::size_t at) const {
    store_be(payload.data() + at, std::uint16_t{0});
    bool pseudo = protocol != wire::IpProtocol::icmp;
    auto sum = pseudo ? wire::pseudo_header(peer(), us(), protocol, static_cast<std::uint32_t>(payload.size()))
                      : wire::Checksum{};
    sum.add(payload);
    store_be(payload.data() + at, sum.fold());
  }
  std::vector<std::byte> tcp_frame() { return link(tcp_segment(), wire::IpProtocol::tcp); }
  std::vector<std::byte> ip_frame() {
    auto protocol = static_cast<wire::IpProtocol>(in_.u8());
    ConstBytes payload = in_.take(in_.u8());
    return link(payload, protocol);
  }
  std::vector<std::byte> fragment_frame() {
    std::vector<std::byte> segment = tcp_segment();
    std::uint8_t id = in_.u8();
    std::size_t at = std::min<std::size_t>(in_.u8(), segment.size() / 8) * 8;
    std::size_t size = std::min<std::size_t>(static_cast<std::size_t>(in_.u8()) * 8, segment.size() - at);
    bool more = in_.u8() % 2 == 0;
    ConstBytes part = ConstBytes(segment).subspan(at, size);
    if (family_ == Family::v6) {
      std::vector<std::byte> payload(wire::kIpv6FragmentHeaderSize);
      wire::Ipv6FragmentHeader{wire::IpProtocol::tcp, {id, static_cast<std::uint16_t>(at), more}}.write(payload);
      payload.insert(payload.end(), part.begin(), part.end());
      return link(payload, wire::IpProtocol::fragment);
    }
    std::vector<std::byte> frame = link(part, wire::IpProtocol::tcp);
    wire::Ipv4Header h;
    h.src = peer();
    h.dst = us();
    h.dont_fragment = false;
    h.id = id;
    h.more_fragments = more;
    h.fragment_offset = static_cast<std::uint16_t>(at);
    h.payload_length = static_cast<std::uint16_t>(size);
    h.write(Bytes(frame).subspan(wire::kEthernetHeaderSize));
    return frame;
  }
  std::vector<std::byte> icmp_frame() {
    bool opening = in_.u8() % 2 != 0;
    wire::TcpHeader h;
    h.src_port = opening ? kOpening : kListening;
    h.dst_port = kPeerPort;
    h.seq =
        (opening ? opening_ack_ : listening_ack_) + static_cast<std::uint32_t>(static_cast<std::int16_t>(in_.u16()));
    std::vector<std::byte> quoted(wire::kTcpHeaderSize);
    h.write(quoted, us(), peer());
    wire::IpHeader ip;
    ip.src = us();
    ip.dst = peer();
    ip.payload_length = static_cast<std::uint16_t>(quoted.size());
    std::vector<std::byte> body(ip.size());
    ip.write(body);
    body.insert(body.end(), quoted.begin(), quoted.begin() + 8);
    wire::IcmpHeader icmp;
    icmp.type = in_.u8();
    icmp.code = in_.u8();
    icmp.rest = in_.u16();
    std::vector<std::byte> message(wire::kIcmpHeaderSize + body.size());
    icmp.write(message, peer(), us(), body);
    return link(message, family_ == Family::v4 ? wire::IpProtocol::icmp : wire::IpProtocol::icmpv6);
  }

  // --- calls ---

  void time() {
    std::uint8_t how = in_.u8();
    Duration step = Duration::microseconds(static_cast<std::int64_t>(in_.u16()) << (how % 12));
    Instant until = now_ + step;
    int turns = 0;
    while (stack_->next_deadline() <= until) {
      now_ = std::max(now_, stack_->next_deadline());
      stack_->on_deadline(now_);
      drain();
      require(++turns < 20'000);
    }
    now_ = until;
  }

  void call() {
    std::uint8_t what = in_.u8();
    std::uint8_t which = in_.u8();
    if (what % 12 == 0) {
      auto id = stack_->connect({us(), static_cast<std::uint16_t>(kOpening + which % 4)}, {peer(), kPeerPort}, now_);
      if (id) ids_.push_back(*id);
      return;
    }
    if (ids_.empty()) return;
    std::size_t n = which % ids_.size();
    ConnectionId id = ids_[n];
    std::vector<std::byte> text(in_.u16() % 8'192);
    switch (what % 12) {
      case 1:
      case 2:
      case 3:
        stack_->write(id, text, now_);
        break;
      case 4:
      case 5:
        stack_->read(id, text, now_);
        break;
      case 6:
        stack_->shutdown_write(id, now_);
        break;
      case 7:
        stack_->shutdown_read(id, now_);
        break;
      case 8:
        stack_->close(id, now_);
        forget(n);
        break;
      case 9:
        stack_->abort(id, now_);
        forget(n);
        break;
      case 10:
        stack_->set_no_delay(id, which % 2 == 0);
        break;
      default:
        if (which == 255) {
          stack_->abort_all(now_);
        } else if (which > 240) {
          stack_->close_listener(listener_, now_);
          auto again = stack_->listen({IpAddress{}, kListening}, 3);
          require(again.ok());
          listener_ = *again;
        }
    }
  }
  void forget(std::size_t n) {
    ids_[n] = ids_.back();
    ids_.pop_back();
  }

  void kernel() {
    std::uint8_t what = in_.u8();
    switch (what % 6) {
      case 0:
        stack_->on_next_hop(peer(), {kTheirs, static_cast<std::uint16_t>(576 + what * 8)}, now_);
        break;
      case 1:
        stack_->on_no_next_hop(peer(), tcp::Errc::host_unreachable, now_);
        break;
      case 2:
        stack_->flush_next_hops();
        break;
      case 3:
        mtu_ = static_cast<std::uint16_t>(1'280 + in_.u8());
        stack_->set_link_mtu(mtu_, now_);
        break;
      case 4:
        discard_syn_ = !discard_syn_;
        break;
      default:
        while (stack_->poll_next_hop_query()) {}
    }
  }

  // --- what comes out ---

  void drain() {
    while (auto event = stack_->poll_event()) {
      if (event->listener) {
        while (auto id = stack_->accept(event->listener)) ids_.push_back(*id);
      } else {
        require(std::find(ids_.begin(), ids_.end(), event->connection) != ids_.end());
        require(event->readiness != 0);
        require((event->readiness & ~stack_->readiness(event->connection)) == 0);
      }
    }
    std::array<std::byte, 1'600> buffer;
    std::size_t frames = 0;
    TxFrame frame{buffer, 0};
    while (stack_->poll_transmit({&frame, 1}, now_) == 1) {
      check(ConstBytes(buffer).first(frame.length));
      require(++frames < 5'000);
    }
    require(!stack_->wants_transmit(now_));
    require(stack_->connections() <= config_.max_connections);
  }

  void check(ConstBytes frame) {
    auto ethernet = wire::EthernetView::parse(frame);
    require(ethernet && ethernet->src() == kOurs);
    auto ip = wire::IpPacketView::parse(ethernet->payload());
    require(ip && ip->header_checksum_ok() && !ip->fragment() && ip->packet().size() == ethernet->payload().size());
    require(ip->packet().size() <= std::max<std::size_t>(mtu_, 100));
    auto tcp = wire::TcpView::parse(ip->payload());
    require(tcp && tcp->checksum_ok(ip->src(), ip->dst(), wire::ChecksumPolicy::verify));
    if (tcp->flags().rst()) return;
    if (tcp->src_port() == kListening && tcp->dst_port() == kPeerPort) listening_ack_ = tcp->seq() + 1;
    if (tcp->src_port() == kOpening) opening_ack_ = tcp->seq() + 1;
  }

  void establish() {
    wire::TcpHeader h;
    h.src_port = kPeerPort;
    h.dst_port = kListening;
    h.seq = 1'000;
    h.flags = wire::kSyn;
    h.window = wire::WireWindow(65'535);
    std::vector<std::byte> segment(wire::kTcpHeaderSize);
    h.write(segment, peer(), us());
    give(link(segment, wire::IpProtocol::tcp));
    drain();
    h.seq = 1'001;
    h.ack = listening_ack_;
    h.flags = wire::kAck;
    h.write(segment, peer(), us());
    give(link(segment, wire::IpProtocol::tcp));
    drain();
    require(ids_.size() == 1);
  }

  void finish() {
    for (ConnectionId id : ids_) stack_->abort(id, now_);
    ids_.clear();
    stack_->close_listener(listener_, now_);
    stack_->abort_all(now_);
    drain();
    for (int i = 0; i < 10'000 && stack_->next_deadline() != Instant::never(); ++i) {
      now_ = std::max(now_, stack_->next_deadline());
      stack_->on_deadline(now_);
      drain();
    }
    require(stack_->connections() == 0);
    require(stack_->flows(kListening) == 0);
    require(stack_->next_deadline() == Instant::never());
  }

  Script& in_;
  Family family_;
  Config config_;
  std::array<std::uint64_t, WEIR_REASON_COUNT> counters_{};
  std::optional<Stack> stack_;
  ListenerId listener_;
  std::vector<ConnectionId> ids_;
  std::uint32_t listening_ack_ = 0;
  std::uint32_t opening_ack_ = 0;
  std::uint16_t mtu_ = 1'500;
  bool discard_syn_ = false;
  Instant now_ = Instant::from_ns(1'000'000'000);
};

}  // namespace
}  // namespace weir::stack

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  weir::fuzz::Script script(weir::ConstBytes(reinterpret_cast<const std::byte*>(data), size));
  weir::stack::World(script).run();
  return 0;
}
