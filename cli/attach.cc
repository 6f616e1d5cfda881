// SPDX-License-Identifier: MIT
// weir attach, weir detach.
#include <fmt/core.h>

#include <cerrno>
#include <cstdio>

#include "guard.h"
#include "output.h"
#include "table.h"
#include "weir/control/caps.h"
#include "weir/control/lock.h"
#include "words.h"

namespace weir::cli {
namespace {

std::vector<std::string> texts(const std::vector<IpAddress>& addresses) {
  std::vector<std::string> out;
  for (const IpAddress& address : addresses) out.push_back(address.to_string());
  return out;
}

Json to_json(const control::AttachReport& r, const std::vector<control::SshSession>& guarded) {
  return {{"interface", r.interface},
          {"ifindex", r.ifindex},
          {"netns_cookie", r.netns_cookie},
          {"mode", mode_name(r.mode)},
          {"program_id", r.program_id},
          {"abi", WEIR_ABI_VERSION},
          {"checksums", r.partial_checksums ? "partial" : "verify"},
          {"bypass_firewall", r.bypass_firewall},
          {"replaced", r.replaced},
          {"shared", r.shared},
          {"receive_queues", r.queues},
          {"addresses", texts(r.addresses)},
          {"notes", r.notes},
          {"guard", sessions_json(guarded)}};
}

std::string to_text(const control::AttachReport& r) {
  std::string out =
      fmt::format("{}: {}, {} mode, program id {}, {}\n", r.interface,
                  r.replaced ? "replaced"
                  : r.shared ? "attached beside others by libxdp's dispatcher"
                             : "attached",
                  mode_name(r.mode), r.program_id, count_text(r.queues, "receive queue", "receive queues"));
  for (const std::string& note : r.notes) out += fmt::format("  {}\n", note);
  return out;
}

Json to_json(const control::DetachReport& r) {
  return {{"interface", r.interface},
          {"removed", r.removed},
          {"flows_reset", r.flows_reset},
          {"stale", r.stale},
          {"engine_unresponsive", r.engine_unresponsive}};
}

std::string to_text(const control::DetachReport& r) {
  std::string out = fmt::format("{}: detached", r.interface);
  if (r.stale) out += ": what an interrupted attach, or an interface or namespace that is gone, had left";
  if (r.flows_reset > 0) out += fmt::format(", {} reset", count_text(r.flows_reset, "flow", "flows"));
  out += "\n";
  if (r.engine_unresponsive)
    out += "  the engine did not close its sockets in time: its queue is free when that process ends\n";
  return out;
}

// After the attach, which takes the lock itself: nothing is filtered or steered yet that was not before.
Outcome<std::vector<control::SshSession>> guard_attached(const Context& context, const std::string& interface) {
  const auto because = [&](const Error& e) {
    return fail(fmt::format("{} is attached, but your SSH session is not guarded: {}", interface, e.message), e.code);
  };
  const auto instance = control::Instance::open(interface);
  if (!instance) return because(instance.error());
  const auto lock = control::Lock::acquire();
  if (!lock) return because(lock.error());
  auto guarded = guard_caller(context, *instance);
  if (!guarded) return because(guarded.error());
  return guarded;
}

}  // namespace

Outcome<int> run_attach(const Context& context) {
  if (const auto allowed = control::require_capabilities("attach", control::kAttachCapabilities); !allowed)
    return Err(allowed.error());
  control::AttachOptions options;
  options.interface = context.args.get_or("IFACE", "");
  const std::string mode = context.args.get_or("--mode", "auto");
  if (mode == "native") options.mode = control::AttachMode::native;
  if (mode == "generic") options.mode = control::AttachMode::generic;
  const std::string checksum = context.args.get_or("--checksum", "auto");
  if (checksum == "verify") options.checksum = control::ChecksumChoice::verify;
  if (checksum == "partial") options.checksum = control::ChecksumChoice::partial;
  options.bypass_firewall = context.args.has("--bypass-firewall");
  options.replace = context.args.has("--replace");
  options.shared = context.args.has("--shared");
  std::string log;
  if (context.args.has("--verbose")) options.log = &log;

  const auto report = control::attach(options);
  std::fputs(log.c_str(), stderr);
  if (!report) {
    // --replace, which the error advises, is no way out where the maps are of another ABI.
    if (report.error().code == EEXIST)
      if (const auto present = control::Instance::open(options.interface); !present) return Err(present.error());
    return Err(report.error());
  }
  const auto guarded = guard_attached(context, options.interface);
  if (!guarded) return Err(guarded.error());
  if (context.json)
    print_line(to_json(*report, *guarded));
  else
    print(to_text(*report));
  return kOk;
}

Outcome<int> run_detach(const Context& context) {
  if (const auto allowed = control::require_capabilities("detach", control::kAttachCapabilities); !allowed)
    return Err(allowed.error());
  control::DetachOptions options;
  options.interface = context.args.get_or("IFACE", "");
  options.force = context.args.has("--force");
  const auto report = control::detach(options);
  if (!report) return Err(report.error());
  if (context.json)
    print_line(to_json(*report));
  else
    print(to_text(*report));
  return kOk;
}

}  // namespace weir::cli
