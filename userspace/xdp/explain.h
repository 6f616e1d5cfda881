// SPDX-License-Identifier: MIT
// The attached program, run on a frame to say what would become of it (abi.h: struct weir_explanation). Nothing that
// the program keeps is touched: no counter, no token bucket, no memory of fragments.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "weir/common/abi.h"
#include "weir/xdp/error.h"
#include "weir/xdp/fd.h"

namespace weir::xdp {

// What BPF_PROG_TEST_RUN takes: an Ethernet header at least, and what fits a page beside the kernel's own.
inline constexpr std::size_t kLeastFrame = 14;
inline constexpr std::size_t kMostFrame = 3400;

struct Explained {
  std::uint32_t action = 0;  // enum xdp_action, of the whole chain where a dispatcher runs it
  // Nothing: the program was not asked, because another one of libxdp's dispatcher had settled the frame before.
  std::optional<weir_explanation> answer;
  bool on_queue = true;  // false: the kernel would not run it as of that queue, and took queue 0 of the loopback device
};

class Explainer {
 public:
  // Of the program whose pins are in `directory`. CAP_SYS_ADMIN (the kernel opens a program by its id for nobody else);
  // the calling thread stays in the interface's network namespace while it is used.
  static Outcome<Explainer> open(const std::string& directory, const weir_config& config);

  // EINVAL: longer or shorter than the above.
  Outcome<Explained> run(std::span<const std::byte> frame, std::uint32_t queue) const;

  bool shared() const { return shared_; }  // through libxdp's dispatcher: the other programs run on the frame, too

 private:
  Explainer(Fd program, std::uint32_t ifindex, std::uint64_t key, bool shared)
      : program_(std::move(program)), ifindex_(ifindex), key_(key), shared_(shared) {}
  Fd program_;
  std::uint32_t ifindex_ = 0;
  std::uint64_t key_ = 0;
  bool shared_ = false;
};

}  // namespace weir::xdp
