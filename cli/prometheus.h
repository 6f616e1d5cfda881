// SPDX-License-Identifier: MIT
// Metrics as Prometheus's text exposition format, version 0.0.4, has them.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "output.h"

namespace weir::cli {

class Exposition {
 public:
  enum class Type : std::uint8_t { counter, gauge };
  using Labels = std::vector<std::pair<std::string_view, std::string>>;

  // What follows belongs to it. A family comes once; the names of counters end in _total. One without samples is left
  // out.
  void family(std::string name, Type type, std::string help);
  // Label values are any octets: what is not text is written as \xHH.
  void sample(Labels labels, std::uint64_t value);
  void sample(Labels labels, double value);

  std::string text() const;
  Json json() const;

 private:
  struct Sample {
    Labels labels;
    double number;
    std::string text;
  };
  struct Family {
    std::string name;
    Type type;
    std::string help;
    std::vector<Sample> samples;
  };
  void put(Labels labels, double number, std::string text);
  std::vector<Family> families_;
};

}  // namespace weir::cli
