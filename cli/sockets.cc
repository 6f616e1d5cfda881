// SPDX-License-Identifier: MIT
// weir sockets: what only the engine knows, asked at its own socket (control/engine_protocol.h).
#include <fmt/core.h>

#include <cmath>
#include <utility>

#include "engine_answer.h"
#include "output.h"
#include "table.h"

namespace weir::cli {
namespace {

Outcome<Json> ask(const control::Instance& instance, bool time_wait) {
  Json request{{"cmd", "sockets"}};
  if (time_wait) request["time_wait"] = true;
  auto document = ask_engine(instance, request);
  if (!document) return document;
  for (const char* list : {"listeners", "connections"})
    if (!document->contains(list) || !(*document)[list].is_array()) (*document)[list] = Json::array();
  return document;
}

std::uint64_t number(const Json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

std::string text(const Json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_string() ? found->get<std::string>() : std::string();
}

bool yes(const Json& of, const char* key) {
  const auto found = of.find(key);
  return found != of.end() && found->is_boolean() && found->get<bool>();
}

// In the words of `ss -i`: times in milliseconds; sizes here in bytes.
std::string info_text(const Json& c) {
  if (text(c, "state") == "TIME-WAIT") return {};  // of which no more is kept than its addresses
  const auto ms = [&](const char* key) { return static_cast<double>(number(c, key)) / 1e3; };
  std::string out;
  if (yes(c, "timestamps")) out += "ts ";
  if (yes(c, "sack")) out += "sack ";
  if (yes(c, "ecn")) out += "ecn ";
  if (yes(c, "syn_data")) out += "fastopen ";
  if (yes(c, "window_scaling")) out += fmt::format("wscale:{},{} ", number(c, "send_scale"), number(c, "recv_scale"));
  out += fmt::format("rto:{:.0f} rtt:{:.3f}/{:.3f} ", ms("rto_us"), ms("srtt_us"), ms("rttvar_us"));
  if (!text(c, "congestion").empty()) out = text(c, "congestion") + " " + out;
  if (number(c, "min_rtt_us") > 0) out += fmt::format("minrtt:{:.3f} ", ms("min_rtt_us"));
  out += fmt::format("mss:{} rcvmss:{} cwnd:{} ", number(c, "send_mss"), number(c, "recv_mss"), number(c, "cwnd"));
  // A ssthresh that no loss has set yet says nothing.
  if (number(c, "ssthresh") < 0x7fffffff) out += fmt::format("ssthresh:{} ", number(c, "ssthresh"));
  if (number(c, "pacing_rate") > 0) out += fmt::format("pacing_rate:{} ", number(c, "pacing_rate"));
  out += fmt::format("snd_wnd:{} rcv_wnd:{} unacked:{} ", number(c, "send_window"), number(c, "recv_window"),
                     number(c, "in_flight"));
  out += fmt::format("bytes_acked:{} bytes_received:{} segs_out:{} segs_in:{} ", number(c, "bytes_acked"),
                     number(c, "bytes_received"), number(c, "segments_out"), number(c, "segments_in"));
  if (number(c, "delivered") > 0) out += fmt::format("delivered:{} ", number(c, "delivered"));
  if (number(c, "busy_ms") > 0) out += fmt::format("busy:{}ms ", number(c, "busy_ms"));
  for (const char* part : {"recv_window", "send_buffer"}) {
    const auto limited = number(c, fmt::format("{}_limited_ms", part).c_str());
    if (limited > 0) out += fmt::format("{}_limited:{}ms ", part, limited);
  }
  // What went wrong is said where it did.
  for (const auto& [key, word] : {std::pair{"lost", "lost"},
                                  {"sacked", "sacked"},
                                  {"dsacks", "dsack_dups"},
                                  {"undos", "undos"},
                                  {"ecn_marks", "ce"},
                                  {"ecn_echoes", "ece"}})
    if (number(c, key) > 0) out += fmt::format("{}:{} ", word, number(c, key));
  out += fmt::format("retrans:{} timeouts:{} rcv_ooopack:{}", number(c, "retransmits"), number(c, "timeouts"),
                     number(c, "out_of_order"));
  return out;
}

enum class Detail : std::uint8_t { plain, info };

std::string to_text(const Json& document, Detail detail) {
  using Align = Columns::Align;
  Columns columns({{"State"},
                   {"Recv-Q", Align::right},
                   {"Send-Q", Align::right},
                   {"Local Address:Port"},
                   {"Peer Address:Port"},
                   {""}});
  std::vector<std::string> below;  // the info line of each row
  for (const Json& l : document["listeners"]) {
    const std::string served = text(l, "mode") == "kernel" ? "by the kernel: " + text(l, "why") : "";
    columns.row({"LISTEN", std::to_string(number(l, "queued")), std::to_string(number(l, "backlog")), text(l, "local"),
                 "*:*", served});
    below.emplace_back();
  }
  for (const Json& c : document["connections"]) {
    columns.row({text(c, "state"), std::to_string(number(c, "recv_queue")), std::to_string(number(c, "send_queue")),
                 text(c, "local"), text(c, "remote"), ""});
    below.push_back(info_text(c));
  }
  const std::string rows = columns.text();
  std::string out;
  std::size_t line = 0;
  for (std::string_view row : split(rows, '\n')) {
    const auto end = row.find_last_not_of(' ');
    if (end == std::string_view::npos) continue;
    out += row.substr(0, end + 1);
    out += '\n';
    if (detail == Detail::info && line > 0 && !below[line - 1].empty()) out += "\t " + below[line - 1] + "\n";
    ++line;
  }
  return out;
}

}  // namespace

Outcome<int> run_sockets(const Context& context) {
  const auto instance = choose_instance(context.args.get("IFACE"));
  if (!instance) return Err(instance.error());
  const bool all = context.args.has("--all");
  const auto document = ask(*instance, all);
  if (!document) return Err(document.error());
  const std::uint64_t waiting = number(*document, "time_wait");
  if (context.json)
    print_line(*document);
  else
    print(to_text(*document, context.args.has("--info") ? Detail::info : Detail::plain) +
          (waiting == 0 || all ? "" : fmt::format("and {} in TIME-WAIT (--all)\n", waiting)));
  return kOk;
}

}  // namespace weir::cli
