// SPDX-License-Identifier: MIT
// The grammar of a command as data, and a parser of it. One description serves parsing, help, completion and the
// correction of mistyped words.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/result.h"

namespace weir::cli {

// What a value is: how it is checked, and what completion offers for it.
enum class Value : std::uint8_t {
  none,        // takes no value
  text,        // anything
  interface,   // a network device; whether it exists is the command's question
  netns,       // a name under /var/run/netns, or a path
  port,        // 1-65535 or a service name
  ports,       // as port, or P-Q
  port_range,  // P or P-Q, 1-65535
  protocol,    // tcp, udp, icmp, icmpv6 or 1-255
  prefix,      // ADDRESS or ADDRESS/LENGTH, either family
  number,      // 0-4294967295
  app_name,    // of an engine
  rule_name,   // of a filter rule
  addresses,   // of the word of a rule that the argument names: a prefix, or @ and the name of a set
  set_name,    // of a named set
  set_entry,   // a prefix, an address, or a range of addresses
  set_feed,    // likewise, or - for standard input
  ttl,         // 60s, 5m, 12h, 7d: of an entry of a set
  rule_word,   // the value of the filter rule's word that the argument names
  seconds,     // decimal, more than 0
  timespan,    // 60s, 5m, 1h; 60: seconds
  file,        // a path
  verdicts,    // of a dump, joined by commas
  reasons,     // of XDP, joined by commas
  choice,      // one of the words of `metavar`, separated by '|'
};

enum class Shape : std::uint8_t {
  positional,  // PORT
  keyword,     // dev IFACE
  word,        // drop|pass|accept, by itself
  option,      // --mode MODE, --force
};

enum class Need : std::uint8_t { optional, required };

// One argument of a command. Everything points at string literals.
struct Arg {
  Shape shape;
  std::string_view name;     // "PORT", "dev", "action", "--mode"
  std::string_view metavar;  // what stands for the value: "IFACE", "auto|native|generic"
  Value value = Value::none;
  Need need = Need::optional;
  std::string_view help;
  std::string_view implied = {};  // an option's value where it is given without one: --watch [SECONDS]
  std::string_view brief = {};    // "-i", where an option has a short form
};

// A mistake in what was typed: one line, exit status 2.
struct UsageError {
  std::string message;
};

// What was typed, checked. Names as in Arg::name.
class Arguments {
 public:
  bool has(std::string_view name) const { return values_.find(name) != values_.end(); }
  std::optional<std::string> get(std::string_view name) const;
  // The text of an argument that is required, or has a default.
  std::string get_or(std::string_view name, std::string_view otherwise) const;
  const std::vector<std::string>& rest() const { return rest_; }

 private:
  friend class ArgumentParser;
  std::map<std::string, std::string, std::less<>> values_;
  std::vector<std::string> rest_;
};

// Whether a command takes words that the grammar does not name.
enum class Rest : std::uint8_t {
  none,
  command,     // behind "--"
  expression,  // every word that is no option
};

// `words` are those after the verb; `where` names the command in messages ("steer add").
Result<Arguments, UsageError> parse_arguments(const std::vector<Arg>& grammar, Rest rest,
                                              const std::vector<std::string>& words, std::string_view where);

// Whether `word` is one of those in `list`, which commas join.
bool is_among(std::string_view list, std::string_view word);
std::vector<std::string_view> split(std::string_view text, char at);
// "[dev IFACE] PORT": the grammar as help shows it.
std::string grammar_text(const std::vector<Arg>& grammar, Rest rest);

// The one of `known` that is nearest to `word` by edits, if it is near enough to be meant.
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known);

}  // namespace weir::cli
