// SPDX-License-Identifier: MIT
#include "weir/control/filter_file.h"

#include <algorithm>
#include <cerrno>
#include <map>

namespace weir::control {
namespace {

struct Token {
  std::string_view text;
  std::size_t column = 0;
};

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

std::vector<Token> tokens(std::string_view line) {
  std::vector<Token> out;
  for (std::size_t at = 0; at < line.size();) {
    if (is_blank(line[at])) {
      ++at;
      continue;
    }
    if (line[at] == '#') break;
    const std::size_t begin = at;
    while (at < line.size() && !is_blank(line[at])) ++at;
    out.push_back({line.substr(begin, at - begin), begin + 1});
  }
  return out;
}

std::string words_text() {
  std::string out;
  for (const std::string_view word : rule_words()) out.append(out.empty() ? "" : ", ").append(word);
  return out;
}

class FileParser {
 public:
  FileParser(std::string_view text, std::string_view name) : text_(text), name_(name) {}

  Outcome<std::vector<Rule>> run() {
    while (!text_.empty()) {
      ++line_;
      const std::size_t end = text_.find('\n');
      const std::string_view line = text_.substr(0, end);
      text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
      if (auto r = take_line(line); !r) return Err(r.error());
    }
    return std::move(rules_);
  }

 private:
  Err<Error> wrong(std::size_t column, const std::string& what) const {
    return xdp::fail(std::string(name_) + ":" + std::to_string(line_) + ":" + std::to_string(column) + ": " + what,
                     EINVAL);
  }

  Outcome<void> take_line(std::string_view line) {
    if (line.size() > kMaxFilterLine)
      return wrong(kMaxFilterLine + 1, "the line is longer than " + std::to_string(kMaxFilterLine) + " octets");
    const std::vector<Token> all = tokens(line);
    for (const Token& t : all)
      for (std::size_t i = 0; i < t.text.size(); ++i)
        if (static_cast<unsigned char>(t.text[i]) <= 0x20 || static_cast<unsigned char>(t.text[i]) >= 0x7f)
          return wrong(t.column + i, "a character that is no letter, digit or sign: a rule is plain ASCII");
    if (all.empty()) return {};
    const std::size_t behind = line.size() + 1;
    if (all[0].text != "rule")
      return wrong(all[0].column,
                   "'" + std::string(all[0].text) + "' begins no line: write rule NAME ACTION ..., or # and a comment");
    if (all.size() < 2) return wrong(behind, "the rule's name is missing: write rule NAME ACTION ...");
    if (all.size() < 3) return wrong(behind, "the rule's action is missing: write accept, drop or pass");
    return take_rule(all, behind);
  }

  Outcome<void> take_rule(const std::vector<Token>& all, std::size_t behind) {
    Rule rule;
    auto name = parse_rule_name(all[1].text);
    if (!name) return wrong(all[1].column, name.error().message);
    rule.name = std::move(*name);
    if (const auto first = lines_.find(rule.name); first != lines_.end())
      return wrong(all[1].column, "there is a rule " + rule.name + " already, on line " +
                                      std::to_string(first->second) + ": choose another name");
    const auto action = parse_action(all[2].text);
    if (!action) return wrong(all[2].column, action.error().message);
    rule.action = *action;
    std::vector<std::string_view> seen;
    for (std::size_t i = 3; i < all.size(); i += 2) {
      const Token& word = all[i];
      const auto& known = rule_words();
      if (std::find(known.begin(), known.end(), word.text) == known.end())
        return wrong(word.column, "'" + std::string(word.text) + "' is not a word of a rule: they are " + words_text());
      if (std::find(seen.begin(), seen.end(), word.text) != seen.end())
        return wrong(word.column, "'" + std::string(word.text) + "' is given twice");
      seen.push_back(word.text);
      if (i + 1 == all.size()) return wrong(behind, "'" + std::string(word.text) + "' needs a value");
      if (const auto set = set_word(rule, word.text, all[i + 1].text); !set)
        return wrong(all[i + 1].column, set.error().message);
    }
    if (const auto sound = check_rule(rule); !sound) return wrong(all[0].column, sound.error().message);
    if (rules_.size() == WEIR_MAX_RULES)
      return wrong(all[0].column,
                   "the filter takes " + std::to_string(WEIR_MAX_RULES) + " rules: join prefixes, or leave some out");
    lines_.emplace(rule.name, line_);
    rules_.push_back(std::move(rule));
    return {};
  }

  std::string_view text_;
  std::string_view name_;
  std::size_t line_ = 0;
  std::vector<Rule> rules_;
  std::map<std::string, std::size_t, std::less<>> lines_;
};

}  // namespace

Outcome<std::vector<Rule>> parse_filter_file(std::string_view text, std::string_view name) {
  return FileParser(text, name).run();
}

std::string write_filter_file(const std::vector<Rule>& rules) {
  std::string out;
  for (const Rule& rule : rules) out += "rule " + rule.name + " " + rule.to_string() + "\n";
  return out;
}

}  // namespace weir::control
