// SPDX-License-Identifier: MIT
// weir filter test.
#include "weir/control/filter_test.h"

#include <fmt/core.h>
#include <pcap/pcap.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <memory>
#include <tuple>

#include "filter_change.h"
#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/caps.h"
#include "weir/control/heartbeat.h"
#include "weir/control/test_packet.h"
#include "words.h"

namespace weir::cli {
namespace {

using control::FrameVerdict;
using Frame = std::vector<std::byte>;

// A file of more is answered for so many of its packets.
constexpr std::uint64_t kMostPackets = 100'000;

struct ReasonText {
  const char* verdict;
  const char* name;
  const char* text;
};

constexpr const char* kVerdicts[] = {
#define WEIR_X(id, name) name,
    WEIR_VERDICTS(WEIR_X)
#undef WEIR_X
};

ReasonText text_of(const FrameVerdict& v) {
  static constexpr ReasonText kReasons[] = {
#define WEIR_X(id, verdict, name, text) {kVerdicts[WEIR_V_##verdict], name, text},
      WEIR_REASONS(WEIR_X)
#undef WEIR_X
  };
  if (v.reason) return kReasons[*v.reason];
  return {v.by_other, "other_program", "another program of libxdp's dispatcher settled it: weir's was not asked"};
}

const char* fragment_name(weir_fragment f) {
  return f == WEIR_FRAGMENT_FIRST ? "first" : f == WEIR_FRAGMENT_LATER ? "later" : "no";
}

const char* limit_name(control::LimitAnswer a) { return a == control::LimitAnswer::within ? "within" : "beyond"; }

Paint colour(const FrameVerdict& v) {
  const std::string verdict = text_of(v).verdict;
  return verdict == "drop" ? Paint::bad : verdict == "steer" ? Paint::caution : Paint::good;
}

const char* word_of(control::SetAnswer::Side side) { return side == control::SetAnswer::Side::source ? "from" : "to"; }

std::string set_text(const control::SetAnswer& a) {
  std::string out = fmt::format("{} @{}: {}", word_of(a.side), a.set, control::to_string(a.entry.prefix));
  if (a.entry.ttl != 0) out += fmt::format(", for another {} s", a.entry.ttl);
  return out;
}

std::vector<std::string> notes(const control::FilterTest& test, const FrameVerdict& v, std::uint32_t queue) {
  std::vector<std::string> out;
  for (const control::SetAnswer& a : v.ended)
    out.push_back(fmt::format("{} @{}: {} was an entry, and ended {} s ago", word_of(a.side), a.set,
                              control::to_string(a.entry.prefix), a.ended_for));
  if (!v.on_queue) out.push_back(fmt::format("the kernel would not run it as of queue {}: this is of queue 0", queue));
  if (test.shared())
    out.push_back("run through libxdp's dispatcher: its other programs saw the packet, and may have counted it");
  return out;
}

Json to_json(const control::FilterTest& test, const FrameVerdict& v, const Frame& frame) {
  const ReasonText why = text_of(v);
  Json out;
  out["packet"] = control::frame_text(frame);
  out["verdict"] = why.verdict;
  out["reason"] = why.name;
  out["text"] = why.text;
  if (v.rule) {
    const control::Rule& rule = test.rule(v);
    Json sets = Json::array();
    for (const control::SetAnswer& a : v.sets)
      sets.push_back({{"word", word_of(a.side)},
                      {"set", a.set},
                      {"entry", control::to_string(a.entry.prefix)},
                      {"ttl", a.entry.ttl == 0 ? Json(nullptr) : Json(a.entry.ttl)}});
    out["rule"] = {{"name", rule.name},
                   {"index", *v.rule},
                   {"rule", rule.to_string()},
                   {"limit", rule.limit ? Json(limit_name(v.limit)) : Json(nullptr)},
                   {"sets", std::move(sets)}};
  } else {
    out["rule"] = nullptr;
  }
  if (v.steer)
    out["steer"] = {{"entry", v.steer->selector.to_string()},
                    {"protocol", control::protocol_name(v.steer->port.protocol)},
                    {"port", v.steer->port.number},
                    {"index", v.steer->index}};
  else
    out["steer"] = nullptr;
  Json ended = Json::array();
  for (const control::SetAnswer& a : v.ended)
    ended.push_back({{"word", word_of(a.side)},
                     {"set", a.set},
                     {"entry", control::to_string(a.entry.prefix)},
                     {"seconds_ago", a.ended_for}});
  out["ended"] = std::move(ended);
  out["guarded"] = v.guarded;
  out["fragment"] = fragment_name(v.fragment);
  return out;
}

std::string rule_text(const control::FilterTest& test, const FrameVerdict& v) {
  if (!v.rule) return v.guarded ? "not asked: such packets are never filtered" : "none matches";
  const control::Rule& rule = test.rule(v);
  std::string out = fmt::format("{}, number {} of {}: {}", rule.name, *v.rule, test.rules().size(), rule.to_string());
  if (v.limit == control::LimitAnswer::within) out += "; within the limit now, and not charged to it";
  if (v.limit == control::LimitAnswer::beyond) out += "; beyond the limit now";
  return out;
}

std::string to_text(const control::FilterTest& test, const FrameVerdict& v, const std::string& interface,
                    const Frame& frame, std::uint32_t queue) {
  const ReasonText why = text_of(v);
  std::string out = fmt::format("{}: {}: {} ({})\n", interface, paint(colour(v), why.verdict), why.text, why.name);
  out += fmt::format("  packet    {}\n", control::frame_text(frame));
  if (v.reason) out += fmt::format("  rule      {}\n", rule_text(test, v));
  for (const control::SetAnswer& a : v.sets) out += fmt::format("  entry     {}\n", set_text(a));
  if (v.steer) out += fmt::format("  steering  {}, entry {}\n", entry_text(*v.steer), v.steer->index);
  for (const std::string& note : notes(test, v, queue)) out += fmt::format("  note      {}\n", note);
  return out;
}

Outcome<Frame> typed_frame(const Context& context, const control::Instance& instance) {
  if (const auto hex = context.args.get("hex")) return control::parse_hex(*hex);
  control::Rule words;
  for (const std::string_view word : control::rule_words()) {
    const auto value = context.args.get(word == "port" && context.args.has("dport") ? "dport" : word);
    if (!value) continue;
    if (const auto set = control::set_word(words, word, word == "proto" && *value == "icmp6" ? "icmpv6" : *value); !set)
      return Err(set.error());
  }
  control::PacketDefaults defaults;
  defaults.to = MacAddress::load(reinterpret_cast<const std::byte*>(instance.config().mac));
  const auto addresses = instance.maps().local_addresses();
  if (!addresses) return Err(addresses.error());
  for (const auto& [address, local] : *addresses)
    if (local == WEIR_LOCAL) defaults.addresses.push_back(address);
  return control::frame_of(words, defaults);
}

// The words that describe one packet by themselves, against those that bring whole ones.
Outcome<void> check_words(const Context& context) {
  std::vector<std::string> ways;
  for (const char* way : {"hex", "pcap"})
    if (context.args.has(way)) ways.emplace_back(way);
  for (const std::string_view word : control::rule_words())
    if (context.args.has(word)) {
      ways.push_back(fmt::format("'{}'", word));
      break;
    }
  if (context.args.has("dport") && context.args.has("port"))
    return fail("'port' and 'dport' are the same: give one of them", EINVAL);
  if (ways.size() > 1)
    return fail(fmt::format("{} exclude each other: one packet in words, its octets (hex), or a file (pcap)",
                            join(ways, " and ")),
                EINVAL);
  return {};
}

struct ClosePcap {
  void operator()(pcap_t* p) const { pcap_close(p); }
};
using Pcap = std::unique_ptr<pcap_t, ClosePcap>;

Outcome<Pcap> open_pcap(const std::string& path) {
  char error[PCAP_ERRBUF_SIZE] = "";
  Pcap file(pcap_open_offline(path.c_str(), error));
  if (!file) return fail(fmt::format("{}: {}", path, error), EINVAL);
  if (const int type = pcap_datalink(file.get()); type != DLT_EN10MB) {
    const char* name = pcap_datalink_val_to_name(type);
    return fail(
        fmt::format("{} has link type {}: only Ethernet frames can be run; capture on the interface itself, not "
                    "on 'any'",
                    path, name == nullptr ? std::to_string(type) : name),
        EINVAL);
  }
  return file;
}

// Verdict, reason and rule; how often.
using Summary = std::map<std::tuple<std::string, std::string, std::string>, std::uint64_t>;

struct FileResult {
  std::uint64_t packets = 0;
  std::uint64_t cut = 0;      // not wholly captured: what is missing was taken as zeros
  std::uint64_t skipped = 0;  // that cannot be run
  bool more = false;          // the file has more of them than are answered
  Summary summary;
};

// Packets are read and answers written without the writers' lock, which others wait for: a pipe may stand still. They
// are run a batch at a time, under the lock, so that the rules and entries that are named are those that the program
// finds.
class FileTest {
 public:
  FileTest(const Context& context, const control::Instance& instance, std::uint32_t queue)
      : json_(context.json), instance_(instance), queue_(queue) {}

  Outcome<FileResult> run(pcap_t* file, const std::string& path) {
    struct stat facts {};
    // Of a pipe nobody knows when the next will come.
    const bool regular = fstat(fileno(pcap_file(file)), &facts) == 0 && S_ISREG(facts.st_mode);
    for (int got = 1; got == 1 && !result_.more;) {
      got = read_batch(file, regular ? kBatch : 1);
      if (auto r = run_batch(); !r) return Err(r.error());
      if (got == PCAP_ERROR)
        return fail(fmt::format("{}: {}; {} were read", path, pcap_geterr(file),
                                count_text(result_.packets, "packet", "packets")),
                    EINVAL);
    }
    return result_;
  }
  Json packets() { return std::move(packets_); }

 private:
  static constexpr std::size_t kBatch = 1000;

  // As pcap_next_ex.
  int read_batch(pcap_t* file, std::size_t most) {
    pcap_pkthdr* header = nullptr;
    const u_char* data = nullptr;
    int got = 1;
    while (batch_.size() < most && (got = pcap_next_ex(file, &header, &data)) == 1) {
      if (result_.packets + batch_.size() == kMostPackets) {
        result_.more = true;
        break;
      }
      Frame frame(header->caplen);
      std::copy_n(reinterpret_cast<const std::byte*>(data), header->caplen, frame.begin());
      // The program reads headers, and lengths that must be true.
      if (header->caplen < header->len && header->len <= xdp::kMostFrame) {
        ++result_.cut;
        frame.resize(header->len);
      }
      batch_.push_back(std::move(frame));
    }
    return got;
  }

  Outcome<void> run_batch() {
    text_.clear();
    if (!batch_.empty()) {
      const auto lock = control::Lock::acquire();
      if (!lock) return Err(lock.error());
      const auto test = control::FilterTest::open(instance_, control::monotonic_now());
      if (!test) return Err(test.error());
      for (const Frame& frame : batch_)
        if (auto r = one(*test, frame); !r) return r;
    }
    batch_.clear();
    print(text_);
    return {};
  }

  Outcome<void> one(const control::FilterTest& test, const Frame& frame) {
    ++result_.packets;
    const auto verdict = test.run(frame, queue_, control::monotonic_now());
    if (!verdict && verdict.error().code == EINVAL) {
      ++result_.skipped;
      if (json_)
        packets_.push_back(
            {{"number", result_.packets}, {"packet", control::frame_text(frame)}, {"error", verdict.error().message}});
      else
        text_ +=
            fmt::format("{:>6}  -      {}: {}\n", result_.packets, control::frame_text(frame), verdict.error().message);
      return {};
    }
    if (!verdict) return Err(verdict.error());
    const ReasonText why = text_of(*verdict);
    const std::string rule = verdict->rule ? test.rule(*verdict).name : "";
    ++result_.summary[{why.verdict, why.name, rule}];
    if (json_) {
      Json document = {{"number", result_.packets}};
      document.update(to_json(test, *verdict, frame));
      packets_.push_back(std::move(document));
    } else {
      std::string by = rule.empty() ? "" : " by " + rule;
      for (const control::SetAnswer& a : verdict->sets)
        by += fmt::format(" (@{} {})", a.set, control::to_string(a.entry.prefix));
      text_ += fmt::format("{:>6}  {}{:<{}}  {}{}  {}\n", result_.packets, paint(colour(*verdict), why.verdict), "",
                           5 - std::min<std::size_t>(5, std::string_view(why.verdict).size()), why.name, by,
                           control::frame_text(frame));
    }
    return {};
  }

  bool json_;
  const control::Instance& instance_;
  std::uint32_t queue_;
  std::vector<Frame> batch_;
  std::string text_;  // of its answers
  FileResult result_;
  Json packets_ = Json::array();
};

void print_summary(const FileResult& result, const std::string& interface) {
  Columns columns({{"PACKETS", Columns::Align::right}, {"VERDICT"}, {"REASON"}, {"RULE"}});
  for (const auto& [key, count] : result.summary) {
    const auto& [verdict, reason, rule] = key;
    columns.row({std::to_string(count), verdict, reason, rule.empty() ? "-" : rule});
  }
  print(fmt::format("\n{}: {}\n", interface, count_text(result.packets, "packet", "packets")));
  if (!columns.empty()) print(columns.text("  "));
  if (result.skipped > 0)
    print(fmt::format("  {} could not be run: longer than {} octets, or shorter than an Ethernet header\n",
                      count_text(result.skipped, "packet", "packets"), xdp::kMostFrame));
  if (result.cut > 0)
    print(fmt::format("  {} not captured whole: what is missing was taken as zeros\n",
                      count_text(result.cut, "packet was", "packets were")));
  if (result.more) print(fmt::format("  the file has more: these are its first {}\n", kMostPackets));
}

// Without the lock.
Outcome<control::Instance> testable_instance(const Context& context) {
  auto held = begin_filter_change(context);
  if (!held) return Err(held.error());
  return std::move(held->instance);
}

Outcome<int> test_file(const Context& context, const std::string& path, std::uint32_t queue) {
  const auto instance = testable_instance(context);
  if (!instance) return Err(instance.error());
  const std::string& interface = instance->interface();
  const auto file = open_pcap(path);
  if (!file) return Err(file.error());
  FileTest run(context, *instance, queue);
  const auto result = run.run(file->get(), path);
  if (!result) return Err(result.error());
  if (!context.json) {
    print_summary(*result, interface);
    return kOk;
  }
  Json summary = Json::array();
  for (const auto& [key, count] : result->summary) {
    const auto& [verdict, reason, rule] = key;
    summary.push_back({{"verdict", verdict},
                       {"reason", reason},
                       {"rule", rule.empty() ? Json(nullptr) : Json(rule)},
                       {"packets", count}});
  }
  Json out;
  out["interface"] = interface;
  out["queue"] = queue;
  out["packets"] = run.packets();
  out["summary"] = std::move(summary);
  out["not_run"] = result->skipped;
  out["not_whole"] = result->cut;
  out["more"] = result->more;
  print_line(out);
  return kOk;
}

}  // namespace

Outcome<int> run_filter_test(const Context& context) {
  if (auto r = check_words(context); !r) return Err(r.error());
  std::uint32_t queue = 0;
  if (const auto text = context.args.get("queue")) {
    const auto number = parse_number(*text);
    if (!number) return Err(number.error());
    queue = *number;
  }
  if (const auto path = context.args.get("pcap")) return test_file(context, *path, queue);
  // The lock: the rules and entries that are named are those that the program finds.
  const auto held = begin_filter_change(context);
  if (!held) return Err(held.error());
  const control::Instance& instance = held->instance;
  const auto test = control::FilterTest::open(instance, control::monotonic_now());
  if (!test) return Err(test.error());

  const auto frame = typed_frame(context, instance);
  if (!frame) return Err(frame.error());
  const auto verdict = test->run(*frame, queue, control::monotonic_now());
  if (!verdict) return Err(verdict.error());
  if (!context.json) {
    print(to_text(*test, *verdict, instance.interface(), *frame, queue));
    return kOk;
  }
  Json out;
  out["interface"] = instance.interface();
  out["queue"] = verdict->on_queue ? queue : 0;
  out.update(to_json(*test, *verdict, *frame));
  out["notes"] = notes(*test, *verdict, queue);
  print_line(out);
  return kOk;
}

}  // namespace weir::cli
