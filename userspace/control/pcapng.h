// SPDX-License-Identifier: MIT
// The pcapng file format, as far as a capture of one Ethernet interface is written (draft-ietf-opsawg-pcapng). Each
// function appends one block to a string; a block written is a whole one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace weir::control {

// Section header and interface description: what a file begins with. `filter` may be empty. Times have nanoseconds.
void write_pcapng_start(std::string& out, std::string_view application, std::string_view interface,
                        std::uint32_t snaplen, std::string_view filter);

struct PcapngPacket {
  std::uint64_t time_ns = 0;  // since 1970
  bool outbound = false;
  std::uint32_t length = 0;  // of the frame
  std::span<const std::byte> octets{};
  std::optional<std::uint32_t> queue{};
  std::optional<std::uint64_t> xdp_action{};  // enum xdp_action
  std::string_view comment{};
};
void write_pcapng_packet(std::string& out, const PcapngPacket& packet);

struct PcapngStatistics {
  std::uint64_t start_ns = 0;  // since 1970
  std::uint64_t end_ns = 0;
  std::uint64_t received = 0;  // by the capture
  std::uint64_t dropped = 0;   // that found no room
  std::uint64_t accepted = 0;  // by the filter
};
void write_pcapng_statistics(std::string& out, const PcapngStatistics& statistics);

}  // namespace weir::control
