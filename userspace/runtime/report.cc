// SPDX-License-Identifier: MIT
#include "weir/runtime/report.h"

#include <unistd.h>

#include <algorithm>
#include <limits>
#include <map>
#include <utility>

#include <nlohmann/json.hpp>

namespace weir::runtime {

using nlohmann::json;

namespace {

json describe(const stack::ConnectionSummary& c) {
  const tcp::Info& i = c.info;
  return {{"local", c.local.to_string()},
          {"remote", c.remote.to_string()},
          {"state", tcp::name(i.state)},
          {"send_queue", i.send_queue},
          {"recv_queue", i.receive_queue},
          {"srtt_us", i.srtt.count_us()},
          {"rttvar_us", i.rttvar.count_us()},
          {"min_rtt_us", i.min_rtt.count_us()},
          {"rto_us", i.rto.count_us()},
          {"congestion", i.congestion},
          {"cwnd", i.cwnd},
          {"ssthresh", i.ssthresh},
          {"pacing_rate", i.pacing_rate},
          {"send_mss", i.send_mss},
          {"recv_mss", i.receive_mss},
          {"send_window", i.send_window},
          {"recv_window", i.receive_window},
          {"in_flight", i.in_flight},
          {"bytes_acked", i.bytes_acked},
          {"bytes_received", i.bytes_received},
          {"segments_out", i.segments_out},
          {"segments_in", i.segments_in},
          {"retransmits", i.retransmits},
          {"lost", i.lost},
          {"sacked", i.sacked},
          {"delivered", i.delivered},
          {"dsacks", i.dsacks},
          {"undos", i.undos},
          {"timeouts", i.timeouts},
          {"out_of_order", i.out_of_order},
          {"send_scale", i.send_scale},
          {"recv_scale", i.receive_scale},
          {"ecn", i.ecn},
          {"ecn_marks", i.ecn_marks},
          {"ecn_echoes", i.ecn_echoes},
          {"sack", i.sack},
          {"reordering_seen", i.reordering_seen},
          {"recv_buffer", i.receive_buffer},
          {"send_buffer", i.send_buffer},
          {"busy_ms", i.busy_time.count_ms()},
          {"recv_window_limited_ms", i.receive_window_limited.count_ms()},
          {"send_buffer_limited_ms", i.send_buffer_limited.count_ms()},
          {"timestamps", i.timestamps},
          {"window_scaling", i.window_scaling},
          {"syn_data", i.syn_data}};
}

json describe(const Listener& l, const std::vector<stack::ListenerSummary>& in_stack, const SocketsView& view) {
  std::uint32_t queued = 0;
  std::uint32_t pending = 0;
  std::uint32_t early = 0;
  for (const stack::ListenerSummary& s : in_stack) {
    if (std::find(l.in_stack.begin(), l.in_stack.end(), s.id) == l.in_stack.end()) continue;
    queued += s.queued;
    pending += s.pending;
    early += s.fast_open_pending;
  }
  json out{{"local", l.kernel.local.to_string()},
           {"adopted", l.kernel.adopted},
           {"queued", queued},
           {"pending", pending},
           {"backlog", l.backlog},
           {"fast_open", l.fast_open},
           {"fast_open_pending", early}};
  std::string why = view.firewall_line;
  if (why.empty() && view.shared_ports.contains(l.kernel.local.port)) why = kSharedPort;
  if (why.empty() && l.in_stack.empty()) why = "its address is not the interface's";
  out["mode"] = why.empty() ? "engine" : "kernel";
  if (!why.empty()) out["why"] = why;
  return out;
}

}  // namespace

Request parse_request(const std::string& line) {
  const json request = json::parse(line, nullptr, false);
  if (!request.is_object() || !request.contains("cmd") || !request["cmd"].is_string()) return {};
  const std::string cmd = request["cmd"].get<std::string>();
  if (cmd == "ping") return {Command::ping};
  if (cmd == "sync") return {Command::sync};
  if (cmd == "sockets") return {Command::sockets, {}, request.value("time_wait", json(false)) == json(true)};
  if (cmd == "cc") return {Command::cc};
  if (cmd == "cc_set" && request.contains("name") && request["name"].is_string()) {
    return {Command::cc_set, request["name"].get<std::string>(), false};
  }
  if (cmd == "dump" && request.contains("snaplen") && request["snaplen"].is_number_unsigned()) {
    constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max();
    Request dump{Command::dump};
    dump.snaplen = static_cast<std::uint32_t>(std::min(request["snaplen"].get<std::uint64_t>(), kMost));
    return dump;
  }
  return {};
}

std::string report_unknown() {
  constexpr const char* kExpected =
      R"(expected {"cmd":C}, C one of "ping", "sync", "sockets" and "cc", or {"cmd":"cc_set","name":NAME}, or {"cmd":"dump","snaplen":N})";
  return json{{"ok", false}, {"error", kExpected}}.dump();
}

std::string report_ok() { return json{{"ok", true}}.dump(); }

std::string report_busy() {
  return json{{"ok", false}, {"error", "as many listen to the frames that the engine sends as can"}}.dump();
}

std::string report_ping() { return json{{"ok", true}, {"pid", ::getpid()}}.dump(); }

// The connections of a stack, some at a time, as the members of a JSON array.
class ConnectionPieces {
 public:
  ConnectionPieces(const stack::Stack& stack, bool time_wait) : stack_(stack), time_wait_(time_wait) {}

  // False behind the last.
  bool next(std::string& out, Instant now) {
    // Each takes some ten microseconds.
    constexpr std::size_t kPiece = 64;
    auto add = [&](const stack::ConnectionSummary& c) {
      if (!first_) out += ',';
      first_ = false;
      out += describe(c).dump();
    };
    if (stack_.visit_connections(walk_, kPiece, now, add)) return true;
    if (!time_wait_ || walk_.over == stack::Stack::Walked::time_wait) return false;
    walk_ = {stack::Stack::Walked::time_wait, 0};
    return true;
  }

 private:
  const stack::Stack& stack_;
  bool time_wait_;
  stack::Stack::Walk walk_;
  bool first_ = true;
};

Answer report_sockets(const SocketsView& view, bool time_wait) {
  json out{{"ok", true},
           {"pid", ::getpid()},
           {"interface", view.interface},
           {"listeners", json::array()},
           {"time_wait", view.stack.time_waits()}};
  const stack::FastOpenCounts counts = view.stack.fast_open_counts();
  out["fast_open"] = {{"active", counts.active},
                      {"active_failed", counts.active_failed},
                      {"passive", counts.passive},
                      {"passive_failed", counts.passive_failed},
                      {"cookies_given", counts.cookies_given},
                      {"overflows", counts.overflows}};
  const std::vector<stack::ListenerSummary> in_stack = view.stack.list_listeners();
  for (const auto& [id, listener] : view.listeners.all()) {
    out["listeners"].push_back(describe(listener, in_stack, view));
  }
  std::string head = out.dump();
  head.back() = ',';
  head += R"("connections":[)";
  return
      [head = std::move(head), pieces = ConnectionPieces(view.stack, time_wait)](std::string& to, Instant now) mutable {
        to += std::exchange(head, {});
        if (pieces.next(to, now)) return true;
        to += "]}";
        return false;
      };
}

std::string report_cc(const std::string& interface, const stack::Stack& stack, Instant now) {
  json running = json::object();
  for (const std::string& name : stack.congestion_controllers()) running[name] = 0;
  std::map<std::string_view, std::uint64_t> have;
  stack.for_each_connection(now, [&](const stack::ConnectionSummary& c) {
    if (!c.info.congestion.empty()) ++have[c.info.congestion];
  });
  for (const auto& [name, count] : have) running[std::string(name)] = count;
  return json{{"ok", true},
              {"pid", ::getpid()},
              {"interface", interface},
              {"default", stack.congestion_control()},
              {"controllers", stack.congestion_controllers()},
              {"connections", running}}
      .dump();
}

std::string change_cc(const std::string& name, stack::Stack& stack, Instant now) {
  switch (stack.set_congestion_control(name)) {
    case tcp::CongestionChange::done:
      break;
    case tcp::CongestionChange::needs_ecn:
      return json{{"ok", false}, {"error", name + " needs ECN, which this engine has off"}}.dump();
    default: {
      std::string known;
      for (const std::string& other : stack.congestion_controllers()) known += (known.empty() ? "" : ", ") + other;
      return json{{"ok", false}, {"error", "the engine has no congestion control of that name; it has " + known}}
          .dump();
    }
  }
  std::uint32_t changed = 0;
  std::uint32_t refused = 0;
  stack.for_each_connection(now, [&](const stack::ConnectionSummary& c) {
    bool done = stack.set_congestion_control(c.id, name, now) == tcp::CongestionChange::done;
    ++(done ? changed : refused);
  });
  return json{{"ok", true}, {"name", name}, {"changed", changed}, {"refused", refused}}.dump();
}

}  // namespace weir::runtime
