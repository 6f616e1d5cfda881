// SPDX-License-Identifier: MIT
#include "calls.h"

#include <cerrno>
#include <functional>
#include <limits>

#include "words.h"

namespace weir::script {
namespace {

using harness::Option;
using harness::Shutdown;

constexpr std::pair<int, const char*> kErrors[] = {
    {EADDRINUSE, "EADDRINUSE"},
    {EADDRNOTAVAIL, "EADDRNOTAVAIL"},
    {EAFNOSUPPORT, "EAFNOSUPPORT"},
    {EAGAIN, "EAGAIN"},
    {EALREADY, "EALREADY"},
    {EBADF, "EBADF"},
    {ECONNABORTED, "ECONNABORTED"},
    {ECONNREFUSED, "ECONNREFUSED"},
    {ECONNRESET, "ECONNRESET"},
    {EHOSTUNREACH, "EHOSTUNREACH"},
    {EINPROGRESS, "EINPROGRESS"},
    {EINVAL, "EINVAL"},
    {EISCONN, "EISCONN"},
    {EMFILE, "EMFILE"},
    {ENETUNREACH, "ENETUNREACH"},
    {ENOMEM, "ENOMEM"},
    {ENOPROTOOPT, "ENOPROTOOPT"},
    {ENOTCONN, "ENOTCONN"},
    {EPIPE, "EPIPE"},
    {ETIMEDOUT, "ETIMEDOUT"},
};

std::string error_name(const std::error_code& error) {
  if (!error) return "0";
  for (auto [number, name] : kErrors) {
    if (error.value() == number) return name;
  }
  return std::to_string(error.value());
}

std::string failed(const std::error_code& error) { return "-1 " + error_name(error); }

constexpr std::pair<const char*, Option> kOptions[] = {
    {"TCP_NODELAY", Option::no_delay},
    {"SO_REUSEADDR", Option::reuse_address},
    {"TCP_CORK", Option::cork},
    {"SO_KEEPALIVE", Option::keepalive},
    {"TCP_KEEPIDLE", Option::keepalive_idle},
    {"TCP_KEEPINTVL", Option::keepalive_interval},
    {"TCP_KEEPCNT", Option::keepalive_count},
    {"TCP_USER_TIMEOUT", Option::user_timeout},
    {"IPV6_V6ONLY", Option::ipv6_only},
    {"SO_LINGER", Option::linger},
    {"SO_RCVBUF", Option::receive_buffer},
    {"SO_SNDBUF", Option::send_buffer},
    {"TCP_SYNCNT", Option::syn_retries},
    {"TCP_FASTOPEN", Option::fast_open},
    {"TCP_FASTOPEN_CONNECT", Option::fast_open_connect},
    {"SO_ACCEPTCONN", Option::accepting},
    {"TCP_MAXSEG", Option::segment_size},
    {"FIONREAD", Option::readable_bytes},
    {"SIOCOUTQ", Option::unacknowledged},
};

// What scripts may set of tcp::Config by "--name=value".
using Setter = std::function<void(tcp::Config&, const std::string&)>;

template <class T>
Setter number(T tcp::Config::*field) {
  return [field](tcp::Config& c, const std::string& text) {
    std::uint32_t value = to_number(text);
    if (value > std::numeric_limits<T>::max()) throw std::invalid_argument("too large: " + text);
    c.*field = static_cast<T>(value);
  };
}
Setter yes_no(bool tcp::Config::*field) {
  return [field](tcp::Config& c, const std::string& text) { c.*field = to_number(text) != 0; };
}
Setter duration(Duration tcp::Config::*field) {
  return [field](tcp::Config& c, const std::string& text) { c.*field = parse_duration(text); };
}

const std::map<std::string, Setter>& settings() {
  using C = tcp::Config;
  static const std::map<std::string, Setter> kSettings{
      {"receive_buffer", number(&C::receive_buffer)},
      {"send_buffer", number(&C::send_buffer)},
      {"window_scale", yes_no(&C::window_scale)},
      {"timestamps", yes_no(&C::timestamps)},
      {"sack", yes_no(&C::sack)},
      {"no_delay", [](C& c, const std::string& text) { c.options.no_delay = to_number(text) != 0; }},
      {"ecn",
       [](C& c, const std::string& text) {
         if (text != "off" && text != "accept" && text != "request") throw std::invalid_argument("ecn: " + text);
         c.ecn = text == "off" ? tcp::EcnMode::off : text == "accept" ? tcp::EcnMode::accept : tcp::EcnMode::request;
       }},
      {"initial_rto", duration(&C::initial_rto)},
      {"min_rto", duration(&C::min_rto)},
      {"max_rto", duration(&C::max_rto)},
      {"delayed_ack", duration(&C::delayed_ack)},
      {"time_wait", duration(&C::time_wait)},
      {"fin_wait_2", duration(&C::fin_wait_2)},
      {"syn_retries", number(&C::syn_retries)},
      {"syn_ack_retries", number(&C::syn_ack_retries)},
      {"retries", number(&C::retries)},
      {"congestion", [](C& c, const std::string& text) { c.congestion = text; }},
  };
  return kSettings;
}

std::int64_t field(const tcp::Info& i, const std::string& name) {
  const std::pair<const char*, std::int64_t> kFields[] = {
      {"srtt", i.srtt.count_us()},
      {"rttvar", i.rttvar.count_us()},
      {"min_rtt", i.min_rtt.count_us()},
      {"rto", i.rto.count_us()},
      {"cwnd", i.cwnd},
      {"ssthresh", i.ssthresh},
      {"mss", i.send_mss},
      {"receive_mss", i.receive_mss},
      {"send_window", i.send_window},
      {"receive_window", i.receive_window},
      {"in_flight", i.in_flight},
      {"send_queue", i.send_queue},
      {"receive_queue", i.receive_queue},
      {"bytes_acked", static_cast<std::int64_t>(i.bytes_acked)},
      {"bytes_received", static_cast<std::int64_t>(i.bytes_received)},
      {"segments_out", static_cast<std::int64_t>(i.segments_out)},
      {"segments_in", static_cast<std::int64_t>(i.segments_in)},
      {"retransmits", i.retransmits},
      {"timeouts", i.timeouts},
      {"out_of_order", i.out_of_order},
      {"send_scale", i.send_scale},
      {"receive_scale", i.receive_scale},
      {"timestamps", i.timestamps ? 1 : 0},
      {"window_scaling", i.window_scaling ? 1 : 0},
      {"syn_data", i.syn_data ? 1 : 0},
  };
  for (auto [known, value] : kFields) {
    if (name == known) return value;
  }
  throw std::invalid_argument("Info has no " + name);
}

std::int64_t counter(const harness::Host& host, const std::string& name) {
  if (name == "connections") return static_cast<std::int64_t>(host.connections());
  const stack::FastOpenCounts f = host.fast_open_counts();
  for (auto [known, value] : {std::pair<const char*, std::uint64_t>{"fast_open_active", f.active},
                              {"fast_open_active_failed", f.active_failed},
                              {"fast_open_passive", f.passive},
                              {"fast_open_passive_failed", f.passive_failed},
                              {"fast_open_cookies_given", f.cookies_given},
                              {"fast_open_overflows", f.overflows}}) {
    if (name == known) return static_cast<std::int64_t>(value);
  }
  constexpr std::pair<const char*, weir_reason> kCounters[] = {
#define WEIR_X(id, verdict, name, text) {name, WEIR_R_##id},
      WEIR_REASONS(WEIR_X)
#undef WEIR_X
  };
  // The engine's own have the same names as the program's, and come last.
  for (auto at = std::rbegin(kCounters); at != std::rend(kCounters); ++at) {
    if (name == at->first) return static_cast<std::int64_t>(host.count(at->second));
  }
  throw std::invalid_argument("the host counts no " + name);
}

bool holds(std::int64_t left, const std::string& op, std::int64_t right) {
  if (op == "==") return left == right;
  if (op == "!=") return left != right;
  if (op == "<") return left < right;
  if (op == "<=") return left <= right;
  if (op == ">") return left > right;
  if (op == ">=") return left >= right;
  throw std::invalid_argument("unknown comparison: " + op);
}

}  // namespace

IpAddress host_address(Family f) {
  return f == Family::v4 ? IpAddress::v4(192, 168, 0, 1) : *IpAddress::parse("2001:db8::1");
}
IpAddress peer_address(Family f) {
  return f == Family::v4 ? IpAddress::v4(192, 0, 2, 1) : *IpAddress::parse("2001:db8:0:1::1");
}

harness::HostOptions host_options(const Script& script, Family family) {
  harness::HostOptions o;
  o.addresses = {host_address(family)};
  for (const auto& [name, value] : script.options) {
    if (name == "mtu") {
      o.mtu = static_cast<std::uint16_t>(to_number(value));
    } else if (auto at = settings().find(name); at != settings().end()) {
      at->second(o.tcp, value);
    } else if (name != "tolerance" && name != "peer_isn") {
      throw std::invalid_argument("unknown option --" + name);
    }
  }
  // IPv6's header is 20 bytes longer: so the same text fits, and one script says both.
  if (family == Family::v6) o.mtu = static_cast<std::uint16_t>(o.mtu + 20);
  return o;
}

int Calls::live(const std::string& descriptor) const {
  auto at = live_.find(static_cast<int>(to_number(descriptor)));
  return at != live_.end() ? at->second : 1'000'000;
}

std::optional<std::uint16_t> Calls::local_port(const std::string& descriptor) {
  auto local = host_.local_address(live(descriptor));
  if (!local || local->port == 0) return std::nullopt;
  return local->port;
}

std::string Calls::call(const Call& c) {
  const auto& arguments = c.arguments;
  auto argument = [&](std::size_t i) -> const std::string& {
    if (i >= arguments.size()) throw std::invalid_argument("an argument is missing");
    return arguments[i];
  };
  auto done = [](const Result<void, std::error_code>& r) { return r ? std::string("0") : failed(r.error()); };
  auto opened = [&](const Result<int, std::error_code>& r) {
    if (!r) return failed(r.error());
    // A script names its descriptors as it likes.
    live_[static_cast<int>(to_number(c.result))] = *r;
    read_[*r] = written_[*r] = 0;
    return c.result;
  };
  if (c.name == "socket") return opened(host_.socket(family_));
  int s = live(argument(0));
  if (c.name == "bind") return done(host_.bind(s, {host_address(family_), kServicePort}));
  if (c.name == "listen") return done(host_.listen(s, static_cast<int>(to_number(argument(1)))));
  if (c.name == "accept") {
    if (c.result.starts_with("-")) {
      auto r = host_.accept(s);
      return r ? "a connection" : failed(r.error());
    }
    return opened(host_.accept(s));
  }
  if (c.name == "connect") {
    read_.try_emplace(s, 0);
    return done(host_.connect(s, {peer_address(family_), kServicePort}));
  }
  if (c.name == "read" || c.name == "recv") return read(s, to_number(argument(2)));
  if (c.name == "write" || c.name == "send") return write(s, to_number(argument(2)));
  if (c.name == "shutdown") {
    const std::string& how = argument(1);
    return done(host_.shutdown(s, how == "SHUT_RD"   ? Shutdown::read
                                  : how == "SHUT_WR" ? Shutdown::write
                                                     : Shutdown::both));
  }
  if (c.name == "close") return done(host_.close(s));
  if (c.name == "setsockopt") return options(c, true);
  if (c.name == "getsockopt") return options(c, false);
  if (c.name == "poll") {
    std::uint8_t bits = host_.readiness(s);
    std::string names;
    for (auto [bit, name] : {std::pair<int, const char*>{harness::kReadable, "POLLIN"},
                             {harness::kWritable, "POLLOUT"},
                             {harness::kError, "POLLERR"},
                             {harness::kHangup, "POLLHUP"},
                             {harness::kInvalid, "POLLNVAL"}}) {
      if ((bits & bit) != 0) names += (names.empty() ? "" : "|") + std::string(name);
    }
    return names.empty() ? "0" : names;
  }
  throw std::invalid_argument("unknown call: " + c.name);
}

std::string Calls::read(int descriptor, std::uint32_t most) {
  std::vector<std::byte> to(most);
  auto n = host_.read(descriptor, to);
  if (!n) return failed(n.error());
  std::uint64_t& at = read_[descriptor];
  for (std::size_t i = 0; i < *n; ++i) {
    if (to[i] != pattern(false, at + i)) {
      throw std::runtime_error("byte " + std::to_string(at + i) + " of what was read is not what the peer sent");
    }
  }
  at += *n;
  return std::to_string(*n);
}

std::string Calls::write(int descriptor, std::uint32_t bytes) {
  std::uint64_t& at = written_[descriptor];
  std::vector<std::byte> text(bytes);
  for (std::size_t i = 0; i < bytes; ++i) text[i] = pattern(true, at + i);
  auto n = host_.write(descriptor, text);
  if (!n) return failed(n.error());
  at += *n;
  return std::to_string(*n);
}

std::string Calls::options(const Call& c, bool set) {
  if (c.arguments.size() < 4) throw std::invalid_argument("setsockopt(descriptor, level, name, [value], ...)");
  int s = live(c.arguments[0]);
  const std::string& name = c.arguments[2];
  std::string value = c.arguments[3];
  if (value.size() < 2 || value.front() != '[' || value.back() != ']') throw std::invalid_argument("[value]");
  value = value.substr(1, value.size() - 2);
  if (name == "SO_ERROR") {
    std::string got = error_name(host_.error(s));
    return got == value ? "0" : "[" + got + "]";
  }
  for (auto [known, option] : kOptions) {
    if (name != known) continue;
    if (set) {
      std::int64_t number = value == "-1" ? -1 : std::int64_t{to_number(value)};
      auto r = host_.set_option(s, option, number);
      return r ? "0" : failed(r.error());
    }
    auto r = host_.get_option(s, option);
    if (!r) return failed(r.error());
    return std::to_string(*r) == value ? "0" : "[" + std::to_string(*r) + "]";
  }
  throw std::invalid_argument("unknown socket option: " + name);
}

void Calls::check(const Check& check) {
  std::optional<tcp::Info> info;
  if (check.subject != "host") {
    auto r = host_.info(live(check.subject));
    if (!r) throw std::runtime_error("no connection: " + failed(r.error()));
    info = *r;
  }
  auto value = [&](const std::string& word) -> std::int64_t {
    if (word[0] >= '0' && word[0] <= '9') return to_number(word);
    return info ? field(*info, word) : counter(host_, word);
  };
  for (const std::string& condition : check.conditions) {
    Words words(condition);
    std::string left = words.next();
    std::string op = words.next();
    if (left == "state" && info) {
      std::string wanted = words.next();
      if ((wanted == tcp::name(info->state)) == (op == "==")) continue;
      throw std::runtime_error("expected: " + condition + "\n  actual:   state " + tcp::name(info->state));
    }
    std::int64_t right = value(words.next());
    while (!words.done()) {
      std::string how = words.next();
      std::int64_t by = value(words.next());
      if (how == "/" && by == 0) throw std::invalid_argument("division by zero");
      right = how == "*" ? right * by : how == "/" ? right / by : how == "+" ? right + by : right - by;
    }
    if (!holds(value(left), op, right)) {
      throw std::runtime_error("expected: " + condition + " (" + std::to_string(right) + ")\n  actual:   " + left +
                               " " + std::to_string(value(left)));
    }
  }
}

}  // namespace weir::script
