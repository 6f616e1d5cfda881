// SPDX-License-Identifier: MIT
#include "output.h"

#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace weir::cli {
namespace {

bool coloured() {
  static const bool yes = takes_escapes(STDOUT_FILENO) && std::getenv("NO_COLOR") == nullptr;
  return yes;
}

// The octets at the beginning of `text` that are one of paint()'s sequences.
std::size_t painted(std::string_view text) {
  for (const std::string_view sequence : {"\033[0m", "\033[2m", "\033[31m", "\033[32m", "\033[33m"})
    if (text.substr(0, sequence.size()) == sequence) return sequence.size();
  return 0;
}

// The octets at its beginning that are one character of UTF-8 and no control character but line end and tab; else 0.
// (The controls U+0080 to U+009F are obeyed like escape sequences.)
std::size_t character(std::string_view text) {
  const auto octet = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0u; };
  const unsigned first = octet(0);
  if (first < 0x80) return (first >= 0x20 && first != 0x7f) || first == '\n' || first == '\t' ? 1 : 0;
  const std::size_t n = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (std::size_t i = 1; i < n; ++i)
    if ((octet(i) & 0xc0) != 0x80) return 0;
  // Longer than it need be, a surrogate, beyond the last: none of them is UTF-8.
  const unsigned second = octet(1);
  if ((first == 0xc2 && second < 0xa0) || (first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90))
    return 0;
  return n;
}

// Letters on the screen: escape sequences of paint() take no room.
std::size_t width(std::string_view text) {
  std::size_t n = 0;
  bool escape = false;
  for (const char c : text) {
    if (c == '\033') escape = true;
    if (!escape) ++n;
    if (c == 'm') escape = false;
  }
  return n;
}

}  // namespace

bool takes_escapes(int fd) {
  const char* kind = std::getenv("TERM");
  return isatty(fd) == 1 && (kind == nullptr || std::string_view(kind) != "dumb");
}

std::string paint(Paint colour, std::string_view text) {
  if (!coloured() || colour == Paint::plain) return std::string(text);
  const char* code = colour == Paint::good ? "32" : colour == Paint::caution ? "33" : colour == Paint::bad ? "31" : "2";
  return fmt::format("\033[{}m{}\033[0m", code, text);
}

std::string Columns::text(std::string_view indent) const {
  std::vector<std::size_t> widths;
  for (const Column& column : columns_) widths.push_back(width(column.title));
  for (const auto& cells : rows_)
    for (std::size_t i = 0; i < columns_.size(); ++i) widths[i] = std::max(widths[i], width(cells[i]));

  std::string out;
  const auto line = [&](const auto& cell_of) {
    out += indent;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string cell = cell_of(i);
      const std::string padding(widths[i] - width(cell), ' ');
      const bool last = i + 1 == columns_.size();
      if (columns_[i].align == Align::right) out += padding + cell;
      if (columns_[i].align == Align::left) out += last ? cell : cell + padding;
      if (!last) out += "  ";
    }
    out += '\n';
  };
  line([&](std::size_t i) { return columns_[i].title; });
  for (const auto& cells : rows_) line([&](std::size_t i) { return cells[i]; });
  return out;
}

void print_as_it_is(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print(std::string_view text) { print_as_it_is(harmless(text)); }

void print_line(const Json& document) {
  // Names come from the kernel, and may hold any octet; as ASCII, none of them is one that a terminal obeys.
  print_as_it_is(document.dump(-1, ' ', true, Json::error_handler_t::replace));
  print_as_it_is("\n");
}

std::string harmless(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    std::size_t n = painted(text);
    if (n == 0) n = character(text);
    if (n > 0)
      out += text.substr(0, n);
    else
      out += '?';
    text.remove_prefix(std::max<std::size_t>(n, 1));
  }
  return out;
}

std::string as_text(std::string_view octets) {
  std::string out;
  while (!octets.empty()) {
    const bool control = static_cast<unsigned char>(octets[0]) < 0x20;
    const std::size_t n = control ? 0 : character(octets);
    if (n > 0)
      out += octets.substr(0, n);
    else
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(octets[0]));
    octets.remove_prefix(std::max<std::size_t>(n, 1));
  }
  return out;
}

std::string fit(std::string_view line, std::size_t columns) {
  std::string out;
  std::size_t used = 0;
  while (!line.empty()) {
    const std::size_t escape = painted(line);
    const std::size_t n = escape > 0 ? escape : std::max<std::size_t>(character(line), 1);
    // What ends a colour is kept, however little room there is.
    if (escape > 0 || used++ < columns) out += line.substr(0, n);
    line.remove_prefix(n);
  }
  return out;
}

std::string join(const std::vector<std::string>& parts, std::string_view between) {
  std::string out;
  for (const std::string& part : parts) {
    if (!out.empty()) out += between;
    out += part;
  }
  return out;
}

std::string seconds_text(Duration d) {
  const double s = static_cast<double>(d.count_ns()) / 1e9;
  if (s < 10) return fmt::format("{:.1f} s", s);
  if (s < 120) return fmt::format("{:.0f} s", s);
  if (s < 7200) return fmt::format("{:.0f} min", s / 60);
  if (s < 172800) return fmt::format("{:.0f} h", s / 3600);
  return fmt::format("{:.0f} days", s / 86400);
}

std::string count_text(std::uint64_t n, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", n, n == 1 ? one : many);
}

bool finish_output() {
  errno = 0;
  const bool failed = std::fflush(stdout) != 0 || std::ferror(stdout) != 0;
  if (failed) fmt::print(stderr, "weir: standard output: {}\n", std::strerror(errno != 0 ? errno : EIO));
  return !failed;
}

}  // namespace weir::cli
