// SPDX-License-Identifier: MIT
// weir dump: frames as they come and go, with what became of each and why.
#include <fmt/core.h>
#include <net/if.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <ctime>

#include "dump_filter.h"
#include "dump_output.h"
#include "dump_view.h"
#include "interrupt_signal.h"
#include "output.h"
#include "table.h"
#include "values.h"
#include "version.h"
#include "weir/control/caps.h"
#include "weir/control/capture.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/engine_tap.h"
#include "weir/control/heartbeat.h"
#include "weir/control/lock.h"
#include "weir/control/pcapng.h"
#include "weir/control/rule_names.h"
#include "weir/control/stats.h"
#include "weir/xdp/program.h"

namespace weir::cli {
namespace {

using control::Capability;

constexpr Duration kRenewal = Duration::milliseconds(200);
constexpr Duration kLook = Duration::seconds(1);
// The rings of the CPUs are read one after the other: what is younger may still be overtaken.
constexpr Duration kSettled = Duration::milliseconds(5);
constexpr int kPauseMs = 20;
constexpr Duration kEnginePatience = Duration::seconds(1);

struct DumpOptions {
  std::optional<std::string> interface;
  std::string expression;
  std::optional<std::string> file;
  std::optional<std::uint32_t> count;
  std::uint32_t snaplen = WEIR_CAPTURE_MOST;
  std::uint64_t reasons = ~std::uint64_t{0};
  bool sampled = false;
  bool outbound = true;
  bool json = false;
};

Outcome<DumpOptions> read_options(const Context& context) {
  DumpOptions out;
  out.json = context.json;
  // An interface's name is no word of an expression, unless somebody has named one so.
  std::vector<std::string> words = context.args.rest();
  if (!words.empty() && if_nametoindex(words.front().c_str()) != 0) {
    out.interface = words.front();
    words.erase(words.begin());
  }
  out.expression = join(words, " ");
  out.file = context.args.get("--write");
  if (const auto text = context.args.get("--count")) {
    const auto n = parse_number(*text);
    if (!n) return Err(n.error());
    out.count = std::max<std::uint32_t>(*n, 1);
  }
  if (const auto text = context.args.get("--snaplen")) {
    const auto n = parse_number(*text);
    if (!n) return Err(n.error());
    out.snaplen = *n == 0 ? WEIR_CAPTURE_MOST : std::min<std::uint32_t>(*n, WEIR_CAPTURE_MOST);
  }
  const auto verdicts = context.args.get("--verdict");
  const auto reasons = context.args.get("--reason");
  if (verdicts || reasons) {
    out.reasons = 0;
    for (const control::ReasonFacts& facts : control::reasons()) {
      if (facts.reason >= 64 || !control::is_of_xdp(facts)) continue;
      if (verdicts && !is_among(*verdicts, control::verdict_name(facts.verdict))) continue;
      if (reasons && !is_among(*reasons, facts.name)) continue;
      out.reasons |= std::uint64_t{1} << facts.reason;
    }
    const bool only_sent = verdicts && !reasons && is_among(*verdicts, "send");
    if (out.reasons == 0 && !only_sent)
      return fail("no reason of these names has one of these verdicts: `weir stats --all`", EINVAL);
  }
  out.sampled = context.args.has("--sampled");
  // What goes out no rule has judged, and XDP has no reason for.
  out.outbound = !reasons && !out.sampled && (!verdicts || is_among(*verdicts, "send"));
  return out;
}

std::uint64_t clock_ns(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec);
}

std::uint64_t xdp_action(weir_verdict verdict) {
  constexpr std::uint64_t kDrop = 1, kPass = 2, kSend = 3, kRedirect = 4;
  return verdict == WEIR_V_DROP     ? kDrop
         : verdict == WEIR_V_STEER  ? kRedirect
         : verdict == WEIR_V_ANSWER ? kSend
                                    : kPass;
}

// Whichever engine runs now; where there is none, what it would send is not to be had.
std::optional<control::EngineTap> tap_engine(const control::Instance& instance, const DumpOptions& options) {
  auto tap = control::EngineTap::open(control::engine_socket_path(instance.config().netns_cookie, instance.ifindex()),
                                      options.expression.empty() ? options.snaplen : WEIR_CAPTURE_MOST);
  return tap ? std::optional(std::move(*tap)) : std::nullopt;
}

// Until the engine tells, so that both directions begin together; one that is stopped is not waited for.
void await(const control::EngineTap& engine) {
  pollfd waiting{engine.descriptor(), POLLIN, 0};
  static_cast<void>(poll(&waiting, 1, static_cast<int>(kEnginePatience.count_ms())));
}

class Dump {
 public:
  Dump(const control::Instance& instance, const DumpOptions& options, DumpFilter filter, DumpOutput output,
       std::optional<control::EngineTap> engine, control::Capture capture)
      : instance_(instance),
        options_(options),
        filter_(std::move(filter)),
        output_(std::move(output)),
        capture_(std::move(capture)),
        engine_(std::move(engine)),
        names_(instance.maps()),
        // One difference for the whole dump, so that times stand in their order when the clock is set.
        epoch_ns_(clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC)) {}

  Outcome<int> run();

 private:
  bool enough() const { return options_.count && shown_ >= *options_.count; }
  void take(const weir_capture_record& record, std::span<const std::byte> octets);
  void take(const control::TapRecord& record, std::span<const std::byte> octets);
  void hold(DumpedFrame frame, std::span<const std::byte> octets);
  void drain();
  void drain_engine();
  void open_engine();
  void leave_engine();
  void finish_engine();
  control::CaptureTotals totals() const;
  // Shows what came before `until`, in the order of time.
  void show(Instant until);
  void show(const DumpedFrame& frame);
  Outcome<bool> turn();
  Outcome<void> look_around(Instant now);
  Outcome<void> finish();
  void say_totals() const;

  const control::Instance& instance_;
  const DumpOptions& options_;
  DumpFilter filter_;
  DumpOutput output_;
  control::Capture capture_;
  std::optional<control::EngineTap> engine_;
  std::uint64_t engine_frames_ = 0;  // of engines that are gone
  std::uint64_t engine_lost_ = 0;
  std::uint64_t engine_deaths_ = 0;
  std::string engine_refusal_;  // said already
  control::RuleNames names_;
  InterruptSignal interrupt_;
  std::uint64_t epoch_ns_;
  std::uint64_t start_ns_ = 0;
  std::vector<DumpedFrame> held_;  // not settled yet
  std::uint64_t shown_ = 0;
  std::uint64_t matched_ = 0;
  Instant renewed_;
  Instant looked_;
  bool reader_gone_ = false;
};

void Dump::take(const weir_capture_record& record, std::span<const std::byte> octets) {
  if (!filter_.matches(octets, record.length) || record.reason >= WEIR_REASON_COUNT) return;
  const control::ReasonFacts& facts = control::reasons()[record.reason];
  DumpedFrame frame;
  frame.time_ns = record.time_ns;
  frame.outbound = (record.flags & WEIR_CAPTURE_ANSWER) != 0;
  frame.verdict = control::verdict_name(facts.verdict);
  frame.reason = facts.name;
  if (record.rule != WEIR_NONE) {
    frame.rule = names_.find(record.generation, record.rule, control::monotonic_now());
    if (!frame.rule) frame.rule = fmt::format("#{}", record.rule);
  }
  frame.queue = record.queue;
  frame.xdp_action = xdp_action(facts.verdict);
  frame.sampled = (record.flags & WEIR_CAPTURE_SAMPLED) != 0;
  frame.length = record.length;
  hold(std::move(frame), octets);
}

void Dump::take(const control::TapRecord& record, std::span<const std::byte> octets) {
  if (!filter_.matches(octets, record.length)) return;
  DumpedFrame frame;
  frame.time_ns = record.time_ns;
  frame.outbound = true;
  frame.verdict = "send";
  frame.reason = "engine";
  frame.length = record.length;
  hold(std::move(frame), octets);
}

void Dump::hold(DumpedFrame frame, std::span<const std::byte> octets) {
  ++matched_;
  octets = octets.first(std::min<std::size_t>(octets.size(), options_.snaplen));
  frame.octets.assign(octets.begin(), octets.end());
  held_.push_back(std::move(frame));
}

void Dump::drain() {
  capture_.drain([this](const weir_capture_record& record, auto octets) { take(record, octets); });
  drain_engine();
}

void Dump::drain_engine() {
  if (!engine_) return;
  const auto open = engine_->drain([this](const control::TapRecord& record, auto octets) { take(record, octets); });
  if (open && *open) return;
  if (!open && open.error().message != engine_refusal_) {
    engine_refusal_ = open.error().message;
    fmt::print(stderr, "weir: {}\n", engine_refusal_);
  } else if (open && engine_->reader().greeted() && !engine_->reader().ended()) {
    ++engine_deaths_;
  }
  leave_engine();
}

void Dump::leave_engine() {
  engine_frames_ += engine_->reader().frames();
  engine_lost_ += engine_->reader().lost();
  engine_.reset();
}

// It is told to end, and says what it has lost. One that is stopped does not.
void Dump::finish_engine() {
  if (!engine_) return;
  engine_->stop();
  const Instant until = control::monotonic_now() + kEnginePatience;
  while (engine_) {
    const std::int64_t left = (until - control::monotonic_now()).count_ms();
    pollfd waiting{engine_->descriptor(), POLLIN, 0};
    if (left <= 0 || (poll(&waiting, 1, static_cast<int>(left)) <= 0 && errno != EINTR)) break;
    drain_engine();
  }
  if (!engine_) return;
  ++engine_deaths_;
  leave_engine();
}

void Dump::open_engine() {
  if (!engine_ && options_.outbound && engine_refusal_.empty()) engine_ = tap_engine(instance_, options_);
}

control::CaptureTotals Dump::totals() const {
  control::CaptureTotals out = capture_.totals();
  const std::uint64_t lost = engine_lost_ + (engine_ ? engine_->reader().lost() : 0);
  out.captured += engine_frames_ + (engine_ ? engine_->reader().frames() : 0) + lost;
  out.lost += lost;
  return out;
}

void Dump::show(Instant until) {
  const auto later = [](const DumpedFrame& a, const DumpedFrame& b) { return a.time_ns < b.time_ns; };
  std::stable_sort(held_.begin(), held_.end(), later);
  std::size_t n = 0;
  for (; n < held_.size() && !enough(); ++n) {
    if (held_[n].time_ns > static_cast<std::uint64_t>(until.ns())) break;
    show(held_[n]);
  }
  held_.erase(held_.begin(), held_.begin() + static_cast<std::ptrdiff_t>(n));
}

void Dump::show(const DumpedFrame& frame) {
  ++shown_;
  const std::uint64_t at = frame.time_ns + epoch_ns_;
  if (options_.file) {
    const std::string about = comment(frame);
    control::write_pcapng_packet(
        output_.pending(), {at, frame.outbound, frame.length, frame.octets, frame.queue, frame.xdp_action, about});
  } else if (options_.json) {
    output_.pending() += to_json(frame, at).dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  } else {
    output_.pending() += line(frame, at);
  }
}

Outcome<void> Dump::look_around(Instant now) {
  looked_ = now;
  names_.look();
  open_engine();
  // Maps that are open outlive a detach.
  if (!xdp::read_link(instance_.directory()))
    return fail(fmt::format("{}: weir has been detached", instance_.interface()), ENOENT);
  return {};
}

// False when it is over.
Outcome<bool> Dump::turn() {
  pollfd waiting[4] = {{interrupt_.descriptor(), POLLIN, 0},
                       {capture_.descriptor(), POLLIN, 0},
                       {output_.pending().empty() ? -1 : output_.descriptor(), POLLOUT, 0},
                       {engine_ ? engine_->descriptor() : -1, POLLIN, 0}};
  // Full rings would wake it again and again while there is no room to show what is in them.
  if (!output_.has_room()) waiting[1].fd = waiting[3].fd = -1;
  if (poll(waiting, 4, kPauseMs) < 0 && errno != EINTR) return Err(xdp::system_error(errno, "waiting for frames"));
  if ((waiting[0].revents & POLLIN) != 0) {
    interrupt_.take();
    return false;
  }
  const Instant now = control::monotonic_now();
  if (now - renewed_ > kRenewal) {
    renewed_ = now;
    if (auto r = capture_.renew(now); !r) return Err(r.error());
  }
  if (now - looked_ > kLook)
    if (auto r = look_around(now); !r) return Err(r.error());
  if (output_.has_room()) {
    drain();
    show(now - kSettled);
  }
  const auto open = output_.write_some();
  if (!open) return Err(open.error());
  reader_gone_ = !*open;
  return *open && !enough();
}

// The copies end first, so that what is counted is what is in the rings; then the rest is shown.
Outcome<void> Dump::finish() {
  if (auto r = capture_.stop(control::monotonic_now()); !r) return r;
  if (reader_gone_) return {};
  drain();
  finish_engine();
  show(Instant::never());
  if (options_.file) {
    const control::CaptureTotals all = totals();
    control::write_pcapng_statistics(output_.pending(),
                                     {start_ns_, clock_ns(CLOCK_REALTIME), all.captured, all.lost, matched_});
  }
  const auto open = output_.finish(interrupt_.descriptor());
  interrupt_.take();
  return open ? Outcome<void>{} : Err(open.error());
}

void Dump::say_totals() const {
  const control::CaptureTotals all = totals();
  std::string out =
      fmt::format("{}: {} captured, {} shown, {} lost", instance_.interface(), all.captured, shown_, all.lost);
  if (all.gaps > 0)
    out += fmt::format("; held up {} in all, so that {} passed unseen", count_text(all.gaps, "time", "times"),
                       seconds_text(all.unwatched));
  if (engine_deaths_ > 0)
    out += fmt::format("; {} ended or did not answer, and did not say what was lost at the end",
                       count_text(engine_deaths_, "engine", "engines"));
  fmt::print(stderr, "{}\n", out);
}

Outcome<int> Dump::run() {
  start_ns_ = clock_ns(CLOCK_REALTIME);
  names_.look();
  if (options_.file)
    control::write_pcapng_start(output_.pending(), fmt::format("weir {}", kVersion), instance_.interface(),
                                options_.snaplen, options_.expression);
  Outcome<void> wrong;
  for (;;) {
    const auto more = turn();
    if (!more) wrong = Err(more.error());
    if (!more || !*more) break;
  }
  const auto finished = finish();
  say_totals();
  if (!wrong) return Err(wrong.error());
  if (!finished) return Err(finished.error());
  return kOk;
}

Outcome<control::Capture> open_capture(const control::Instance& instance, const DumpOptions& options) {
  control::CaptureOptions wanted;
  wanted.reasons = options.reasons;
  // An expression may look anywhere in the frame.
  wanted.snaplen = options.expression.empty() ? options.snaplen : WEIR_CAPTURE_MOST;
  wanted.sampled = options.sampled;
  const auto lock = control::Lock::acquire();
  if (!lock) return Err(lock.error());
  return control::Capture::open(instance.maps(), wanted, control::monotonic_now());
}

}  // namespace

Outcome<int> run_dump(const Context& context) {
  const auto options = read_options(context);
  if (!options) return Err(options.error());
  auto filter = DumpFilter::compile(options->expression);
  if (!filter) return Err(filter.error());
  if (const auto allowed = control::require_capabilities(
          "dump", {Capability::bpf, Capability::perfmon, Capability::net_admin, Capability::sys_admin});
      !allowed)
    return Err(allowed.error());
  const auto instance = choose_instance(options->interface);
  if (!instance) return Err(instance.error());
  auto output = DumpOutput::open(options->file.value_or("-"));
  if (!output) return Err(output.error());
  if (options->file && output->is_terminal())
    return fail("pcapng is not for a terminal: -w FILE, or a pipe behind -w -, or none of both for text", EINVAL);
  std::signal(SIGPIPE, SIG_IGN);
  auto engine = options->outbound ? tap_engine(*instance, *options) : std::nullopt;
  if (engine) await(*engine);
  auto capture = open_capture(*instance, *options);
  if (!capture) return Err(capture.error());
  return Dump(*instance, *options, std::move(*filter), std::move(*output), std::move(engine), std::move(*capture))
      .run();
}

}  // namespace weir::cli
