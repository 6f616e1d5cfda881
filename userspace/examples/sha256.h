// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <memory>
#include <string>

struct evp_md_ctx_st;

namespace weir::examples {

// SHA-256 of a text that comes in pieces.
class Sha256 {
 public:
  Sha256();
  void update(const void* data, std::size_t size);
  // 64 hexadecimal digits; nothing may be added after.
  std::string hex();

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
};

}  // namespace weir::examples
