// SPDX-License-Identifier: MIT
// weir doctor.
#include "doctor.h"

#include <fmt/core.h>

#include <algorithm>

#include "output.h"
#include "table.h"

namespace weir::cli {
namespace {

struct Section {
  std::string title;  // "machine", or an interface
  std::vector<Check> checks;
};

const char* name(Health health) { return health == Health::ok ? "ok" : health == Health::warn ? "warn" : "fail"; }

Paint colour(Health health) {
  return health == Health::ok ? Paint::good : health == Health::warn ? Paint::caution : Paint::bad;
}

std::size_t count(const std::vector<Section>& sections, Health health) {
  std::size_t n = 0;
  for (const Section& section : sections)
    for (const Check& check : section.checks) n += check.health == health ? 1 : 0;
  return n;
}

Json to_json(const std::vector<Section>& sections) {
  Json checks = Json::array();
  for (const Section& section : sections) {
    for (const Check& check : section.checks) {
      Json one;
      one["about"] = section.title;
      one["check"] = check.subject;
      one["health"] = name(check.health);
      one["text"] = check.text;
      one["mend"] = check.mend.empty() ? Json(nullptr) : Json(check.mend);
      checks.push_back(std::move(one));
    }
  }
  Json out;
  out["healthy"] = count(sections, Health::fail) == 0;
  out["checks"] = std::move(checks);
  return out;
}

std::string to_text(const std::vector<Section>& sections) {
  std::string out;
  for (const Section& section : sections) {
    out += fmt::format("{}\n", section.title);
    for (const Check& check : section.checks) {
      out += fmt::format("  {}{} {:<13} {}\n", paint(colour(check.health), name(check.health)),
                         check.health == Health::ok ? "  " : "", check.subject, check.text);
      if (!check.mend.empty()) out += fmt::format("  {:<18} -> {}\n", "", check.mend);
    }
  }
  return out;
}

}  // namespace

Outcome<int> run_doctor(const Context& context) {
  std::vector<Section> sections = {{"machine", check_machine()}};
  if (const auto wanted = context.args.get("IFACE")) {
    sections.push_back({*wanted, check_interface(*wanted)});
  } else if (const auto attached = control::list(); attached) {
    for (const auto& instance : *attached)
      if (!instance.stale) sections.push_back({instance.interface, check_interface(instance.interface)});
  }
  if (context.json) {
    print_line(to_json(sections));
  } else {
    print(to_text(sections));
    if (sections.size() == 1) print("`weir doctor IFACE` looks at an interface too\n");
    const std::size_t failed = count(sections, Health::fail);
    if (failed > 0)
      print(fmt::format("{}: weir cannot work here until it is mended\n", count_text(failed, "failure", "failures")));
  }
  return count(sections, Health::fail) == 0 ? kOk : kFailed;
}

}  // namespace weir::cli
