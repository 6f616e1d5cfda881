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
  FileParser(std::string_view text, std::string_view name) : text_(text), name_(name) {
    if (constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf"; text_.starts_with(kByteOrderMark))
      text_.remove_prefix(kByteOrderMark.size());
  }

  Outcome<FilterFile> run() {
    while (!text_.empty()) {
      ++line_;
      const std::size_t end = text_.find('\n');
      const std::string_view line = text_.substr(0, end);
      if (const auto brace = list_begins(line)) {
        if (auto r = take_list(*brace); !r) return Err(r.error());
        continue;
      }
      text_.remove_prefix(end == std::string_view::npos ? text_.size() : end + 1);
      if (auto r = take_line(line); !r) return Err(r.error());
    }
    for (const Rule& rule : out_.rules)
      for (const SetName* set : {&rule.source_set, &rule.destination_set})
        if (!set->name.empty() && find_set(set->name) == nullptr) {
          line_ = lines_.find(rule.name)->second;
          return wrong(1, "rule " + rule.name + " asks for the set " + set->name +
                              ", which the file does not have: write set " + set->name +
                              " on a line, and after it the entries, or nothing to keep those it has");
        }
    return std::move(out_);
  }

 private:
  Err<Error> wrong(std::size_t column, const std::string& what) const {
    return xdp::fail(std::string(name_) + ":" + std::to_string(line_) + ":" + std::to_string(column) + ": " + what,
                     EINVAL);
  }

  const FileSet* find_set(std::string_view name) const {
    const auto at =
        std::find_if(out_.sets.begin(), out_.sets.end(), [&](const FileSet& set) { return set.name == name; });
    return at == out_.sets.end() ? nullptr : &*at;
  }

  // Where the brace of "set NAME {" is.
  static std::optional<std::size_t> list_begins(std::string_view line) {
    const std::size_t brace = line.substr(0, kMaxFilterLine).find('{');
    if (brace == std::string_view::npos) return {};
    const std::vector<Token> before = tokens(line.substr(0, brace));
    if (line.substr(0, brace).find('#') != std::string_view::npos || before.size() != 2 || before[0].text != "set")
      return {};
    return brace;
  }

  // Entries, from the brace on to that which closes it, over as many lines as there are.
  Outcome<void> take_list(std::size_t brace) {
    const std::vector<Token> head = tokens(text_.substr(0, brace));
    auto set = take_set_name(head);
    if (!set) return Err(set.error());
    std::size_t close = brace + 1;
    std::size_t lines = 0;
    for (bool comment = false; close < text_.size() && (comment || text_[close] != '}'); ++close) {
      if (text_[close] == '#' || text_[close] == ';') comment = true;
      if (text_[close] != '\n') continue;
      comment = false;
      ++lines;
    }
    if (close == text_.size()) return wrong(brace + 1, "the brace is not closed: a } ends the set's entries");
    auto items = parse_set_list(text_.substr(brace + 1, close - brace - 1), {name_, line_, brace + 2});
    if (!items) return Err(items.error());
    line_ += lines;
    set->items = std::move(*items);
    out_.sets.push_back(std::move(*set));
    const std::size_t line_begin =
        text_.rfind('\n', close) == std::string_view::npos ? 0 : text_.rfind('\n', close) + 1;
    const std::size_t end = std::min(text_.find('\n', close), text_.size());
    const std::vector<Token> behind = tokens(text_.substr(close + 1, end - close - 1));
    if (!behind.empty())
      return wrong(close + 1 - line_begin + behind[0].column,
                   "'" + std::string(behind[0].text) + "' stands behind the set's entries: begin another line");
    text_.remove_prefix(std::min(end + 1, text_.size()));
    return {};
  }

  Outcome<FileSet> take_set_name(const std::vector<Token>& all) {
    auto name = parse_rule_name(all[1].text);
    if (!name) return wrong(all[1].column, name.error().message);
    if (find_set(*name) != nullptr) return wrong(all[1].column, "there is a set " + *name + " already");
    if (out_.sets.size() == WEIR_MAX_SETS)
      return wrong(all[0].column, "the filter takes " + std::to_string(WEIR_MAX_SETS) + " sets: join some");
    return FileSet{std::move(*name), std::nullopt, {}};
  }

  Outcome<void> take_set(const std::vector<Token>& all, std::size_t behind) {
    if (all.size() < 2) return wrong(behind, "the set's name is missing: write set NAME { ENTRIES }, or file PATH");
    auto set = take_set_name(all);
    if (!set) return Err(set.error());
    if (all.size() > 2 && all[2].text != "file")
      return wrong(all[2].column,
                   "'" + std::string(all[2].text) + "' does not belong here: write { ENTRIES }, file PATH, or nothing");
    if (all.size() == 3) return wrong(behind, "'file' needs a path");
    if (all.size() > 4) return wrong(all[4].column, "'" + std::string(all[4].text) + "' stands behind the path");
    if (all.size() == 4 && all[3].text == "-")
      return wrong(all[3].column, "a set's entries are not read from standard input here: name a file, or write set " +
                                      set->name + " alone and load the set after it (weir set load)");
    if (all.size() == 4) set->path = std::string(all[3].text);
    out_.sets.push_back(std::move(*set));
    return {};
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
    if (all[0].text == "set") return take_set(all, behind);
    if (all[0].text != "rule")
      return wrong(all[0].column, "'" + std::string(all[0].text) +
                                      "' begins no line: write rule NAME ACTION ..., set NAME ..., or # and a comment");
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
    if (out_.rules.size() == WEIR_MAX_RULES)
      return wrong(all[0].column,
                   "the filter takes " + std::to_string(WEIR_MAX_RULES) + " rules: join prefixes, or leave some out");
    lines_.emplace(rule.name, line_);
    out_.rules.push_back(std::move(rule));
    return {};
  }

  std::string_view text_;
  std::string_view name_;
  std::size_t line_ = 0;
  FilterFile out_;
  std::map<std::string, std::size_t, std::less<>> lines_;
};

}  // namespace

Outcome<FilterFile> parse_filter_file(std::string_view text, std::string_view name) {
  return FileParser(text, name).run();
}

std::string write_filter_file(const std::vector<Rule>& rules, const std::vector<FileSet>& sets) {
  std::string out;
  for (const FileSet& set : sets) {
    out += "set " + set.name;
    if (!set.path.empty()) out += " file " + set.path;
    if (set.items) {
      out += " {\n";
      for (const SetItem& item : *set.items) out += "  " + to_string(item) + "\n";
      out += "}";
    }
    out += "\n";
  }
  for (const Rule& rule : rules) out += "rule " + rule.name + " " + rule.to_string() + "\n";
  return out;
}

}  // namespace weir::control
