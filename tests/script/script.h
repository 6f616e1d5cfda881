// SPDX-License-Identifier: MIT
// A packet script: timed lines of what the peer sends, what the host must send, and what its user calls. The dialect is
// packetdrill's, as far as it says what is needed here; README.md has the grammar.
#pragma once

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "packet.h"
#include "weir/base/ip_address.h"
#include "weir/base/time.h"

namespace weir::script {

struct Error : std::runtime_error {
  Error(int line_in, const std::string& what) : std::runtime_error(what), line(line_in) {}
  int line;
};

// When: at `from`, or anywhere up to `until`; counted from the event before unless absolute.
struct When {
  Duration from;
  std::optional<Duration> until;
  bool absolute = false;
  bool any = false;  // "*"
};

struct Inbound {
  Packet packet;
};
struct Outbound {
  Packet packet;
};
struct Call {
  std::string name;
  std::vector<std::string> arguments;
  std::string result;  // "0", "-1 EAGAIN", "POLLIN|POLLOUT"
};
// "%{ 4: state == ESTAB, cwnd == 10 * mss }%": of a socket's Info, or with "host" of what the host has counted.
struct Check {
  std::string subject;
  std::vector<std::string> conditions;
};
struct Wait {};

struct Event {
  int line = 0;
  std::string text;
  std::optional<Family> only;  // "v4:" or "v6:" in front of the line
  When when;
  std::variant<Wait, Inbound, Outbound, Call, Check> what;
};

struct Script {
  std::string name;
  std::map<std::string, std::string> options;  // of "--name=value"
  std::vector<Event> events;
};

// Throws Error.
Script parse_script(std::string name, std::string_view text);
// "1.5", "200ms", "65us": seconds where no unit is given.
Duration parse_duration(std::string_view text);

// "" or what is wrong: the line, what was expected, what came, and the packets before.
std::string run_script(const Script& script, Family family);

}  // namespace weir::script
