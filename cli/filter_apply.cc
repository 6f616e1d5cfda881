// SPDX-License-Identifier: MIT
// weir filter apply, diff, export: the filter as a file.
#include <fmt/core.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "files.h"
#include "filter_change.h"
#include "guard.h"
#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/filter.h"
#include "weir/control/filter_diff.h"
#include "weir/control/filter_file.h"
#include "weir/control/heartbeat.h"
#include "weir/control/sets.h"

namespace weir::cli {
namespace {

using control::Rule;
using control::RuleChange;
using Kind = RuleChange::Kind;

// The file, with the lists that it names: their paths begin at its directory.
Outcome<control::FilterFile> wanted_file(const Context& context) {
  const std::string path = context.args.get_or("FILE", "");
  const auto text = read_file(path, "rules");
  if (!text) return Err(text.error());
  auto file = control::parse_filter_file(*text, name_of_file(path));
  if (!file) return file;
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : path.substr(0, slash + 1);
  for (control::FileSet& set : file->sets) {
    if (set.path.empty()) continue;
    auto items = read_set_list(set.path[0] == '/' ? set.path : directory + set.path);
    if (!items) return Err(items.error());
    set.items = std::move(*items);
  }
  return file;
}

std::vector<control::WantedSet> wanted_sets(control::FilterFile& file) {
  std::vector<control::WantedSet> out;
  for (control::FileSet& set : file.sets) out.push_back({set.name, std::move(set.items)});
  return out;
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::added:
      return "added";
    case Kind::removed:
      return "removed";
    case Kind::changed:
      return "changed";
    case Kind::moved:
      return "moved";
  }
  return "?";
}

Json to_json(const std::vector<RuleChange>& changes) {
  Json out = Json::array();
  const auto place = [](const std::optional<std::uint32_t>& index) { return index ? Json(*index) : Json(nullptr); };
  for (const RuleChange& c : changes)
    out.push_back({{"change", kind_name(c.kind)},
                   {"name", c.name},
                   {"index_before", place(c.index_before)},
                   {"index_after", place(c.index_after)},
                   {"before", c.index_before ? Json(c.before) : Json(nullptr)},
                   {"after", c.index_after ? Json(c.after) : Json(nullptr)}});
  return out;
}

// As `diff` has it: lines that go, lines that come, and between them what stays but moves.
std::string to_text(const std::vector<RuleChange>& changes) {
  std::string out;
  for (const RuleChange& c : changes) {
    if (c.kind == Kind::moved) {
      out +=
          paint(Paint::caution, fmt::format("~ rule {} moves from {} to {}", c.name, *c.index_before, *c.index_after));
      out += "\n";
      continue;
    }
    if (c.index_before) out += paint(Paint::bad, fmt::format("- rule {} {}", c.name, c.before)) + "\n";
    if (c.index_after) out += paint(Paint::good, fmt::format("+ rule {} {}", c.name, c.after)) + "\n";
  }
  return out;
}

using SetKind = control::SetDifference::Kind;

Json to_json(const std::vector<control::SetDifference>& sets) {
  Json out = Json::array();
  for (const control::SetDifference& d : sets)
    out.push_back({{"change", d.kind == SetKind::added     ? "added"
                              : d.kind == SetKind::removed ? "removed"
                                                           : "changed"},
                   {"name", d.name},
                   {"added", d.added},
                   {"removed", d.removed}});
  return out;
}

std::string entries_text(std::uint64_t n) { return count_text(n, "entry", "entries"); }

std::string to_text(const std::vector<control::SetDifference>& sets) {
  std::string out;
  for (const control::SetDifference& d : sets) {
    if (d.kind == SetKind::removed)
      out += paint(Paint::bad, fmt::format("- set {} ({})", d.name, entries_text(d.removed)));
    else if (d.kind == SetKind::added)
      out += paint(Paint::good, fmt::format("+ set {} ({})", d.name, entries_text(d.added)));
    else
      out += paint(Paint::caution, fmt::format("~ set {}: {} come, {} go", d.name, entries_text(d.added), d.removed));
    out += "\n";
  }
  return out;
}

std::string summary(const std::vector<RuleChange>& changes, const std::vector<control::SetDifference>& sets) {
  std::vector<std::string> parts;
  for (const Kind kind : {Kind::added, Kind::removed, Kind::changed, Kind::moved}) {
    std::size_t n = 0;
    for (const RuleChange& c : changes) n += c.kind == kind ? 1u : 0u;
    if (n > 0) parts.push_back(fmt::format("{} {}", n, kind_name(kind)));
  }
  for (const control::SetDifference& d : sets)
    parts.push_back(d.kind == SetKind::removed ? fmt::format("set {} removed", d.name)
                    : d.kind == SetKind::added ? fmt::format("set {} added ({})", d.name, entries_text(d.added))
                                               : fmt::format("set {} +{} -{}", d.name, d.added, d.removed));
  return join(parts);
}

// What the file would change, without a lock: nothing is written.
Outcome<int> show_difference(const Context& context, bool as_apply) {
  auto file = wanted_file(context);
  if (!file) return Err(file.error());
  const auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  const auto state =
      control::filter_state(instance->maps(), control::monotonic_now(), control::RuleCounters::leave_out);
  if (!state) return Err(state.error());
  const auto changes = control::compare_rules(state->rules, file->rules);
  const auto sets = control::compare_sets(instance->maps(), wanted_sets(*file), control::monotonic_now());
  if (!sets) return Err(sets.error());
  const bool same = changes.empty() && sets->empty();
  if (context.json) {
    Json out;
    out["interface"] = instance->interface();
    out["same"] = same;
    if (as_apply) {
      out["applied"] = false;
      out["rules"] = file->rules.size();
      out["confirm_seconds"] = nullptr;
    }
    out["changes"] = to_json(changes);
    out["sets"] = to_json(*sets);
    print_line(out);
    return kOk;
  }
  print(to_text(*sets) + to_text(changes));
  if (same)
    print(fmt::format("{}: the filter says this already\n", instance->interface()));
  else if (as_apply)
    print(fmt::format("{}: nothing was changed; without --dry-run: {}\n", instance->interface(),
                      summary(changes, *sets)));
  return kOk;
}

// Complete under its name, or not there: a list of before is not cut short by one that fails.
Outcome<void> write_list(const std::string& directory, const control::FileSet& set) {
  if (directory.find_first_of(" \t\n#") != std::string::npos || directory.empty())
    return fail(
        fmt::format("'{}' cannot stand in a file of rules: choose a directory without blanks and '#'", directory),
        EINVAL);
  const std::string path = directory + "/" + set.name + ".list";
  const std::string fresh = path + ".new";
  std::FILE* file = std::fopen(fresh.c_str(), "we");
  if (file == nullptr)
    return fail(fmt::format("writing {}: {}{}", fresh, std::strerror(errno),
                            errno == ENOENT ? fmt::format(": make the directory first, mkdir -p {}", directory) : ""),
                errno);
  for (const control::SetItem& item : *set.items) {
    const std::string line = control::to_string(item) + "\n";
    std::fwrite(line.data(), 1, line.size(), file);
  }
  const bool failed = std::ferror(file) != 0;
  if (std::fclose(file) != 0 || failed || std::rename(fresh.c_str(), path.c_str()) != 0) {
    const int code = errno;
    std::remove(fresh.c_str());
    return fail(fmt::format("writing {}: {}", path, std::strerror(code)), code);
  }
  return {};
}

}  // namespace

Outcome<int> run_filter_diff(const Context& context) { return show_difference(context, false); }

Outcome<int> run_filter_export(const Context& context) {
  const auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  const auto state =
      control::filter_state(instance->maps(), control::monotonic_now(), control::RuleCounters::leave_out);
  if (!state) return Err(state.error());
  // As it stands in the file, from wherever that is read.
  std::optional<std::string> directory = context.args.get("--sets");
  if (directory && !directory->empty()) directory = std::filesystem::absolute(*directory).lexically_normal().string();
  if (directory && directory->ends_with('/')) directory->pop_back();
  std::vector<control::FileSet> sets;
  for (const std::string& name : state->sets) {
    if (name.empty()) continue;
    control::FileSet set{name, std::nullopt, {}};
    if (!context.args.has("--no-entries")) {
      auto items = control::show_set(instance->maps(), name, control::monotonic_now());
      if (!items) return Err(items.error());
      set.items = std::move(*items);
    }
    if (directory) {
      if (const auto written = write_list(*directory, set); !written) return Err(written.error());
      set.path = *directory + "/" + name + ".list";
      set.items.reset();
    }
    sets.push_back(std::move(set));
  }
  const std::string text = control::write_filter_file(state->rules, sets);
  if (context.json)
    print_line({{"interface", instance->interface()}, {"file", text}});
  else
    print(text.empty() ? "# no rules: every frame is accepted\n" : text);
  return kOk;
}

Outcome<int> run_filter_apply(const Context& context) {
  if (context.args.has("--dry-run")) return show_difference(context, true);
  std::optional<Duration> confirm;
  if (const auto text = context.args.get("--confirm")) {
    const auto parsed = parse_timespan(*text);
    if (!parsed) return Err(parsed.error());
    confirm = *parsed;
  }
  auto file = wanted_file(context);
  if (!file) return Err(file.error());
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const xdp::Maps& maps = change->instance.maps();
  const Instant now = control::monotonic_now();
  auto before = control::filter_state(maps, now, control::RuleCounters::leave_out);
  // Rules that do not hold together are replaced as none would be.
  if (!before && before.error().code == EPROTO) before = control::FilterState{};
  if (!before) return Err(before.error());
  const auto changes = control::compare_rules(before->rules, file->rules);
  const std::size_t count = file->rules.size();
  std::vector<control::WantedSet> wanted = wanted_sets(*file);
  auto sets = control::compare_sets(maps, wanted, now);
  if (!sets && sets.error().code == EPROTO) {
    std::vector<control::SetDifference> all;
    for (const control::WantedSet& set : wanted)
      all.push_back({SetKind::added, set.name, set.items ? set.items->size() : 0, 0});
    sets = std::move(all);
  }
  if (!sets) return Err(sets.error());
  const auto guarded = guard_caller(context, change->instance);
  if (!guarded) return Err(guarded.error());
  const auto applied =
      control::filter_apply(maps, std::move(file->rules), confirm, now, control::monotonic_now, std::move(wanted));
  if (!applied) return Err(applied.error());

  const std::string& interface = change->instance.interface();
  const bool on_trial = *applied && confirm;
  if (context.json) {
    Json out;
    out["interface"] = interface;
    out["same"] = changes.empty() && sets->empty();
    out["applied"] = *applied;
    out["rules"] = count;
    out["confirm_seconds"] = on_trial ? Json(confirm->count_ms() / 1000) : Json(nullptr);
    out["changes"] = to_json(changes);
    out["guard"] = sessions_json(*guarded);
    out["sets"] = to_json(*sets);
    print_line(out);
  } else if (!*applied) {
    print(
        fmt::format("{}: the filter says this already{}\n", interface, confirm ? ": there is nothing to confirm" : ""));
  } else {
    print(fmt::format("{}: {} in force: {}\n", interface, count_text(count, "rule", "rules"), summary(changes, *sets)));
    if (on_trial)
      print(fmt::format(
          "  for {}: `weir filter confirm dev {}` keeps them; else those from before come back by themselves\n",
          seconds_text(*confirm), interface));
  }
  return kOk;
}

}  // namespace weir::cli
