// SPDX-License-Identifier: MIT
#include "weir/control/set_list.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <charconv>

#include "weir/base/bytes.h"

namespace weir::control {
namespace {

__extension__ typedef unsigned __int128 Wide;

constexpr std::uint64_t kLongestTtl = 3650ull * 86400;
constexpr std::size_t kProgressStep = 1 << 16;
// A list may name a prefix many times: so many items are held before it is seen how many there are.
constexpr std::size_t kMostItems = 2 * std::size_t{WEIR_MAX_SET_ENTRIES};
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

Err<Error> invalid(std::string message) { return xdp::fail(std::move(message), EINVAL); }

Wide number(const SetPrefix& p) { return Wide{p.high} << 64 | p.low; }

SetPrefix host(std::uint64_t high, std::uint64_t low, bool v4) {
  SetPrefix out;
  out.high = high;
  out.low = low;
  out.v4 = v4;
  out.length = v4 ? 32 : 128;
  return out;
}

// The fewest prefixes from `first` to `last`, both of one family.
std::vector<SetPrefix> cover(const SetPrefix& first, const SetPrefix& last) {
  std::vector<SetPrefix> out;
  const unsigned family_bits = first.v4 ? 32 : 128;
  Wide at = number(first);
  const Wide end = number(last);
  for (;;) {
    const auto low = static_cast<std::uint64_t>(at);
    const auto high = static_cast<std::uint64_t>(at >> 64);
    unsigned free =
        low != 0 ? static_cast<unsigned>(std::countr_zero(low)) : 64u + static_cast<unsigned>(std::countr_zero(high));
    free = std::min(free, family_bits);
    const auto size_less_one = [](unsigned bits) { return bits >= 128 ? ~Wide{0} : (Wide{1} << bits) - 1; };
    while (size_less_one(free) > end - at) --free;
    SetPrefix p = host(high, low, first.v4);
    p.length = static_cast<std::uint8_t>(family_bits - free);
    // IPv4-mapped addresses are on no wire, and in a table they are IPv4's.
    const bool mapped =
        !p.v4 && p.length >= 96 && p.high == 0 && (p.low & ~std::uint64_t{0xffffffff}) == WEIR_SET_V4_LOW;
    if (!mapped) out.push_back(p);
    if (size_less_one(free) == end - at) return out;
    at += size_less_one(free) + 1;
  }
}

// Each prefix once: what stays rather than what ends, and of times the last, as if one were added after the other.
void merge(std::vector<SetItem>& items) {
  std::stable_sort(items.begin(), items.end(), [](const SetItem& a, const SetItem& b) { return a.prefix < b.prefix; });
  std::size_t n = 0;
  for (const SetItem& item : items) {
    if (n == 0 || items[n - 1].prefix != item.prefix)
      items[n++] = item;
    else if (items[n - 1].ttl != 0)
      items[n - 1] = item;
  }
  items.resize(n);
}

class ListParser {
 public:
  ListParser(std::string_view text, const ListPlace& place, const std::function<bool(std::size_t)>& progress)
      : text_(text), place_(place), progress_(progress), line_(place.line), column_base_(place.column) {
    // Editors of one system begin a file with it.
    if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) text_.remove_prefix(kByteOrderMark.size());
  }

  Outcome<std::vector<SetItem>> run() {
    std::size_t told = 0;
    bool after_ttl = false;
    for (std::string_view word = next(); !word.empty(); word = next()) {
      if (progress_ && at_ - told >= kProgressStep) {
        told = at_;
        if (!progress_(at_)) return xdp::fail("interrupted: nothing was changed", ECANCELED);
      }
      if (after_ttl) {
        if (line_ != entry_line_) return wrong("ttl needs a time on its line: write 60s, 5m, 12h or 7d");
        const auto ttl = parse_ttl(word);
        if (!ttl) return wrong(ttl.error().message);
        for (std::size_t i = last_; i < items_.size(); ++i) items_[i].ttl = *ttl;
        after_ttl = false;
        last_ = items_.size();
        continue;
      }
      if (word == "ttl") {
        if (last_ == items_.size() || line_ != entry_line_) return wrong("ttl comes after an entry, on its line");
        after_ttl = true;
        continue;
      }
      const std::string range = spaced_range(word);
      const auto prefixes = parse_set_prefixes(range.empty() ? word : range);
      if (!prefixes) return wrong(prefixes.error().message);
      if (items_.size() + prefixes->size() > kMostItems) {
        merge(items_);
        if (items_.size() > WEIR_MAX_SET_ENTRIES) return too_many();
      }
      last_ = items_.size();
      entry_line_ = line_;
      for (const SetPrefix& p : *prefixes) items_.push_back({p, 0});
    }
    if (after_ttl) return wrong("ttl needs a time: write 60s, 5m, 12h or 7d");
    if (items_.size() > WEIR_MAX_SET_ENTRIES) merge(items_);
    if (items_.size() > WEIR_MAX_SET_ENTRIES) return too_many();
    return std::move(items_);
  }

 private:
  Err<Error> too_many() const {
    return xdp::fail(std::string(place_.name) + ": more than " + std::to_string(WEIR_MAX_SET_ENTRIES) +
                         " entries, which is what all sets together may have: join prefixes, or leave some out",
                     ENOSPC);
  }

  // "192.0.2.1 - 192.0.2.77" on one line, as one word; else empty, and nothing is read. A dash that begins a line, as
  // one of a list's items, joins nothing.
  std::string spaced_range(std::string_view first) {
    const std::size_t blank = text_.find_first_not_of(" \t", at_);
    if (blank == std::string_view::npos || blank == at_ || text_[blank] != '-') return {};
    const std::size_t begin = text_.find_first_not_of(" \t", blank + 1);
    if (begin == std::string_view::npos || begin == blank + 1) return {};
    const std::size_t end = std::min(text_.find_first_of(" \t\r\n,#;", begin), text_.size());
    if (end == begin) return {};
    at_ = end;
    return std::string(first) + "-" + std::string(text_.substr(begin, end - begin));
  }

  Err<Error> wrong(const std::string& what) const {
    return xdp::fail(
        std::string(place_.name) + ":" + std::to_string(line_) + ":" + std::to_string(word_column_) + ": " + what,
        EINVAL);
  }

  std::string_view next() {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '\n') {
        ++line_;
        line_start_ = at_ + 1;
        column_base_ = 1;
      } else if (c == '#' || c == ';') {
        while (at_ + 1 < text_.size() && text_[at_ + 1] != '\n') ++at_;
      } else if (c != ' ' && c != '\t' && c != '\r' && c != ',') {
        break;
      }
    }
    const std::size_t begin = at_;
    word_column_ = begin - line_start_ + column_base_;
    while (at_ < text_.size() && std::string_view(" \t\r\n,#;").find(text_[at_]) == std::string_view::npos) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  std::string_view text_;
  ListPlace place_;
  const std::function<bool(std::size_t)>& progress_;
  std::size_t at_ = 0;
  std::size_t line_;
  std::size_t line_start_ = 0;
  std::size_t column_base_;
  std::size_t word_column_ = 1;
  std::size_t last_ = 0;  // the first item of the last entry
  std::size_t entry_line_ = 0;
  std::vector<SetItem> items_;
};

}  // namespace

SetPrefix to_set_prefix(const IpAddress& address) {
  return host(load_be<std::uint64_t>(address.data()), load_be<std::uint64_t>(address.data() + 8), address.is_v4());
}

SetPrefix to_set_prefix(const Prefix& prefix) {
  SetPrefix out = to_set_prefix(prefix.address);
  out.length = prefix.length;
  return out;
}

std::string to_string(const SetPrefix& p) {
  std::array<std::byte, 16> bytes{};
  store_be<std::uint64_t>(bytes.data(), p.high);
  store_be<std::uint64_t>(bytes.data() + 8, p.low);
  std::string out = IpAddress::v6(bytes.data()).to_string();
  if (p.length != (p.v4 ? 32 : 128)) out += "/" + std::to_string(p.length);
  return out;
}

std::string to_string(const SetItem& item) {
  std::string out = to_string(item.prefix);
  if (item.ttl != 0) out += " ttl " + std::to_string(item.ttl) + "s";
  return out;
}

Outcome<std::uint32_t> parse_ttl(std::string_view text) {
  std::string_view digits = text;
  std::uint64_t scale = 1;
  constexpr std::pair<char, std::uint64_t> kUnits[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  for (const auto& [letter, seconds] : kUnits)
    if (!digits.empty() && digits.back() == letter) {
      scale = seconds;
      digits.remove_suffix(1);
      break;
    }
  std::uint32_t count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  if (digits.empty() || error != std::errc{} || end != digits.data() + digits.size() || count == 0 ||
      count * scale > kLongestTtl)
    return invalid(quoted(text) + " is not a time to live: write 60s, 5m, 12h or 7d, 3650d at the most");
  return static_cast<std::uint32_t>(count * scale);
}

Outcome<std::vector<SetPrefix>> parse_set_prefixes(std::string_view text) {
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos) {
    const auto prefix = parse_prefix(text);
    if (!prefix) return Err(prefix.error());
    if (prefix->any)
      return invalid("'any' is not an entry of a set: write 0.0.0.0/0 for all of IPv4, ::/0 for all of IPv6");
    return std::vector{to_set_prefix(*prefix)};
  }
  const auto first = IpAddress::parse(text.substr(0, dash));
  const auto last = IpAddress::parse(text.substr(dash + 1));
  const auto mapped = [](std::string_view t, const IpAddress& a) {
    return a.is_v4() && t.find(':') != std::string_view::npos;
  };
  if (!first || !last || first->is_v4() != last->is_v4() || mapped(text.substr(0, dash), *first) ||
      mapped(text.substr(dash + 1), *last))
    return invalid(quoted(text) + " is not a range: write two addresses of one family, 192.0.2.1-192.0.2.77");
  const SetPrefix from = to_set_prefix(*first);
  const SetPrefix to = to_set_prefix(*last);
  if (number(from) > number(to)) return invalid(quoted(text) + " is an empty range: the first address is the greater");
  return cover(from, to);
}

Outcome<std::vector<SetItem>> parse_set_list(std::string_view text, const ListPlace& place,
                                             const std::function<bool(std::size_t)>& progress) {
  return ListParser(text, place, progress).run();
}

}  // namespace weir::control
