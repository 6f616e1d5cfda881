// SPDX-License-Identifier: MIT
// weir filter add, del, list, flush.
#include "weir/control/filter.h"

#include <fmt/core.h>

#include "output.h"
#include "table.h"
#include "values.h"
#include "weir/control/caps.h"
#include "weir/control/lock.h"
#include "words.h"

namespace weir::cli {
namespace {

using control::Capability;

struct Change {
  control::Instance instance;
  control::Lock lock;
};

Outcome<Change> begin(const Context& context) {
  if (const auto allowed = control::require_capabilities("filter", {Capability::bpf, Capability::net_admin}); !allowed)
    return Err(allowed.error());
  auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  auto lock = control::Lock::acquire();
  if (!lock) return Err(lock.error());
  return Change{std::move(*instance), std::move(*lock)};
}

std::string protocol_text(const control::Rule& rule) {
  return rule.protocol == 0 ? "any" : control::ip_protocol_name(rule.protocol);
}

// In the grammar of `filter add`, so that it can be typed again.
std::string grammar(const control::Rule& rule) {
  std::string out = control::action_name(rule.action);
  if (rule.protocol != 0) out += " proto " + protocol_text(rule);
  if (!rule.source.any) out += " from " + rule.source.to_string();
  if (!rule.destination.any) out += " to " + rule.destination.to_string();
  if (!rule.port.any()) out += " port " + rule.port.to_string();
  return out;
}

Json to_json(const std::string& interface, const control::Rule& rule) {
  Json out;
  out["interface"] = interface;
  out["id"] = rule.id;
  out["action"] = control::action_name(rule.action);
  out["proto"] = protocol_text(rule);
  out["from"] = rule.source.to_string();
  out["to"] = rule.destination.to_string();
  out["port"] = {rule.port.min, rule.port.max};
  out["rule"] = grammar(rule);
  out["packets"] = rule.hits.packets;
  out["bytes"] = rule.hits.bytes;
  return out;
}

Outcome<control::Rule> wanted_rule(const Context& context) {
  control::Rule rule;
  auto action = control::parse_action(context.args.get_or("action", ""));
  if (!action) return Err(action.error());
  rule.action = *action;
  if (const auto text = context.args.get("from")) {
    const auto prefix = control::parse_prefix(*text);
    if (!prefix) return Err(prefix.error());
    rule.source = *prefix;
  }
  if (const auto text = context.args.get("to")) {
    const auto prefix = control::parse_prefix(*text);
    if (!prefix) return Err(prefix.error());
    rule.destination = *prefix;
  }
  if (const auto text = context.args.get("proto")) {
    const auto protocol = parse_protocol(*text);
    if (!protocol) return Err(protocol.error());
    rule.protocol = *protocol;
  }
  if (const auto text = context.args.get("port")) {
    const auto port = control::parse_port_range(*text);
    if (!port) return Err(port.error());
    rule.port = *port;
  }
  if (const auto sound = control::check_rule(rule); !sound) return Err(sound.error());
  return rule;
}

}  // namespace

Outcome<int> run_filter_add(const Context& context) {
  auto rule = wanted_rule(context);
  if (!rule) return Err(rule.error());
  const auto change = begin(context);
  if (!change) return Err(change.error());
  std::optional<std::uint32_t> position;
  if (const auto text = context.args.get("index")) {
    const auto number = parse_number(*text);
    if (!number) return Err(number.error());
    position = *number;
  }
  const auto id = control::filter_add(change->instance.maps(), *rule, position);
  if (!id) return Err(id.error());
  rule->id = *id;
  const std::string& interface = change->instance.interface();
  if (context.json)
    print_line(to_json(interface, *rule));
  else
    print(fmt::format("{}: rule {}: {}\n", interface, *id, grammar(*rule)));
  return kOk;
}

Outcome<int> run_filter_del(const Context& context) {
  const auto id = parse_number(context.args.get_or("ID", ""));
  if (!id) return Err(id.error());
  const auto change = begin(context);
  if (!change) return Err(change.error());
  const auto rule = control::filter_del(change->instance.maps(), *id);
  if (!rule) return Err(rule.error());
  const std::string& interface = change->instance.interface();
  if (context.json)
    print_line(to_json(interface, *rule));
  else
    print(fmt::format("{}: removed rule {}: {}\n", interface, *id, grammar(*rule)));
  return kOk;
}

Outcome<int> run_filter_flush(const Context& context) {
  const auto change = begin(context);
  if (!change) return Err(change.error());
  const auto removed = control::filter_flush(change->instance.maps());
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
                   {"ID", Columns::Align::right},
                   {"ACTION"},
                   {"PROTO"},
                   {"FROM"},
                   {"TO"},
                   {"PORT"},
                   {"PACKETS", Columns::Align::right},
                   {"BYTES", Columns::Align::right}});
  for (const control::Instance& instance : *instances) {
    const auto rules = control::filter_list(instance.maps());
    if (!rules) return Err(rules.error());
    for (const control::Rule& rule : *rules) {
      list.push_back(to_json(instance.interface(), rule));
      columns.row({instance.interface(), std::to_string(rule.id), control::action_name(rule.action),
                   protocol_text(rule), rule.source.to_string(), rule.destination.to_string(), rule.port.to_string(),
                   std::to_string(rule.hits.packets), std::to_string(rule.hits.bytes)});
    }
  }
  if (context.json) {
    Json out;
    out["rules"] = std::move(list);
    print_line(out);
  } else {
    print(columns.empty() ? "no rules: every frame is accepted\n" : columns.text());
  }
  return kOk;
}

}  // namespace weir::cli
