// SPDX-License-Identifier: MIT
#include "top_view.h"

#include <fmt/core.h>

#include <algorithm>

namespace weir::cli {
namespace {

using Style = Line::Style;
using Align = Columns::Align;

// A table before it is ordered: what a row is ordered by beside its cells.
struct Row {
  std::vector<std::string> cells;
  double packets = 0;
  double bits = 0;
  double total = 0;
  Style style = Style::plain;
};
struct Table {
  std::string nothing;  // what stands in the place of a table without rows
  std::vector<Columns::Column> titles;
  std::vector<Row> rows;
};

Style style_of(weir_verdict verdict) {
  switch (verdict) {
    case WEIR_V_STEER:
    case WEIR_V_ANSWER:
    case WEIR_V_TAKEN:
      return Style::good;
    case WEIR_V_DROP:
    case WEIR_V_RING:
      return Style::bad;
    case WEIR_V_LOST:
      return Style::caution;
    default:
      return Style::plain;
  }
}

std::string rate(const Traffic& t, double value) { return t.interval ? rate_text(value) : "-"; }
std::string rate(const Traffic& t, const std::optional<double>& value) {
  return t.interval && value ? rate_text(*value) : "-";
}

Row row_of(std::vector<std::string> left, const Traffic& t, const Volume& v, Style style,
           std::vector<std::string> right = {}) {
  Row out;
  out.cells = std::move(left);
  out.cells.push_back(rate(t, v.packets_per_second));
  out.cells.push_back(rate(t, v.bits_per_second));
  out.cells.push_back(std::to_string(v.packets));
  for (std::string& cell : right) out.cells.push_back(std::move(cell));
  out.packets = v.packets_per_second;
  out.bits = v.bits_per_second.value_or(0);
  out.total = static_cast<double>(v.packets);
  out.style = style;
  return out;
}

std::vector<Columns::Column> titles(std::vector<Columns::Column> left, std::vector<Columns::Column> right = {}) {
  left.push_back({"PKT/S", Align::right});
  left.push_back({"BIT/S", Align::right});
  left.push_back({"PACKETS", Align::right});
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Table verdicts(const Traffic& t) {
  Table out{"", titles({{"VERDICT"}}), {}};
  for (const VerdictTraffic& v : t.verdicts)
    out.rows.push_back(row_of({control::verdict_name(v.verdict)}, t, v.volume, style_of(v.verdict)));
  return out;
}

Table reasons(const Traffic& t) {
  Table out{"no frame has come yet", titles({{"VERDICT"}, {"REASON"}}, {{"WHAT IT MEANS"}}), {}};
  for (const ReasonTraffic& r : t.reasons)
    if (r.volume.packets > 0)
      out.rows.push_back(row_of({control::verdict_name(r.reason->verdict), r.reason->name}, t, r.volume,
                                style_of(r.reason->verdict), {r.reason->text}));
  return out;
}

Table rules(const Traffic& t) {
  Table out{"no rules: every frame is accepted", titles({{"RULE"}}, {{"WHAT IT SAYS"}}), {}};
  for (const RuleTraffic& r : t.rules) out.rows.push_back(row_of({r.name}, t, r.volume, Style::plain, {r.rule}));
  return out;
}

Table ports(const Traffic& t) {
  Table out{"no port is steered",
            titles({{"PORT"}, {"USE"}, {"ENGINE"}, {"FLOWS", Align::right}}, {{"WHILE NO ENGINE LISTENS"}}),
            {}};
  for (const PortTraffic& p : t.ports)
    out.rows.push_back(row_of(
        {p.entry.selector.to_string(), p.entry.reserved ? "outgoing" : "serve", p.state, std::to_string(p.entry.flows)},
        t, p.volume, Style::plain, {p.entry.absent_drop ? "drop" : "pass"}));
  return out;
}

std::string ranges(const std::vector<std::uint32_t>& numbers) {
  std::string out;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t end = i;
    while (end + 1 < numbers.size() && numbers[end + 1] == numbers[end] + 1) ++end;
    if (!out.empty()) out += ",";
    out += i == end ? std::to_string(numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[end]);
    i = end + 1;
  }
  return out;
}

std::string milliseconds(Duration d) { return fmt::format("{:.2f} ms", static_cast<double>(d.count_ns()) / 1e6); }

Table engines(const Traffic& t) {
  Table out{"no engine is there",
            {{"PID", Align::right},
             {"APPLICATION"},
             {"STATE"},
             {"QUEUES"},
             {"CONNS", Align::right},
             {"LONGEST TURN", Align::right},
             {"HEARTBEAT", Align::right},
             {"UP", Align::right},
             {"TAKEN/S", Align::right},
             {"LOST/S", Align::right},
             {"RING/S", Align::right}},
            {}};
  for (const EngineTraffic& e : t.engines) {
    Row row;
    row.cells = {std::to_string(e.pid),
                 e.application.empty() ? "?" : e.application,
                 e.state,
                 ranges(e.queues),
                 std::to_string(e.connections),
                 milliseconds(e.loop_lag),
                 milliseconds(e.heartbeat_age),
                 seconds_text(e.uptime),
                 rate(t, e.taken_per_second),
                 rate(t, e.lost_per_second),
                 rate(t, e.ring_per_second)};
    row.packets = e.taken_per_second;
    row.total = static_cast<double>(e.connections);
    row.style = e.state == "alive" ? Style::good : e.state == "silent" ? Style::caution : Style::bad;
    out.rows.push_back(std::move(row));
  }
  return out;
}

Table connections(const Traffic& t) {
  const bool told = t.connections.has_value();
  Table out{!told && t.engines.empty() ? "no connections: no engine is there"
            : !told                    ? "the engine has told nothing of its connections yet"
            : t.time_wait > 0          ? fmt::format("no connection but {} in TIME-WAIT", t.time_wait)
                                       : "no connection",
            {{"LOCAL"},
             {"PEER"},
             {"STATE"},
             {"IN BIT/S", Align::right},
             {"OUT BIT/S", Align::right},
             {"RECEIVED", Align::right},
             {"SENT", Align::right},
             {"RECV-Q", Align::right},
             {"SEND-Q", Align::right},
             {"RTT MS", Align::right},
             {"RETRANS", Align::right}},
            {}};
  if (!t.connections) return out;
  for (const ConnectionTraffic& c : *t.connections) {
    const Connection& now = c.connection;
    Row row;
    row.cells = {now.local,
                 now.remote,
                 now.state,
                 t.connections_have_rates ? rate_text(c.received_per_second) : "-",
                 t.connections_have_rates ? rate_text(c.sent_per_second) : "-",
                 std::to_string(now.bytes_received),
                 std::to_string(now.bytes_acked),
                 std::to_string(now.recv_queue),
                 std::to_string(now.send_queue),
                 fmt::format("{:.2f}", static_cast<double>(now.srtt_us) / 1e3),
                 std::to_string(now.retransmits)};
    // Of a connection there are no frames a second; what moves is what it is known by.
    row.packets = row.bits = c.received_per_second + c.sent_per_second;
    row.total = static_cast<double>(now.bytes_received + now.bytes_acked);
    row.style = c.retransmits_per_second > 0 ? Style::caution : Style::plain;
    out.rows.push_back(std::move(row));
  }
  return out;
}

Table table_of(View view, const Traffic& t) {
  switch (view) {
    case View::reasons:
      return reasons(t);
    case View::rules:
      return rules(t);
    case View::ports:
      return ports(t);
    case View::engines:
      return engines(t);
    case View::connections:
      return connections(t);
    case View::overview:
      break;
  }
  return verdicts(t);
}

void put_in_order(std::vector<Row>& rows, const Look& look) {
  const auto more = [&](const Row& a, const Row& b) {
    switch (look.sort) {
      case Sort::packets:
        return a.packets != b.packets ? a.packets > b.packets : a.total > b.total;
      case Sort::bits:
        return a.bits != b.bits ? a.bits > b.bits : a.total > b.total;
      case Sort::total:
        return a.total > b.total;
      case Sort::name:
        return a.cells < b.cells;
    }
    return false;
  };
  std::stable_sort(rows.begin(), rows.end(), more);
  if (look.reverse) std::reverse(rows.begin(), rows.end());
}

// The title line and the rows from `first` on, at most `room` lines in all (0: no bound).
void put_table(std::vector<Line>& out, const Table& table, std::size_t first, std::size_t room) {
  if (table.rows.empty()) {
    out.push_back({table.nothing, Style::dim});
    return;
  }
  Columns columns(table.titles);
  for (const Row& row : table.rows) {
    std::vector<std::string> cells;
    for (const std::string& cell : row.cells) cells.push_back(printable(cell));
    columns.row(std::move(cells));
  }
  const std::string text = columns.text();
  std::size_t n = 0;
  const std::size_t end = room == 0 ? SIZE_MAX : first + room;
  for (const std::string_view line : split(std::string_view(text).substr(0, text.size() - 1), '\n')) {
    if (n == 0)
      out.push_back({std::string(line), Style::title});
    else if (n > first && n < end)
      out.push_back({std::string(line), table.rows[n - 1].style});
    ++n;
  }
}

std::string verdict_sum(const Traffic& t) {
  std::string out;
  for (const weir_verdict v : {WEIR_V_PASS, WEIR_V_STEER, WEIR_V_DROP, WEIR_V_ANSWER}) {
    const Volume& volume = t.verdicts[v].volume;
    if (v == WEIR_V_ANSWER && volume.packets == 0) continue;
    out += fmt::format("{}{} {} pkt/s {} bit/s", out.empty() ? "" : "   ", control::verdict_name(v),
                       rate(t, volume.packets_per_second), rate(t, volume.bits_per_second));
  }
  return out;
}

std::string filter_text(const Traffic& t) {
  std::string out = "filter: " + count_text(t.rules.size(), "rule", "rules");
  if (t.filter_pending) out += fmt::format(", on trial for another {}", seconds_text(*t.filter_pending));
  if (t.filter_rolled_back) out += ", the last change was taken back";
  return out;
}

std::vector<Line> head(const Seen& seen, const Look& look) {
  std::vector<Line> out;
  out.push_back({fmt::format("weir top: {}{}{}  every {:g} s, {} by {}{}{}", seen.interface,
                             seen.about.empty() ? "" : ", ", seen.about, look.interval, view_name(look.view),
                             sort_name(look.sort), look.reverse ? ", least first" : "", look.paused ? "  PAUSED" : ""),
                 Style::title});
  if (seen.traffic != nullptr) {
    out.push_back({verdict_sum(*seen.traffic), Style::plain});
    const bool trial = seen.traffic->filter_pending || seen.traffic->filter_rolled_back;
    out.push_back({filter_text(*seen.traffic), trial ? Style::caution : Style::plain});
  }
  if (!seen.notice.empty()) out.push_back({seen.notice, Style::caution});
  if (look.keys)
    out.push_back({"q quit p pause s sort r turn  1 all 2 reasons 3 rules 4 ports 5 engines 6 conns", Style::dim});
  return out;
}

std::vector<Table> overview(const Traffic& t) {
  return {verdicts(t), reasons(t), rules(t), ports(t), engines(t), connections(t)};
}

// Each part gets what it needs while there is room, and where there is not, all give up the same.
std::size_t share(const std::vector<Table>& parts, std::size_t room) {
  std::size_t rows = 1;
  for (std::size_t most = 2; most <= 64; ++most) {
    std::size_t lines = 0;
    for (const Table& part : parts) lines += 1 + (part.rows.empty() ? 1 : 1 + std::min(part.rows.size(), most));
    if (lines > room) break;
    rows = most;
  }
  return rows;
}

void put_overview(std::vector<Line>& out, const Traffic& t, const Look& look) {
  std::vector<Table> parts = overview(t);
  for (Table& part : parts)
    if (&part != &parts.front()) put_in_order(part.rows, look);
  const std::size_t rows =
      look.height == 0 ? 10 : share(parts, look.height > out.size() ? look.height - out.size() : 0);
  for (const Table& part : parts) {
    out.push_back({"", Style::plain});
    // The verdicts are few, and always in their order.
    put_table(out, part, 0, &part == &parts.front() ? 0 : rows + 1);
    if (&part != &parts.front() && part.rows.size() > rows)
      out.back().text += fmt::format("   and {} more", part.rows.size() - rows);
  }
}

}  // namespace

const char* view_name(View view) {
  static const std::array<const char*, kViews> names = {"overview", "reasons", "rules",
                                                        "ports",    "engines", "connections"};
  return names[static_cast<std::size_t>(view)];
}

const char* sort_name(Sort sort) {
  static const std::array<const char*, kSorts> names = {"packets", "bits", "total", "name"};
  return names[static_cast<std::size_t>(sort)];
}

std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c < 0x20 || c > 0x7e) c = '?';
  return out;
}

std::vector<Line> render(const Seen& seen, const Look& look) {
  std::vector<Line> out = head(seen, look);
  if (seen.traffic != nullptr) {
    if (look.view == View::overview) {
      put_overview(out, *seen.traffic, look);
    } else {
      Table table = table_of(look.view, *seen.traffic);
      put_in_order(table.rows, look);
      out.push_back({"", Style::plain});
      const std::size_t room = look.height == 0 ? 0 : look.height > out.size() ? look.height - out.size() : 1;
      put_table(out, table, std::min(look.offset, last_offset(seen, look)), room);
    }
  }
  if (look.height > 0 && out.size() > look.height) out.resize(look.height);
  for (Line& line : out) {
    line.text = printable(line.text);
    if (look.width > 0 && line.text.size() > look.width) line.text.resize(look.width);
    const auto end = line.text.find_last_not_of(' ');
    line.text.resize(end == std::string::npos ? 0 : end + 1);
  }
  return out;
}

std::size_t last_offset(const Seen& seen, const Look& look) {
  if (seen.traffic == nullptr || look.height == 0 || look.view == View::overview) return 0;
  const std::size_t rows = table_of(look.view, *seen.traffic).rows.size();
  const std::size_t above = head(seen, look).size() + 2;  // an empty line, and the titles
  const std::size_t room = look.height > above ? look.height - above : 1;
  return rows > room ? rows - room : 0;
}

}  // namespace weir::cli
