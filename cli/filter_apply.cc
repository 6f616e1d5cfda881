// SPDX-License-Identifier: MIT
// weir filter apply, diff, export: the filter as a file.
#include <fmt/core.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include "filter_change.h"
#include "guard.h"
#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/filter.h"
#include "weir/control/filter_diff.h"
#include "weir/control/filter_file.h"
#include "weir/control/heartbeat.h"

namespace weir::cli {
namespace {

using control::Rule;
using control::RuleChange;
using Kind = RuleChange::Kind;

constexpr std::size_t kMaxFile = 16 << 20;

struct Close {
  void operator()(std::FILE* file) const {
    if (file != stdin) std::fclose(file);
  }
};

// "-" is standard input.
Outcome<std::string> read_file(const std::string& path) {
  const std::unique_ptr<std::FILE, Close> file(path == "-" ? stdin : std::fopen(path.c_str(), "re"));
  if (!file) return fail(fmt::format("opening {}: {}", path, std::strerror(errno)), errno);
  struct stat facts {};
  if (fstat(fileno(file.get()), &facts) == 0 && S_ISDIR(facts.st_mode))
    return fail(fmt::format("{} is a directory: give a file of rules, or - for standard input", path), EISDIR);
  std::string text;
  char part[65536];
  while (const std::size_t n = std::fread(part, 1, sizeof part, file.get())) {
    text.append(part, n);
    if (text.size() > kMaxFile)
      return fail(fmt::format("{} is larger than 16 MiB: is it a file of rules?", path), EFBIG);
  }
  if (std::ferror(file.get()) != 0) return fail(fmt::format("reading {}: {}", path, std::strerror(errno)), errno);
  return text;
}

Outcome<std::vector<Rule>> wanted_rules(const Context& context) {
  const std::string path = context.args.get_or("FILE", "");
  const auto text = read_file(path);
  if (!text) return Err(text.error());
  return control::parse_filter_file(*text, path == "-" ? "stdin" : path);
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

std::string summary(const std::vector<RuleChange>& changes) {
  std::vector<std::string> parts;
  for (const Kind kind : {Kind::added, Kind::removed, Kind::changed, Kind::moved}) {
    std::size_t n = 0;
    for (const RuleChange& c : changes) n += c.kind == kind ? 1u : 0u;
    if (n > 0) parts.push_back(fmt::format("{} {}", n, kind_name(kind)));
  }
  return join(parts);
}

// What the file would change, without a lock: nothing is written.
Outcome<int> show_difference(const Context& context, bool as_apply) {
  const auto rules = wanted_rules(context);
  if (!rules) return Err(rules.error());
  const auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  const auto state =
      control::filter_state(instance->maps(), control::monotonic_now(), control::RuleCounters::leave_out);
  if (!state) return Err(state.error());
  const auto changes = control::compare_rules(state->rules, *rules);
  if (context.json) {
    Json out;
    out["interface"] = instance->interface();
    out["same"] = changes.empty();
    if (as_apply) {
      out["applied"] = false;
      out["rules"] = rules->size();
      out["confirm_seconds"] = nullptr;
    }
    out["changes"] = to_json(changes);
    print_line(out);
    return kOk;
  }
  print(to_text(changes));
  if (changes.empty())
    print(fmt::format("{}: the filter says this already\n", instance->interface()));
  else if (as_apply)
    print(fmt::format("{}: nothing was changed; without --dry-run: {}\n", instance->interface(), summary(changes)));
  return kOk;
}

}  // namespace

Outcome<int> run_filter_diff(const Context& context) { return show_difference(context, false); }

Outcome<int> run_filter_export(const Context& context) {
  const auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  const auto state =
      control::filter_state(instance->maps(), control::monotonic_now(), control::RuleCounters::leave_out);
  if (!state) return Err(state.error());
  const std::string text = control::write_filter_file(state->rules);
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
  auto rules = wanted_rules(context);
  if (!rules) return Err(rules.error());
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const xdp::Maps& maps = change->instance.maps();
  const Instant now = control::monotonic_now();
  auto before = control::filter_state(maps, now, control::RuleCounters::leave_out);
  // Rules that do not hold together are replaced as none would be.
  if (!before && before.error().code == EPROTO) before = control::FilterState{};
  if (!before) return Err(before.error());
  const auto changes = control::compare_rules(before->rules, *rules);
  const std::size_t count = rules->size();
  const auto guarded = guard_caller(context, change->instance);
  if (!guarded) return Err(guarded.error());
  const auto applied = control::filter_apply(maps, std::move(*rules), confirm, now, control::monotonic_now);
  if (!applied) return Err(applied.error());

  const std::string& interface = change->instance.interface();
  const bool on_trial = *applied && confirm;
  if (context.json) {
    Json out;
    out["interface"] = interface;
    out["same"] = changes.empty();
    out["applied"] = *applied;
    out["rules"] = count;
    out["confirm_seconds"] = on_trial ? Json(confirm->count_ms() / 1000) : Json(nullptr);
    out["changes"] = to_json(changes);
    out["guard"] = sessions_json(*guarded);
    print_line(out);
  } else if (!*applied) {
    print(
        fmt::format("{}: the filter says this already{}\n", interface, confirm ? ": there is nothing to confirm" : ""));
  } else {
    print(fmt::format("{}: {} in force: {}\n", interface, count_text(count, "rule", "rules"), summary(changes)));
    if (on_trial)
      print(fmt::format(
          "  for {}: `weir filter confirm dev {}` keeps them; else those from before come back by themselves\n",
          seconds_text(*confirm), interface));
  }
  return kOk;
}

}  // namespace weir::cli
