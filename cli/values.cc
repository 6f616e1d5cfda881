// SPDX-License-Identifier: MIT
#include "values.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netdb.h>

#include <cerrno>
#include <charconv>
#include <optional>
#include <string>

#include "weir/control/filter.h"

namespace weir::cli {
namespace {

template <class T>
std::optional<T> whole(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

bool all_digits(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

}  // namespace

Outcome<std::uint16_t> parse_port(std::string_view text) {
  if (all_digits(text) || whole<std::int64_t>(text)) {
    const auto number = all_digits(text) ? whole<std::uint32_t>(text) : std::nullopt;
    if (!number || *number < 1 || *number > 65535)
      return xdp::fail(fmt::format("port {} is out of range: 1-65535", text), EINVAL);
    return static_cast<std::uint16_t>(*number);
  }
  servent entry{};
  servent* found = nullptr;
  char buffer[2048];
  const std::string name(text);
  if (getservbyname_r(name.c_str(), "tcp", &entry, buffer, sizeof buffer, &found) == 0 && found != nullptr)
    return ntohs(static_cast<std::uint16_t>(found->s_port));
  return xdp::fail(fmt::format("'{}' is neither a port, 1-65535, nor a service of /etc/services", text), EINVAL);
}

Outcome<control::PortRange> parse_ports(std::string_view text) {
  // A service's name may have a dash too.
  const auto dash = text.find('-');
  if (dash == std::string_view::npos || !all_digits(text.substr(0, dash))) {
    const auto one = parse_port(text);
    if (!one) return Err(one.error());
    return control::PortRange{*one, *one};
  }
  const auto first = parse_port(text.substr(0, dash));
  if (!first) return Err(first.error());
  const auto last = parse_port(text.substr(dash + 1));
  if (!last) return Err(last.error());
  if (*first > *last)
    return xdp::fail(fmt::format("'{}' ends before it begins: {}-{} is meant?", text, *last, *first), EINVAL);
  return control::PortRange{*first, *last};
}

Outcome<std::uint32_t> parse_number(std::string_view text) {
  const auto number = all_digits(text) ? whole<std::uint32_t>(text) : std::nullopt;
  if (!number) return xdp::fail(fmt::format("'{}' is not a number", text), EINVAL);
  return *number;
}

Outcome<std::uint8_t> parse_protocol(std::string_view text) {
  return control::parse_protocol(text == "icmp6" ? "icmpv6" : text);
}

Outcome<double> parse_seconds(std::string_view text) {
  const auto number = whole<double>(text);
  if (!number || !(*number >= 0.05) || *number > 86400)
    return xdp::fail(fmt::format("'{}' is not an interval: seconds, 0.05-86400", text), EINVAL);
  return *number;
}

Outcome<Duration> parse_timespan(std::string_view text) {
  std::string_view digits = text;
  std::int64_t scale = 1;
  if (!text.empty() && (text.back() == 's' || text.back() == 'm' || text.back() == 'h')) {
    scale = text.back() == 's' ? 1 : text.back() == 'm' ? 60 : 3600;
    digits.remove_suffix(1);
  }
  const auto count = all_digits(digits) ? whole<std::uint32_t>(digits) : std::nullopt;
  if (!count || *count == 0 || *count * scale > 86400)
    return xdp::fail(fmt::format("'{}' is not a time: write 60s, 5m or 1h, 24h at the most", text), EINVAL);
  return Duration::seconds(*count * scale);
}

}  // namespace weir::cli
