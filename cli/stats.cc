// SPDX-License-Identifier: MIT
// weir stats: every frame explained, once or again and again.
#include "weir/control/stats.h"

#include <fmt/core.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "output.h"
#include "table.h"
#include "terminal.h"
#include "traffic.h"
#include "values.h"
#include "weir/xdp/program.h"
#include "words.h"

namespace weir::cli {
namespace {

struct StatsReport {
  std::string interface;
  Instant at;
  Traffic traffic;
};

enum class Show : std::uint8_t { happened, everything };

StatsReport make_report(const std::string& interface, const Observation& now, const Observation* before, Show show) {
  StatsReport report{interface, now.snapshot.at, make_traffic(now, before)};
  auto& reasons = report.traffic.reasons;
  if (show == Show::happened)
    reasons.erase(
        std::remove_if(reasons.begin(), reasons.end(), [](const ReasonTraffic& r) { return r.volume.packets == 0; }),
        reasons.end());
  return report;
}

Json to_json(const StatsReport& report) {
  const Traffic& t = report.traffic;
  Json reasons = Json::array();
  for (const ReasonTraffic& row : t.reasons) {
    Json one;
    one["verdict"] = control::verdict_name(row.reason->verdict);
    one["name"] = row.reason->name;
    one["text"] = row.reason->text;
    put_volume(one, row.volume, t.interval.has_value());
    reasons.push_back(std::move(one));
  }
  Json verdicts = Json::array();
  for (const VerdictTraffic& row : t.verdicts) {
    Json one;
    one["verdict"] = control::verdict_name(row.verdict);
    put_volume(one, row.volume, t.interval.has_value());
    verdicts.push_back(std::move(one));
  }
  Json out;
  out["interface"] = report.interface;
  out["monotonic_ns"] = report.at.ns();
  out["interval_seconds"] = t.interval ? Json(*t.interval) : Json(nullptr);
  out["verdicts"] = std::move(verdicts);
  out["reasons"] = std::move(reasons);
  return out;
}

Paint colour(weir_verdict verdict) {
  switch (verdict) {
    case WEIR_V_STEER:
    case WEIR_V_ANSWER:
    case WEIR_V_TAKEN:
      return Paint::good;
    case WEIR_V_DROP:
    case WEIR_V_RING:
      return Paint::bad;
    case WEIR_V_LOST:
      return Paint::caution;
    default:
      return Paint::plain;
  }
}

std::string to_text(const StatsReport& report) {
  using Align = Columns::Align;
  const Traffic& t = report.traffic;
  std::vector<Columns::Column> titles = {{"VERDICT"}, {"REASON"}, {"PACKETS", Align::right}, {"BYTES", Align::right}};
  if (t.interval) {
    titles.push_back({"PKT/S", Align::right});
    titles.push_back({"BIT/S", Align::right});
  }
  titles.push_back({"WHAT IT MEANS"});
  Columns columns(std::move(titles));
  for (const ReasonTraffic& row : t.reasons) {
    const Volume& v = row.volume;
    std::vector<std::string> cells = {paint(colour(row.reason->verdict), control::verdict_name(row.reason->verdict)),
                                      row.reason->name, std::to_string(v.packets),
                                      v.bytes ? std::to_string(*v.bytes) : "-"};
    if (t.interval) {
      cells.push_back(rate_text(v.packets_per_second));
      cells.push_back(v.bits_per_second ? rate_text(*v.bits_per_second) : "-");
    }
    cells.emplace_back(row.reason->text);
    columns.row(std::move(cells));
  }
  const auto total = [&](weir_verdict v) { return t.verdicts[v].volume.packets; };
  const std::uint64_t pass = total(WEIR_V_PASS), drop = total(WEIR_V_DROP), steer = total(WEIR_V_STEER),
                      answer = total(WEIR_V_ANSWER);
  std::string out = fmt::format("{}: {} since attach: {} to the kernel, {} to the engine, {} dropped{}\n",
                                report.interface, count_text(pass + drop + steer + answer, "frame", "frames"), pass,
                                steer, drop, answer > 0 ? fmt::format(", {} answered", answer) : "");
  if (!columns.empty()) out += columns.text();
  return out;
}

// False where a signal that ends it came before `seconds` had passed.
bool sleep_through(Signals& signals, double seconds) {
  const Instant until = control::monotonic_now() + Duration::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
  for (;;) {
    const std::int64_t left = (until - control::monotonic_now()).count_ns();
    if (left <= 0) return true;
    pollfd waiting{signals.fd(), POLLIN, 0};
    const timespec timeout{static_cast<time_t>(left / 1'000'000'000), static_cast<long>(left % 1'000'000'000)};
    if (ppoll(&waiting, 1, &timeout, nullptr) > 0 && signals.take() != 0) return false;
  }
}

// On a terminal each report takes the place of the last, as much of it as there is room; elsewhere an empty line parts
// them.
void print_again(const std::string& text) {
  if (!Terminal::there()) {
    print(text + "\n");
    return;
  }
  const Terminal::Size size = Terminal::size();
  print_as_it_is("\033[H");
  unsigned lines = 0;
  for (const std::string_view line : split(std::string_view(text).substr(0, text.size() - 1), '\n')) {
    if (++lines == size.height) break;
    print(fit(line, size.width));
    print_as_it_is("\033[K\n");
  }
  print_as_it_is("\033[J");
}

Outcome<int> watch(const control::Instance& instance, double seconds, Show show, bool json) {
  Signals signals({SIGINT, SIGTERM});
  const auto look = [&]() -> Outcome<Observation> {
    auto snapshot = control::take_snapshot(instance, control::monotonic_now());
    if (!snapshot) return Err(snapshot.error());
    return Observation{std::move(*snapshot), {}, std::nullopt};
  };
  auto before = look();
  if (!before) return Err(before.error());
  if (!json && Terminal::there()) print_as_it_is("\033[2J");
  while (sleep_through(signals, seconds)) {
    // Maps that are open outlive a detach: counters that nothing moves any more would look like a quiet network.
    if (!xdp::read_link(instance.directory()))
      return fail(fmt::format("{}: weir has been detached", instance.interface()), ENOENT);
    auto now = look();
    if (!now) return Err(now.error());
    const StatsReport report = make_report(instance.interface(), *now, &*before, show);
    if (json)
      print_line(to_json(report));
    else
      print_again(to_text(report));
    if (!finish_output()) return kFailed;
    before = std::move(now);
  }
  return kOk;
}

}  // namespace

Outcome<int> run_stats(const Context& context) {
  const auto instance = choose_instance(context.args.get("IFACE"));
  if (!instance) return Err(instance.error());
  const Show show = context.args.has("--all") ? Show::everything : Show::happened;
  if (const auto text = context.args.get("--watch")) {
    const auto seconds = parse_seconds(*text);
    if (!seconds) return Err(seconds.error());
    return watch(*instance, *seconds, show, context.json);
  }
  auto now = control::take_snapshot(*instance, control::monotonic_now());
  if (!now) return Err(now.error());
  const StatsReport report =
      make_report(instance->interface(), Observation{std::move(*now), {}, std::nullopt}, nullptr, show);
  if (context.json)
    print_line(to_json(report));
  else
    print(to_text(report));
  return kOk;
}

}  // namespace weir::cli
