// SPDX-License-Identifier: MIT
#include "engine_answer.h"

#include <fmt/core.h>

#include <cerrno>

#include "weir/control/engine_protocol.h"
#include "weir/control/status.h"

namespace weir::cli {
namespace {

constexpr Duration kPatience = Duration::seconds(1);

}  // namespace

Outcome<Json> ask_engine(const control::Instance& instance, const Json& request) {
  const std::string& interface = instance.interface();
  const std::string path = control::engine_socket_path(instance.config().netns_cookie, instance.ifindex());
  const auto answer = control::ask_engine(path, request.dump(), kPatience);
  if (!answer) {
    const int code = answer.error().code;
    if (code == ENOENT || code == ECONNREFUSED)
      return fail(
          fmt::format("no engine runs on {}: `weir run --interface {} -- SERVER` starts one", interface, interface),
          ENOENT);
    if (code == ETIMEDOUT)
      return fail(fmt::format("the engine on {} is stopped: it did not answer within {}; `weir status {}` has its pid",
                              interface, seconds_text(kPatience), interface),
                  ETIMEDOUT);
    return Err(answer.error());
  }
  Json document = Json::parse(*answer, nullptr, false);
  if (document.is_object() && document.contains("error") && document["error"].is_string())
    return fail(fmt::format("{}: {}", interface, document["error"].get<std::string>()), EINVAL);
  if (!document.is_object() || !document.value("ok", false))
    return fail(
        fmt::format("the engine on {} gave an answer that is not understood: is it of another version?", interface),
        EPROTO);
  document.erase("ok");
  document["interface"] = interface;
  return document;
}

}  // namespace weir::cli
