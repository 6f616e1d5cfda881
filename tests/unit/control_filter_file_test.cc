// SPDX-License-Identifier: MIT
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "weir/control/filter_diff.h"
#include "weir/control/filter_file.h"

namespace weir::control {
namespace {

using ::testing::HasSubstr;

std::vector<Rule> parse(std::string_view text) {
  auto file = parse_filter_file(text, "rules");
  EXPECT_TRUE(file.ok()) << file.error().message;
  return file ? file->rules : std::vector<Rule>{};
}

TEST(FilterFile, ALineARuleInTheirOrder) {
  const auto rules = parse(
      "# the office\n"
      "rule ssh accept proto tcp from 192.0.2.0/24 port 22   # by day and night\n"
      "\n"
      "\trule\tscan  drop proto tcp flags -/FSRPAU\r\n"
      "rule pings accept proto icmp limit 10/s burst 20 per source");
  ASSERT_EQ(rules.size(), 3u);
  EXPECT_EQ(rules[0].name, "ssh");
  EXPECT_EQ(rules[0].to_string(), "accept proto tcp from 192.0.2.0/24 port 22");
  EXPECT_EQ(rules[1].name, "scan");
  EXPECT_EQ(rules[2].to_string(), "accept proto icmp limit 10/s burst 20 per source");
  EXPECT_TRUE(parse("").empty());
  EXPECT_TRUE(parse("# nothing\n\n").empty());
}

TEST(FilterFile, IsWrittenAsItIsRead) {
  const std::string text =
      "rule a drop\n"
      "rule b pass proto udp to ::/0 sport 1-1023 port 53 vlan none fragment no length 0-512\n"
      "rule c accept proto icmpv6 icmp-type 128 limit 1500kB/s burst 64kB sample 5\n";
  EXPECT_EQ(write_filter_file(parse(text)), text);
}

TEST(FilterFile, SaysWhereAndWhatIsWrong) {
  const struct {
    const char* text;
    const char* says;
  } cases[] = {
      {"drop all", "rules:1:1: 'drop' begins no line: write rule NAME ACTION"},
      {"\n rule", "rules:2:6: the rule's name is missing"},
      {"rule a", "rules:1:7: the rule's action is missing"},
      {"rule a/b drop", "rules:1:6: 'a/b' is not a name"},
      {"rule a reject", "rules:1:8: 'reject' is not an action: write accept, drop or pass"},
      {"rule a drop port", "rules:1:17: 'port' needs a value"},
      {"rule a drop colour red", "rules:1:13: 'colour' is not a word of a rule: they are proto, from"},
      {"rule a drop from 10.0.0.1/8",
       "rules:1:18: '10.0.0.1/8' has bits set beyond its length: did you mean 10.0.0.0/8?"},
      {"rule a drop\nrule b drop from 10.0.0.1 from 10.0.0.2", "rules:2:27: 'from' is given twice"},
      {"rule a drop port 80", "rules:1:1: a port needs proto tcp or proto udp"},
      {"rule a drop\n# b\nrule a pass", "rules:3:6: there is a rule a already, on line 1"},
      {"rule a drop from caf\xc3\xa9", "rules:1:21: a character that is no letter"},
      {"rule a accept burst 5 limit 1/s", "rules:1:21: burst belongs to a limit: write limit RATE before it"},
  };
  for (const auto& c : cases) {
    const auto rules = parse_filter_file(c.text, "rules");
    ASSERT_FALSE(rules.ok()) << c.text;
    EXPECT_THAT(rules.error().message, HasSubstr(c.says)) << c.text;
    EXPECT_EQ(rules.error().code, EINVAL);
  }
  EXPECT_THAT(parse_filter_file(std::string(5000, 'x'), "rules").error().message,
              HasSubstr("rules:1:4097: the line is"));
  std::string many;
  for (int i = 0; i <= WEIR_MAX_RULES; ++i) many += "rule n" + std::to_string(i) + " drop\n";
  EXPECT_THAT(parse_filter_file(many, "rules").error().message, HasSubstr("rules:4097:1: the filter takes 4096 rules"));
}

TEST(FilterFile, SetsWithTheirEntriesAnywhereInTheFile) {
  const auto file = parse_filter_file(
      "rule a drop from @bad to @ours\n"
      "set bad {  # of today\n"
      "  192.0.2.0/24, 2001:db8::1 ttl 5m\n"
      "  198.51.100.4-198.51.100.6 # three }\n"
      "}  # that was it\n"
      "set ours\n"
      "set more file lists/more.txt\n"
      "set none {}\n",
      "rules");
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->sets.size(), 4u);
  ASSERT_TRUE(file->sets[0].items);
  EXPECT_EQ(write_filter_file(file->rules, file->sets),
            "set bad {\n  192.0.2.0/24\n  2001:db8::1 ttl 300s\n  198.51.100.4/31\n  198.51.100.6\n}\n"
            "set ours\nset more file lists/more.txt\nset none {\n}\nrule a drop from @bad to @ours\n");
  const struct {
    const char* text;
    const char* says;
  } wrong[] = {
      {"rule a drop\nrule b drop from @x", "rules:2:1: rule b asks for the set x, which the file does not have"},
      {"set", "rules:1:4: the set's name is missing"},
      {"set a/b", "rules:1:5: 'a/b' is not a name"},
      {"set a {\n1.2.3.4", "rules:1:7: the brace is not closed"},
      {"set a {\n1.2.3.4\n 1.2.3 }", "rules:3:2: '1.2.3' is not a prefix"},
      {"set a { 1.2.3.4 } x", "rules:1:19: 'x' stands behind"},
      {"set a { 1.2.3 }", "rules:1:9: '1.2.3' is not a prefix"},
      {"set a\nset a", "rules:2:5: there is a set a already"},
      {"set a path b", "rules:1:7: 'path' does not belong here"},
      {"set a file", "rules:1:11: 'file' needs a path"},
      {"set a file b c", "rules:1:14: 'c' stands behind the path"},
      {"rule a drop from @", "rules:1:18: '@' names no set"},
      {"set a {}\nrule b drop from @a from @a", "rules:2:21: 'from' is given twice"},
  };
  for (const auto& c : wrong) {
    const auto read = parse_filter_file(c.text, "rules");
    ASSERT_FALSE(read.ok()) << c.text;
    EXPECT_THAT(read.error().message, HasSubstr(c.says)) << c.text;
  }
}

std::string compared(std::string_view before, std::string_view after) {
  std::string out;
  for (const RuleChange& c : compare_rules(parse(before), parse(after))) {
    const char* kinds[] = {"+", "-", "!", "~"};
    out += kinds[static_cast<int>(c.kind)] + c.name + " ";
  }
  return out;
}

TEST(FilterDiff, NamesWhatComesGoesChangesAndMoves) {
  const char* abc = "rule a drop\nrule b pass\nrule c accept\n";
  EXPECT_EQ(compared(abc, abc), "");
  EXPECT_EQ(compared("", abc), "+a +b +c ");
  EXPECT_EQ(compared(abc, ""), "-a -b -c ");
  EXPECT_EQ(compared(abc, "rule a drop\nrule x drop\nrule c accept\n"), "-b +x ");
  EXPECT_EQ(compared(abc, "rule a pass\nrule b pass\nrule c accept\n"), "!a ");
  EXPECT_EQ(compared(abc, "rule c accept\nrule a drop\nrule b pass\n"), "~c ") << "the fewest moves";
  EXPECT_EQ(compared(abc, "rule c accept\nrule x drop\nrule a drop\n"), "-b ~c +x ");
}

}  // namespace
}  // namespace weir::control
