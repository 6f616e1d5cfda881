// SPDX-License-Identifier: MIT
// What went wrong at the border to the kernel, and what the reader can do about it.
#pragma once

#include <string>

#include "weir/base/result.h"

namespace weir::xdp {

struct Error {
  int code = 0;         // errno, or 0 where no system call failed
  std::string message;  // one line: what failed, why, and what to do next
};

template <class T>
using Outcome = Result<T, Error>;

// "opening X: Permission denied: <hint>"; `code` is an errno value.
Error system_error(int code, const std::string& what, const std::string& hint = {});

// An Err of plain text, for errors that no system call reported (`code` stays as given, 0 by default).
Err<Error> fail(std::string message, int code = 0);

}  // namespace weir::xdp
