// SPDX-License-Identifier: MIT
#include <fmt/core.h>

#include <cerrno>

#include "output.h"
#include "table.h"

namespace weir::cli {
namespace {

Outcome<std::vector<control::InstanceSummary>> here() {
  auto all = control::list();
  if (!all) return all;
  std::vector<control::InstanceSummary> live;
  for (auto& summary : *all)
    if (!summary.stale) live.push_back(std::move(summary));
  return live;
}

constexpr const char* kNowhere = "weir is attached to no interface of this network namespace: `weir attach IFACE`";

}  // namespace

Outcome<control::Instance> choose_instance(const std::optional<std::string>& interface) {
  if (interface) return control::Instance::open(*interface);
  const auto found = here();
  if (!found) return Err(found.error());
  if (found->empty()) return fail(kNowhere, ENOENT);
  if (found->size() == 1) return control::Instance::open(found->front());
  std::vector<std::string> names;
  for (const auto& summary : *found) names.push_back(summary.interface);
  return fail(fmt::format("weir is attached to {}: name one of them", join(names)), EINVAL);
}

Outcome<std::vector<control::Instance>> choose_instances(const std::optional<std::string>& interface) {
  std::vector<control::Instance> out;
  if (interface) {
    auto instance = control::Instance::open(*interface);
    if (!instance) return Err(instance.error());
    out.push_back(std::move(*instance));
    return out;
  }
  const auto found = here();
  if (!found) return Err(found.error());
  for (const auto& summary : *found) {
    auto instance = control::Instance::open(summary);
    if (!instance) return Err(instance.error());
    out.push_back(std::move(*instance));
  }
  if (out.empty()) return fail(kNowhere, ENOENT);
  return out;
}

}  // namespace weir::cli
