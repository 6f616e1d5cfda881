// SPDX-License-Identifier: MIT
#include "weir/harness/options.h"

#include <limits>

namespace weir::harness {
namespace {

constexpr std::int64_t kLeastBuffer = 2048;
constexpr std::int64_t kMostMs = std::int64_t{365} * 24 * 3'600 * 1'000;

template <class T>
bool store_number(T& to, std::int64_t value, std::int64_t least) {
  if (value < least || static_cast<std::uint64_t>(value) > std::numeric_limits<T>::max()) return false;
  to = static_cast<T>(value);
  return true;
}

bool store_ms(Duration& to, std::int64_t value, std::int64_t least) {
  if (value < least || value > kMostMs) return false;
  to = Duration::milliseconds(value);
  return true;
}

bool store_bool(bool& to, std::int64_t value) {
  if (value != 0 && value != 1) return false;
  to = value == 1;
  return true;
}

}  // namespace

BirthOptions::BirthOptions(const tcp::Config& config)
    : receive_buffer(config.receive_buffer),
      send_buffer(config.send_buffer),
      window_scale(config.window_scale),
      timestamps(config.timestamps),
      sack(config.sack),
      ecn(config.ecn),
      syn_retries(config.syn_retries) {}

void BirthOptions::apply(tcp::Config& to) const {
  to.receive_buffer = receive_buffer;
  to.send_buffer = send_buffer;
  to.window_scale = window_scale;
  to.timestamps = timestamps;
  to.sack = sack;
  to.ecn = ecn;
  to.syn_retries = syn_retries;
}

OptionKind kind(Option option) {
  switch (option) {
    case Option::receive_buffer:
    case Option::send_buffer:
    case Option::window_scale:
    case Option::timestamps:
    case Option::sack:
    case Option::ecn:
    case Option::syn_retries:
    case Option::ipv6_only:
    case Option::fast_open_connect:
      return OptionKind::at_birth;
    case Option::accepting:
    case Option::segment_size:
    case Option::readable_bytes:
    case Option::unacknowledged:
      return OptionKind::read_only;
    case Option::reuse_address:
    case Option::fast_open:
      return OptionKind::socket;
    default:
      return OptionKind::tcp;
  }
}

bool store(SocketOptions& o, Option option, std::int64_t value) {
  switch (option) {
    case Option::no_delay:
      return store_bool(o.tcp.no_delay, value);
    case Option::cork:
      return store_bool(o.tcp.cork, value);
    case Option::keepalive:
      return store_bool(o.tcp.keepalive, value);
    case Option::keepalive_idle:
      return store_ms(o.tcp.keepalive_idle, value, 1);
    case Option::keepalive_interval:
      return store_ms(o.tcp.keepalive_interval, value, 1);
    case Option::keepalive_count:
      return store_number(o.tcp.keepalive_count, value, 1);
    case Option::user_timeout:
      return store_ms(o.tcp.user_timeout, value, 0);
    case Option::reuse_address:
      return store_bool(o.reuse_address, value);
    case Option::ipv6_only:
      return store_bool(o.ipv6_only, value);
    case Option::fast_open:
      return store_number(o.fast_open, value, 0);
    case Option::fast_open_connect:
      return store_bool(o.fast_open_connect, value);
    case Option::linger:
      if (value < -1 || value > kMostMs / 1'000) return false;
      o.tcp.linger.reset();
      if (value >= 0) o.tcp.linger = Duration::seconds(value);
      return true;
    case Option::receive_buffer:
      return store_number(o.birth.receive_buffer, value, kLeastBuffer);
    case Option::send_buffer:
      return store_number(o.birth.send_buffer, value, kLeastBuffer);
    case Option::window_scale:
      return store_bool(o.birth.window_scale, value);
    case Option::timestamps:
      return store_bool(o.birth.timestamps, value);
    case Option::sack:
      return store_bool(o.birth.sack, value);
    case Option::ecn:
      if (value < 0 || value > 2) return false;
      o.birth.ecn = value == 0 ? tcp::EcnMode::off : value == 1 ? tcp::EcnMode::accept : tcp::EcnMode::request;
      return true;
    case Option::syn_retries:
      return store_number(o.birth.syn_retries, value, 1);
    default:
      return false;
  }
}

std::int64_t load(const SocketOptions& o, Option option) {
  switch (option) {
    case Option::no_delay:
      return o.tcp.no_delay ? 1 : 0;
    case Option::cork:
      return o.tcp.cork ? 1 : 0;
    case Option::keepalive:
      return o.tcp.keepalive ? 1 : 0;
    case Option::keepalive_idle:
      return o.tcp.keepalive_idle.count_ms();
    case Option::keepalive_interval:
      return o.tcp.keepalive_interval.count_ms();
    case Option::keepalive_count:
      return o.tcp.keepalive_count;
    case Option::user_timeout:
      return o.tcp.user_timeout.count_ms();
    case Option::reuse_address:
      return o.reuse_address ? 1 : 0;
    case Option::ipv6_only:
      return o.ipv6_only ? 1 : 0;
    case Option::fast_open:
      return o.fast_open;
    case Option::fast_open_connect:
      return o.fast_open_connect ? 1 : 0;
    case Option::linger:
      return o.tcp.linger ? o.tcp.linger->count_ms() / 1'000 : -1;
    case Option::receive_buffer:
      return o.birth.receive_buffer;
    case Option::send_buffer:
      return o.birth.send_buffer;
    case Option::window_scale:
      return o.birth.window_scale ? 1 : 0;
    case Option::timestamps:
      return o.birth.timestamps ? 1 : 0;
    case Option::sack:
      return o.birth.sack ? 1 : 0;
    case Option::ecn:
      return o.birth.ecn == tcp::EcnMode::off ? 0 : o.birth.ecn == tcp::EcnMode::accept ? 1 : 2;
    case Option::syn_retries:
      return o.birth.syn_retries;
    default:
      return 0;
  }
}

}  // namespace weir::harness
