// SPDX-License-Identifier: MIT
// weir stats: every frame explained, once or again and again.
#include "weir/control/stats.h"

#include <fmt/core.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>

#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/xdp/program.h"
#include "words.h"

namespace weir::cli {
namespace {

// One reason's counts. Of an engine's and a ring's reasons only frames are counted.
struct Row {
  const control::ReasonFacts* facts = nullptr;
  std::uint64_t packets = 0;
  std::optional<std::uint64_t> bytes;
  double packets_per_second = 0;
  double bits_per_second = 0;
};

struct StatsReport {
  std::string interface;
  std::vector<Row> rows;
  control::Snapshot now;
  std::optional<double> interval;  // seconds that the rates stand for
};

bool by_xdp(const control::ReasonFacts& facts) {
  return facts.verdict == WEIR_V_PASS || facts.verdict == WEIR_V_DROP || facts.verdict == WEIR_V_STEER;
}

enum class Show : std::uint8_t { happened, everything };

StatsReport make_report(const std::string& interface, const control::Snapshot& now, const control::Snapshot* before,
                        Show show) {
  StatsReport report{interface, {}, now, std::nullopt};
  std::optional<control::Snapshot> change;
  if (before != nullptr) {
    change = control::difference(now, *before);
    report.interval = static_cast<double>((now.at - before->at).count_ns()) / 1e9;
  }
  for (const control::ReasonFacts& facts : control::reasons()) {
    Row row;
    row.facts = &facts;
    if (by_xdp(facts)) {
      row.packets = now.xdp[facts.reason].packets;
      row.bytes = now.xdp[facts.reason].bytes;
    } else {
      row.packets = now.engine_total(facts.reason);
    }
    if (change && *report.interval > 0) {
      const std::uint64_t packets =
          by_xdp(facts) ? change->xdp[facts.reason].packets : change->engine_total(facts.reason);
      row.packets_per_second = static_cast<double>(packets) / *report.interval;
      if (row.bytes) row.bits_per_second = static_cast<double>(change->xdp[facts.reason].bytes) * 8 / *report.interval;
    }
    if (row.packets > 0 || show == Show::everything) report.rows.push_back(row);
  }
  return report;
}

Json to_json(const StatsReport& report) {
  Json reasons = Json::array();
  for (const Row& row : report.rows) {
    Json one;
    one["verdict"] = control::verdict_name(row.facts->verdict);
    one["name"] = row.facts->name;
    one["text"] = row.facts->text;
    one["packets"] = row.packets;
    one["bytes"] = row.bytes ? Json(*row.bytes) : Json(nullptr);
    if (report.interval) {
      one["packets_per_second"] = row.packets_per_second;
      one["bits_per_second"] = row.bytes ? Json(row.bits_per_second) : Json(nullptr);
    }
    reasons.push_back(std::move(one));
  }
  Json verdicts = Json::array();
  for (int v = 0; v < WEIR_VERDICT_COUNT; ++v) {
    const auto verdict = static_cast<weir_verdict>(v);
    std::uint64_t packets = 0;
    for (const Row& row : report.rows)
      if (row.facts->verdict == verdict) packets += row.packets;
    Json one;
    one["verdict"] = control::verdict_name(verdict);
    one["packets"] = packets;
    verdicts.push_back(std::move(one));
  }
  Json out;
  out["interface"] = report.interface;
  out["monotonic_ns"] = report.now.at.ns();
  out["interval_seconds"] = report.interval ? Json(*report.interval) : Json(nullptr);
  out["verdicts"] = std::move(verdicts);
  out["reasons"] = std::move(reasons);
  return out;
}

std::string rate_text(double rate) {
  if (rate >= 1e9) return fmt::format("{:.2f}G", rate / 1e9);
  if (rate >= 1e6) return fmt::format("{:.2f}M", rate / 1e6);
  if (rate >= 1e4) return fmt::format("{:.1f}k", rate / 1e3);
  return fmt::format("{:.0f}", rate);
}

Paint colour(weir_verdict verdict) {
  switch (verdict) {
    case WEIR_V_STEER:
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
  std::vector<Columns::Column> titles = {{"VERDICT"}, {"REASON"}, {"PACKETS", Align::right}, {"BYTES", Align::right}};
  if (report.interval) {
    titles.push_back({"PKT/S", Align::right});
    titles.push_back({"BIT/S", Align::right});
  }
  titles.push_back({"WHAT IT MEANS"});
  Columns columns(std::move(titles));
  for (const Row& row : report.rows) {
    std::vector<std::string> cells = {paint(colour(row.facts->verdict), control::verdict_name(row.facts->verdict)),
                                      row.facts->name, std::to_string(row.packets),
                                      row.bytes ? std::to_string(*row.bytes) : "-"};
    if (report.interval) {
      cells.push_back(rate_text(row.packets_per_second));
      cells.push_back(row.bytes ? rate_text(row.bits_per_second) : "-");
    }
    cells.emplace_back(row.facts->text);
    columns.row(std::move(cells));
  }
  const auto total = [&](weir_verdict v) { return report.now.total(v).packets; };
  const std::uint64_t pass = total(WEIR_V_PASS), drop = total(WEIR_V_DROP), steer = total(WEIR_V_STEER);
  std::string out =
      fmt::format("{}: {} since attach: {} to the kernel, {} to the engine, {} dropped\n", report.interface,
                  count_text(pass + drop + steer, "frame", "frames"), pass, steer, drop);
  if (!columns.empty()) out += columns.text();
  return out;
}

// Waits for SIGINT or SIGTERM, which are blocked while this lives.
class Interrupt {
 public:
  Interrupt() {
    sigemptyset(&wanted_);
    sigaddset(&wanted_, SIGINT);
    sigaddset(&wanted_, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted_, &before_);
    fd_ = xdp::Fd(signalfd(-1, &wanted_, SFD_CLOEXEC));
  }
  Interrupt(const Interrupt&) = delete;
  Interrupt& operator=(const Interrupt&) = delete;
  ~Interrupt() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

  // True if it came before `seconds` had passed.
  bool within(double seconds) {
    pollfd waiting{fd_.get(), POLLIN, 0};
    timespec timeout{};
    timeout.tv_sec = static_cast<time_t>(seconds);
    timeout.tv_nsec = static_cast<long>((seconds - static_cast<double>(timeout.tv_sec)) * 1e9);
    if (ppoll(&waiting, 1, &timeout, nullptr) <= 0) return false;
    // Taken, or it would end the process when it is let through again.
    signalfd_siginfo taken{};
    return read(fd_.get(), &taken, sizeof taken) == sizeof taken;
  }

 private:
  sigset_t wanted_{};
  sigset_t before_{};
  xdp::Fd fd_;
};

// On a terminal each report takes the place of the last; elsewhere an empty line parts them.
void print_again(const std::string& text) {
  if (isatty(STDOUT_FILENO) == 0) {
    print(text + "\n");
    return;
  }
  std::string out = "\033[H";
  for (const char c : text) out += c == '\n' ? std::string("\033[K\n") : std::string(1, c);
  print(out + "\033[J");
}

Outcome<int> watch(const control::Instance& instance, double seconds, Show show, bool json) {
  Interrupt interrupt;
  auto before = control::take_snapshot(instance, control::monotonic_now());
  if (!before) return Err(before.error());
  if (!json && isatty(STDOUT_FILENO) == 1) print("\033[2J");
  while (!interrupt.within(seconds)) {
    // Maps that are open outlive a detach: counters that nothing moves any more would look like a quiet network.
    if (!xdp::read_link(instance.directory()))
      return fail(fmt::format("{}: weir has been detached", instance.interface()), ENOENT);
    auto now = control::take_snapshot(instance, control::monotonic_now());
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
  const auto now = control::take_snapshot(*instance, control::monotonic_now());
  if (!now) return Err(now.error());
  const StatsReport report = make_report(instance->interface(), *now, nullptr, show);
  if (context.json)
    print_line(to_json(report));
  else
    print(to_text(report));
  return kOk;
}

}  // namespace weir::cli
