// SPDX-License-Identifier: MIT
// weir [-n NETNS] [-j] OBJECT [VERB] ...: finds the command in the table, enters the namespace, runs it.
// Exit status: 0 done, 1 the operation failed, 2 what was typed is not understood.
#include <fmt/core.h>

#include <algorithm>
#include <exception>

#include "output.h"
#include "table.h"
#include "version.h"
#include "weir/common/abi.h"
#include "weir/control/netns.h"

namespace weir::cli {
namespace {

struct Globals {
  std::optional<std::string> netns;
  bool json = false;
  bool help = false;
  bool version = false;
};

// One line, whatever words it quotes: a name may hold line ends, or what a terminal obeys.
void print_error(std::string_view message) {
  // One line, of which nothing is obeyed: it may quote what a file or a packet holds.
  std::string line(message);
  for (char& c : line) {
    if (static_cast<unsigned char>(c) < 0x20) c = '?';
  }
  fmt::print(stderr, "weir: {}\n", harmless(line));
}

int usage_error(std::string_view message) {
  print_error(message);
  return kUsage;
}

// Takes the global options out of `words`, wherever they stand before "--".
std::optional<UsageError> take_globals(std::vector<std::string>& words, Globals& globals) {
  std::vector<std::string> left;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      left.insert(left.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
    if (word == "-j" || word == "--json") {
      globals.json = true;
    } else if (word == "-h" || word == "--help") {
      globals.help = true;
    } else if (word == "-V" || word == "--version") {
      globals.version = true;
    } else if (word == "-n" || word == "--netns") {
      if (++i == words.size()) return UsageError{fmt::format("{} needs NETNS", word)};
      globals.netns = words[i];
    } else if (word.rfind("--netns=", 0) == 0) {
      globals.netns = word.substr(8);
    } else {
      left.push_back(word);
    }
  }
  words = std::move(left);
  return std::nullopt;
}

std::string unknown(std::string_view word, const std::vector<std::string>& known, std::string_view see) {
  if (const auto meant = nearest(word, known))
    return fmt::format("unknown word '{}': did you mean '{}'?", word, *meant);
  return fmt::format("unknown word '{}': see '{}'", word, see);
}

// What ip and nft call the same.
std::string canonical_verb(std::string_view object, const std::string& verb) {
  if (find_command(object, verb) != nullptr) return verb;
  if (verb == "delete" || verb == "rm") return "del";
  if (verb == "show" || verb == "ls") return "list";
  return verb;
}

int help(const std::vector<std::string>& about) {
  if (about.empty()) {
    print(overview());
    return kOk;
  }
  const auto objects = object_names();
  if (std::find(objects.begin(), objects.end(), about[0]) == objects.end())
    return usage_error(unknown(about[0], objects, "weir help"));
  if (about.size() == 1 || verb_names(about[0]).empty()) {
    print(object_help(about[0]));
    return kOk;
  }
  const Command* command = find_command(about[0], canonical_verb(about[0], about[1]));
  if (command == nullptr)
    return usage_error(unknown(about[1], verb_names(about[0]), fmt::format("weir {} help", about[0])));
  print(command_help(*command));
  return kOk;
}

int run_command(const Command& command, const std::vector<std::string>& words, const Globals& globals) {
  auto parsed = parse_arguments(command.grammar, command.rest, words, command.name());
  if (!parsed) return usage_error(parsed.error().message);

  std::optional<control::NetnsScope> scope;
  if (globals.netns) {
    auto entered = control::NetnsScope::enter(*globals.netns);
    if (!entered) {
      print_error(entered.error().message);
      return kFailed;
    }
    scope.emplace(std::move(*entered));
  }
  const Context context{std::move(*parsed), globals.json};
  const Outcome<int> done = command.run(context);
  const bool written = finish_output();
  if (!done) {
    print_error(done.error().message);
    return kFailed;
  }
  return written ? *done : kFailed;
}

int dispatch(std::vector<std::string> words) {
  if (!words.empty() && words[0] == "__complete") {
    words.erase(words.begin());
    for (const std::string& candidate : complete(std::move(words))) print(candidate + "\n");
    return kOk;
  }
  Globals globals;
  if (const auto error = take_globals(words, globals)) return usage_error(error->message);
  if (globals.version) {
    if (globals.json)
      print_line({{"version", kVersion}, {"abi", WEIR_ABI_VERSION}});
    else
      print(fmt::format("weir {}, map ABI {}\n", kVersion, WEIR_ABI_VERSION));
    return kOk;
  }
  if (words.empty()) {
    if (globals.help) return help({});
    fmt::print(stderr, "{}", usage());
    return kUsage;
  }
  if (words[0] == "help" && globals.json) {
    print_line(grammar_json());
    return kOk;
  }
  if (words[0] == "help") return help({words.begin() + 1, words.end()});
  const auto objects = object_names();
  if (std::find(objects.begin(), objects.end(), words[0]) == objects.end())
    return usage_error(unknown(words[0], objects, "weir help"));

  const std::string object = words[0];
  words.erase(words.begin());
  const auto asks_help = [&] { return globals.help || (!words.empty() && words[0] == "help"); };
  std::string verb;
  if (const auto verbs = verb_names(object); !verbs.empty()) {
    if (words.empty() || words[0] == "help") {
      if (asks_help()) return help({object});
      verb = "list";  // as `ip route` alone lists routes
    } else {
      verb = canonical_verb(object, words[0]);
      if (find_command(object, verb) == nullptr)
        return usage_error(
            fmt::format("{}: {}", object, unknown(words[0], verbs, fmt::format("weir {} help", object))));
      words.erase(words.begin());
    }
  }
  if (asks_help()) return help(verb.empty() ? std::vector{object} : std::vector{object, verb});
  return run_command(*find_command(object, verb), words, globals);
}

}  // namespace
}  // namespace weir::cli

int main(int argc, char** argv) {
  try {
    const int status = weir::cli::dispatch({argv + 1, argv + argc});
    return status == weir::cli::kOk && !weir::cli::finish_output() ? weir::cli::kFailed : status;
  } catch (const std::exception& error) {
    fmt::print(stderr, "weir: {}\n", error.what());
    return weir::cli::kFailed;
  }
}
