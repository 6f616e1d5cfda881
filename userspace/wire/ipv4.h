// SPDX-License-Identifier: MIT
// IPv4 (RFC 791).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/ip_protocol.h"

namespace weir::wire {

inline constexpr std::size_t kIpv4HeaderSize = 20;  // without options

// Refers to the packet, which must outlive it. After parse() nothing can fail; whether the header's checksum is right
// is asked apart, because a wrong one is counted apart.
class Ipv4View {
 public:
  // `packet` may be longer than the packet (Ethernet pads short frames), not shorter. Refuses: another version, IHL
  // under 5, a header longer than the packet, a total length under the header's or over what is there, a fragment that
  // would end beyond 65,535 bytes, and one that more follow whose length is not a multiple of 8 or is 0.
  static std::optional<Ipv4View> parse(ConstBytes packet);

  bool checksum_ok() const;

  IpAddress src() const { return IpAddress::v4(bytes_.data() + 12); }
  IpAddress dst() const { return IpAddress::v4(bytes_.data() + 16); }
  IpProtocol protocol() const { return static_cast<IpProtocol>(u8(9)); }
  std::uint8_t ttl() const { return u8(8); }
  std::uint8_t dscp() const { return u8(1) >> 2; }
  Ecn ecn() const { return static_cast<Ecn>(u8(1) & 3); }
  std::uint16_t id() const { return load_be<std::uint16_t>(bytes_.data() + 4); }
  bool dont_fragment() const { return (u8(6) & 0x40) != 0; }
  bool more_fragments() const { return (u8(6) & 0x20) != 0; }
  // Bytes.
  std::uint16_t fragment_offset() const {
    return static_cast<std::uint16_t>(load_be<std::uint16_t>(bytes_.data() + 6) << 3);
  }
  // Nothing for a packet that is whole.
  std::optional<FragmentInfo> fragment() const {
    if (!more_fragments() && fragment_offset() == 0) return std::nullopt;
    return FragmentInfo{id(), fragment_offset(), more_fragments()};
  }

  std::size_t header_size() const { return static_cast<std::size_t>(u8(0) & 0x0f) * 4; }
  std::uint16_t total_length() const { return static_cast<std::uint16_t>(bytes_.size()); }
  ConstBytes header() const { return bytes_.first(header_size()); }
  ConstBytes options() const { return bytes_.subspan(kIpv4HeaderSize, header_size() - kIpv4HeaderSize); }
  // A loose or strict source route, used up or not, or the beginning of one: refused by the stack as by the kernels
  // (RFC 7126 4.3, 4.4). A broken length of another option ends the search.
  bool source_routed() const;
  ConstBytes payload() const { return bytes_.subspan(header_size()); }
  // Header and payload, without padding.
  ConstBytes packet() const { return bytes_; }

 private:
  explicit Ipv4View(ConstBytes bytes) : bytes_(bytes) {}
  std::uint8_t u8(std::size_t i) const { return std::to_integer<std::uint8_t>(bytes_[i]); }
  ConstBytes bytes_;  // total_length bytes
};

// A header without options.
struct Ipv4Header {
  IpAddress src{};
  IpAddress dst{};
  IpProtocol protocol = IpProtocol::tcp;
  std::uint8_t ttl = 64;
  std::uint8_t dscp = 0;
  Ecn ecn = Ecn::not_ect;
  std::uint16_t id = 0;
  bool dont_fragment = true;
  bool more_fragments = false;
  std::uint16_t fragment_offset = 0;  // bytes, a multiple of 8
  std::uint16_t payload_length = 0;   // at most 65,515

  // `to` holds at least kIpv4HeaderSize bytes. Both addresses are IPv4. The checksum is filled in.
  void write(Bytes to) const;
};

}  // namespace weir::wire
