// SPDX-License-Identifier: MIT
#include "weir/xdp/fork_registry.h"

#include <pthread.h>

#include <mutex>

namespace weir::xdp {
namespace {

// Never destroyed: a fork may happen while the process exits.
struct Registry {
  std::mutex mutex;
  ForkRegistry::Entry* first = nullptr;
};
Registry& registry() {
  static auto* r = new Registry;
  return *r;
}

}  // namespace

void ForkRegistry::add(Entry& entry) {
  static const int installed = pthread_atfork([] { registry().mutex.lock(); }, [] { registry().mutex.unlock(); },
                                              [] {
                                                Registry& r = registry();
                                                while (Entry* e = r.first) {
                                                  r.first = e->next_;
                                                  e->registered_ = false;
                                                  e->on_fork_child();
                                                }
                                                r.mutex.unlock();
                                              });
  static_cast<void>(installed);  // ENOMEM alone can make it fail
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  entry.next_ = r.first;
  entry.registered_ = true;
  r.first = &entry;
}

void ForkRegistry::remove(Entry& entry) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  if (!entry.registered_) return;
  for (Entry** at = &r.first; *at != nullptr; at = &(*at)->next_) {
    if (*at == &entry) {
      *at = entry.next_;
      break;
    }
  }
  entry.registered_ = false;
}

}  // namespace weir::xdp
