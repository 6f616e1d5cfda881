// SPDX-License-Identifier: MIT
#include "args.h"

#include <fmt/core.h>

#include <algorithm>

#include "output.h"
#include "values.h"
#include "weir/control/filter.h"
#include "weir/control/set_list.h"
#include "weir/control/stats.h"
#include "weir/control/steer_selector.h"

namespace weir::cli {
namespace {

// Verdicts or reasons of XDP.
std::vector<std::string> known_of_list(Value value) {
  std::vector<std::string> out;
  if (value == Value::verdicts) out.emplace_back("send");
  for (const control::ReasonFacts& facts : control::reasons()) {
    if (!control::is_of_xdp(facts)) continue;
    std::string name = value == Value::reasons ? facts.name : control::verdict_name(facts.verdict);
    if (std::find(out.begin(), out.end(), name) == out.end()) out.push_back(std::move(name));
  }
  return out;
}

std::optional<std::string> unknown_of_list(const Arg& arg, std::string_view text) {
  const auto known = known_of_list(arg.value);
  for (const std::string_view word : split(text, ',')) {
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    if (const auto meant = nearest(word, known))
      return fmt::format("{}: '{}' is none: did you mean '{}'?", arg.name, word, *meant);
    if (arg.value == Value::reasons)
      return fmt::format("{}: '{}' is no reason of the XDP program: `weir stats --all` shows them", arg.name, word);
    return fmt::format("{}: '{}' is none of {}", arg.name, word, join(known));
  }
  return std::nullopt;
}

std::optional<std::string> complaint(const Arg& arg, std::string_view text) {
  const auto of = [](const auto& parsed) -> std::optional<std::string> {
    return parsed.ok() ? std::nullopt : std::optional<std::string>(parsed.error().message);
  };
  switch (arg.value) {
    case Value::port:
      return of(parse_port(text));
    case Value::ports:
      return of(parse_ports(text));
    case Value::app_name:
      return of(control::parse_app_name(text));
    case Value::port_range:
      return of(control::parse_port_range(text));
    case Value::protocol:
      return of(parse_protocol(text));
    case Value::prefix:
      return of(control::parse_prefix(text));
    case Value::number:
      return of(parse_number(text));
    case Value::rule_name:
      return of(control::parse_rule_name(text));
    case Value::set_name:
      return of(control::parse_rule_name(text));
    case Value::set_feed:
      if (text == "-") return {};
      return of(control::parse_set_prefixes(text));
    case Value::set_entry:
      return of(control::parse_set_prefixes(text));
    case Value::ttl:
      return of(control::parse_ttl(text));
    case Value::addresses:
    case Value::rule_word: {
      control::Rule scratch;
      return of(control::set_word(scratch, arg.name, text));
    }
    case Value::seconds:
      return of(parse_seconds(text));
    case Value::timespan:
      return of(parse_timespan(text));
    case Value::interface:
      // IFNAMSIZ, its NUL included; and what the kernel refuses in a name.
      if (text.empty() || text.size() > 15 || text.find('/') != std::string_view::npos)
        return fmt::format("'{}' is not an interface name: 1-15 characters, no '/'", text);
      return std::nullopt;
    case Value::choice: {
      const auto words = split(arg.metavar, '|');
      if (std::find(words.begin(), words.end(), text) != words.end()) return std::nullopt;
      return fmt::format("{} is {}, not '{}'", arg.name, arg.metavar, text);
    }
    case Value::verdicts:
    case Value::reasons:
      return unknown_of_list(arg, text);
    case Value::none:
    case Value::text:
    case Value::file:
    case Value::netns:
      return std::nullopt;
  }
  return std::nullopt;
}

std::string value_text(const Arg& arg) {
  return std::string(arg.metavar.empty() ? std::string_view("VALUE") : arg.metavar);
}

}  // namespace

std::optional<std::string> Arguments::get(std::string_view name) const {
  const auto found = values_.find(name);
  if (found == values_.end()) return std::nullopt;
  return found->second;
}

std::string Arguments::get_or(std::string_view name, std::string_view otherwise) const {
  return get(name).value_or(std::string(otherwise));
}

class ArgumentParser {
 public:
  ArgumentParser(const std::vector<Arg>& grammar, Rest rest, const std::vector<std::string>& words,
                 std::string_view where)
      : grammar_(grammar), rest_(rest), words_(words), where_(where) {}

  Result<Arguments, UsageError> run() {
    for (; at_ < words_.size(); ++at_) {
      const std::string& word = words_[at_];
      if (word == "--" && rest_ == Rest::command) {
        parsed_.rest_.assign(words_.begin() + static_cast<std::ptrdiff_t>(at_) + 1, words_.end());
        break;
      }
      const auto error = word.size() > 1 && word[0] == '-' ? take_option(word) : take_word(word);
      if (error) return Err(*error);
    }
    for (const Arg& arg : grammar_) {
      if (arg.need == Need::required && !parsed_.has(arg.name))
        return Err(fail(fmt::format("{} is missing", arg.shape == Shape::word ? arg.metavar : arg.name)));
    }
    if (rest_ == Rest::command && parsed_.rest_.empty()) return Err(fail("the command is missing, after '--'"));
    return parsed_;
  }

 private:
  using Maybe = std::optional<UsageError>;

  UsageError fail(const std::string& what) const { return UsageError{fmt::format("{}: {}", where_, what)}; }

  Maybe put(const Arg& arg, std::string_view text) {
    if (parsed_.has(arg.name))
      return fail(fmt::format("{} is given twice", arg.shape == Shape::word ? arg.metavar : arg.name));
    if (const auto wrong = complaint(arg, text)) return fail(*wrong);
    parsed_.values_.emplace(arg.name, text);
    return std::nullopt;
  }

  Maybe take_option(const std::string& word) {
    const auto equals = word.find('=');
    const std::string_view name = std::string_view(word).substr(0, equals);
    for (const Arg& arg : grammar_) {
      if (arg.shape != Shape::option || (name != arg.name && (arg.brief.empty() || name != arg.brief))) continue;
      if (equals != std::string::npos) {
        if (arg.value == Value::none) return fail(fmt::format("{} takes no value", arg.name));
        return put(arg, std::string_view(word).substr(equals + 1));
      }
      if (arg.value == Value::none) return put(arg, "");
      const bool more = at_ + 1 < words_.size();
      if (!arg.implied.empty()) {
        // Its value may be left out, so the next word belongs to it only where it can be one.
        if (!more || complaint(arg, words_[at_ + 1])) return put(arg, arg.implied);
        return put(arg, words_[++at_]);
      }
      if (!more) return fail(fmt::format("{} needs {}", arg.name, value_text(arg)));
      return put(arg, words_[++at_]);
    }
    return unknown(name);
  }

  Maybe take_word(const std::string& word) {
    if (rest_ == Rest::expression) {
      parsed_.rest_.push_back(word);
      return std::nullopt;
    }
    for (const Arg& arg : grammar_) {
      if (arg.shape == Shape::keyword && word == arg.name) {
        if (at_ + 1 >= words_.size()) return fail(fmt::format("'{}' needs {}", arg.name, value_text(arg)));
        return put(arg, words_[++at_]);
      }
      if (arg.shape == Shape::word && !complaint(arg, word)) return put(arg, word);
    }
    for (const Arg& arg : grammar_) {
      if (arg.shape == Shape::positional && !parsed_.has(arg.name)) return put(arg, word);
    }
    return unknown(word);
  }

  UsageError unknown(std::string_view word) const {
    const bool option = word.substr(0, 1) == "-";
    std::vector<std::string> known;
    for (const Arg& arg : grammar_) {
      if ((arg.shape == Shape::option) != option || arg.shape == Shape::positional) continue;
      if (arg.shape == Shape::word)
        for (std::string_view choice : split(arg.metavar, '|')) known.emplace_back(choice);
      else
        known.emplace_back(arg.name);
    }
    if (const auto meant = nearest(word, known))
      return fail(fmt::format("unknown word '{}': did you mean '{}'?", word, *meant));
    return fail(fmt::format("unknown word '{}': see 'weir {} help'", word, where_));
  }

  const std::vector<Arg>& grammar_;
  Rest rest_;
  const std::vector<std::string>& words_;
  std::string_view where_;
  std::size_t at_ = 0;
  Arguments parsed_;
};

Result<Arguments, UsageError> parse_arguments(const std::vector<Arg>& grammar, Rest rest,
                                              const std::vector<std::string>& words, std::string_view where) {
  return ArgumentParser(grammar, rest, words, where).run();
}

bool is_among(std::string_view list, std::string_view word) {
  const auto words = split(list, ',');
  return std::find(words.begin(), words.end(), word) != words.end();
}

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto cut = text.find(at);
    parts.push_back(text.substr(0, cut));
    if (cut == std::string_view::npos) return parts;
    text.remove_prefix(cut + 1);
  }
}

std::string grammar_text(const std::vector<Arg>& grammar, Rest rest) {
  std::string text;
  for (const Arg& arg : grammar) {
    std::string one;
    switch (arg.shape) {
      case Shape::positional:
        one = arg.name;
        break;
      case Shape::word:
        one = arg.metavar;
        break;
      case Shape::keyword:
        one = fmt::format("{} {}", arg.name, arg.metavar);
        break;
      case Shape::option:
        one = arg.value == Value::none ? std::string(arg.name)
              : !arg.implied.empty()   ? fmt::format("{} [{}]", arg.name, arg.metavar)
                                       : fmt::format("{} {}", arg.name, arg.metavar);
        break;
    }
    text += text.empty() ? "" : " ";
    text += arg.need == Need::required ? one : "[" + one + "]";
  }
  if (rest == Rest::expression) text = "[IFACE] " + text + (text.empty() ? "" : " ") + "[EXPRESSION...]";
  if (rest == Rest::command) text += text.empty() ? "-- CMD [ARG...]" : " -- CMD [ARG...]";
  return text;
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
  // Edits with transpositions (optimal string alignment); the words are a dozen letters, so a full table is cheap.
  const auto distance = [](std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> d(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) d[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j) d[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
      for (std::size_t j = 1; j <= b.size(); ++j) {
        const std::size_t change = a[i - 1] == b[j - 1] ? 0 : 1;
        d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + change});
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
          d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
      }
    }
    return d[a.size()][b.size()];
  };
  std::optional<std::string> best;
  std::size_t least = 0;
  for (const std::string& candidate : known) {
    // The beginning of a word is near to it, however much is left out: `st` means `status` or its like.
    const bool begins = word.size() >= 2 && candidate.compare(0, word.size(), word) == 0;
    const std::size_t edits = begins ? 1 : distance(word, candidate);
    if (edits > std::max<std::size_t>(1, std::max(word.size(), candidate.size()) / 3)) continue;
    if (!best || edits < least) {
      best = candidate;
      least = edits;
    }
  }
  return best;
}

}  // namespace weir::cli
