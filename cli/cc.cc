// SPDX-License-Identifier: MIT
// weir cc: the congestion control of an engine's connections.
#include <fmt/core.h>

#include "engine_answer.h"
#include "output.h"
#include "table.h"

namespace weir::cli {
namespace {

std::string to_text(const Json& document) {
  using Align = Columns::Align;
  Columns columns({{"NAME"}, {"NEW"}, {"CONNECTIONS", Align::right}});
  const std::string chosen = document.value("default", "");
  const Json running = document.value("connections", Json::object());
  for (const auto& [name, count] : running.items()) {
    const std::uint64_t n = count.is_number_unsigned() ? count.get<std::uint64_t>() : 0;
    columns.row({name, name == chosen ? "yes" : "", std::to_string(n)});
  }
  return columns.text();
}

}  // namespace

Outcome<int> run_cc_list(const Context& context) {
  const auto instance = choose_instance(context.args.get("IFACE"));
  if (!instance) return Err(instance.error());
  const auto document = ask_engine(*instance, {{"cmd", "cc"}});
  if (!document) return Err(document.error());
  if (context.json)
    print_line(*document);
  else
    print(to_text(*document));
  return kOk;
}

Outcome<int> run_cc_set(const Context& context) {
  const auto instance = choose_instance(context.args.get("IFACE"));
  if (!instance) return Err(instance.error());
  const std::string name = context.args.get_or("NAME", "");
  const auto document = ask_engine(*instance, {{"cmd", "cc_set"}, {"name", name}});
  if (!document) return Err(document.error());
  if (context.json) {
    print_line(*document);
    return kOk;
  }
  const auto changed = document->value("changed", std::uint64_t{0});
  const auto refused = document->value("refused", std::uint64_t{0});
  std::string line = fmt::format("{} on {}: new connections, and {} running", name, instance->interface(), changed);
  if (refused > 0) line += fmt::format("; {} kept theirs, without ECN", refused);
  print(line + "\n");
  return kOk;
}

}  // namespace weir::cli
