// SPDX-License-Identifier: MIT
// A packet as a script writes it, and as bytes. Numbers count from each side's ISN, as tcpdump shows them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "weir/base/bytes.h"
#include "weir/base/ip_address.h"
#include "weir/wire/ip_protocol.h"
#include "weir/wire/tcp.h"

namespace weir::script {

// One TCP option, in its place among the others. A number that is absent is any number.
struct Option {
  enum class Kind : std::uint8_t { end, nop, mss, sack_ok, wscale, timestamps, sack, fast_open, user_timeout, raw };
  Kind kind = Kind::nop;
  std::optional<std::uint32_t> first{};   // mss, wscale, TS val, user timeout
  std::optional<std::uint32_t> second{};  // TS ecr
  std::vector<std::pair<std::uint32_t, std::uint32_t>> blocks{};
  std::vector<std::byte> bytes{};  // Fast Open cookie; of raw, all of it
  bool any_bytes = false;
};

struct Icmp {
  std::string type;
  std::string code;
  std::uint32_t mtu = 0;
};

struct Packet {
  std::string flags;  // of S F R P U E W and . for ACK; "-" for none
  std::uint32_t seq = 0;
  std::uint32_t length = 0;
  std::optional<std::uint32_t> ack;
  std::optional<std::uint32_t> window;
  std::optional<std::uint32_t> urgent;
  std::optional<wire::Ecn> ecn;
  std::vector<Option> options;
  bool any_options = false;  // <...>
  std::optional<Icmp> icmp;  // then seq and length are those of the quoted segment
  unsigned flow = 0;
  // Of a SYN to the host: it begins another connection of the same addresses and ports, whose ISN is not known yet.
  bool renews = false;
  // What a peer may do wrong; only of packets that it sends.
  bool bad_checksum = false;
  bool zero_checksum = false;
  std::uint8_t reserved = 0;  // the three reserved bits

  std::string to_string() const;
};

// The words behind "<" or ">"; throws std::invalid_argument with what is wrong.
Packet parse_packet(std::string_view words);

// One connection's numbers: what the script's 0 is on the wire.
struct Flow {
  IpAddress host;
  IpAddress peer;
  std::uint16_t host_port = 0;
  std::uint16_t peer_port = 0;
  std::uint32_t host_isn = 0;
  std::uint32_t peer_isn = 0;
  bool host_isn_known = false;
  // What is to be added to a TS val of the host's to have the script's, learnt from the first that a script names.
  std::optional<std::uint32_t> timestamp_shift{};
  std::uint32_t last_timestamp = 0;  // of the host, on the wire
  std::vector<std::byte> cookie{};   // Fast Open's, of whichever side made it last
};

// Byte `at` of a stream whose first byte is 0: all text of scripts is this pattern.
std::byte pattern(bool from_host, std::uint64_t at);

// An IP packet from the peer to the host.
std::vector<std::byte> encode(const Packet& packet, Flow& flow);

// A TCP packet from the host; nothing where it is none or damaged, then `why` says how. `wire_flow` has its ports and
// addresses as they stand in the packet.
struct Decoded {
  Packet packet;
  IpAddress src;
  IpAddress dst;
  std::uint16_t src_port = 0;
  std::uint16_t dst_port = 0;
  std::uint32_t seq = 0;  // on the wire
  bool wrong_text = false;
};
std::optional<Decoded> decode(ConstBytes bytes, std::string& why);
// Turns the numbers on the wire into the script's, and checks the text against the pattern. `expected` may teach the
// flow what the numbers of this packet mean.
void relate(Decoded& decoded, ConstBytes bytes, Flow& flow, const Packet* expected);

// What differs, in words, or "".
std::string difference(const Packet& expected, const Packet& actual);

}  // namespace weir::script
