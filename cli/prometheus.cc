// SPDX-License-Identifier: MIT
#include "prometheus.h"

#include <fmt/core.h>

namespace weir::cli {
namespace {

const char* type_name(Exposition::Type type) { return type == Exposition::Type::counter ? "counter" : "gauge"; }

// In a label's value the backslash, the quote and the line end are escaped; in a HELP line the quote is not.
std::string escaped(std::string_view text, bool quoted) {
  std::string out;
  for (const char c : text) {
    if (c == '\n')
      out += "\\n";
    else if (c == '\\' || (quoted && c == '"'))
      out += {'\\', c};
    else
      out += c;
  }
  return out;
}

}  // namespace

void Exposition::family(std::string name, Type type, std::string help) {
  families_.push_back({std::move(name), type, std::move(help), {}});
}

void Exposition::sample(Labels labels, std::uint64_t value) {
  put(std::move(labels), static_cast<double>(value), std::to_string(value));
}

void Exposition::sample(Labels labels, double value) { put(std::move(labels), value, fmt::format("{:.9g}", value)); }

void Exposition::put(Labels labels, double number, std::string text) {
  for (auto& [name, value] : labels) value = as_text(value);
  families_.back().samples.push_back({std::move(labels), number, std::move(text)});
}

std::string Exposition::text() const {
  std::string out;
  for (const Family& f : families_) {
    if (f.samples.empty()) continue;
    out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", f.name, escaped(f.help, false), f.name, type_name(f.type));
    for (const Sample& s : f.samples) {
      out += f.name;
      for (std::size_t i = 0; i < s.labels.size(); ++i)
        out += fmt::format("{}{}=\"{}\"", i == 0 ? "{" : ",", s.labels[i].first, escaped(s.labels[i].second, true));
      if (!s.labels.empty()) out += "}";
      out += " " + s.text + "\n";
    }
  }
  return out;
}

Json Exposition::json() const {
  Json list = Json::array();
  for (const Family& f : families_) {
    if (f.samples.empty()) continue;
    Json samples = Json::array();
    for (const Sample& s : f.samples) {
      Json labels = Json::object();
      for (const auto& [name, value] : s.labels) labels[std::string(name)] = value;
      samples.push_back({{"labels", std::move(labels)}, {"value", s.number}});
    }
    list.push_back({{"name", f.name}, {"type", type_name(f.type)}, {"help", f.help}, {"samples", std::move(samples)}});
  }
  return {{"families", std::move(list)}};
}

}  // namespace weir::cli
