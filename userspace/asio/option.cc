// SPDX-License-Identifier: MIT
#include "weir/asio/option.h"

#include <boost/asio/error.hpp>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace weir::asio::detail {
namespace {

namespace error = boost::asio::error;
using boost::system::error_code;

// For a switch on both.
constexpr std::uint64_t key(int level, int name) {
  return static_cast<std::uint64_t>(static_cast<std::uint32_t>(level)) << 32 | static_cast<std::uint32_t>(name);
}

// The kernel's limits (tcp(7)): MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL, MAX_TCP_KEEPCNT.
constexpr int kMostSeconds = 32'767;
constexpr int kMostProbes = 127;

constexpr std::int64_t kNsPerSecond = 1'000'000'000;
constexpr std::int64_t kNsPerMillisecond = 1'000'000;

int seconds_of(Duration d) { return static_cast<int>(d.count_ns() / kNsPerSecond); }

template <class T>
error_code store(const T& from, void* value, std::size_t& size) {
  static_assert(std::is_trivially_copyable_v<T>);
  if (size < sizeof from) return error::invalid_argument;
  std::memcpy(value, &from, sizeof from);
  size = sizeof from;
  return {};
}

}  // namespace

error_code put_option(int level, int name, const void* value, std::size_t size, ::weir::tcp::Options& options) {
  if (key(level, name) == key(SOL_SOCKET, SO_LINGER)) {
    struct linger l {};
    if (size < sizeof l) return error::invalid_argument;
    std::memcpy(&l, value, sizeof l);
    if (l.l_onoff != 0 && l.l_linger < 0) return error::invalid_argument;
    options.linger.reset();
    if (l.l_onoff != 0) options.linger = Duration::seconds(l.l_linger);
    return {};
  }
  int n = 0;
  if (size < sizeof n) return error::invalid_argument;
  std::memcpy(&n, value, sizeof n);
  const bool in_seconds = n >= 1 && n <= kMostSeconds;
  switch (key(level, name)) {
    case key(SOL_SOCKET, SO_KEEPALIVE):
      options.keepalive = n != 0;
      return {};
    case key(IPPROTO_TCP, TCP_NODELAY):
      options.no_delay = n != 0;
      return {};
    case key(IPPROTO_TCP, TCP_CORK):
      options.cork = n != 0;
      return {};
    case key(IPPROTO_TCP, TCP_KEEPIDLE):
      if (!in_seconds) return error::invalid_argument;
      options.keepalive_idle = Duration::seconds(n);
      return {};
    case key(IPPROTO_TCP, TCP_KEEPINTVL):
      if (!in_seconds) return error::invalid_argument;
      options.keepalive_interval = Duration::seconds(n);
      return {};
    case key(IPPROTO_TCP, TCP_KEEPCNT):
      if (n < 1 || n > kMostProbes) return error::invalid_argument;
      options.keepalive_count = static_cast<std::uint8_t>(n);
      return {};
    case key(IPPROTO_TCP, TCP_USER_TIMEOUT):
      if (n < 0) return error::invalid_argument;
      options.user_timeout = Duration::milliseconds(n);
      return {};
    default:
      return error::no_protocol_option;
  }
}

error_code get_option(int level, int name, void* value, std::size_t& size, const ::weir::tcp::Options& options) {
  switch (key(level, name)) {
    case key(SOL_SOCKET, SO_LINGER): {
      struct linger l {};
      l.l_onoff = options.linger ? 1 : 0;
      if (options.linger) l.l_linger = seconds_of(*options.linger);
      return store(l, value, size);
    }
    case key(SOL_SOCKET, SO_KEEPALIVE):
      return store(int{options.keepalive}, value, size);
    case key(IPPROTO_TCP, TCP_NODELAY):
      return store(int{options.no_delay}, value, size);
    case key(IPPROTO_TCP, TCP_CORK):
      return store(int{options.cork}, value, size);
    case key(IPPROTO_TCP, TCP_KEEPIDLE):
      return store(seconds_of(options.keepalive_idle), value, size);
    case key(IPPROTO_TCP, TCP_KEEPINTVL):
      return store(seconds_of(options.keepalive_interval), value, size);
    case key(IPPROTO_TCP, TCP_KEEPCNT):
      return store(int{options.keepalive_count}, value, size);
    case key(IPPROTO_TCP, TCP_USER_TIMEOUT):
      return store(static_cast<int>(options.user_timeout.count_ns() / kNsPerMillisecond), value, size);
    default:
      return error::no_protocol_option;
  }
}

}  // namespace weir::asio::detail
