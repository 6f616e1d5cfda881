// SPDX-License-Identifier: MIT
#include "weir/tcp/congestion/registry.h"

#include <algorithm>
#include <utility>

#include "weir/tcp/congestion/bbr.h"
#include "weir/tcp/congestion/cubic.h"
#include "weir/tcp/congestion/dctcp.h"
#include "weir/tcp/congestion/new_reno.h"

namespace weir::tcp {
namespace {

template <class C>
std::unique_ptr<Controller> make_one() {
  return std::make_unique<C>();
}

bool is_name(std::string_view name) {
  auto allowed = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'; };
  return !name.empty() && name.size() <= ControllerRegistry::kMostNameBytes &&
         std::all_of(name.begin(), name.end(), allowed);
}

}  // namespace

ControllerRegistry::ControllerRegistry() {
  entries_.push_back({"cubic", make_one<Cubic>});
  entries_.push_back({"reno", make_one<NewReno>});
  entries_.push_back({"bbr", make_one<Bbr>});
  entries_.push_back({"dctcp", make_one<Dctcp>});
}

bool ControllerRegistry::add(std::string_view name, Factory make) {
  if (!make || !is_name(name)) return false;
  if (auto index = find(name)) {
    entries_[*index].make = std::move(make);
    return true;
  }
  if (entries_.size() >= kMostControllers) return false;
  entries_.push_back({std::string(name), std::move(make)});
  return true;
}

std::optional<ControllerIndex> ControllerRegistry::find(std::string_view name) const {
  for (std::size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].name == name) return static_cast<ControllerIndex>(i);
  }
  return std::nullopt;
}

std::vector<std::string> ControllerRegistry::names() const {
  std::vector<std::string> list;
  for (const Entry& entry : entries_) list.push_back(entry.name);
  return list;
}

std::unique_ptr<Controller> ControllerRegistry::make(ControllerIndex index) const { return entries_.at(index).make(); }

}  // namespace weir::tcp
