// SPDX-License-Identifier: MIT
// Ethernet II frames, without the FCS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"

namespace weir::wire {

inline constexpr std::size_t kEthernetHeaderSize = 14;

// Values that are not listed occur and may be cast. Those below 0x0600 are 802.3 lengths.
enum class EtherType : std::uint16_t {
  ipv4 = 0x0800,
  arp = 0x0806,
  vlan = 0x8100,
  ipv6 = 0x86dd,
  service_vlan = 0x88a8
};

// Refers to the frame, which must outlive it. After parse() nothing can fail.
class EthernetView {
 public:
  static std::optional<EthernetView> parse(ConstBytes frame) {
    if (frame.size() < kEthernetHeaderSize) return std::nullopt;
    return EthernetView(frame);
  }

  MacAddress dst() const { return MacAddress::load(frame_.data()); }
  MacAddress src() const { return MacAddress::load(frame_.data() + 6); }
  EtherType ethertype() const { return static_cast<EtherType>(load_be<std::uint16_t>(frame_.data() + 12)); }
  // With whatever padding brings a short frame to 60 bytes; the layer above knows its length.
  ConstBytes payload() const { return frame_.subspan(kEthernetHeaderSize); }

 private:
  explicit EthernetView(ConstBytes frame) : frame_(frame) {}
  ConstBytes frame_;
};

struct EthernetHeader {
  MacAddress dst{};
  MacAddress src{};
  EtherType ethertype = EtherType::ipv4;

  // `to` holds at least kEthernetHeaderSize bytes.
  void write(Bytes to) const {
    dst.store(to.data());
    src.store(to.data() + 6);
    store_be(to.data() + 12, static_cast<std::uint16_t>(ethertype));
  }
  friend bool operator==(const EthernetHeader&, const EthernetHeader&) = default;
};

}  // namespace weir::wire
