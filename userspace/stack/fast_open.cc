// SPDX-License-Identifier: MIT
// TCP Fast Open in use (RFC 7413): fast_open_cookies.h makes cookies for our peers, fast_open_cache.h keeps theirs, and
// fast_open_queue.h counts what is open before its handshake is over.
#include "weir/stack/stack.h"
#include "weir/stack/stack_impl.h"

namespace weir::stack {

// Of a SYN that a listener takes, behind its connection's birth. RFC 7413 4.2.2: beyond the queue's limit it is as if
// there were no such option.
void Stack::Impl::answer_fast_open(Listener& listener, Slot& slot, const tcp::Segment& syn, Instant now) {
  if (listener.fast_open.limit() == 0 || !syn.options.fast_open) return;
  ConstBytes brought = *syn.options.fast_open;
  using Verdict = FastOpenCookies::Verdict;
  Verdict verdict = fast_open_cookies.check(slot.key, brought, now);
  if (verdict != Verdict::bad) {
    if (!listener.fast_open.has_room(now)) {
      ++fast_open_counts.overflows;
      return;
    }
    if (!slot.tcp->accept_fast(syn, now)) return;
    listener.fast_open.enter();
    slot.fast_open = true;
    ++fast_open_counts.passive;
  } else if (brought.empty()) {
    ++fast_open_counts.cookies_given;
  } else {
    ++fast_open_counts.passive_failed;
  }
  if (verdict != Verdict::good) slot.tcp->give_cookie(fast_open_cookies.make(slot.key, now));
}

// The handshake is over, well or ill.
void Stack::Impl::leave_fast_open(Slot& slot, Instant now) {
  slot.fast_open = false;
  Listener& listener = *slot.listener;
  bool reset = slot.tcp->state() == tcp::State::closed && slot.tcp->error() == tcp::Errc::reset;
  reset ? listener.fast_open.leave_by_reset(now) : listener.fast_open.leave();
  if (slot.owner == Owner::user || slot.owner == Owner::stack) {
    static_cast<Link<OwnerTag>&>(slot).unlink();
    slot.listener = nullptr;
  }
}

// Of an active open.
void Stack::Impl::begin_fast_open(Slot& slot, Instant now) {
  auto advice = fast_open_cache.advise(slot.key, now);
  if (advice) slot.tcp->open_fast(advice->cookie, advice->mss, now);
}

void Stack::Impl::note_fast_open(Slot& slot, Instant now) {
  auto news = slot.tcp->take_fast_open_news();
  if (!news) return;
  if (news->taken) ++fast_open_counts.active;
  if (news->refused) ++fast_open_counts.active_failed;
  fast_open_cache.on_news(slot.key, *news, now);
}

// --- the user's calls ---

void Stack::set_fast_open(ListenerId id, std::uint32_t queue) {
  if (Listener* listener = impl_->listeners.get(id)) listener->fast_open.set_limit(queue);
}

FastOpenCounts Stack::fast_open_counts() const { return impl_->fast_open_counts; }

}  // namespace weir::stack
