// SPDX-License-Identifier: MIT
// Every view of userspace/wire on arbitrary bytes. The first byte of an input holds switches (bit 0: IPv6 rather than
// IPv4 where the bytes do not say; bit 1: partial checksums are taken), the second selects the view, the rest is
// parsed. Sought: reads out of bounds, views that hand out what does not lie within their bytes, values that do not
// survive being written and parsed again.
#include <cstdint>
#include <cstdlib>
#include <vector>

#include "weir/wire/checksum.h"
#include "weir/wire/ethernet.h"
#include "weir/wire/icmp.h"
#include "weir/wire/ip_packet.h"
#include "weir/wire/tcp.h"
#include "weir/wire/udp.h"
#include "weir/wire/vlan.h"

namespace weir::wire {
namespace {

void require(bool condition) {
  if (!condition) std::abort();
}

struct Input {
  ConstBytes bytes;
  Family family;
  ChecksumPolicy policy;

  IpAddress src() const { return family == Family::v4 ? IpAddress::v4(192, 0, 2, 1) : v6(1); }
  IpAddress dst() const { return family == Family::v4 ? IpAddress::v4(192, 0, 2, 2) : v6(2); }

 private:
  static IpAddress v6(std::uint8_t last) {
    std::byte raw[16] = {std::byte{0x20}, std::byte{0x01}};
    raw[15] = static_cast<std::byte>(last);
    return IpAddress::v6(raw);
  }
};

// Reads all of `part`, which is to lie within `whole`.
void require_within(ConstBytes whole, ConstBytes part) {
  if (!part.empty()) {
    require(part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
  }
  Checksum sum;
  sum.add(part);
  std::vector<std::byte> copy(part.size());
  require(copy_and_sum(copy, part).sum() == sum.sum());
}

void ethernet(const Input& in) {
  auto view = EthernetView::parse(in.bytes);
  if (!view) return;
  require_within(in.bytes, view->payload());
  std::byte again[kEthernetHeaderSize];
  EthernetHeader{.dst = view->dst(), .src = view->src(), .ethertype = view->ethertype()}.write(again);
  require(std::memcmp(again, in.bytes.data(), sizeof again) == 0);
}

void vlan(const Input& in) {
  ConstBytes rest = in.bytes;
  while (auto view = VlanView::parse(rest)) {
    require_within(rest, view->payload());
    std::byte again[kVlanTagSize];
    VlanTag{.id = view->id(),
            .priority = view->priority(),
            .drop_eligible = view->drop_eligible(),
            .ethertype = view->ethertype()}
        .write(again);
    require(std::memcmp(again, rest.data(), sizeof again) == 0);
    rest = view->payload();
  }
}

void ipv4(const Input& in) {
  auto view = Ipv4View::parse(in.bytes);
  if (!view) return;
  require_within(in.bytes, view->packet());
  require_within(view->packet(), view->header());
  require_within(view->header(), view->options());
  require_within(view->packet(), view->payload());
  require(view->header().size() + view->payload().size() == view->total_length());
  view->source_routed();
  view->checksum_ok();
  if (auto f = view->fragment()) {
    require(f->offset + view->payload().size() <= 0xffff);
    require(!f->more || view->payload().size() % 8 == 0);
  }
  Ipv4Header h{.src = view->src(),
               .dst = view->dst(),
               .protocol = view->protocol(),
               .ttl = view->ttl(),
               .dscp = view->dscp(),
               .ecn = view->ecn(),
               .id = view->id(),
               .dont_fragment = view->dont_fragment(),
               .more_fragments = view->more_fragments(),
               .fragment_offset = view->fragment_offset(),
               .payload_length = static_cast<std::uint16_t>(view->payload().size())};
  std::vector<std::byte> again(kIpv4HeaderSize + h.payload_length);
  h.write(again);
  auto second = Ipv4View::parse(again);
  require(second && second->checksum_ok());
  require(second->src() == view->src() && second->dst() == view->dst() && second->protocol() == view->protocol());
  require(second->ttl() == view->ttl() && second->dscp() == view->dscp() && second->ecn() == view->ecn());
  require(second->id() == view->id() && second->fragment() == view->fragment());
  require(second->dont_fragment() == view->dont_fragment());
}

void ipv6(const Input& in) {
  auto view = Ipv6View::parse(in.bytes);
  if (!view) return;
  require_within(in.bytes, view->packet());
  require_within(view->packet(), view->payload());
  require(view->src().is_v6() && view->dst().is_v6());
  const Ipv6Extensions& x = view->extensions();
  if (x.disposition.action == Ipv6Disposition::Action::parameter_problem) {
    require(x.disposition.pointer < view->packet().size());
  }
  if (x.fragment) require(x.fragment_header_offset + kIpv6FragmentHeaderSize <= x.payload_offset);
  if (auto f = view->fragment(); f && x.disposition.action == Ipv6Disposition::Action::process) {
    require(f->offset + view->payload().size() <= 0xffff);
    require(!f->more || view->payload().size() % 8 == 0);
  }
  std::byte again[kIpv6HeaderSize];
  Ipv6Header{.src = view->src(),
             .dst = view->dst(),
             .next_header = view->next_header(),
             .hop_limit = view->hop_limit(),
             .dscp = view->dscp(),
             .ecn = view->ecn(),
             .flow_label = view->flow_label(),
             .payload_length = view->payload_length()}
      .write(again);
  require(std::memcmp(again, in.bytes.data(), sizeof again) == 0);
}

void tcp(const Input& in) {
  auto view = TcpView::parse(in.bytes);
  if (!view) return;
  require_within(in.bytes, view->option_bytes());
  require_within(in.bytes, view->text());
  require(view->header_size() + view->text().size() == in.bytes.size());
  view->checksum_ok(in.src(), in.dst(), in.policy);
  TcpOptions o = view->options();
  require(o.sack_count <= kTcpMaxSackBlocks && o.window_scale.value_or(0) <= kTcpMaxWindowScale);
  if (o.fast_open) require_within(view->option_bytes(), *o.fast_open);

  TcpHeader h{.src_port = view->src_port(),
              .dst_port = view->dst_port(),
              .seq = view->seq(),
              .ack = view->ack(),
              .flags = view->flags(),
              .window = view->window(),
              .urgent = view->urgent(),
              .options = o};
  require(h.size() <= kTcpMaxHeaderSize);
  std::vector<std::byte> again(h.size() + view->text().size());
  std::size_t split = view->text().size() / 3;
  require(h.write(again, in.src(), in.dst(), view->text().first(split), view->text().subspan(split)) == again.size());
  auto second = TcpView::parse(again);
  require(second && second->checksum_ok(in.src(), in.dst(), ChecksumPolicy::verify));
  require(second->seq() == h.seq && second->ack() == h.ack && second->flags() == h.flags);
  require(second->window() == h.window && second->urgent() == h.urgent);
  TcpOptions p = second->options();
  require(p.mss == o.mss && p.window_scale == o.window_scale && p.timestamps == o.timestamps);
  require(p.sack_permitted == o.sack_permitted && p.sack_count <= o.sack_count);
  for (std::size_t i = 0; i < p.sack_count; ++i) require(p.sack[i] == o.sack[i]);
}

void udp(const Input& in) {
  auto view = UdpView::parse(in.bytes);
  if (!view) return;
  require_within(in.bytes, view->payload());
  view->checksum_ok(in.src(), in.dst(), in.policy);
  std::vector<std::byte> again(view->length());
  UdpHeader{.src_port = view->src_port(), .dst_port = view->dst_port()}.write(again, in.src(), in.dst(),
                                                                              view->payload());
  auto second = UdpView::parse(again);
  require(second && second->checksum_ok(in.src(), in.dst(), ChecksumPolicy::verify));
  require(second->src_port() == view->src_port() && second->payload().size() == view->payload().size());
}

void icmp(const Input& in) {
  auto view = IcmpView::parse(in.bytes, in.family);
  if (!view) return;
  require_within(in.bytes, view->body());
  view->checksum_ok(in.src(), in.dst(), in.policy);
  view->mtu();
  if (auto q = view->quoted()) {
    require(view->is_error());
    require(q->src.family() == in.family && q->dst.family() == in.family);
  }
  std::vector<std::byte> again(in.bytes.size());
  IcmpHeader{.type = view->type(), .code = view->code(), .rest = view->rest()}.write(again, in.src(), in.dst(),
                                                                                     view->body());
  auto second = IcmpView::parse(again, in.family);
  require(second && second->checksum_ok(in.src(), in.dst(), ChecksumPolicy::verify));
  require(second->kind() == view->kind() && second->rest() == view->rest());
}

// A frame as the stack reads it, from the outside in.
void frame(const Input& in) {
  auto eth = EthernetView::parse(in.bytes);
  if (!eth) return;
  auto packet = IpPacketView::parse(eth->payload());
  if (!packet) return;
  require_within(eth->payload(), packet->packet());
  require_within(packet->packet(), packet->payload());
  require(packet->src().family() == packet->family() && packet->dst().family() == packet->family());
  if (packet->fragment() || packet->disposition().action != Ipv6Disposition::Action::process) return;
  Input inner{packet->payload(), packet->family(), in.policy};
  switch (packet->protocol()) {
    case IpProtocol::tcp:
      return tcp(inner);
    case IpProtocol::udp:
      return udp(inner);
    case IpProtocol::icmp:
    case IpProtocol::icmpv6:
      return icmp(inner);
    default:
      return;
  }
}

}  // namespace
}  // namespace weir::wire

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace weir::wire;
  if (size < 2) return 0;
  weir::ConstBytes bytes = std::as_bytes(std::span(data + 2, size - 2));
  Input in{bytes, (data[0] & 1) != 0 ? weir::Family::v6 : weir::Family::v4,
           (data[0] & 2) != 0 ? ChecksumPolicy::verify_or_partial : ChecksumPolicy::verify};
  using Target = void(const Input&);
  constexpr Target* kTargets[] = {frame, ethernet, vlan, ipv4, ipv6, tcp, udp, icmp};
  kTargets[data[1] % std::size(kTargets)](in);
  return 0;
}
