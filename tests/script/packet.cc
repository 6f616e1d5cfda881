// SPDX-License-Identifier: MIT
#include "packet.h"

#include <algorithm>
#include <cctype>
#include <sstream>
#include <stdexcept>

#include "words.h"

namespace weir::script {
namespace {

using Kind = Option::Kind;

std::string sorted(std::string s) {
  std::sort(s.begin(), s.end());
  return s;
}

Option parse_option(std::string_view text) {
  Words words(text);
  std::string kind = words.next();
  auto number = [&](std::optional<std::uint32_t>& to) {
    std::string word = words.next();
    if (word != "_") to = to_number(word);
  };
  Option o;
  if (kind == "eol") {
    o.kind = Kind::end;
  } else if (kind == "nop") {
    o.kind = Kind::nop;
  } else if (kind == "mss") {
    o.kind = Kind::mss;
    number(o.first);
  } else if (kind == "sackOK") {
    o.kind = Kind::sack_ok;
  } else if (kind == "wscale") {
    o.kind = Kind::wscale;
    number(o.first);
  } else if (kind == "TS") {
    o.kind = Kind::timestamps;
    words.expect("val");
    number(o.first);
    words.expect("ecr");
    number(o.second);
  } else if (kind == "sack") {
    o.kind = Kind::sack;
    while (!words.done()) {
      std::string block = words.next();
      auto colon = block.find(':');
      if (colon == std::string::npos) throw std::invalid_argument("not a SACK block: " + block);
      o.blocks.emplace_back(to_number(block.substr(0, colon)), to_number(block.substr(colon + 1)));
    }
  } else if (kind == "FO") {
    o.kind = Kind::fast_open;
    std::string cookie = words.done() ? "" : words.next();
    if (cookie == "_") {
      o.any_bytes = true;
    } else {
      o.bytes = from_hex(cookie);
    }
  } else if (kind == "uto") {
    o.kind = Kind::user_timeout;
    number(o.first);
  } else if (kind == "raw") {
    o.kind = Kind::raw;
    o.bytes = from_hex(words.next());
  } else {
    throw std::invalid_argument("unknown option: " + kind);
  }
  words.finish();
  return o;
}

std::string option_text(const Option& o) {
  auto number = [](const std::optional<std::uint32_t>& n) { return n ? std::to_string(*n) : std::string("_"); };
  switch (o.kind) {
    case Kind::end:
      return "eol";
    case Kind::nop:
      return "nop";
    case Kind::mss:
      return "mss " + number(o.first);
    case Kind::sack_ok:
      return "sackOK";
    case Kind::wscale:
      return "wscale " + number(o.first);
    case Kind::timestamps:
      return "TS val " + number(o.first) + " ecr " + number(o.second);
    case Kind::sack: {
      std::string s = "sack";
      for (auto [left, right] : o.blocks) s += ' ' + std::to_string(left) + ':' + std::to_string(right);
      return s;
    }
    case Kind::fast_open:
      return o.any_bytes ? "FO _" : o.bytes.empty() ? "FO" : "FO " + to_hex(o.bytes);
    case Kind::user_timeout:
      return "uto " + number(o.first);
    case Kind::raw:
      break;
  }
  return "raw " + to_hex(o.bytes);
}

bool same_option(const Option& e, const Option& a) {
  auto fits = [](const auto& wanted, const auto& got) { return !wanted || wanted == got; };
  return e.kind == a.kind && fits(e.first, a.first) && fits(e.second, a.second) && e.blocks == a.blocks &&
         (e.any_bytes || e.bytes == a.bytes);
}

Icmp parse_icmp(Words& words) {
  Icmp icmp;
  icmp.type = words.next();
  while (!words.done() && words.peek()[0] != '[') {
    std::string word = words.next();
    if (word == "mtu") {
      icmp.mtu = to_number(words.next());
    } else {
      icmp.code = word;
    }
  }
  return icmp;
}

void parse_range(std::string_view range, Packet& p) {
  auto colon = range.find(':');
  auto open = range.find('(');
  if (colon == std::string_view::npos || open == std::string_view::npos || range.back() != ')') {
    throw std::invalid_argument("not a range of sequence numbers: " + std::string(range));
  }
  p.seq = to_number(range.substr(0, colon));
  p.length = to_number(range.substr(open + 1, range.size() - open - 2));
  if (p.seq + p.length != to_number(range.substr(colon + 1, open - colon - 1))) {
    throw std::invalid_argument("the range and its length differ: " + std::string(range));
  }
}

}  // namespace

std::byte pattern(bool from_host, std::uint64_t at) {
  std::uint64_t h = (at + (from_host ? 1 : 1'000'003)) * 0x9e3779b97f4a7c15ull;
  return static_cast<std::byte>((h >> 56) ^ (h >> 32));
}

Packet parse_packet(std::string_view text) {
  Packet p;
  std::string line(text);
  if (auto open = line.find('<'); open != std::string::npos) {
    auto shut = line.find('>', open);
    if (shut == std::string::npos) throw std::invalid_argument("no > after the options");
    std::string inside = line.substr(open + 1, shut - open - 1);
    line.erase(open, shut - open + 1);
    if (inside == "...") {
      p.any_options = true;
    } else {
      std::istringstream list(inside);
      for (std::string option; std::getline(list, option, ',');) p.options.push_back(parse_option(option));
    }
  }
  Words words(line);
  if (words.peek() == "icmp") {
    words.next();
    p.icmp = parse_icmp(words);
    std::string quoted = words.next();
    if (quoted.size() < 2 || quoted.front() != '[' || quoted.back() != ']') {
      throw std::invalid_argument("an ICMP error quotes a segment as [1:1461(1460)]");
    }
    parse_range(std::string_view(quoted).substr(1, quoted.size() - 2), p);
  } else {
    if (words.peek().front() == '[') {
      std::string ecn = words.next();
      if (ecn == "[noecn]") p.ecn = wire::Ecn::not_ect;
      if (ecn == "[ect0]") p.ecn = wire::Ecn::ect0;
      if (ecn == "[ect1]") p.ecn = wire::Ecn::ect1;
      if (ecn == "[ce]") p.ecn = wire::Ecn::ce;
      if (!p.ecn) throw std::invalid_argument("not an ECN codepoint: " + ecn);
    }
    p.flags = words.next();
    if (p.flags.find_first_not_of("SFRPUEW.-") != std::string::npos) {
      throw std::invalid_argument("not flags: " + p.flags);
    }
    parse_range(words.next(), p);
  }
  while (!words.done()) {
    std::string key = words.next();
    if (key == "ack") {
      p.ack = to_number(words.next());
    } else if (key == "win") {
      p.window = to_number(words.next());
    } else if (key == "urg") {
      p.urgent = to_number(words.next());
    } else if (key == "flow") {
      p.flow = to_number(words.next());
    } else if (key == "new") {
      p.renews = true;
    } else if (key == "badsum") {
      p.bad_checksum = true;
    } else if (key == "nosum") {
      p.zero_checksum = true;
    } else if (key == "reserved") {
      p.reserved = static_cast<std::uint8_t>(to_number(words.next()) & 7);
    } else {
      throw std::invalid_argument("unknown word: " + key);
    }
  }
  if (!p.icmp && (p.flags.find('.') != std::string::npos) != p.ack.has_value()) {
    throw std::invalid_argument("\".\" and \"ack\" go together");
  }
  return p;
}

std::string Packet::to_string() const {
  std::ostringstream s;
  if (icmp) {
    s << "icmp " << icmp->type << ' ' << icmp->code;
    if (icmp->mtu != 0) s << " mtu " << icmp->mtu;
    s << " [" << seq << ':' << seq + length << '(' << length << ")]";
    return s.str();
  }
  if (ecn) {
    constexpr const char* kNames[] = {"[noecn] ", "[ect1] ", "[ect0] ", "[ce] "};
    s << kNames[static_cast<std::size_t>(*ecn)];
  }
  s << flags << ' ' << seq << ':' << seq + length << '(' << length << ')';
  if (ack) s << " ack " << *ack;
  if (window) s << " win " << *window;
  if (urgent) s << " urg " << *urgent;
  if (any_options) {
    s << " <...>";
  } else if (!options.empty()) {
    s << " <";
    for (std::size_t i = 0; i < options.size(); ++i) s << (i != 0 ? "," : "") << option_text(options[i]);
    s << '>';
  }
  if (flow != 0) s << " flow " << flow;
  return s.str();
}

std::string difference(const Packet& e, const Packet& a) {
  if (sorted(e.flags) != sorted(a.flags)) return "flags";
  if (e.seq != a.seq) return "sequence number";
  if (e.length != a.length) return "length";
  if (e.ack && e.ack != a.ack) return "acknowledgement";
  if (e.window && e.window != a.window) return "window";
  if (e.urgent && e.urgent != a.urgent) return "urgent pointer";
  if (e.ecn && e.ecn != a.ecn) return "ECN codepoint";
  if (e.flow != a.flow) return "flow";
  if (e.any_options) return "";
  bool same = e.options.size() == a.options.size();
  for (std::size_t i = 0; same && i < e.options.size(); ++i) same = same_option(e.options[i], a.options[i]);
  return same ? "" : "options";
}

}  // namespace weir::script
