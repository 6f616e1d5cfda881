// SPDX-License-Identifier: MIT
// Help, written from the command table: the grammar, what each word means, and one real example.
#include <fmt/core.h>

#include "output.h"
#include "table.h"

namespace weir::cli {
namespace {

std::string options_text() {
  std::string out = "Options, before or after the object:\n";
  for (const GlobalOption& option : global_options()) {
    const std::string both = fmt::format("{}, {} {}", option.brief, option.name, option.metavar);
    out += fmt::format("  {:<20}{}\n", both, option.help);
  }
  return out;
}

const char* shape_name(Shape shape) {
  switch (shape) {
    case Shape::positional:
      return "positional";
    case Shape::keyword:
      return "keyword";
    case Shape::word:
      return "word";
    case Shape::option:
      return "option";
  }
  return "";
}

}  // namespace

std::string overview() {
  std::string out = "Usage: weir [-n NETNS] [-j] OBJECT [VERB] [ARGUMENTS]\n\n";
  for (const Command& command : commands()) out += fmt::format("  {:<17}{}\n", command.name(), command.summary);
  out +=
      fmt::format("\n{}\n`weir help OBJECT` or `weir OBJECT help` has the grammar of each; weir(8) has everything.\n",
                  options_text());
  return out;
}

std::string usage() {
  std::string out = "Usage: weir [-n NETNS] [-j] OBJECT [VERB] [ARGUMENTS]\n\n";
  for (const std::string& object : object_names()) {
    const std::vector<std::string> verbs = verb_names(object);
    out += fmt::format("  {:<12}{}\n", object,
                       verbs.empty() ? std::string(find_command(object, "")->summary) : join(verbs, "|"));
  }
  return out + "\n`weir help` has a line for each verb, `weir help OBJECT` the grammar.\n";
}

Json grammar_json() {
  Json list = Json::array();
  for (const Command& command : commands()) {
    Json arguments = Json::array();
    for (const Arg& arg : command.grammar)
      arguments.push_back({{"name", arg.name},
                           {"shape", shape_name(arg.shape)},
                           {"metavar", arg.metavar},
                           {"required", arg.need == Need::required},
                           {"short", arg.brief.empty() ? Json(nullptr) : Json(arg.brief)},
                           {"implied", arg.implied.empty() ? Json(nullptr) : Json(arg.implied)},
                           {"help", arg.help}});
    list.push_back({{"object", command.object},
                    {"verb", command.verb.empty() ? Json(nullptr) : Json(command.verb)},
                    {"summary", command.summary},
                    {"grammar", grammar_text(command.grammar, command.rest)},
                    {"arguments", std::move(arguments)},
                    {"command_follows", command.rest == Rest::command},
                    {"example", command.example}});
  }
  Json options = Json::array();
  for (const GlobalOption& option : global_options())
    options.push_back(
        {{"name", option.name}, {"short", option.brief}, {"metavar", option.metavar}, {"help", option.help}});
  Json out;
  out["commands"] = std::move(list);
  out["options"] = std::move(options);
  return out;
}

std::string object_help(std::string_view object) {
  std::string out;
  const std::vector<std::string> verbs = verb_names(object);
  if (verbs.empty()) return command_help(*find_command(object, ""));
  out = "Usage:\n";
  for (const std::string& verb : verbs) {
    const Command& command = *find_command(object, verb);
    out += fmt::format("  weir {} {}\n", command.name(), grammar_text(command.grammar, command.rest));
    out += fmt::format("      {}\n", command.summary);
  }
  out += fmt::format("\n`weir {} VERB help` has the rest.\n", object);
  return out;
}

std::string command_help(const Command& command) {
  std::string out = fmt::format("Usage: weir {} {}\n\n{}\n", command.name(),
                                grammar_text(command.grammar, command.rest), command.summary);
  if (!command.details.empty()) out += command.details;
  if (!command.grammar.empty()) out += "\n";
  for (const Arg& arg : command.grammar) {
    std::string left(arg.shape == Shape::word ? arg.metavar : arg.name);
    if (!arg.brief.empty()) left = fmt::format("{}, {}", arg.brief, left);
    if (arg.shape == Shape::keyword || (arg.shape == Shape::option && arg.value != Value::none))
      left += fmt::format(" {}", arg.metavar);
    out += left.size() < 28 ? fmt::format("  {:<28}{}\n", left, arg.help)
                            : fmt::format("  {}\n  {:<28}{}\n", left, "", arg.help);
  }
  if (!command.example.empty()) out += fmt::format("\nExample: {}\n", command.example);
  return out;
}

}  // namespace weir::cli
