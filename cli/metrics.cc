// SPDX-License-Identifier: MIT
// weir metrics: once, into a file, or over HTTP.
#include "metrics.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <map>

#include "engines.h"
#include "top_source.h"
#include "weir/control/engine_protocol.h"
#include "weir/control/heartbeat.h"

namespace weir::cli {
namespace {

using Type = Exposition::Type;

double seconds(Duration d) { return static_cast<double>(d.count_ns()) / 1e9; }

// Calls `each` with what is of every interface, under a family of that name.
template <class Each>
void family(Exposition& out, const std::vector<InterfaceMetrics>& interfaces, const char* name, Type type,
            const char* help, Each each) {
  out.family(name, type, help);
  for (const InterfaceMetrics& one : interfaces) each(one.interface, one.seen.snapshot, one.seen);
}

void frames(Exposition& out, const std::vector<InterfaceMetrics>& interfaces) {
  family(out, interfaces, "weir_frames_total", Type::counter,
         "Frames by what became of them: pass, drop and steer are all that were received; ring was lost on the way to "
         "or from the engine, taken and lost are what it did with the steered.",
         [&](const std::string& name, const control::Snapshot& s, const Observation&) {
           for (const control::ReasonFacts& r : control::reasons()) {
             out.sample({{"interface", name}, {"verdict", control::verdict_name(r.verdict)}, {"reason", r.name}},
                        control::is_of_xdp(r) ? s.xdp[r.reason].packets : s.engine_total(r.reason));
           }
         });
  family(out, interfaces, "weir_frame_bytes_total", Type::counter,
         "Bytes of the frames received, from the Ethernet header on.",
         [&](const std::string& name, const control::Snapshot& s, const Observation&) {
           for (const control::ReasonFacts& r : control::reasons())
             if (control::is_of_xdp(r))
               out.sample({{"interface", name}, {"verdict", control::verdict_name(r.verdict)}, {"reason", r.name}},
                          s.xdp[r.reason].bytes);
         });
}

void filter(Exposition& out, const std::vector<InterfaceMetrics>& interfaces) {
  const auto hits = [&](const char* name, const char* help, weir_u64 weir_counter::*what) {
    family(out, interfaces, name, Type::counter, help,
           [&](const std::string& interface, const control::Snapshot& s, const Observation&) {
             for (const control::Rule& rule : s.rules)
               out.sample(
                   {{"interface", interface}, {"rule", rule.name}, {"action", control::action_name(rule.action)}},
                   std::uint64_t{rule.hits.*what});
           });
  };
  hits("weir_filter_rule_frames_total", "Frames that the rule was the first to match.", &weir_counter::packets);
  hits("weir_filter_rule_frame_bytes_total", "Bytes of those frames.", &weir_counter::bytes);
  const auto gauge = [&](const char* name, const char* help, auto value) {
    family(out, interfaces, name, Type::gauge, help,
           [&](const std::string& interface, const control::Snapshot& s, const Observation&) {
             out.sample({{"interface", interface}}, value(s));
           });
  };
  gauge("weir_filter_rules", "Rules of the generation in force.",
        [](const control::Snapshot& s) { return std::uint64_t{s.rules.size()}; });
  gauge("weir_filter_trial", "1 while that generation waits to be confirmed.",
        [](const control::Snapshot& s) { return std::uint64_t{s.filter_pending ? 1u : 0u}; });
  gauge("weir_filter_trial_remaining_seconds", "What is left of the time to confirm it; 0 where it is not on trial.",
        [](const control::Snapshot& s) { return s.filter_pending ? seconds(*s.filter_pending) : 0.0; });
  gauge("weir_filter_rolled_back", "1 when the last change was not confirmed in time: the rules are those from before.",
        [](const control::Snapshot& s) { return std::uint64_t{s.filter_rolled_back ? 1u : 0u}; });
}

void sets(Exposition& out, const std::vector<InterfaceMetrics>& interfaces) {
  const auto each = [&](const char* name, const char* help, auto values) {
    out.family(name, Type::gauge, help);
    for (const InterfaceMetrics& one : interfaces)
      if (one.sets)
        for (const control::SetInfo& set : *one.sets) values(one.interface, set);
  };
  each("weir_set_entries", "Entries of a named set that are in force, by family.",
       [&](const std::string& interface, const control::SetInfo& set) {
         out.sample({{"interface", interface}, {"set", set.name}, {"family", "ipv4"}}, set.v4);
         out.sample({{"interface", interface}, {"set", set.name}, {"family", "ipv6"}}, set.v6);
       });
  each("weir_set_entries_with_ttl", "Of those, the ones that end by themselves.",
       [&](const std::string& interface, const control::SetInfo& set) {
         out.sample({{"interface", interface}, {"set", set.name}}, set.ending);
       });
  each("weir_set_rules", "Rules that ask for the set.", [&](const std::string& interface, const control::SetInfo& set) {
    out.sample({{"interface", interface}, {"set", set.name}}, std::uint64_t{set.rules.size()});
  });
  const auto gauge = [&](const char* name, const char* help, auto value) {
    out.family(name, Type::gauge, help);
    for (const InterfaceMetrics& one : interfaces)
      if (one.sets) out.sample({{"interface", one.interface}}, std::uint64_t{value(*one.sets)});
  };
  gauge("weir_sets", "Named sets.", [](const std::vector<control::SetInfo>& sets) { return sets.size(); });
  gauge("weir_sets_capacity", "As many named sets there can be.",
        [](const std::vector<control::SetInfo>&) { return std::size_t{WEIR_MAX_SETS}; });
  gauge("weir_set_entries_capacity",
        "As many entries all sets can have in all; an entry that two sets share counts once, unless it has a time to "
        "live.",
        [](const std::vector<control::SetInfo>&) { return std::size_t{WEIR_MAX_SET_ENTRIES}; });
}

void syn_guard(Exposition& out, const std::vector<InterfaceMetrics>& interfaces) {
  out.family("weir_syn_guard_mode", Type::gauge, "1 at the mode that the SYN guard is switched to.");
  for (const InterfaceMetrics& one : interfaces)
    for (const auto mode : {control::SynGuardMode::off, control::SynGuardMode::on, control::SynGuardMode::automatic})
      out.sample({{"interface", one.interface}, {"mode", control::syn_guard_name(mode)}},
                 std::uint64_t{one.syn_guard.mode == mode ? 1u : 0u});
  out.family("weir_syn_guard_rate", Type::gauge,
             "New connections a second of an entry above which `auto` switches it on.");
  for (const InterfaceMetrics& one : interfaces)
    out.sample({{"interface", one.interface}}, std::uint64_t{one.syn_guard.rate});
  out.family("weir_syn_guard_engine", Type::gauge, "1 where an engine is there in whose name XDP can answer.");
  for (const InterfaceMetrics& one : interfaces)
    out.sample({{"interface", one.interface}}, std::uint64_t{one.syn_guard.engine ? 1u : 0u});
  const auto each = [&](const char* name, const char* help, auto value) {
    family(out, interfaces, name, Type::gauge, help,
           [&](const std::string& interface, const control::Snapshot& s, const Observation&) {
             for (const control::SteerEntry& e : s.steered)
               if (!e.reserved)
                 out.sample({{"interface", interface}, {"entry", e.selector.to_string()}},
                            std::uint64_t{value(e.syn_guard)});
           });
  };
  each("weir_syn_guard_on", "1 while XDP answers new connections of the entry by SYN cookies.",
       [](const control::SynGuardState& g) { return g.on ? 1u : 0u; });
  each("weir_syn_guard_syns_per_second",
       "New connections of the last whole second; counted while the guard is not off.",
       [](const control::SynGuardState& g) { return g.syns_per_second; });
}

void steering(Exposition& out, const std::vector<InterfaceMetrics>& interfaces) {
  const auto each = [&](const char* name, Type type, const char* help, auto value) {
    family(out, interfaces, name, type, help,
           [&](const std::string& interface, const control::Snapshot& s, const Observation&) {
             const std::uint64_t serving = serving_queues(s.queues);
             for (const control::SteerEntry& e : s.steered)
               if (!e.reserved)
                 out.sample({{"interface", interface}, {"entry", e.selector.to_string()}},
                            std::uint64_t{value(e, serving)});
           });
  };
  using Entry = const control::SteerEntry&;
  each("weir_steer_frames_total", Type::counter, "Frames of the steering entry that went to an engine.",
       [](Entry e, std::uint64_t) { return e.counter.packets; });
  each("weir_steer_frame_bytes_total", Type::counter, "Bytes of those frames.",
       [](Entry e, std::uint64_t) { return e.counter.bytes; });
  each("weir_steer_connections", Type::gauge, "Connections that the engine has by it.",
       [](Entry e, std::uint64_t) { return e.flows; });
  each("weir_steer_listening", Type::gauge, "1 while an engine accepts new connections by it.",
       [](Entry e, std::uint64_t serving) { return !e.draining && (e.listeners & serving) != 0 ? 1u : 0u; });
  family(out, interfaces, "weir_outgoing_ports", Type::gauge, "Local ports of the engine's outgoing connections.",
         [&](const std::string& interface, const control::Snapshot& s, const Observation&) {
           const auto count = std::count_if(s.steered.begin(), s.steered.end(), [](Entry e) { return e.reserved; });
           out.sample({{"interface", interface}}, static_cast<std::uint64_t>(count));
         });
}

void engines(Exposition& out, const std::vector<InterfaceMetrics>& interfaces) {
  const auto each = [&](const char* name, const char* help, auto value) {
    family(out, interfaces, name, Type::gauge, help,
           [&](const std::string& interface, const control::Snapshot& s, const Observation&) {
             for (const control::QueueStatus& q : s.queues)
               out.sample({{"interface", interface}, {"queue", std::to_string(q.queue)}}, value(q));
           });
  };
  using Queue = const control::QueueStatus&;
  each("weir_engine_up", "1 while new connections reach an engine on the queue.",
       [](Queue q) { return std::uint64_t{view(q).serving ? 1u : 0u}; });
  each("weir_engine_heartbeat_age_seconds", "Since the last heartbeat; 0 where no engine is.",
       [](Queue q) { return seconds(q.heartbeat_age); });
  each("weir_engine_loop_lag_seconds", "The longest turn of its loop in the last second.",
       [](Queue q) { return seconds(q.loop_lag); });
  each("weir_engine_uptime_seconds", "Since it took the queue.", [](Queue q) { return seconds(q.uptime); });
  family(out, interfaces, "weir_engine_info", Type::gauge, "The process of each engine.",
         [&](const std::string& interface, const control::Snapshot&, const Observation& seen) {
           for (const EngineTraffic& e : make_traffic(seen, nullptr).engines)
             out.sample({{"interface", interface}, {"pid", std::to_string(e.pid)}, {"application", e.application}},
                        std::uint64_t{1});
         });
  family(out, interfaces, "weir_engine_answers", Type::gauge,
         "1 where the engine told of its connections; else what follows is not there.",
         [&](const std::string& interface, const control::Snapshot& s, const Observation& seen) {
           const bool any = std::any_of(s.queues.begin(), s.queues.end(), [](Queue q) { return view(q).here; });
           if (any || seen.connections)
             out.sample({{"interface", interface}}, std::uint64_t{seen.connections ? 1u : 0u});
         });
  family(out, interfaces, "weir_connections", Type::gauge, "The engine's connections by state.",
         [&](const std::string& interface, const control::Snapshot&, const Observation& seen) {
           if (!seen.connections) return;
           // Those that are usual are there at 0, too.
           std::map<std::string, std::uint64_t> states = {{"ESTAB", 0}, {"SYN-RECV", 0}};
           for (const Connection& c : seen.connections->all) ++states[c.state];
           states["TIME-WAIT"] = seen.connections->time_wait;
           for (const auto& [state, count] : states) out.sample({{"interface", interface}, {"state", state}}, count);
         });
  family(out, interfaces, "weir_connections_retransmits", Type::gauge,
         "Segments sent again by the connections that are open now.",
         [&](const std::string& interface, const control::Snapshot&, const Observation& seen) {
           if (!seen.connections) return;
           std::uint64_t sum = 0;
           for (const Connection& c : seen.connections->all) sum += c.retransmits;
           out.sample({{"interface", interface}}, sum);
         });
}

// One look, with a second at most for the engine.
Outcome<InterfaceMetrics> look_at(control::Instance instance) {
  InterfaceMetrics out;
  const Instant began = control::monotonic_now();
  out.syn_guard = control::read_syn_guard(instance.maps());
  if (auto sets = control::list_sets(instance.maps(), began)) out.sets = std::move(*sets);
  TopSource source(std::move(instance));
  source.look(began);
  source.ask(began);
  const Instant until = began + Duration::seconds(1);
  for (Instant now = began; source.engine_fd() >= 0 && now < until; now = control::monotonic_now()) {
    pollfd waiting{source.engine_fd(), source.engine_events(), 0};
    poll(&waiting, 1, static_cast<int>((until - now).count_ms() + 1));
    source.on_engine(control::monotonic_now());
  }
  auto seen = source.observation();
  if (!seen) return fail(source.notice(), EIO);
  out.interface = source.interface();
  out.seen = std::move(*seen);
  return out;
}

Outcome<Exposition> collect(const std::optional<std::string>& interface) {
  auto instances = choose_instances(interface);
  if (!instances) return Err(instances.error());
  std::vector<InterfaceMetrics> found;
  for (control::Instance& instance : *instances) {
    auto one = look_at(std::move(instance));
    if (!one) return Err(one.error());
    found.push_back(std::move(*one));
  }
  return metrics_of(found);
}

// The whole file or none: a reader finds the one from before until the new one is there.
Outcome<void> write_file(const std::string& path, const std::string& text) {
  const std::string beside = fmt::format("{}.{}~", path, getpid());
  const auto failed = [&](const std::string& what) {
    const int code = errno;
    unlink(beside.c_str());
    return Err(xdp::system_error(code, what));
  };
  const xdp::Fd fd(open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return Err(xdp::system_error(errno, "writing " + beside));
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = write(fd.get(), text.data() + done, text.size() - done);
    if (n < 0) return failed("writing " + beside);
    done += static_cast<std::size_t>(n);
  }
  if (std::rename(beside.c_str(), path.c_str()) != 0) return failed("writing " + path);
  return {};
}

}  // namespace

Exposition metrics_of(const std::vector<InterfaceMetrics>& interfaces) {
  Exposition out;
  frames(out, interfaces);
  filter(out, interfaces);
  sets(out, interfaces);
  steering(out, interfaces);
  syn_guard(out, interfaces);
  engines(out, interfaces);
  return out;
}

Outcome<int> run_metrics(const Context& context) {
  const auto interface = context.args.get("IFACE");
  const auto text = [&]() -> Outcome<std::string> {
    const auto metrics = collect(interface);
    if (!metrics) return Err(metrics.error());
    return metrics->text();
  };
  const auto listen = context.args.get("--listen");
  const auto output = context.args.get("--output");
  if (listen && (output || context.json)) return fail("metrics: --listen is for itself: no --output, no -j", EINVAL);
  if (listen) {
    const auto at = parse_listen(*listen);
    if (!at) return Err(at.error());
    return serve_metrics(*at, text, [](const ListenAddress& bound) {
      print(fmt::format("http://{}/metrics\n", bound.to_string()));
      finish_output();
    });
  }
  const auto metrics = collect(interface);
  if (!metrics) return Err(metrics.error());
  if (output) {
    if (const auto written = write_file(*output, metrics->text()); !written) return Err(written.error());
    return kOk;
  }
  if (context.json)
    print_line(metrics->json());
  else
    print(metrics->text());
  return kOk;
}

}  // namespace weir::cli
