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
  static const bool yes = isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr;
  return yes;
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

void print(std::string_view text) { std::fwrite(text.data(), 1, text.size(), stdout); }

void print_line(const Json& document) {
  // Names come from the kernel, and may hold any octet.
  print(document.dump(-1, ' ', false, Json::error_handler_t::replace));
  print("\n");
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
