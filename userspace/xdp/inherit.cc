// SPDX-License-Identifier: MIT
#include "weir/xdp/inherit.h"

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <limits>

namespace weir::xdp {
namespace {

constexpr std::string_view kVersion = "v1;";
constexpr std::size_t kSocketFields = 11;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> out;
  for (;;) {
    const std::size_t end = text.find(separator);
    out.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return out;
    text.remove_prefix(end + 1);
  }
}

constexpr long kMaxDescriptor = std::numeric_limits<int>::max();
constexpr long kMaxU32 = std::numeric_limits<std::uint32_t>::max();

// Exactly N integers, each within what its field can hold; `is_descriptor` says which may be -1 (none) and are ints.
template <std::size_t N>
std::optional<std::array<long, N>> numbers(std::string_view text, bool (*is_descriptor)(std::size_t)) {
  const auto parts = split(text, ',');
  if (parts.size() != N) return {};
  std::array<long, N> out{};
  for (std::size_t i = 0; i < N; ++i) {
    const auto [end, error] = std::from_chars(parts[i].data(), parts[i].data() + parts[i].size(), out[i]);
    if (error != std::errc{} || end != parts[i].data() + parts[i].size()) return {};
    const bool descriptor = is_descriptor(i);
    if (out[i] < (descriptor ? -1 : 0) || out[i] > (descriptor ? kMaxDescriptor : kMaxU32)) return {};
  }
  return out;
}

std::string joined(std::initializer_list<long> values) {
  std::string out;
  for (const long v : values) out += (out.empty() ? "" : ",") + std::to_string(v);
  return out;
}

Err<Error> malformed() {
  return fail(std::string(kInheritVariable) + " is malformed: unset it, or start this program by `weir run`", EINVAL);
}

// Of the fields of socket_from.
bool is_socket_descriptor(std::size_t field) { return field == 0 || field == 7; }

SocketFds socket_from(const std::array<long, kSocketFields>& n) {
  auto u32 = [&](std::size_t i) { return static_cast<std::uint32_t>(n[i]); };
  SocketFds s;
  s.fd = static_cast<int>(n[0]);
  s.ifindex = u32(1);
  s.queue = u32(2);
  s.rings = {u32(3), u32(4), u32(5), u32(6)};
  s.umem = {static_cast<int>(n[7]), u32(8), u32(9), u32(10)};
  return s;
}

}  // namespace

std::string encode(const std::vector<Inherited>& interfaces) {
  std::string out(kVersion);
  bool first = true;
  for (const Inherited& i : interfaces) {
    if (!first) out += "|";
    first = false;
    out += "maps=";
    for (std::size_t m = 0; m < kMapCount; ++m) out += (m == 0 ? "" : ",") + std::to_string(i.maps[m]);
    for (const SocketFds& s : i.sockets)
      out += ";socket=" + joined({s.fd, s.ifindex, s.queue, s.rings.fill, s.rings.completion, s.rings.rx, s.rings.tx,
                                  s.umem.memfd, s.umem.frames, s.umem.chunk_size, s.umem.headroom});
  }
  return out;
}

Outcome<std::vector<Inherited>> decode(std::string_view text) {
  if (text.substr(0, kVersion.size()) != kVersion) return malformed();
  text.remove_prefix(kVersion.size());
  std::vector<Inherited> out;
  for (const std::string_view interface : split(text, '|')) {
    const auto parts = split(interface, ';');
    constexpr std::string_view kMaps = "maps=";
    constexpr std::string_view kSocket = "socket=";
    if (parts[0].substr(0, kMaps.size()) != kMaps) return malformed();
    const auto maps = numbers<kMapCount>(parts[0].substr(kMaps.size()), [](std::size_t) { return true; });
    if (!maps) return malformed();
    Inherited i;
    for (std::size_t m = 0; m < kMapCount; ++m) i.maps[m] = static_cast<int>((*maps)[m]);
    for (std::size_t p = 1; p < parts.size(); ++p) {
      if (parts[p].substr(0, kSocket.size()) != kSocket) return malformed();
      const auto fields = numbers<kSocketFields>(parts[p].substr(kSocket.size()), is_socket_descriptor);
      if (!fields) return malformed();
      i.sockets.push_back(socket_from(*fields));
    }
    out.push_back(std::move(i));
  }
  return out;
}

Outcome<std::vector<Inherited>> take_inherited() {
  const char* text = std::getenv(kInheritVariable);
  if (text == nullptr) return std::vector<Inherited>{};
  auto out = decode(text);
  unsetenv(kInheritVariable);
  if (!out) return out;
  for (const Inherited& i : *out) {
    for (const int fd : i.maps)
      if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
    for (const SocketFds& s : i.sockets) {
      fcntl(s.fd, F_SETFD, FD_CLOEXEC);
      fcntl(s.umem.memfd, F_SETFD, FD_CLOEXEC);
    }
  }
  return out;
}

}  // namespace weir::xdp
