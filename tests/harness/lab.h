// SPDX-License-Identifier: MIT
// Namespaces and veth pairs for the C++ veth tests; the same names and the same sweep as lab.py, so that either removes
// what a killed test of the other kind left behind.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace weir::testing {

// Why this process cannot make a lab (not root, a tool missing), or empty. For GTEST_SKIP.
std::string why_no_lab();

// Runs `command` by the shell; throws std::runtime_error with its output if it fails.
std::string shell(const std::string& command);

// A network namespace, removed with everything that weir pinned for it.
class Host {
 public:
  explicit Host(const std::string& name);
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;
  ~Host();

  const std::string& netns() const { return netns_; }
  // Runs a command inside (the network namespace alone changes, so that the BPF file system stays in sight).
  std::string run(const std::string& command) const;
  void address(const std::string& device, const std::string& prefix) const;

  // Puts the calling thread into the namespace until the guard dies.
  class Inside {
   public:
    explicit Inside(const Host& host);
    Inside(const Inside&) = delete;
    Inside& operator=(const Inside&) = delete;
    ~Inside();

   private:
    int back_;
  };
  Inside inside() const { return Inside(*this); }

 private:
  std::string netns_;
};

// Two hosts joined by veth0 at each end: server 10.77.0.1/24 and fd77::1/64, client .2 and ::2. Neither end sends
// partial checksums.
struct Pair {
  Pair();
  Host server;
  Host client;
};

}  // namespace weir::testing
