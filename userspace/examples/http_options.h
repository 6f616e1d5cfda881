// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <string>
#include <variant>

namespace weir::examples {

struct HttpOptions {
  std::uint16_t port = 8080;
  std::string address = "::";  // every address of both families
  std::string interface;       // empty: the one that weir is attached to
  std::string congestion;      // empty: the default of whoever serves
  int fast_open = 0;           // TCP_FASTOPEN
  bool tls = false;
  std::string certificate;  // PEM files; both empty: signed with itself
  std::string key;
};

// The options, or the exit status where the command line has been answered: 0 for --help, 2 for a mistake.
std::variant<HttpOptions, int> parse_command_line(int argc, const char* const* argv);

}  // namespace weir::examples
