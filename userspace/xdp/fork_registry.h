// SPDX-License-Identifier: MIT
// What must be closed in a fork's child, of all threads of this process.
#pragma once

namespace weir::xdp {

// Entries are visited in the child of every fork(), before fork() returns there. A child made by raw clone() or vfork()
// is not covered: descriptors are close-on-exec for those that exec.
class ForkRegistry {
 public:
  class Entry {
   public:
    Entry() = default;
    Entry(const Entry&) = delete;
    Entry& operator=(const Entry&) = delete;
    virtual ~Entry() = default;
    // Runs in the child with the registry locked: system calls only. The entry is no longer registered afterwards.
    virtual void on_fork_child() = 0;

   private:
    friend class ForkRegistry;
    Entry* next_ = nullptr;
    bool registered_ = false;
  };

  static void add(Entry& entry);
  static void remove(Entry& entry);
};

}  // namespace weir::xdp
