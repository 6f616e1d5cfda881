// SPDX-License-Identifier: MIT
// How results are written: aligned columns for people, one JSON document a line for programs.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "weir/base/time.h"

namespace weir::cli {

using Json = nlohmann::ordered_json;

// Whether the descriptor is a terminal that obeys escape sequences: any but TERM=dumb.
bool takes_escapes(int fd);

enum class Paint : std::uint8_t { plain, good, caution, bad, dim };
// `text` in a colour where standard output takes escapes and NO_COLOR is unset.
std::string paint(Paint colour, std::string_view text);

// Rows of one width a column. The last column is never padded.
class Columns {
 public:
  enum class Align : std::uint8_t { left, right };
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Columns(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // Cells beyond the columns are an error of the caller's.
  void row(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }
  // A title line, then the rows, each after `indent`.
  std::string text(std::string_view indent = {}) const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

// To standard output. Names in it may hold any octet: what a terminal would obey is '?', but for the line end, the tab
// and what paint() writes.
void print(std::string_view text);
void print_as_it_is(std::string_view text);
std::string harmless(std::string_view text);
// As text: what is not, and each control character, as \xHH, so that two names never become one.
std::string as_text(std::string_view octets);
// The beginning of a line that has room in so many columns; paint() takes none.
std::string fit(std::string_view line, std::size_t columns);
void print_line(const Json& document);  // compact, with a newline
std::string join(const std::vector<std::string>& parts, std::string_view between = ", ");
std::string seconds_text(Duration d);  // "0.3 s", "12 s", "3 min", "2 h"
std::string count_text(std::uint64_t n, std::string_view one, std::string_view many);  // "1 flow", "3 flows"

// False where what was written did not arrive (a full disk, a closed pipe); the reason is on standard error.
bool finish_output();

}  // namespace weir::cli
