// SPDX-License-Identifier: MIT
// What `weir top` shows, as lines of text: a function of what was seen and of how one wants to look at it. No terminal
// in it, and nothing that a terminal would obey: names come from outside.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "args.h"
#include "traffic.h"

namespace weir::cli {

enum class View : std::uint8_t { overview, reasons, rules, ports, engines, connections };
inline constexpr int kViews = 6;
const char* view_name(View view);
enum class Sort : std::uint8_t { packets, bits, total, name };
inline constexpr int kSorts = 4;
const char* sort_name(Sort sort);

// How one looks.
struct Look {
  View view = View::overview;
  Sort sort = Sort::packets;
  bool reverse = false;
  bool paused = false;
  bool keys = false;       // the line of keys, for one who has a keyboard
  std::size_t offset = 0;  // rows of the table that have been scrolled over
  double interval = 1;     // seconds
  unsigned width = 0;      // columns; 0: as many as it takes
  unsigned height = 0;     // lines likewise
};

struct Line {
  enum class Style : std::uint8_t { plain, title, dim, good, caution, bad };
  std::string text;  // printable ASCII
  Style style = Style::plain;
};

struct Seen {
  std::string interface;
  std::string about;                 // mode, program
  const Traffic* traffic = nullptr;  // nothing: nothing is there to be seen, see notice
  std::string notice;                // what happened to the interface or the engine
};

std::vector<Line> render(const Seen& seen, const Look& look);

// The most that Look::offset can be of use.
std::size_t last_offset(const Seen& seen, const Look& look);

// Every octet that is not printable ASCII as '?'.
std::string printable(std::string_view text);

}  // namespace weir::cli
