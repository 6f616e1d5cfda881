// SPDX-License-Identifier: MIT
// weir top: what passes an interface, again and again: on a terminal as a screen with keys, elsewhere frame by frame.
#include <fmt/core.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <climits>

#include "table.h"
#include "terminal.h"
#include "top_source.h"
#include "top_view.h"
#include "values.h"
#include "weir/control/heartbeat.h"
#include "words.h"

namespace weir::cli {
namespace {

Json volume_json(const Traffic& t, const Volume& volume) {
  Json out;
  put_volume(out, volume, t.interval.has_value());
  return out;
}

Json to_json(const Traffic& t, const ConnectionTraffic& c) {
  const auto rate = [&](double value) { return t.connections_have_rates ? Json(value) : Json(nullptr); };
  return {{"local", c.connection.local},
          {"remote", c.connection.remote},
          {"state", c.connection.state},
          {"bytes_received", c.connection.bytes_received},
          {"bytes_acked", c.connection.bytes_acked},
          {"received_bits_per_second", rate(c.received_per_second)},
          {"sent_bits_per_second", rate(c.sent_per_second)},
          {"recv_queue", c.connection.recv_queue},
          {"send_queue", c.connection.send_queue},
          {"srtt_us", c.connection.srtt_us},
          {"retransmits", c.connection.retransmits}};
}

Json to_json(const TopSource& source, const std::optional<Traffic>& traffic, Instant now) {
  Json out;
  out["interface"] = source.interface();
  out["monotonic_ns"] = now.ns();
  out["attached"] = traffic.has_value();
  out["notice"] = source.notice();
  if (!traffic) return out;
  const Traffic& t = *traffic;
  out["interval_seconds"] = t.interval ? Json(*t.interval) : Json(nullptr);
  Json verdicts = Json::array(), reasons = Json::array(), rules = Json::array(), ports = Json::array(),
       engines = Json::array();
  for (const VerdictTraffic& v : t.verdicts) {
    Json one = {{"verdict", control::verdict_name(v.verdict)}};
    one.update(volume_json(t, v.volume));
    verdicts.push_back(std::move(one));
  }
  for (const ReasonTraffic& r : t.reasons) {
    if (r.volume.packets == 0) continue;
    Json one = {{"verdict", control::verdict_name(r.reason->verdict)}, {"name", r.reason->name}};
    one.update(volume_json(t, r.volume));
    reasons.push_back(std::move(one));
  }
  for (const RuleTraffic& r : t.rules) {
    Json one = {{"name", r.name}, {"rule", r.rule}};
    one.update(volume_json(t, r.volume));
    rules.push_back(std::move(one));
  }
  for (const PortTraffic& p : t.ports) {
    Json one = {{"entry", p.entry.selector.to_string()},
                {"protocol", control::protocol_name(p.entry.port.protocol)},
                {"port", p.entry.port.number},
                {"use", p.entry.reserved ? "outgoing" : "serve"},
                {"engine", p.state},
                {"flows", p.entry.flows}};
    one.update(volume_json(t, p.volume));
    ports.push_back(std::move(one));
  }
  for (const EngineTraffic& e : t.engines)
    engines.push_back({{"pid", e.pid},
                       {"application", e.application},
                       {"state", e.state},
                       {"queues", e.queues},
                       {"connections", e.connections},
                       {"loop_lag_us", e.loop_lag.count_us()},
                       {"heartbeat_age_ms", e.heartbeat_age.count_ms()},
                       {"uptime_ms", e.uptime.count_ms()},
                       {"taken_per_second", e.taken_per_second},
                       {"lost_per_second", e.lost_per_second},
                       {"ring_per_second", e.ring_per_second}});
  out["verdicts"] = std::move(verdicts);
  out["reasons"] = std::move(reasons);
  out["rules"] = std::move(rules);
  out["steer"] = std::move(ports);
  out["engines"] = std::move(engines);
  if (t.connections) {
    Json connections = Json::array();
    for (const ConnectionTraffic& c : *t.connections) connections.push_back(to_json(t, c));
    out["connections"] = std::move(connections);
  } else {
    out["connections"] = nullptr;
  }
  out["filter_confirm_seconds"] =
      t.filter_pending ? Json(static_cast<double>(t.filter_pending->count_ms()) / 1000) : Json(nullptr);
  return out;
}

// The views that show connections; for the others the engine is left in peace.
bool wants_connections(View view) { return view == View::overview || view == View::connections; }

class Top {
 public:
  Top(TopSource source, Look look, bool json, std::optional<std::uint32_t> frames)
      : source_(std::move(source)),
        look_(look),
        json_(json),
        frames_(frames),
        every_(Duration::nanoseconds(static_cast<std::int64_t>(look.interval * 1e9))) {}

  // Frame by frame, to whatever standard output is.
  Outcome<int> run_batch() {
    Signals signals({SIGINT, SIGTERM, SIGHUP});
    observe();
    for (std::uint32_t n = 0; !frames_ || n < *frames_; ++n) {
      if (!wait(signals, nullptr)) break;
      observe();
      settle();
      const auto traffic = source_.traffic();
      if (json_) {
        print_line(to_json(source_, traffic, control::monotonic_now()));
      } else {
        for (const Line& line : render(seen(traffic), look_)) print(line.text + "\n");
        print("\n");
      }
      if (!finish_output()) return kFailed;
    }
    return kOk;
  }

  Outcome<int> run_screen() {
    Signals signals({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGCONT, SIGWINCH});
    Terminal terminal;
    look_.keys = terminal.fd() >= 0;
    observe();
    do {
      if (!draw(terminal)) return kFailed;
      if (!wait(signals, &terminal)) break;
      if (look_.paused)
        next_ = control::monotonic_now() + every_;
      else
        observe();
    } while (true);
    return gone_ ? kFailed : kOk;
  }

 private:
  void observe() {
    const Instant now = control::monotonic_now();
    next_ = now + every_;
    source_.look(now);
    if (json_ || wants_connections(look_.view)) source_.ask(now);
  }

  // A frame that is printed once has what the engine tells at once; one that takes longer is told of in the next.
  void settle() {
    const Instant until = control::monotonic_now() + Duration::milliseconds(200);
    for (Instant now = control::monotonic_now(); source_.engine_fd() >= 0 && now < until;
         now = control::monotonic_now()) {
      pollfd waiting{source_.engine_fd(), source_.engine_events(), 0};
      poll(&waiting, 1, static_cast<int>((until - now).count_ms() + 1));
      source_.on_engine(control::monotonic_now());
    }
  }

  Seen seen(const std::optional<Traffic>& traffic) const {
    return {source_.interface(), source_.about(), traffic ? &*traffic : nullptr, source_.notice()};
  }

  bool draw(Terminal& terminal) {
    const Terminal::Size size = Terminal::size();
    look_.width = size.width;
    look_.height = size.height;
    if (!look_.paused) shown_ = source_.traffic();
    look_.offset = std::min(look_.offset, last_offset(seen(shown_), look_));
    gone_ = !terminal.draw(render(seen(shown_), look_));
    return !gone_;
  }

  // Until the next look is due. False: it is over.
  bool wait(Signals& signals, Terminal* terminal) {
    for (;;) {
      const Instant now = control::monotonic_now();
      if (now >= next_) return true;
      Instant until = next_;
      if (const auto deadline = source_.engine_deadline()) until = std::min(until, *deadline);
      std::array<pollfd, 3> waiting = {{{signals.fd(), POLLIN, 0},
                                        {source_.engine_fd(), source_.engine_events(), 0},
                                        {terminal != nullptr ? terminal->fd() : -1, POLLIN, 0}}};
      const std::int64_t left = std::max<std::int64_t>((until - now).count_ms() + 1, 0);
      if (poll(waiting.data(), waiting.size(), static_cast<int>(std::min<std::int64_t>(left, INT_MAX))) < 0 &&
          errno != EINTR)
        return false;
      source_.on_engine(control::monotonic_now());
      if (waiting[2].revents != 0)
        for (const char key : terminal->keys())
          if (!on_key(key)) return false;
      while (const int signal = signals.take())
        if (!on_signal(signal, terminal)) return false;
      if (terminal != nullptr && std::exchange(redraw_, false) && !draw(*terminal)) return false;
    }
  }

  bool on_signal(int signal, Terminal* terminal) {
    if (terminal == nullptr) return false;
    redraw_ = true;
    switch (signal) {
      case SIGWINCH:
        return true;
      case SIGTSTP:
        terminal->leave();
        Signals::act(SIGTSTP);
        terminal->enter();
        return true;
      case SIGCONT:
        terminal->enter();  // whoever had the terminal meanwhile has changed it
        return true;
      default:
        return false;
    }
  }

  bool on_key(char key) {
    redraw_ = true;
    const auto page = static_cast<std::size_t>(std::max(look_.height, 8u) - 6);
    switch (key) {
      case 'q':
        return false;
      case 'p':
      case ' ':
        look_.paused = !look_.paused;
        break;
      case 's':
        look_.sort = static_cast<Sort>((static_cast<int>(look_.sort) + 1) % kSorts);
        break;
      case 'r':
        look_.reverse = !look_.reverse;
        break;
      case '\t':
        choose(static_cast<View>((static_cast<int>(look_.view) + 1) % kViews));
        break;
      case 'j':
        ++look_.offset;
        break;
      case 'k':
        if (look_.offset > 0) --look_.offset;
        break;
      case 'J':
        look_.offset += page;
        break;
      case 'K':
        look_.offset -= std::min(page, look_.offset);
        break;
      default:
        if (key >= '1' && key < '1' + kViews) choose(static_cast<View>(key - '1'));
        break;
    }
    return true;
  }

  void choose(View view) {
    look_.view = view;
    look_.offset = 0;
    if (wants_connections(view)) source_.ask(control::monotonic_now());
  }

  TopSource source_;
  Look look_;
  bool json_;
  std::optional<std::uint32_t> frames_;
  Duration every_;
  Instant next_;
  std::optional<Traffic> shown_;  // what is on the screen: it stays while paused
  bool redraw_ = false;
  bool gone_ = false;
};

template <class Choice, class Name>
Choice chosen(const std::string& word, int count, Name name) {
  for (int i = 0; i < count; ++i)
    if (word == name(static_cast<Choice>(i))) return static_cast<Choice>(i);
  return static_cast<Choice>(0);
}

}  // namespace

Outcome<int> run_top(const Context& context) {
  Look look;
  const auto interval = parse_seconds(context.args.get_or("--interval", "1"));
  if (!interval) return Err(interval.error());
  look.interval = *interval;
  look.view = chosen<View>(context.args.get_or("--view", "overview"), kViews, view_name);
  look.sort = chosen<Sort>(context.args.get_or("--sort", "packets"), kSorts, sort_name);
  std::optional<std::uint32_t> frames;
  if (const auto text = context.args.get("--count")) {
    const auto count = parse_number(*text);
    if (!count) return Err(count.error());
    frames = *count;
  }
  auto instance = choose_instance(context.args.get("IFACE"));
  if (!instance) return Err(instance.error());
  Top top(TopSource(std::move(*instance)), look, context.json, frames);
  return context.json || context.args.has("--batch") || !Terminal::there() ? top.run_batch() : top.run_screen();
}

}  // namespace weir::cli
