// SPDX-License-Identifier: MIT
// A packet of either family, for whoever does not care which.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/ip_protocol.h"
#include "weir/wire/ipv4.h"
#include "weir/wire/ipv6.h"

namespace weir::wire {

// Refers to the packet, which must outlive it. After parse() nothing can fail.
class IpPacketView {
 public:
  // What Ipv4View or Ipv6View takes, by the version.
  static std::optional<IpPacketView> parse(ConstBytes packet);

  Family family() const { return family_; }
  const IpAddress& src() const { return src_; }
  const IpAddress& dst() const { return dst_; }
  // Behind IPv6's extension headers.
  IpProtocol protocol() const { return protocol_; }
  ConstBytes payload() const { return payload_; }
  // Nothing for a packet that is whole.
  const std::optional<FragmentInfo>& fragment() const { return fragment_; }
  std::uint8_t ttl() const { return ttl_; }
  std::uint8_t dscp() const { return static_cast<std::uint8_t>(traffic_class_ >> 2); }
  Ecn ecn() const { return static_cast<Ecn>(traffic_class_ & 3); }
  // IPv4's header checksum; true for IPv6, which has none.
  bool header_checksum_ok() const { return header_checksum_ok_; }
  // IPv4 with a source route, or IPv6 with a routing header of type 0.
  bool source_routed() const { return source_routed_; }
  // IPv6: see Ipv6Disposition; payload() means nothing unless it says `process`. IPv4: process.
  const Ipv6Disposition& disposition() const { return disposition_; }
  // All headers in front of payload().
  std::size_t header_size() const { return packet_.size() - payload_.size(); }
  // Header and payload, without padding.
  ConstBytes packet() const { return packet_; }

 private:
  explicit IpPacketView(const Ipv4View& v4);
  explicit IpPacketView(const Ipv6View& v6);

  ConstBytes packet_;
  ConstBytes payload_;
  IpAddress src_;
  IpAddress dst_;
  std::optional<FragmentInfo> fragment_;
  Ipv6Disposition disposition_;
  Family family_ = Family::v4;
  IpProtocol protocol_ = IpProtocol::none;
  std::uint8_t ttl_ = 0;
  std::uint8_t traffic_class_ = 0;
  bool header_checksum_ok_ = true;
  bool source_routed_ = false;
};

// A header of the family of its addresses, without options or extension headers.
struct IpHeader {
  IpAddress src{};  // of the same family as dst
  IpAddress dst{};
  IpProtocol protocol = IpProtocol::tcp;
  std::uint8_t ttl = 64;
  std::uint8_t dscp = 0;
  Ecn ecn = Ecn::not_ect;
  std::uint16_t id = 0;          // IPv4 alone
  bool dont_fragment = true;     // IPv4 alone
  std::uint32_t flow_label = 0;  // IPv6 alone
  std::uint16_t payload_length = 0;

  std::size_t size() const { return size(dst.family()); }
  static std::size_t size(Family family) { return family == Family::v4 ? kIpv4HeaderSize : kIpv6HeaderSize; }
  // `to` holds at least size() bytes.
  void write(Bytes to) const;
};

}  // namespace weir::wire
