// SPDX-License-Identifier: MIT
// Where a dump writes: a file, a pipe or a terminal, none of which may hold it up for long.
#pragma once

#include <string>

#include "table.h"
#include "weir/xdp/fd.h"

namespace weir::cli {

class DumpOutput {
 public:
  // Empty or "-": standard output. A file is made anew, for its owner alone: it holds what others sent.
  static Outcome<DumpOutput> open(const std::string& path);

  // What has been handed in and not been written yet: append to it.
  std::string& pending() { return pending_; }
  bool has_room() const { return pending_.size() < kMost; }
  int descriptor() const { return fd_; }
  bool is_terminal() const;
  // Writes what goes without waiting. False where the reader is gone.
  Outcome<bool> write_some();
  // Writes everything, however long it takes, but gives up when `interrupted` becomes readable.
  Outcome<bool> finish(int interrupted);

 private:
  explicit DumpOutput(xdp::Fd own, int fd, bool regular) : own_(std::move(own)), fd_(fd), regular_(regular) {}
  static constexpr std::size_t kMost = std::size_t{1} << 20;
  xdp::Fd own_;
  int fd_ = -1;
  bool regular_ = false;  // a file, which takes whole writes
  std::string pending_;
};

}  // namespace weir::cli
