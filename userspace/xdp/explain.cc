// SPDX-License-Identifier: MIT
#include "weir/xdp/explain.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "weir/xdp/program.h"

namespace weir::xdp {

Outcome<Explainer> Explainer::open(const std::string& directory, const weir_config& config) {
  auto link = read_link(directory);
  if (!link) return Err(link.error());
  std::uint32_t id = link->program_id;
  if (link->shared) {
    // Ours replaces a function of the dispatcher, and such a program cannot be run by itself.
    auto dispatcher = attached_program(config.ifindex);
    if (!dispatcher) return Err(dispatcher.error());
    if (!*dispatcher) return fail("libxdp's dispatcher is no longer attached: detach, and attach again", ENOENT);
    id = (*dispatcher)->id;
  }
  Fd program(bpf_prog_get_fd_by_id(id));
  if (!program)
    return Err(system_error(errno, "opening the attached program",
                            errno == EPERM ? "it needs CAP_SYS_ADMIN: run it as root" : ""));
  if (config.explain_key == 0)
    return fail("the attached program explains nothing: put this version's in its place (weir attach --replace)",
                EOPNOTSUPP);
  return Explainer(std::move(program), config.ifindex, config.explain_key, link->shared);
}

Outcome<Explained> Explainer::run(std::span<const std::byte> frame, std::uint32_t queue) const {
  if (frame.size() < kLeastFrame || frame.size() > kMostFrame)
    return fail("a frame of " + std::to_string(frame.size()) + " octets cannot be run: the kernel takes " +
                    std::to_string(kLeastFrame) + " to " + std::to_string(kMostFrame),
                EINVAL);
  weir_explanation request{};
  request.key = key_;
  std::vector<std::byte> in(sizeof request + frame.size());
  std::memcpy(in.data(), &request, sizeof request);
  std::memcpy(in.data() + sizeof request, frame.data(), frame.size());
  std::vector<std::byte> result(in.size());

  const auto attempt = [&](bool on_queue, std::uint32_t& action) {
    xdp_md context{};
    context.data = sizeof request;
    context.data_end = static_cast<std::uint32_t>(in.size());
    context.ingress_ifindex = on_queue ? ifindex_ : 0;
    context.rx_queue_index = on_queue ? queue : 0;
    LIBBPF_OPTS(bpf_test_run_opts, opts);
    opts.data_in = in.data();
    opts.data_size_in = static_cast<std::uint32_t>(in.size());
    opts.data_out = result.data();
    opts.data_size_out = static_cast<std::uint32_t>(result.size());
    opts.ctx_in = &context;
    opts.ctx_size_in = sizeof context;
    opts.repeat = 1;
    const int error = bpf_prog_test_run_opts(program_.get(), &opts);
    action = opts.retval;
    return -error;
  };
  Explained out;
  int code = attempt(true, out.action);
  if (code == EINVAL) {
    out.on_queue = false;
    code = attempt(false, out.action);
  }
  if (code != 0)
    return Err(system_error(code, "running the attached program on a frame",
                            code == EOPNOTSUPP || code == ENOTSUP ? "this kernel cannot run it apart from traffic"
                            : code == EPERM                       ? "run it as root"
                                                                  : ""));
  weir_explanation answer{};
  std::memcpy(&answer, result.data(), sizeof answer);
  if (answer.key == 0) out.answer = answer;
  return out;
}

}  // namespace weir::xdp
