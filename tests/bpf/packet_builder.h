// SPDX-License-Identifier: MIT
// Frames in words: Packet().ipv4(kPeer, kOurs).tcp(40000, 8080, "S").text(10). Headers are written from the outside in;
// each names itself in the one before, and lengths are filled in by bytes(). Checksums stay zero: the XDP program reads
// none.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "weir/base/ip_address.h"

namespace weir::bpf_test {

using Octets = std::vector<std::uint8_t>;

inline constexpr MacAddress kOurMac{{0x02, 0, 0, 0, 0, 0x01}};
inline constexpr MacAddress kPeerMac{{0x02, 0, 0, 0, 0, 0x02}};
inline constexpr MacAddress kOtherMac{{0x02, 0, 0, 0, 0, 0x03}};
inline constexpr MacAddress kBroadcastMac{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

class Packet {
 public:
  explicit Packet(MacAddress to = kOurMac, MacAddress from = kPeerMac) {
    add(to.bytes.data(), 6);
    add(from.bytes.data(), 6);
    next_at_ = octets_.size();
    next_size_ = 2;
    add16(0);
  }

  Packet& ethertype(std::uint16_t type) {
    name(type);
    return *this;
  }
  Packet& vlan(std::uint16_t id, std::uint16_t tag_type = 0x8100) {
    name(tag_type);
    add16(id);
    expect_next(octets_.size(), 2);
    add16(0);
    return *this;
  }
  Packet& arp() {
    name(0x0806);
    add16(1);       // Ethernet
    add16(0x0800);  // IPv4
    add16(0x0604);  // address sizes
    add16(1);       // request
    zeros(20);
    return *this;
  }

  Packet& ipv4(IpAddress src, IpAddress dst, std::size_t option_octets = 0) {
    name(0x0800);
    ip_at_ = octets_.size();
    v6_ = false;
    lengths_.push_back({octets_.size() + 2, octets_.size()});
    add8(static_cast<std::uint8_t>(0x40 | (5 + option_octets / 4)));
    add8(0);
    add16(0);       // total length
    add16(0);       // identification
    add16(0x4000);  // don't fragment
    add8(64);
    expect_next(octets_.size(), 1);
    add8(0);
    add16(0);  // checksum
    add(src.wire());
    add(dst.wire());
    octets_.insert(octets_.end(), option_octets, 1);  // no-operation
    return *this;
  }
  Packet& ipv6(IpAddress src, IpAddress dst) {
    name(0x86dd);
    ip_at_ = octets_.size();
    v6_ = true;
    lengths_.push_back({octets_.size() + 4, octets_.size() + 40});
    add16(0x6000);
    add16(0);
    add16(0);  // payload length
    expect_next(octets_.size(), 1);
    add8(0);
    add8(64);
    // Whole addresses, so that an IPv4-mapped one can be put on the wire.
    add(src.bytes().data(), 16);
    add(dst.bytes().data(), 16);
    return *this;
  }
  // By the family of the addresses.
  Packet& ip(IpAddress src, IpAddress dst) { return src.is_v4() ? ipv4(src, dst) : ipv6(src, dst); }

  Packet& hop_by_hop(std::uint8_t length = 0) { return extension(0, length, length * 8u + 8); }
  Packet& destination_options(std::uint8_t length = 0) { return extension(60, length, length * 8u + 8); }
  Packet& authentication() { return extension(51, 4, 24); }
  Packet& routing(std::uint8_t segments_left) {
    const std::size_t at = octets_.size();
    extension(43, 0, 8);
    octets_[at + 3] = segments_left;
    return *this;
  }

  // Of either family. `offset` in octets, a multiple of eight. After ipv4() it edits the header; after ipv6() it adds
  // one.
  Packet& fragment(std::uint16_t offset, bool more, std::uint32_t id = 0x1234) {
    if (v6_) {
      const std::size_t at = octets_.size();
      extension(44, 0, 8);
      put16(at + 2, static_cast<std::uint16_t>(offset | (more ? 1 : 0)));
      put16(at + 4, static_cast<std::uint16_t>(id >> 16));
      put16(at + 6, static_cast<std::uint16_t>(id & 0xffff));
    } else {
      put16(ip_at_ + 4, static_cast<std::uint16_t>(id & 0xffff));
      put16(ip_at_ + 6, static_cast<std::uint16_t>((offset / 8) | (more ? 0x2000 : 0)));
    }
    return *this;
  }

  // `flags` of "SFRPAU"; options are no-operations.
  Packet& tcp(int sport, int dport, std::string_view flags, std::size_t option_octets = 0) {
    name(6);
    l4_at_ = octets_.size();
    add16(static_cast<std::uint16_t>(sport));
    add16(static_cast<std::uint16_t>(dport));
    zeros(8);
    add8(static_cast<std::uint8_t>((5 + option_octets / 4) << 4));
    add8(tcp_flags(flags));
    add16(0xffff);
    zeros(4);
    octets_.insert(octets_.end(), option_octets, 1);
    return *this;
  }
  Packet& udp(int sport, int dport) {
    name(17);
    l4_at_ = octets_.size();
    add16(static_cast<std::uint16_t>(sport));
    add16(static_cast<std::uint16_t>(dport));
    lengths_.push_back({octets_.size(), l4_at_});
    add16(0);
    add16(0);
    return *this;
  }
  // ICMP or ICMPv6, as the IP header says.
  Packet& icmp(int type, int code = 0) {
    name(v6_ ? 58 : 1);
    l4_at_ = octets_.size();
    add8(static_cast<std::uint8_t>(type));
    add8(static_cast<std::uint8_t>(code));
    zeros(6);
    return *this;
  }
  // What an ICMP error quotes: `inner` without its Ethernet header, cut after `at_most` octets.
  Packet& quote(const Packet& inner, std::size_t at_most = 1000) {
    const Octets all = inner.bytes();
    const std::size_t size = std::min(all.size() - inner.ip_at_, at_most);
    add(all.data() + inner.ip_at_, size);
    return *this;
  }
  Packet& protocol(std::uint8_t number) {
    name(number);
    return *this;
  }
  Packet& text(std::size_t octets) {
    octets_.insert(octets_.end(), octets, 'x');
    return *this;
  }
  // Beyond the end of the IP packet, as Ethernet's minimum makes it.
  Packet& padding(std::size_t octets) {
    padding_ = octets;
    return *this;
  }

  // Lies, told after all else: they override what bytes() would fill in.
  Packet& ip_version(std::uint8_t v) {
    return lie8(ip_at_, static_cast<std::uint8_t>(v << 4 | (octets_[ip_at_] & 15)));
  }
  Packet& header_words(std::uint8_t v) { return lie8(ip_at_, static_cast<std::uint8_t>(0x40 | v)); }
  Packet& total_length(std::uint16_t v) { return lie16(ip_at_ + 2, v); }
  Packet& payload_length(std::uint16_t v) { return lie16(ip_at_ + 4, v); }
  Packet& data_offset(std::uint8_t v) { return lie8(l4_at_ + 12, static_cast<std::uint8_t>(v << 4)); }
  Packet& udp_length(std::uint16_t v) { return lie16(l4_at_ + 4, v); }

  std::size_t ip_offset() const { return ip_at_; }
  std::size_t l4_offset() const { return l4_at_; }

  Octets bytes() const {
    Octets out = octets_;
    for (const Length& l : lengths_) write16(out, l.at, static_cast<std::uint16_t>(octets_.size() - l.counts_from));
    for (const Lie& l : lies_) out[l.at] = l.value;
    out.insert(out.end(), padding_, 0);
    return out;
  }

 private:
  struct Length {
    std::size_t at;
    std::size_t counts_from;
  };
  struct Lie {
    std::size_t at;
    std::uint8_t value;
  };

  static std::uint8_t tcp_flags(std::string_view letters) {
    std::uint8_t flags = 0;
    for (char c : letters) {
      const std::size_t bit = std::string_view("FSRPAU").find(c);
      flags = static_cast<std::uint8_t>(flags | (1u << bit));
    }
    return flags;
  }

  Packet& extension(std::uint16_t number, std::uint8_t length, std::size_t size) {
    name(number);
    expect_next(octets_.size(), 1);
    add8(0);
    add8(length);
    zeros(size - 2);
    return *this;
  }

  // Writes the number of the header that follows into the one before it.
  void name(std::uint16_t number) {
    if (next_size_ == 2)
      put16(next_at_, number);
    else
      octets_[next_at_] = static_cast<std::uint8_t>(number);
  }
  void expect_next(std::size_t at, std::size_t size) {
    next_at_ = at;
    next_size_ = size;
  }

  void add8(std::uint8_t v) { octets_.push_back(v); }
  void add16(std::uint16_t v) {
    add8(static_cast<std::uint8_t>(v >> 8));
    add8(static_cast<std::uint8_t>(v & 0xff));
  }
  void add(const std::uint8_t* from, std::size_t size) { octets_.insert(octets_.end(), from, from + size); }
  void add(ConstBytes from) {
    for (std::byte b : from) add8(std::to_integer<std::uint8_t>(b));
  }
  void zeros(std::size_t n) { octets_.insert(octets_.end(), n, 0); }
  static void write16(Octets& to, std::size_t at, std::uint16_t v) {
    to[at] = static_cast<std::uint8_t>(v >> 8);
    to[at + 1] = static_cast<std::uint8_t>(v & 0xff);
  }
  void put16(std::size_t at, std::uint16_t v) { write16(octets_, at, v); }
  Packet& lie8(std::size_t at, std::uint8_t v) {
    lies_.push_back({at, v});
    return *this;
  }
  Packet& lie16(std::size_t at, std::uint16_t v) {
    lie8(at, static_cast<std::uint8_t>(v >> 8));
    return lie8(at + 1, static_cast<std::uint8_t>(v & 0xff));
  }

  Octets octets_;
  std::vector<Length> lengths_;
  std::vector<Lie> lies_;
  std::size_t padding_ = 0;
  std::size_t next_at_ = 0;
  std::size_t next_size_ = 2;
  std::size_t ip_at_ = 0;
  std::size_t l4_at_ = 0;
  bool v6_ = false;
};

}  // namespace weir::bpf_test
