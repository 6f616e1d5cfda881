// SPDX-License-Identifier: MIT
// One IEEE 802.1Q tag, as it follows an EtherType of 0x8100 or 0x88a8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "weir/base/bytes.h"
#include "weir/wire/ethernet.h"

namespace weir::wire {

inline constexpr std::size_t kVlanTagSize = 4;

// Refers to `bytes`, which is the payload of the Ethernet header or of another tag and must outlive it.
class VlanView {
 public:
  static std::optional<VlanView> parse(ConstBytes bytes) {
    if (bytes.size() < kVlanTagSize) return std::nullopt;
    return VlanView(bytes);
  }

  std::uint16_t id() const { return tci() & 0x0fff; }
  std::uint8_t priority() const { return static_cast<std::uint8_t>(tci() >> 13); }
  bool drop_eligible() const { return (tci() & 0x1000) != 0; }
  EtherType ethertype() const { return static_cast<EtherType>(load_be<std::uint16_t>(bytes_.data() + 2)); }
  ConstBytes payload() const { return bytes_.subspan(kVlanTagSize); }

 private:
  explicit VlanView(ConstBytes bytes) : bytes_(bytes) {}
  std::uint16_t tci() const { return load_be<std::uint16_t>(bytes_.data()); }
  ConstBytes bytes_;
};

struct VlanTag {
  std::uint16_t id = 0;       // 0..4095
  std::uint8_t priority = 0;  // 0..7
  bool drop_eligible = false;
  EtherType ethertype = EtherType::ipv4;

  // `to` holds at least kVlanTagSize bytes.
  void write(Bytes to) const {
    unsigned tci = (static_cast<unsigned>(priority) << 13) | (drop_eligible ? 0x1000u : 0u) | (id & 0x0fffu);
    store_be(to.data(), static_cast<std::uint16_t>(tci));
    store_be(to.data() + 2, static_cast<std::uint16_t>(ethertype));
  }
};

}  // namespace weir::wire
