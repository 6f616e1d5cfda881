// SPDX-License-Identifier: MIT
#include "weir/control/pcapng.h"

#include <algorithm>

namespace weir::control {
namespace {

enum : std::uint32_t { kSection = 0x0a0d0d0a, kInterface = 1, kStatistics = 5, kPacket = 6 };
constexpr std::uint16_t kEthernet = 1;  // LINKTYPE_ETHERNET
constexpr std::uint16_t kComment = 1;
constexpr std::uint8_t kEbpfXdp = 2;       // of epb_verdict
constexpr std::size_t kMostText = 60'000;  // an option's length has 16 bits

// A block in the making: its length stands before and behind, and is known at the end.
class Block {
 public:
  Block(std::string& out, std::uint32_t type) : out_(out), begin_(out.size()) {
    u32(type);
    u32(0);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() {
    const auto length = static_cast<std::uint32_t>(out_.size() - begin_ + 4);
    u32(length);
    // Byte order is the writer's own; the section header's magic tells which.
    out_.replace(begin_ + 4, 4, reinterpret_cast<const char*>(&length), 4);
  }

  void u8(std::uint8_t v) { raw(&v, sizeof v); }
  void u16(std::uint16_t v) { raw(&v, sizeof v); }
  void u32(std::uint32_t v) { raw(&v, sizeof v); }
  void u64(std::uint64_t v) { raw(&v, sizeof v); }
  // Two words, the upper first, whatever the byte order is.
  void time(std::uint64_t ns) {
    u32(static_cast<std::uint32_t>(ns >> 32));
    u32(static_cast<std::uint32_t>(ns));
  }
  void octets(std::span<const std::byte> v) {
    raw(v.data(), v.size());
    align();
  }

  void option(std::uint16_t code, std::string_view text) {
    text = text.substr(0, kMostText);
    if (text.empty()) return;
    head(code, text.size());
    raw(text.data(), text.size());
    align();
  }
  void option8(std::uint16_t code, std::uint8_t v) {
    head(code, sizeof v);
    u8(v);
    align();
  }
  void option32(std::uint16_t code, std::uint32_t v) {
    head(code, sizeof v);
    u32(v);
  }
  void option64(std::uint16_t code, std::uint64_t v) {
    head(code, sizeof v);
    u64(v);
  }
  void option_time(std::uint16_t code, std::uint64_t ns) {
    head(code, 8);
    time(ns);
  }
  void verdict(std::uint64_t action) {
    head(7, 1 + sizeof action);
    u8(kEbpfXdp);
    u64(action);
    align();
  }
  void end_of_options() { head(0, 0); }

 private:
  void raw(const void* from, std::size_t size) { out_.append(static_cast<const char*>(from), size); }
  void head(std::uint16_t code, std::size_t length) {
    u16(code);
    u16(static_cast<std::uint16_t>(length));
  }
  void align() { out_.append((4 - (out_.size() - begin_) % 4) % 4, '\0'); }

  std::string& out_;
  std::size_t begin_;
};

}  // namespace

void write_pcapng_start(std::string& out, std::string_view application, std::string_view interface,
                        std::uint32_t snaplen, std::string_view filter) {
  {
    Block b(out, kSection);
    b.u32(0x1a2b3c4d);
    b.u16(1);
    b.u16(0);
    b.u64(~std::uint64_t{0});  // the section's length is not known
    b.option(4, application);  // shb_userappl
    b.end_of_options();
  }
  Block b(out, kInterface);
  b.u16(kEthernet);
  b.u16(0);
  b.u32(snaplen);
  b.option(2, interface);                                                  // if_name
  b.option8(9, 9);                                                         // if_tsresol: 10^-9 s
  if (!filter.empty()) b.option(11, std::string(1, '\0').append(filter));  // if_filter: libpcap's syntax
  b.end_of_options();
}

void write_pcapng_packet(std::string& out, const PcapngPacket& packet) {
  Block b(out, kPacket);
  b.u32(0);
  b.time(packet.time_ns);
  b.u32(static_cast<std::uint32_t>(packet.octets.size()));
  b.u32(packet.length);
  b.octets(packet.octets);
  b.option(kComment, packet.comment);
  b.option32(2, packet.outbound ? 2 : 1);  // epb_flags
  if (packet.queue) b.option32(6, *packet.queue);
  if (packet.xdp_action) b.verdict(*packet.xdp_action);
  b.end_of_options();
}

void write_pcapng_statistics(std::string& out, const PcapngStatistics& s) {
  Block b(out, kStatistics);
  b.u32(0);
  b.time(s.end_ns);
  b.option_time(2, s.start_ns);
  b.option_time(3, s.end_ns);
  b.option64(4, s.received);
  b.option64(5, s.dropped);
  b.option64(6, s.accepted);
  b.end_of_options();
}

}  // namespace weir::control
