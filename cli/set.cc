// SPDX-License-Identifier: MIT
// weir set list, show, add, del, load, flush, test.
#include <fmt/core.h>

#include <cerrno>

#include "files.h"
#include "filter_change.h"
#include "output.h"
#include "set_stream.h"
#include "table.h"
#include "weir/control/heartbeat.h"
#include "weir/control/sets.h"

namespace weir::cli {
namespace {

std::string entries_text(std::uint64_t n) { return count_text(n, "entry", "entries"); }

Json to_json(const control::SetItem& item) {
  return {{"entry", control::to_string(item.prefix)}, {"ttl", item.ttl == 0 ? Json(nullptr) : Json(item.ttl)}};
}

Outcome<std::vector<control::SetPrefix>> wanted_prefixes(const Context& context) {
  return control::parse_set_prefixes(context.args.get_or("PREFIX", ""));
}

}  // namespace

Outcome<int> run_set_list(const Context& context) {
  const auto instances = choose_instances(context.args.get("dev"));
  if (!instances) return Err(instances.error());
  Json list = Json::array();
  Columns columns({{"DEV"},
                   {"SET"},
                   {"IPV4", Columns::Align::right},
                   {"IPV6", Columns::Align::right},
                   {"WITH TTL", Columns::Align::right},
                   {"RULES"}});
  for (const control::Instance& instance : *instances) {
    const auto sets = control::list_sets(instance.maps(), control::monotonic_now());
    if (!sets) return Err(sets.error());
    for (const control::SetInfo& set : *sets) {
      list.push_back({{"interface", instance.interface()},
                      {"name", set.name},
                      {"entries", set.v4 + set.v6},
                      {"ipv4", set.v4},
                      {"ipv6", set.v6},
                      {"with_ttl", set.ending},
                      {"rules", set.rules}});
      columns.row({instance.interface(), set.name, std::to_string(set.v4), std::to_string(set.v6),
                   std::to_string(set.ending), set.rules.empty() ? "-" : join(set.rules)});
    }
  }
  if (context.json)
    print_line({{"sets", std::move(list)}});
  else
    print(columns.empty() ? "no sets: `weir set load NAME FILE` makes one\n" : columns.text());
  return kOk;
}

Outcome<int> run_set_show(const Context& context) {
  const auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  const std::string name = context.args.get_or("SET", "");
  const auto items = control::show_set(instance->maps(), name, control::monotonic_now());
  if (!items) return Err(items.error());
  if (context.json) {
    Json list = Json::array();
    for (const control::SetItem& item : *items) list.push_back(to_json(item));
    print_line({{"interface", instance->interface()}, {"name", name}, {"entries", std::move(list)}});
    return kOk;
  }
  for (const control::SetItem& item : *items) print(control::to_string(item) + "\n");
  return kOk;
}

Outcome<int> run_set_add(const Context& context) {
  const std::string name = context.args.get_or("SET", "");
  const auto ttl_text = context.args.get("ttl");
  if (!context.args.has("PREFIX")) {
    if (ttl_text) return fail("ttl is of an entry: write it after one", EINVAL);
    const auto change = begin_filter_change(context);
    if (!change) return Err(change.error());
    const auto made = control::make_set(change->instance.maps(), name, control::monotonic_now());
    if (!made) return Err(made.error());
    if (context.json)
      print_line({{"interface", change->instance.interface()}, {"name", name}, {"made", *made}});
    else
      print(fmt::format("{}: set {} {}\n", change->instance.interface(), name,
                        *made ? "made" : "is there already: nothing was changed"));
    return kOk;
  }
  std::uint32_t ttl = 0;
  if (ttl_text) {
    const auto parsed = control::parse_ttl(*ttl_text);
    if (!parsed) return Err(parsed.error());
    ttl = *parsed;
  }
  if (context.args.get_or("PREFIX", "") == "-") return stream_set_changes(context, control::SetVerb::add, ttl);
  const auto prefixes = wanted_prefixes(context);
  if (!prefixes) return Err(prefixes.error());
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const auto added = control::add_to_set(change->instance.maps(), name, *prefixes, ttl, control::monotonic_now());
  if (!added) return Err(added.error());
  const std::string& interface = change->instance.interface();
  if (context.json)
    print_line(
        {{"interface", interface}, {"name", name}, {"changed", added->changed}, {"unchanged", added->unchanged}});
  else if (added->changed == 0)
    print(fmt::format("{}: set {} has {} already{}\n", interface, name, context.args.get_or("PREFIX", ""),
                      ttl != 0 ? ", and it stays" : ""));
  else
    print(fmt::format("{}: set {}: {} in{}{}\n", interface, name, entries_text(added->changed),
                      ttl != 0 ? fmt::format(" for {} s", ttl) : "",
                      added->unchanged != 0 ? fmt::format(", {} there already", added->unchanged) : ""));
  return kOk;
}

Outcome<int> run_set_del(const Context& context) {
  const std::string name = context.args.get_or("SET", "");
  if (!context.args.has("PREFIX")) {
    const auto change = begin_filter_change(context);
    if (!change) return Err(change.error());
    const auto removed = control::delete_set(change->instance.maps(), name, control::monotonic_now());
    if (!removed) return Err(removed.error());
    if (context.json)
      print_line({{"interface", change->instance.interface()}, {"name", name}, {"removed", *removed}});
    else
      print(fmt::format("{}: removed set {} with {}\n", change->instance.interface(), name, entries_text(*removed)));
    return kOk;
  }
  if (context.args.get_or("PREFIX", "") == "-") return stream_set_changes(context, control::SetVerb::del, 0);
  const auto prefixes = wanted_prefixes(context);
  if (!prefixes) return Err(prefixes.error());
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const xdp::Maps& maps = change->instance.maps();
  const Instant now = control::monotonic_now();
  const auto removed = control::remove_from_set(maps, name, *prefixes, now);
  if (!removed) return Err(removed.error());
  const std::string entry = context.args.get_or("PREFIX", "");
  // What still has the addresses in the set.
  const auto covered = control::test_set(maps, name, prefixes->front(), now);
  if (!covered) return Err(covered.error());
  const std::string still =
      covered->empty() ? "" : fmt::format("; {} covers it still", control::to_string(covered->front()));
  if (removed->changed == 0)
    return fail(fmt::format("set {} has no entry {}{}: `weir set show {}` lists them", name, entry, still, name),
                ENOENT);
  if (context.json)
    print_line({{"interface", change->instance.interface()},
                {"name", name},
                {"changed", removed->changed},
                {"unchanged", removed->unchanged},
                {"covered_by", covered->empty() ? Json(nullptr) : Json(control::to_string(covered->front().prefix))}});
  else
    print(fmt::format("{}: set {}: {} out{}\n", change->instance.interface(), name, entries_text(removed->changed),
                      still));
  return kOk;
}

Outcome<int> run_set_load(const Context& context) {
  const std::string name = context.args.get_or("SET", "");
  const auto items = read_set_list(context.args.get_or("FILE", ""));
  if (!items) return Err(items.error());
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const auto loaded = control::load_set(change->instance.maps(), name, *items, control::monotonic_now());
  if (!loaded) return Err(loaded.error());
  if (context.json)
    print_line({{"interface", change->instance.interface()},
                {"name", name},
                {"made", loaded->made},
                {"before", loaded->before},
                {"entries", loaded->after}});
  else
    print(fmt::format("{}: set {}: {} in force{}\n", change->instance.interface(), name, entries_text(loaded->after),
                      loaded->made ? "" : fmt::format(", in the place of {}", loaded->before)));
  return kOk;
}

Outcome<int> run_set_flush(const Context& context) {
  const std::string name = context.args.get_or("SET", "");
  const auto change = begin_filter_change(context);
  if (!change) return Err(change.error());
  const xdp::Maps& maps = change->instance.maps();
  // load_set would make one.
  if (const auto there = control::test_set(maps, name, {}, control::monotonic_now()); !there) return Err(there.error());
  const auto flushed = control::load_set(maps, name, {}, control::monotonic_now());
  if (!flushed) return Err(flushed.error());
  if (context.json)
    print_line({{"interface", change->instance.interface()}, {"name", name}, {"removed", flushed->before}});
  else
    print(fmt::format("{}: set {}: {} out\n", change->instance.interface(), name, entries_text(flushed->before)));
  return kOk;
}

Outcome<int> run_set_test(const Context& context) {
  const std::string name = context.args.get_or("SET", "");
  const std::string text = context.args.get_or("ADDRESS", "");
  const auto addresses = control::parse_set_prefixes(text);
  if (!addresses) return Err(addresses.error());
  if (addresses->size() != 1)
    return fail(fmt::format("'{}' is more than one network: test them one by one", text), EINVAL);
  const auto instance = choose_instance(context.args.get("dev"));
  if (!instance) return Err(instance.error());
  const auto found = control::test_set(instance->maps(), name, addresses->front(), control::monotonic_now());
  if (!found) return Err(found.error());
  if (context.json) {
    Json list = Json::array();
    for (const control::SetItem& item : *found) list.push_back(to_json(item));
    print_line({{"interface", instance->interface()},
                {"name", name},
                {"address", text},
                {"member", !found->empty()},
                {"entries", std::move(list)}});
  } else if (found->empty()) {
    print(fmt::format("{} is not in {}\n", text, name));
  } else {
    std::vector<std::string> by;
    for (const control::SetItem& item : *found) by.push_back(control::to_string(item));
    print(fmt::format("{} is in {}, by {}\n", text, name, join(by)));
  }
  return found->empty() ? kFailed : kOk;
}

}  // namespace weir::cli
