// SPDX-License-Identifier: MIT
#include <cctype>
#include <sstream>

#include "script.h"
#include "words.h"

namespace weir::script {
namespace {

std::string trimmed(std::string_view s) {
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front())) != 0) s.remove_prefix(1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back())) != 0) s.remove_suffix(1);
  return std::string(s);
}

std::vector<std::string> split(std::string_view text) {
  // At commas outside of brackets.
  std::vector<std::string> parts(1);
  int depth = 0;
  for (char c : text) {
    if (c == '[' || c == '{' || c == '(') ++depth;
    if (c == ']' || c == '}' || c == ')') --depth;
    if (c == ',' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  for (auto& p : parts) p = trimmed(p);
  if (parts.size() == 1 && parts[0].empty()) parts.clear();
  return parts;
}

// "+.2", "+0~+.1", "1.5", "*", "+0...": the first word of a line.
When parse_when(std::string_view word) {
  When when;
  if (word == "*") {
    when.any = true;
    return when;
  }
  auto tilde = word.find('~');
  auto part = [](std::string_view t) { return parse_duration(t.substr(!t.empty() && t[0] == '+' ? 1 : 0)); };
  when.absolute = word[0] != '+';
  when.from = part(word.substr(0, tilde));
  if (tilde != std::string_view::npos) when.until = part(word.substr(tilde + 1));
  return when;
}

Call parse_call(std::string_view text) {
  Call call;
  auto open = text.find('(');
  auto equals = text.rfind(") = ");
  if (open == std::string_view::npos || equals == std::string_view::npos || equals < open) {
    throw std::invalid_argument("not a call: name(arguments) = result");
  }
  call.name = trimmed(text.substr(0, open));
  call.arguments = split(text.substr(open + 1, equals - open - 1));
  call.result = trimmed(text.substr(equals + 4));
  // "-1 EAGAIN (Resource temporarily unavailable)"
  if (auto paren = call.result.find('('); paren != std::string::npos)
    call.result = trimmed(call.result.substr(0, paren));
  return call;
}

Check parse_check(std::string_view text) {
  auto shut = text.rfind("}%");
  if (shut == std::string_view::npos) throw std::invalid_argument("no }% at the end");
  std::string_view inside = text.substr(2, shut - 2);
  auto colon = inside.find(':');
  if (colon == std::string_view::npos) throw std::invalid_argument("%{ descriptor: condition, ... }%");
  Check check;
  check.subject = trimmed(inside.substr(0, colon));
  check.conditions = split(inside.substr(colon + 1));
  return check;
}

Event parse_event(std::string line) {
  Event event;
  event.text = line;
  if (line.starts_with("v4:") || line.starts_with("v6:")) {
    event.only = line[1] == '4' ? Family::v4 : Family::v6;
    line = trimmed(std::string_view(line).substr(3));
  }
  auto blank = line.find_first_of(" \t");
  event.when = parse_when(std::string_view(line).substr(0, blank));
  std::string rest = blank == std::string::npos ? "" : trimmed(std::string_view(line).substr(blank));
  if (rest.empty()) {
    event.what = Wait{};
  } else if (rest[0] == '<') {
    event.what = Inbound{parse_packet(std::string_view(rest).substr(1))};
  } else if (rest[0] == '>') {
    event.what = Outbound{parse_packet(std::string_view(rest).substr(1))};
  } else if (rest.starts_with("%{")) {
    event.what = parse_check(rest);
  } else {
    event.what = parse_call(rest);
  }
  return event;
}

}  // namespace

Duration parse_duration(std::string_view text) {
  std::int64_t unit = 1'000'000'000;
  for (auto [suffix, ns] :
       {std::pair<std::string_view, std::int64_t>{"ns", 1}, {"us", 1'000}, {"ms", 1'000'000}, {"s", 1'000'000'000}}) {
    if (!text.ends_with(suffix)) continue;
    unit = ns;
    text.remove_suffix(suffix.size());
    break;
  }
  auto dot = text.find('.');
  std::string_view whole = text.substr(0, dot);
  std::int64_t ns = (whole.empty() ? 0 : std::int64_t{to_number(whole)}) * unit;
  if (dot != std::string_view::npos) {
    std::int64_t place = unit;
    for (char c : text.substr(dot + 1)) {
      if (c < '0' || c > '9') throw std::invalid_argument("not a time: " + std::string(text));
      place /= 10;
      ns += (c - '0') * place;
    }
  } else if (whole.empty()) {
    throw std::invalid_argument("a time is missing");
  }
  return Duration::nanoseconds(ns);
}

Script parse_script(std::string name, std::string_view text) {
  Script script;
  script.name = std::move(name);
  std::istringstream in{std::string(text)};
  int number = 0;
  for (std::string raw; std::getline(in, raw);) {
    ++number;
    if (auto comment = raw.find("//"); comment != std::string::npos) raw.erase(comment);
    std::string line = trimmed(raw);
    if (line.empty() || line[0] == '#') continue;
    try {
      if (line.starts_with("--")) {
        auto equals = line.find('=');
        if (equals == std::string::npos || !script.events.empty()) {
          throw std::invalid_argument("--name=value stands before the first event");
        }
        script.options[line.substr(2, equals - 2)] = line.substr(equals + 1);
        continue;
      }
      script.events.push_back(parse_event(line));
      script.events.back().line = number;
    } catch (const std::invalid_argument& e) { throw Error(number, line + "\n  " + e.what()); }
  }
  return script;
}

}  // namespace weir::script
