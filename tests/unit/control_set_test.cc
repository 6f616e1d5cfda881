// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <map>
#include <random>

#include "weir/control/filter_change.h"
#include "weir/control/set_changes.h"
#include "weir/control/set_list.h"
#include "weir/control/set_table.h"

namespace weir::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Change = SetTable::Change;

std::vector<std::string> texts(const std::vector<SetItem>& items) {
  std::vector<std::string> out;
  for (const SetItem& item : items) out.push_back(to_string(item));
  return out;
}

std::vector<std::string> list(std::string_view text) {
  const auto items = parse_set_list(text, {"list", 1, 1});
  EXPECT_TRUE(items.ok()) << items.error().message;
  return items ? texts(*items) : std::vector<std::string>{};
}

SetPrefix prefix(std::string_view text) { return parse_set_prefixes(text).value().at(0); }

TEST(SetList, AsPublishersMakeThem) {
  EXPECT_THAT(list("# of today\n192.0.2.0/24 ; SBL1\r\n\n;2001:db8::/32\n2001:db8::1,10.0.0.1#x\n10.0.0.0/8 ttl 2h"),
              ElementsAre("192.0.2.0/24", "2001:db8::1", "10.0.0.1", "10.0.0.0/8 ttl 7200s"));
  EXPECT_THAT(list("10.0.0.1-10.0.0.8"), ElementsAre("10.0.0.1", "10.0.0.2/31", "10.0.0.4/30", "10.0.0.8"));
  EXPECT_THAT(list("0.0.0.0-255.255.255.255 10.0.0.0-10.0.0.0"), ElementsAre("0.0.0.0/0", "10.0.0.0"));
  EXPECT_THAT(list("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff fd00::-fd00::1:0 ttl 60"),
              ElementsAre("::/0", "fd00::/112 ttl 60s", "fd00::1:0 ttl 60s"));
  EXPECT_THAT(list("::fffe:ffff:fffe-::1:0:0:1"), ElementsAre("::fffe:ffff:fffe/127", "::1:0:0:0/127"))
      << "what lies between is IPv4-mapped, and on no wire";
  EXPECT_THAT(list("\xef\xbb\xbf"
                   "10.0.0.1 - 10.0.0.2 # one\r\n::1\t-\t::1 ttl 5s\n"),
              ElementsAre("10.0.0.1", "10.0.0.2", "::1 ttl 5s"));
  EXPECT_TRUE(list("").empty());
}

TEST(SetList, WhatAListNamesAgainTakesNoRoom) {
  std::string text;
  for (unsigned i = 0; i < 3 * WEIR_MAX_SET_ENTRIES; ++i) text += i % 2 != 0 ? "1.1.1.1\n" : "::1 ttl 9\n";
  EXPECT_THAT(list(text), ElementsAre("1.1.1.1", "::1 ttl 9s"));
}

TEST(SetList, SaysWhereAndWhatIsWrong) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"1.2.3.4\n 1.2.3.4/8", "list:2:2: '1.2.3.4/8' has bits set beyond its length: did you mean 1.0.0.0/8?"},
      {"any", "list:1:1: 'any' is not an entry"},
      {"1.2.3.4-1.2.3.3", "list:1:1: '1.2.3.4-1.2.3.3' is an empty range"},
      {"1.2.3.4-::1", "list:1:1: '1.2.3.4-::1' is not a range"},
      {"ttl 5m", "list:1:1: ttl comes after an entry"},
      {"1.2.3.4 ttl", "list:1:12: ttl needs a time"},
      {"1.2.3.4 ttl 5x", "list:1:13: '5x' is not a time to live"},
      {"1.2.3.4 ttl 5s ttl 6s", "list:1:16: ttl comes after an entry"},
      {"1.2.3.4\nttl 5s", "list:2:1: ttl comes after an entry, on its line"},
      {"1.2.3.4 ttl\n5s", "list:2:1: ttl needs a time on its line"},
      {"1.2.3.4 ttl 3651d", "list:1:13: '3651d' is not a time to live"},
      {"::ffff:1.2.3.4", "IPv4-mapped"},
      {"host.example", "list:1:1: 'host.example' is not a prefix"},
      {"1.2.3.4\n- 1.2.3.9", "list:2:1: '-' is not a range"},
      {"1.2.3.4 -\n1.2.3.9", "list:1:9: '-' is not a range"},
      {"1.2.3.0/24 - 1.2.3.9", "list:1:1: '1.2.3.0/24-1.2.3.9' is not a range"},
  };
  for (const auto& c : cases) {
    const auto items = parse_set_list(c.text, {"list", 1, 1});
    ASSERT_FALSE(items.ok()) << c.text;
    EXPECT_THAT(items.error().message, HasSubstr(c.says)) << c.text;
    EXPECT_EQ(items.error().code, EINVAL);
  }
  EXPECT_LT(parse_set_list(std::string(100'000, '1'), {"list", 1, 1}).error().message.size(), 200u);
  std::string long_list;
  for (int i = 0; i < 30000; ++i) long_list += "10.0.0.1\n";
  EXPECT_EQ(parse_set_list(long_list, {"list", 1, 1}, [](std::size_t) { return false; }).error().code, ECANCELED);
}

TEST(SetChanges, ALineEach) {
  std::vector<SetChanges> out;
  ASSERT_TRUE(parse_set_changes("192.0.2.1\n192.0.2.2 ttl 5s 192.0.2.3 # twice\n\n add 2001:db8::/32\n"
                                "del\t192.0.2.1,192.0.2.2\r\ndel 192.0.2.0/24 ttl 5s\naddress # no\n",
                                {"feed", 7, 1}, SetVerb::add, 60, out)
                  .error()
                  .message.rfind("feed:13:1: 'address' is not a prefix", 0) == 0);
  ASSERT_EQ(out.size(), 2u) << "what the lines before said is told";
  EXPECT_EQ(out[0].verb, SetVerb::add);
  EXPECT_THAT(texts(out[0].items),
              ElementsAre("192.0.2.1 ttl 60s", "192.0.2.2 ttl 5s", "192.0.2.3 ttl 60s", "2001:db8::/32 ttl 60s"));
  EXPECT_EQ(out[1].verb, SetVerb::del);
  EXPECT_THAT(texts(out[1].items), ElementsAre("192.0.2.1", "192.0.2.2", "192.0.2.0/24"));
  out.clear();
  ASSERT_TRUE(parse_set_changes("192.0.2.1\nadd 192.0.2.2\n10.0.0.0/8", {"feed", 1, 1}, SetVerb::del, 0, out).ok());
  EXPECT_EQ(out, (std::vector<SetChanges>{{SetVerb::del, {{prefix("192.0.2.1"), 0}}},
                                          {SetVerb::add, {{prefix("192.0.2.2"), 0}}},
                                          {SetVerb::del, {{prefix("10.0.0.0/8"), 0}}}}));
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"add\n", "feed:1:1: add and del are of an entry"},
      {"1.2.3.4\ndel # nothing\n", "feed:2:1: add and del are of an entry"},
      {"1.2.3.4\nttl 5s\n", "feed:2:1: ttl comes after an entry"},
      {"del add 1.2.3.4\n", "feed:1:5: 'add' is not a prefix"},
      {"  del  1.2.3.4/8\n", "feed:1:8: '1.2.3.4/8' has bits set"},
  };
  for (const auto& c : cases) {
    out.clear();
    const auto done = parse_set_changes(c.text, {"feed", 1, 1}, SetVerb::add, 0, out);
    ASSERT_FALSE(done.ok()) << c.text;
    EXPECT_THAT(done.error().message, HasSubstr(c.says)) << c.text;
    EXPECT_EQ(done.error().code, EINVAL);
  }
}

class Table : public testing::Test {
 protected:
  SetTableSize size_ = SetTableSize::for_entries(4000, 4000);
  std::vector<weir_set_row> rows_ = std::vector<weir_set_row>(size_.rows());
  SetTable table_ = SetTable::format(rows_, size_, 42);
};

TEST_F(Table, NamesHaveNumbers) {
  EXPECT_TRUE(SetTable::whole(rows_));
  EXPECT_EQ(table_.free_number(), 0u);
  table_.set_name(2, "ban");
  EXPECT_EQ(table_.find("ban"), 2u);
  EXPECT_EQ(table_.find("ba"), std::nullopt);
  EXPECT_EQ(table_.find(""), std::nullopt);
  EXPECT_EQ(table_.name(2), "ban");
}

TEST_F(Table, WhatHasEndedHidesNothing) {
  for (const auto& [net, host] : {std::pair{"192.0.2.0/24", "192.0.2.7"}, std::pair{"2001:db8::/48", "2001:db8::7"}}) {
    const SetPrefix h = prefix(host);
    EXPECT_EQ(table_.add(1, {prefix(net), 0}, 100), Change::done);
    EXPECT_EQ(table_.add(1, {h, 110}, 100), Change::done);
    EXPECT_EQ(table_.covering(1, h, 109).size(), 2u);
    ASSERT_EQ(table_.covering(1, h, 110).size(), 1u);
    EXPECT_EQ(table_.covering(1, h, 110)[0].prefix, prefix(net));
    EXPECT_EQ(table_.covering(2, h, 100).size(), 0u);
  }
}

TEST_F(Table, AnEntryBeginsAnewOrStays) {
  for (const char* text : {"192.0.2.7", "2001:db8::7"}) {
    const SetPrefix p = prefix(text);
    EXPECT_EQ(table_.add(0, {p, 110}, 100), Change::done);
    EXPECT_EQ(table_.add(0, {p, 110}, 100), Change::none);
    EXPECT_EQ(table_.add(0, {p, 105}, 100), Change::done) << "a shorter one, too";
    EXPECT_EQ(table_.entry(0, p, 104)->end, 105u);
    EXPECT_EQ(table_.entry(0, p, 105), std::nullopt);
    EXPECT_EQ(table_.add(0, {p, 0}, 105), Change::done);
    EXPECT_EQ(table_.add(0, {p, 120}, 105), Change::none) << "it stays";
    EXPECT_EQ(table_.entry(0, p, 1000)->end, 0u);
    EXPECT_EQ(table_.add(5, {p, 200}, 105), Change::done);
    EXPECT_EQ(table_.remove(0, p, 105), Change::done);
    EXPECT_EQ(table_.remove(0, p, 105), Change::none);
    EXPECT_EQ(table_.entry(0, p, 105), std::nullopt);
    EXPECT_EQ(table_.entry(5, p, 105)->end, 200u) << "another set's";
  }
}

TEST_F(Table, AFullOneSaysSoAndChangesNothing) {
  const SetTableSize small;
  std::vector<weir_set_row> rows(small.rows());
  SetTable table = SetTable::format(rows, small, 1);
  for (const char* format : {"10.0.0.%d", "2001:db8::%d"}) {
    char text[40];
    int in = 0;
    for (; in < 200; ++in) {
      std::snprintf(text, sizeof text, format, in);
      if (table.add(0, {prefix(text), 0}, 1) == Change::full) break;
    }
    EXPECT_GE(in, 48);
    EXPECT_LT(in, 60);
    EXPECT_EQ(table.entry(0, prefix(text), 1), std::nullopt);
    std::snprintf(text, sizeof text, format, 1);
    EXPECT_EQ(table.add(1, {prefix(text), 0}, 1), Change::done) << "a slot that is there has room for all sets";
  }
}

TEST_F(Table, EachEntryIsCountedOnce) {
  const auto more = [](std::string_view text) { return parse_set_list(text, {"list", 1, 1}).value(); };
  const auto entries = [&](std::uint16_t without, std::vector<WantedSet> wanted) {
    return entries_with(&table_, without, wanted, 100);
  };
  table_.set_name(0, "a");
  table_.set_name(1, "b");
  table_.add(0, {prefix("192.0.2.1"), 0}, 100);
  table_.add(1, {prefix("192.0.2.1"), 0}, 100);
  table_.add(1, {prefix("2001:db8::1"), 110}, 100);
  table_.add(1, {prefix("2001:db8::2"), 99}, 90);
  EXPECT_EQ(entries(0, {}), 2u) << "what has ended is none";
  EXPECT_EQ(entries(1u << 1, {}), 1u);
  EXPECT_EQ(entries(0, {{"b", more("192.0.2.1 192.0.2.2 192.0.2.2")}}), 3u);
  EXPECT_EQ(entries(0, {{"b", more("2001:db8::1 ttl 9s")}}), 2u) << "its own slot";
  EXPECT_EQ(entries(0, {{"a", more("2001:db8::1 ttl 9s")}, {"c", more("2001:db8::1 ttl 9s")}, {"d", std::nullopt}}),
            4u);
  EXPECT_EQ(entries_with(nullptr, 0, std::vector<WantedSet>{{"a", more("::1")}, {"b", more("::1 ::2")}}, 100), 2u);
}

// Against a plain map, with the clock given.
TEST_F(Table, AsAPlainMapHasIt) {
  std::mt19937_64 random(7);
  const auto below = [&](std::uint64_t n) { return static_cast<unsigned>(random() % n); };
  std::map<std::pair<unsigned, SetPrefix>, std::uint32_t> plain;
  std::uint32_t now = 1000;
  const auto any = [&] {
    const bool v4 = below(2) == 0;
    SetPrefix p;
    p.v4 = v4;
    p.length = static_cast<std::uint8_t>(v4 ? below(33) : below(129));
    p.low = (v4 ? WEIR_SET_V4_LOW | 10u << 24 : 0) | below(2) << 16 | below(2);
    p.high = v4 ? 0 : 0x20010db800000000u | below(2);
    const unsigned bits = v4 ? 96u + p.length : p.length;
    const auto mask = [](unsigned b) { return b == 0 ? 0 : ~std::uint64_t{0} << (64 - b); };
    p.high &= mask(std::min(bits, 64u));
    p.low &= mask(bits > 64 ? bits - 64 : 0);
    return p;
  };
  for (int step = 0; step < 20000; ++step) {
    now += below(3);
    const unsigned set = below(WEIR_MAX_SETS);
    const SetPrefix p = any();
    const auto key = std::pair{set, p};
    const auto lives = [&] {
      const auto at = plain.find(key);
      return at != plain.end() && (at->second == 0 || now < at->second);
    };
    if (below(3) == 0) {
      EXPECT_EQ(table_.remove(set, p, now) == Change::done, lives());
      plain.erase(key);
    } else {
      const std::uint32_t end = below(2) == 0 ? 0 : now + below(2000) + 1;
      const bool stays = plain.count(key) != 0 && plain[key] == 0;
      ASSERT_NE(table_.add(set, {p, end}, now), Change::full) << step;
      if (!stays) plain[key] = end;
    }
    const SetPrefix asked = any();
    const auto found = table_.entry(set, asked, now);
    const auto at = plain.find({set, asked});
    const bool expected = at != plain.end() && (at->second == 0 || now < at->second);
    ASSERT_EQ(found.has_value(), expected) << to_string(asked) << " at step " << step;
    if (expected) { ASSERT_EQ(found->end, at->second); }
  }
  std::size_t live = 0, seen = 0;
  for (const auto& [key, end] : plain) live += end == 0 || now < end ? 1u : 0u;
  table_.each(now, [&](const SetEntry& e, std::uint16_t sets) {
    for (unsigned set = 0; set < WEIR_MAX_SETS; ++set)
      if ((unsigned{sets} >> set & 1u) != 0) {
        ++seen;
        EXPECT_EQ(plain.at({set, e.prefix}), e.end);
      }
  });
  EXPECT_EQ(seen, live);
  // What lives moves to another table whole.
  std::vector<weir_set_row> rows(size_of_live(table_, now).rows());
  SetTable other = SetTable::format(rows, size_of_live(table_, now), 3);
  ASSERT_TRUE(copy_live(table_, other, 0, now));
  std::size_t copied = 0;
  other.each(
      now, [&](const SetEntry&, std::uint16_t sets) { copied += static_cast<std::size_t>(__builtin_popcount(sets)); });
  EXPECT_EQ(copied, live);
}

}  // namespace
}  // namespace weir::control
