// SPDX-License-Identifier: MIT
// A filter expression in libpcap's syntax (pcap-filter(7)), over Ethernet frames.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>

#include "table.h"

struct bpf_program;

namespace weir::cli {

class DumpFilter {
 public:
  // An empty expression matches everything. EINVAL: libpcap's words on what is wrong.
  static Outcome<DumpFilter> compile(const std::string& expression);
  // `length`: of the frame, of which `octets` may be the beginning.
  bool matches(std::span<const std::byte> octets, std::uint32_t length) const;

 private:
  struct Free {
    void operator()(bpf_program* program) const;
  };
  std::unique_ptr<bpf_program, Free> program_;
};

}  // namespace weir::cli
