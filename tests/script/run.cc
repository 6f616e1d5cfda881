// SPDX-License-Identifier: MIT
// A script, played to a host of the public harness in virtual time.
#include <algorithm>
#include <cstdio>
#include <deque>
#include <sstream>

#include "calls.h"
#include "script.h"
#include "weir/harness/host.h"
#include "words.h"

namespace weir::script {
namespace {

// Where nothing else is said: two ticks of the timing wheel and the millisecond that a chain of them may add up to.
constexpr Duration kTolerance = Duration::milliseconds(1);
// What "*" waits at most.
constexpr Duration kPatience = Duration::seconds(1'000);
constexpr std::size_t kRemembered = 30;

struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Runner {
 public:
  Runner(const Script& script, Family family)
      : script_(script),
        family_(family),
        options_(host_options(script, family)),
        host_(options_, in_, out_),
        calls_(host_, family) {
    if (auto at = script.options.find("tolerance"); at != script.options.end()) {
      tolerance_ = parse_duration(at->second);
    }
    if (auto at = script.options.find("peer_isn"); at != script.options.end()) peer_isn_ = to_number(at->second);
  }

  std::string run() {
    for (const Event& event : script_.events) {
      if (event.only.value_or(family_) != family_) continue;
      try {
        play(event);
      } catch (const std::exception& e) { return report(event.line, event.text, e.what()); }
    }
    try {
      nothing_unexpected(Instant::never());
    } catch (const Failed& e) {
      return report(script_.events.empty() ? 0 : script_.events.back().line, "the end of the script", e.what());
    }
    return "";
  }

 private:
  void play(const Event& event) {
    Instant base = event.when.absolute ? options_.start : clock_;
    Instant from = base + event.when.from;
    if (const auto* expected = std::get_if<Outbound>(&event.what)) {
      await(*expected, event.when, from, base);
      return;
    }
    if (from < clock_) throw Failed("time does not run backwards");
    advance(from);
    clock_ = from;
    if (const auto* inbound = std::get_if<Inbound>(&event.what)) {
      give(inbound->packet);
    } else if (const auto* call = std::get_if<Call>(&event.what)) {
      nothing_unexpected(from);
      std::string got = calls_.call(*call);
      if (call->name == "connect") add_connect_flow(*call);
      if (got != call->result) throw Failed("expected: " + call->result + "\n  actual:   " + got);
    } else if (const auto* check = std::get_if<Check>(&event.what)) {
      calls_.check(*check);
    }
  }

  // Packets that leave on the way have to be awaited by then.
  void advance(Instant to) {
    host_.advance_to(std::max(to, host_.now()));
    nothing_unexpected(to);
  }

  void give(const Packet& packet) {
    Flow& flow = flow_of(packet.flow);
    for (const Option& o : packet.options) {
      if (o.kind == Option::Kind::timestamps && !o.first) throw Failed("the peer's TS val has to be a number");
    }
    in_.push(host_.now(), encode(packet, flow));
    remember(host_.now(), '<', packet);
    host_.run();
  }

  void await(const Outbound& expected, const When& when, Instant from, Instant base) {
    Instant last = when.any ? clock_ + kPatience : when.until ? base + *when.until + tolerance_ : from + tolerance_;
    while (out_.empty() && host_.next_event() <= last) host_.advance_to(host_.next_event());
    auto packet = out_.pop();
    if (!packet) {
      host_.advance_to(std::max(host_.now(), std::min(last, from + tolerance_)));
      throw Failed("expected: " + expected.packet.to_string() + "\n  actual:   nothing left until then");
    }
    Packet actual = read(packet->bytes, &expected.packet);
    remember(packet->at, '>', actual);
    if (std::string what = difference(expected.packet, actual); !what.empty()) {
      throw Failed("expected: " + expected.packet.to_string() + "\n  actual:   " + actual.to_string() +
                   "\n  differs:  " + what);
    }
    if (!when.any && (packet->at < from - tolerance_ || packet->at > last)) {
      throw Failed("expected at " + time_text(from) + (when.until ? " to " + time_text(base + *when.until) : "") +
                   ", left at " + time_text(packet->at) + ": " + actual.to_string());
    }
    clock_ = when.any || when.until ? std::max(clock_, packet->at) : from;
  }

  Packet read(ConstBytes bytes, const Packet* expected) {
    std::string why;
    auto decoded = decode(bytes, why);
    if (!decoded) throw Failed("a packet left that is none: " + why);
    Flow* flow = nullptr;
    for (auto& [index, f] : flows_) {
      if (f.host_port != decoded->src_port || f.peer_port != decoded->dst_port) continue;
      flow = &f;
      decoded->packet.flow = index;
    }
    if (flow == nullptr || decoded->dst != flow->peer || decoded->src != flow->host) {
      throw Failed("a packet left for nobody: " + decoded->packet.to_string());
    }
    relate(*decoded, bytes, *flow, expected);
    // A cookie goes by addresses, which all flows share.
    for (const Option& o : decoded->packet.options) {
      if (o.kind == Option::Kind::fast_open && !o.bytes.empty()) cookie_ = o.bytes;
    }
    if (decoded->wrong_text) throw Failed("its text is not what was written: " + decoded->packet.to_string());
    return decoded->packet;
  }

  // What left before `now`, and no line of the script has expected.
  void nothing_unexpected(Instant now) {
    if (out_.empty() || (now != Instant::never() && out_.next() >= now)) return;
    auto packet = out_.pop();
    Packet actual = read(packet->bytes, nullptr);
    remember(packet->at, '>', actual);
    throw Failed("expected: nothing\n  actual:   " + time_text(packet->at) + " > " + actual.to_string());
  }

  Flow& flow_of(unsigned index) {
    auto [at, fresh] = flows_.try_emplace(index);
    if (fresh) {
      at->second = new_flow();
      at->second.host_port = kServicePort;
      at->second.peer_port = static_cast<std::uint16_t>(40'000 + index);
    }
    return at->second;
  }
  Flow new_flow() const {
    Flow flow;
    flow.host = host_address(family_);
    flow.peer = peer_address(family_);
    flow.peer_isn = peer_isn_;
    flow.cookie = cookie_;
    return flow;
  }
  // The n-th connect() is flow n.
  void add_connect_flow(const Call& call) {
    auto local = calls_.local_port(call.arguments.at(0));
    bool known = std::any_of(flows_.begin(), flows_.end(), [&](const auto& f) {
      return f.second.host_port == local && f.second.peer_port == kServicePort;
    });
    if (!local || known) return;
    Flow flow = new_flow();
    flow.host_port = *local;
    flow.peer_port = kServicePort;
    flows_[connects_++] = flow;
  }

  std::string time_text(Instant at) const {
    char text[32];
    std::snprintf(text, sizeof text, "%.6f", static_cast<double>((at - options_.start).count_ns()) / 1e9);
    return text;
  }
  void remember(Instant at, char direction, const Packet& packet) {
    trace_.push_back(time_text(at) + ' ' + direction + ' ' + packet.to_string());
    if (trace_.size() > kRemembered) trace_.pop_front();
  }
  std::string report(int line, const std::string& text, const std::string& what) const {
    std::ostringstream s;
    s << script_.name << ":" << line << ": " << text << "\n  " << what << "\n  packets so far:\n";
    for (const auto& t : trace_) s << "    " << t << '\n';
    return s.str();
  }

  const Script& script_;
  Family family_;
  harness::HostOptions options_;
  harness::PacketQueue in_, out_;
  harness::Host host_;
  Calls calls_;
  Duration tolerance_ = kTolerance;
  std::uint32_t peer_isn_ = 5'000;
  Instant clock_ = options_.start;  // of the event before
  std::map<unsigned, Flow> flows_;
  unsigned connects_ = 0;
  std::vector<std::byte> cookie_;  // the last that the host gave
  std::deque<std::string> trace_;
};

}  // namespace

std::string run_script(const Script& script, Family family) {
  try {
    return Runner(script, family).run();
  } catch (const std::exception& e) { return script.name + ": " + e.what(); }
}

}  // namespace weir::script
