// SPDX-License-Identifier: MIT
// Completion: the shells' scripts ask `weir __complete WORD...`, and the answer is read from the command table.
#include <dirent.h>
#include <net/if.h>

#include <algorithm>
#include <memory>

#include "completions.h"
#include "output.h"
#include "table.h"
#include "weir/control/filter.h"
#include "weir/control/heartbeat.h"
#include "weir/control/stats.h"

namespace weir::cli {
namespace {

std::vector<std::string> interfaces() {
  std::vector<std::string> names;
  struct Free {
    void operator()(struct if_nameindex* list) const { if_freenameindex(list); }
  };
  const std::unique_ptr<struct if_nameindex, Free> list(if_nameindex());
  if (list == nullptr) return names;
  for (const struct if_nameindex* entry = list.get(); entry->if_index != 0; ++entry) names.emplace_back(entry->if_name);
  return names;
}

std::vector<std::string> namespaces() {
  std::vector<std::string> names;
  DIR* directory = opendir("/run/netns");
  if (directory == nullptr) return names;
  while (const dirent* entry = readdir(directory))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  closedir(directory);
  return names;
}

// What lies in the directory that `word` is in; directories end in a slash.
std::vector<std::string> paths(const std::string& word) {
  const auto slash = word.rfind('/');
  const std::string directory = slash == std::string::npos ? "" : word.substr(0, slash + 1);
  std::vector<std::string> names;
  DIR* open = opendir(directory.empty() ? "." : directory.c_str());
  if (open == nullptr) return names;
  while (const dirent* entry = readdir(open))
    if (entry->d_name[0] != '.') names.push_back(directory + entry->d_name + (entry->d_type == DT_DIR ? "/" : ""));
  closedir(open);
  return names;
}

// Of the instances that this user may read.
std::vector<std::string> sets() {
  std::vector<std::string> names;
  const auto instances = choose_instances(std::nullopt);
  if (!instances) return names;
  for (const control::Instance& instance : *instances) {
    const auto state =
        control::filter_state(instance.maps(), control::monotonic_now(), control::RuleCounters::leave_out);
    if (!state) continue;
    for (const std::string& name : state->sets)
      if (!name.empty()) names.push_back(name);
  }
  return names;
}

std::vector<std::string> values(const Arg& arg, const std::string& prefix) {
  std::vector<std::string> out;
  switch (arg.value) {
    case Value::interface:
      return interfaces();
    case Value::netns:
      return namespaces();
    case Value::file:
      return paths(prefix);
    case Value::set_name:
      return sets();
    case Value::addresses:
      for (const std::string& name : sets()) out.push_back("@" + name);
      return out;
    case Value::protocol:
      return {"tcp", "udp", "icmp", "icmpv6"};
    case Value::verdicts:
      return {"pass", "drop", "steer", "send"};
    case Value::reasons:
      for (const control::ReasonFacts& facts : control::reasons())
        if (control::is_of_xdp(facts)) out.emplace_back(facts.name);
      return out;
    case Value::choice:
      for (std::string_view choice : split(arg.metavar, '|')) out.emplace_back(choice);
      return out;
    default:
      return out;
  }
}

// The words that may follow `given` (complete ones) in a command.
std::vector<std::string> arguments(const Command& command, const std::vector<std::string>& given, bool options,
                                   const std::string& prefix) {
  std::vector<bool> used(command.grammar.size());
  for (std::size_t at = 0; at < given.size(); ++at) {
    bool taken = false;
    for (std::size_t i = 0; i < command.grammar.size() && !taken; ++i) {
      const Arg& arg = command.grammar[i];
      const bool by_name = arg.shape == Shape::keyword || arg.shape == Shape::option;
      if (by_name && (given[at] == arg.name || (!arg.brief.empty() && given[at] == arg.brief))) {
        taken = used[i] = true;
        if (arg.value == Value::none) continue;
        if (++at == given.size()) return values(arg, prefix);
      } else if (arg.shape == Shape::word) {
        const auto choices = values(arg, prefix);
        taken = std::find(choices.begin(), choices.end(), given[at]) != choices.end();
        used[i] = used[i] || taken;
      }
    }
    for (std::size_t i = 0; i < command.grammar.size() && !taken; ++i)
      if (command.grammar[i].shape == Shape::positional && !used[i]) taken = used[i] = true;
  }
  std::vector<std::string> out;
  bool positional = false;
  for (std::size_t i = 0; i < command.grammar.size(); ++i) {
    const Arg& arg = command.grammar[i];
    if (used[i] || (arg.shape == Shape::option) != options) continue;
    if (arg.shape == Shape::positional && positional) continue;  // one at a time, in their order
    positional = positional || arg.shape == Shape::positional;
    if (arg.shape == Shape::option || arg.shape == Shape::keyword)
      out.emplace_back(arg.name);
    else
      for (std::string& value : values(arg, prefix)) out.push_back(std::move(value));
  }
  if (command.rest == Rest::command) out.emplace_back("--");
  return out;
}

}  // namespace

std::vector<std::string> complete(std::vector<std::string> words) {
  if (words.empty()) words.emplace_back();
  const std::string prefix = words.back();
  words.pop_back();

  std::vector<std::string> candidates;
  std::vector<std::string> plain;
  bool netns = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "-n" || words[i] == "--netns") {
      netns = ++i == words.size();
    } else if (words[i] != "-j" && words[i] != "--json") {
      plain.push_back(words[i]);
    }
  }
  const bool options = prefix.size() >= 1 && prefix[0] == '-';
  if (netns) {
    candidates = namespaces();
  } else {
    const Command* command = nullptr;
    if (plain.empty() || plain[0] == "help") {
      if (plain.size() < 2) candidates = object_names();
      if (plain.size() == 2) candidates = verb_names(plain[1]);
      if (plain.empty()) candidates.emplace_back("help");
    } else if (const auto verbs = verb_names(plain[0]); verbs.empty()) {
      command = find_command(plain[0], "");
    } else if (plain.size() == 1) {
      candidates = verbs;
    } else {
      command = find_command(plain[0], plain[1]);
    }
    if (command != nullptr) {
      const auto from = plain.begin() + (command->verb.empty() ? 1 : 2);
      candidates = arguments(*command, {from, plain.end()}, options, prefix);
    }
    if (options)
      for (const GlobalOption& option : global_options()) candidates.emplace_back(option.name);
  }
  std::vector<std::string> out;
  for (std::string& candidate : candidates)
    if (candidate.compare(0, prefix.size(), prefix) == 0) out.push_back(std::move(candidate));
  return out;
}

Outcome<int> run_completion(const Context& context) {
  const std::string shell = context.args.get_or("shell", "");
  print(shell == "bash" ? kBashCompletion : shell == "zsh" ? kZshCompletion : kFishCompletion);
  return kOk;
}

}  // namespace weir::cli
