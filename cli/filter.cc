// SPDX-License-Identifier: MIT
// weir filter add, del, list, flush, confirm, rollback. Those that take a file: filter_apply.cc.
#include "weir/control/filter.h"

#include <fmt/core.h>

#include "filter_change.h"
#include "guard.h"
#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/caps.h"
#include "weir/control/heartbeat.h"
#include "words.h"

namespace weir::cli {
namespace {

using control::Capability;

std::string protocol_text(const control::Rule& rule) {
  return rule.protocol == 0 ? "any" : control::ip_protocol_name(rule.protocol);
}

// What has no column of its own.
std::string more(const control::Rule& rule) {
  control::Rule rest = rule;
  rest.source = rest.destination = {};
  rest.source_set = rest.destination_set = {};
  rest.protocol = 0;
  rest.port = {};
  const std::string text = rest.to_string();
  const auto space = text.find(' ');
  return space == std::string::npos ? "-" : text.substr(space + 1);
}

Json to_json(const std::string& interface, const control::Rule& rule) {
  Json out;
  out["interface"] = interface;
  out["name"] = rule.name;
  out["action"] = control::action_name(rule.action);
  out["proto"] = protocol_text(rule);
  out["from"] = control::source_text(rule);
  out["to"] = control::destination_text(rule);
  out["port"] = {rule.port.min, rule.port.max};
  out["rule"] = rule.to_string();
  out["packets"] = rule.hits.packets;
  out["bytes"] = rule.hits.bytes;
  return out;
}

Outcome<control::Rule> wanted_rule(const Context& context) {
  control::Rule rule;
  auto action = control::parse_action(context.args.get_or("action", ""));
  if (!action) return Err(action.error());
  rule.action = *action;
  if (const auto name = context.args.get("name")) {
    auto parsed = control::parse_rule_name(*name);
    if (!parsed) return Err(parsed.error());
    rule.name = std::move(*parsed);
  }
  for (const std::string_view word : control::rule_words()) {
    const auto value = context.args.get(word);
    if (!value) continue;
    if (const auto set = control::set_word(rule, word, word == "proto" && *value == "icmp6" ? "icmpv6" : *value); !set)
      return Err(set.error());
  }
  if (const auto sound = control::check_rule(rule); !sound) return Err(sound.error());
  return rule;
}

int say_settled(const Context& context, const std::string& interface, bool confirmed) {
  if (context.json)
    print_line({{"interface", interface}, {"confirmed", confirmed}});
  else
    print(fmt::format("{}: {}\n", interface,
                      confirmed ? "confirmed: the rules stay" : "the rules from before the change are in force again"));
  return kOk;
}

}  // namespace

Outcome<FilterChange> begin_filter_change(const Context& context) {
  if (const auto allowed =
          control::require_capabilities("filter", {Capability::bpf, Capability::net_admin, Capability::sys_admin});
      !allowed)
    return Err(allowed.error());
  auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  auto lock = control::Lock::acquire();
  if (!lock) return Err(lock.error());
  return FilterChange{std::move(*instance), std::move(*lock)};
}

Outcome<int> run_filter_confirm(const Context& context) {
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  if (const auto done = control::filter_confirm(change->instance.maps(), control::monotonic_now()); !done)
    return Err(done.error());
  return say_settled(context, change->instance.interface(), true);
}

Outcome<int> run_filter_rollback(const Context& context) {
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  if (const auto done = control::filter_rollback(change->instance.maps(), control::monotonic_now()); !done)
    return Err(done.error());
  return say_settled(context, change->instance.interface(), false);
}

Outcome<int> run_filter_add(const Context& context) {
  auto rule = wanted_rule(context);
  if (!rule) return Err(rule.error());
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  std::optional<std::uint32_t> position;
  if (const auto text = context.args.get("index")) {
    const auto number = parse_number(*text);
    if (!number) return Err(number.error());
    position = *number;
  }
  const auto guarded = guard_caller(context, change->instance);
  if (!guarded) return Err(guarded.error());
  const auto name = control::filter_add(change->instance.maps(), *rule, position, control::monotonic_now());
  if (!name) return Err(name.error());
  rule->name = *name;
  const std::string& interface = change->instance.interface();
  if (context.json) {
    Json out = to_json(interface, *rule);
    out["guard"] = sessions_json(*guarded);
    print_line(out);
  } else {
    print(fmt::format("{}: rule {}: {}\n", interface, *name, rule->to_string()));
  }
  return kOk;
}

Outcome<int> run_filter_del(const Context& context) {
  const std::string name = context.args.get_or("NAME", "");
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const auto rule = control::filter_del(change->instance.maps(), name, control::monotonic_now());
  if (!rule) return Err(rule.error());
  const std::string& interface = change->instance.interface();
  if (context.json)
    print_line(to_json(interface, *rule));
  else
    print(fmt::format("{}: removed rule {}: {}\n", interface, name, rule->to_string()));
  return kOk;
}

Outcome<int> run_filter_flush(const Context& context) {
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const auto removed = control::filter_flush(change->instance.maps(), control::monotonic_now());
  if (!removed) return Err(removed.error());
  const std::string& interface = change->instance.interface();
  if (context.json)
    print_line({{"interface", interface}, {"removed", *removed}});
  else
    print(fmt::format("{}: removed {}\n", interface, count_text(*removed, "rule", "rules")));
  return kOk;
}

Outcome<int> run_filter_list(const Context& context) {
  const auto instances = choose_instances(context.args.get("dev"));
  if (!instances) return Err(instances.error());
  Json list = Json::array();
  Columns columns({{"DEV"},
                   {"NAME"},
                   {"ACTION"},
                   {"PROTO"},
                   {"FROM"},
                   {"TO"},
                   {"PORT"},
                   {"MORE"},
                   {"PACKETS", Columns::Align::right},
                   {"BYTES", Columns::Align::right}});
  std::string trials;
  for (const control::Instance& instance : *instances) {
    const auto state = control::filter_state(instance.maps(), control::monotonic_now());
    if (!state) return Err(state.error());
    if (state->pending)
      trials += fmt::format("{}: on trial for another {}: `weir filter confirm` keeps them\n", instance.interface(),
                            seconds_text(*state->pending));
    for (const control::Rule& rule : state->rules) {
      list.push_back(to_json(instance.interface(), rule));
      columns.row({instance.interface(), rule.name, control::action_name(rule.action), protocol_text(rule),
                   control::source_text(rule), control::destination_text(rule), rule.port.to_string(), more(rule),
                   std::to_string(rule.hits.packets), std::to_string(rule.hits.bytes)});
    }
  }
  if (context.json) {
    Json out;
    out["rules"] = std::move(list);
    print_line(out);
  } else {
    print((columns.empty() ? "no rules: every frame is accepted\n" : columns.text()) + trials);
  }
  return kOk;
}

}  // namespace weir::cli
