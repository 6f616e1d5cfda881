// SPDX-License-Identifier: MIT
// IPv6 (RFC 8200) and its extension headers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/ip_protocol.h"

namespace weir::wire {

inline constexpr std::size_t kIpv6HeaderSize = 40;
inline constexpr std::size_t kIpv6FragmentHeaderSize = 8;
// RFC 8200 4.1 names at most seven in a packet; more is an attack on whoever walks them (RFC 8883 3).
inline constexpr unsigned kMaxIpv6ExtensionHeaders = 8;

// What the extension headers ask of a node that does not know something in them (RFC 8200 4, 4.2, 4.4, 4.5).
struct Ipv6Disposition {
  enum class Action : std::uint8_t {
    process,            // nothing is amiss
    discard,            // without a word
    parameter_problem,  // discard, and answer with ICMPv6 type 4, `code` and `pointer`
  };
  Action action = Action::process;
  std::uint8_t code = 0;      // 0 erroneous field, 1 unknown next header, 2 unknown option
  std::uint32_t pointer = 0;  // bytes from the start of the IPv6 header

  friend constexpr bool operator==(const Ipv6Disposition&, const Ipv6Disposition&) = default;
};

// Where the walk over extension headers ended.
struct Ipv6Extensions {
  IpProtocol protocol = IpProtocol::none;  // of what is at `payload_offset`
  std::size_t payload_offset = 0;          // bytes from the start of the bytes walked
  std::optional<FragmentInfo> fragment{};  // the fragment header's, also of an atomic fragment (offset 0, no more)
  std::size_t fragment_header_offset = 0;  // where `fragment` is set
  bool routing_type_0 = false;             // RFC 5095: deprecated; with segments left `disposition` refuses it
  Ipv6Disposition disposition;
};

// Walks from a header of kind `first` at the start of `bytes`, which lies `base` bytes into its packet (for pointers).
// Stops at what is not an extension header, at the data of a fragment (not of an atomic one, which RFC 6946 treats as
// whole), or where the disposition is no longer `process`. AH and ESP are not walked: nothing here speaks them.
// Nothing: a header is cut short, an option overruns its header, there are two fragment headers, or more headers than
// kMaxIpv6ExtensionHeaders.
std::optional<Ipv6Extensions> walk_ipv6_extensions(IpProtocol first, ConstBytes bytes, bool multicast_destination,
                                                   std::uint32_t base = kIpv6HeaderSize);

// Refers to the packet, which must outlive it. After parse() nothing can fail.
class Ipv6View {
 public:
  // `packet` may be longer than the packet, not shorter. Refuses: another version, a payload length over what is
  // there, a source or destination of the form ::ffff:a.b.c.d (RFC 4942 2.2: it would pass for an IPv4 peer), and what
  // walk_ipv6_extensions() refuses. A packet that is well formed and yet not to be processed says so in disposition().
  static std::optional<Ipv6View> parse(ConstBytes packet);

  IpAddress src() const { return IpAddress::v6(bytes_.data() + 8); }
  IpAddress dst() const { return IpAddress::v6(bytes_.data() + 24); }
  std::uint8_t hop_limit() const { return std::to_integer<std::uint8_t>(bytes_[7]); }
  std::uint8_t traffic_class() const {
    return static_cast<std::uint8_t>((load_be<std::uint32_t>(bytes_.data()) >> 20) & 0xff);
  }
  std::uint8_t dscp() const { return traffic_class() >> 2; }
  Ecn ecn() const { return static_cast<Ecn>(traffic_class() & 3); }
  std::uint32_t flow_label() const { return load_be<std::uint32_t>(bytes_.data()) & 0xfffff; }
  IpProtocol next_header() const { return static_cast<IpProtocol>(std::to_integer<std::uint8_t>(bytes_[6])); }
  std::uint16_t payload_length() const { return static_cast<std::uint16_t>(bytes_.size() - kIpv6HeaderSize); }

  // Behind the extension headers.
  IpProtocol protocol() const { return extensions_.protocol; }
  ConstBytes payload() const { return bytes_.subspan(kIpv6HeaderSize + extensions_.payload_offset); }
  // Nothing for a packet that is whole, an atomic fragment included. Otherwise payload() is the fragment's data and
  // protocol() what its first bytes are in the first fragment.
  std::optional<FragmentInfo> fragment() const {
    if (extensions_.fragment && extensions_.fragment->offset == 0 && !extensions_.fragment->more) return std::nullopt;
    return extensions_.fragment;
  }
  const Ipv6Disposition& disposition() const { return extensions_.disposition; }
  const Ipv6Extensions& extensions() const { return extensions_; }
  // Header and payload, without padding.
  ConstBytes packet() const { return bytes_; }

 private:
  Ipv6View(ConstBytes bytes, const Ipv6Extensions& extensions) : bytes_(bytes), extensions_(extensions) {}
  ConstBytes bytes_;
  Ipv6Extensions extensions_;
};

// A header without extension headers.
struct Ipv6Header {
  IpAddress src{};
  IpAddress dst{};
  IpProtocol next_header = IpProtocol::tcp;
  std::uint8_t hop_limit = 64;
  std::uint8_t dscp = 0;
  Ecn ecn = Ecn::not_ect;
  std::uint32_t flow_label = 0;  // 20 bits
  std::uint16_t payload_length = 0;

  // `to` holds at least kIpv6HeaderSize bytes. Both addresses are IPv6.
  void write(Bytes to) const;
};

// RFC 8200 4.5.
struct Ipv6FragmentHeader {
  IpProtocol next_header = IpProtocol::tcp;
  FragmentInfo fragment{};

  // `to` holds at least kIpv6FragmentHeaderSize bytes.
  void write(Bytes to) const;
};

}  // namespace weir::wire
